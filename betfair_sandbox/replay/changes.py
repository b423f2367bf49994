"""One market's part of a recorded line, read and checked: nothing of it is used unless all of it can be.

Owns: the fields of `rc` and their bounds. Invariant: prices are positive, sizes are not negative, both finite. Units:
sizes in the recording's currency (GBP), rounded to pennies: older files carry binary noise.
"""

from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Final

from betfair_sandbox.api.wire import Json
from betfair_sandbox.market.accounts import RunnerKey
from betfair_sandbox.market.markets import runner_key
from betfair_sandbox.market.money import ZERO, to_money
from betfair_sandbox.replay.files import BadLine

Ladder = list[tuple[Decimal, Decimal]]
Levels = list[tuple[int, Decimal, Decimal]]

_LARGEST: Final = Decimal(10) ** 10
_LARGEST_ID: Final = 2**63 - 1
_DEEPEST_LEVEL: Final = 1_000
_PAIR: Final = 2
_TRIPLE: Final = 3
_NO_PRICE: Final = ("NaN", "Infinity", "-Infinity")
LADDERS: Final = ("atb", "atl", "trd", "spb", "spl")
LEVELS: Final = ("batb", "batl", "bdatb", "bdatl")


@dataclass(slots=True)
class RunnerChange:
    """What a line says of one runner; an absent field did not change."""

    key: RunnerKey
    ladders: dict[str, Ladder] = field(default_factory=dict)
    levels: dict[str, Levels] = field(default_factory=dict)
    ltp: Decimal | None = None
    volume: Decimal | None = None
    projections: dict[str, Decimal | None] = field(default_factory=dict)  # spn, spf; None: no price


def read_runner_changes(change: Json) -> list[RunnerChange]:
    """Return what a market's part of a line says of its runners.

    Raises:
        BadLine: something in it cannot be read.

    """
    rows = change.get("rc") or []
    if not isinstance(rows, list):
        raise BadLine("rc is not a list")
    return [_read_row(row) for row in rows]


def _read_row(row: object) -> RunnerChange:
    if not isinstance(row, dict):
        raise BadLine("rc holds something that is not an object")
    read = RunnerChange(runner_key(read_id(row.get("id"), "rc.id"), read_number(row.get("hc", 0), "rc.hc")))
    for name in LADDERS:
        if row.get(name) is not None:
            read.ladders[name] = [_pair(item, name) for item in _items(row[name], name)]
    for name in LEVELS:
        if row.get(name) is not None:
            read.levels[name] = [_triple(item, name) for item in _items(row[name], name)]
    if row.get("ltp") is not None:
        read.ltp = _price(row["ltp"], "ltp")
    if row.get("tv") is not None:
        read.volume = _size(row["tv"], "tv")
    for name in ("spn", "spf"):
        if row.get(name) is not None:
            read.projections[name] = None if row[name] in _NO_PRICE else _price(row[name], name)
    return read


def read_id(value: object, name: str) -> int:
    """Return a selection id."""
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value <= _LARGEST_ID:
        raise BadLine(f"{name} is not an id")
    return value


def read_number(value: object, name: str) -> Decimal:
    """Return a finite number of a sensible size."""
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise BadLine(f"{name} is not a number")
    try:
        number = Decimal(value)
    except InvalidOperation:
        raise BadLine(f"{name} is not a number") from None
    if not number.is_finite() or abs(number) > _LARGEST:
        raise BadLine(f"{name} is out of range")
    return number


def _items(value: object, name: str) -> list[object]:
    if not isinstance(value, list):
        raise BadLine(f"{name} is not a list")
    return value


def _pair(item: object, name: str) -> tuple[Decimal, Decimal]:
    if not isinstance(item, list) or len(item) != _PAIR:
        raise BadLine(f"{name} does not hold pairs of price and size")
    return _price(item[0], name), _size(item[1], name)


def _triple(item: object, name: str) -> tuple[int, Decimal, Decimal]:
    if not isinstance(item, list) or len(item) != _TRIPLE:
        raise BadLine(f"{name} does not hold levels with price and size")
    level = item[0]
    if not isinstance(level, int) or isinstance(level, bool) or not 0 <= level < _DEEPEST_LEVEL:
        raise BadLine(f"{name} has a level that is not a small number")
    size = _size(item[2], name)
    return level, _price(item[1], name) if size else ZERO, size


def _price(value: object, name: str) -> Decimal:
    price = read_number(value, name)
    if price <= 0:
        raise BadLine(f"{name} has a price that is not positive")
    return price


def _size(value: object, name: str) -> Decimal:
    size = read_number(value, name)
    if size < 0:
        raise BadLine(f"{name} has a negative size")
    return to_money(size)
