"""Records as text: orders, signals and trades to and from what Redis holds.

Invariant: decoding what was encoded gives the same record; amounts are decimal text. A field that has its default is
left out, so that a record in `redis-cli` shows what happened and not what did not.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, fields
from decimal import Decimal, InvalidOperation
from operator import attrgetter
from typing import Any, Final

from executor.adapters.redis.remembered import Remembered
from executor.domain.exposure import Position, SideTotal
from executor.domain.foreign import ForeignBet
from executor.domain.money import Side, parse_number
from executor.domain.order import Order, OrderStatus
from executor.domain.signal_record import SignalRecord, SignalStatus
from executor.domain.times import iso
from executor.errors import RecordUnreadable

_ALWAYS: Final = frozenset({"status", "size_matched"})
_SHOWN: Final = object()  # equals no value


def _default(field: Field[Any]) -> object:
    return field.default if field.default is not MISSING else None


def _plain(value: object) -> object:
    if isinstance(value, Decimal):
        return f"{value:f}"
    return list(value) if isinstance(value, tuple) else value


_Record = Order | SignalRecord | ForeignBet
_KINDS: Final[tuple[type[_Record], ...]] = (Order, SignalRecord, ForeignBet)
# What reads all fields of a record at once, and each one's name with the value that is left out.
_SHAPES: Final[dict[type[_Record], tuple[Callable[[object], tuple[object, ...]], list[tuple[str, object]]]]] = {
    kind: (
        attrgetter(*(field.name for field in fields(kind))),
        [(field.name, _SHOWN if field.name in _ALWAYS else _default(field)) for field in fields(kind)],
    )
    for kind in _KINDS
}


def _fields(record: _Record) -> dict[str, object]:
    read, shown = _SHAPES[record.__class__]
    return {
        name: value if value.__class__ is str or value.__class__ is int else _plain(value)
        for (name, default), value in zip(shown, read(record), strict=True)
        if value is not default and value != default
    }


_JUST_WRITTEN: Final = 64  # orders: those of a call, and of a poll's commit
_written: Final[dict[str, Order]] = {}  # by their text: the last look before sending reads what was just written

_write: Final = json.JSONEncoder(separators=(",", ":")).encode  # json.dumps makes one for each call


def encode(record: _Record) -> str:
    """Write a record as JSON."""
    text = _write(_fields(record))
    if isinstance(record, Order):
        if len(_written) >= _JUST_WRITTEN:
            _written.clear()
        _written[text] = record
    return text


def _load(what: str, text: str) -> dict[str, Any]:
    try:
        loaded = json.loads(text)
    except (ValueError, RecursionError):
        loaded = None
    if not isinstance(loaded, dict):
        raise RecordUnreadable(f"{what} in Redis is not readable: {text[:80]!r}")
    return loaded


_ORDER: Final = {field.name: field for field in fields(Order)}
_SIGNAL: Final = {field.name: field for field in fields(SignalRecord)}
_FOREIGN: Final = {field.name: field for field in fields(ForeignBet)}
_READ: Final[dict[object, Any]] = {Side: Side, OrderStatus: OrderStatus, SignalStatus: SignalStatus}
_SIGNED: Final = frozenset({"profit", "commission"})
_MAX_AMOUNT: Final = Decimal(10) ** 12  # whatever was multiplied to get it
_MAX_WHOLE: Final = 2**63  # Betfair: selectionId is a long
_MAX_MOMENT: Final = 10**14  # ms; what `iso` can write
_MOST_REMEMBERED: Final = 16_384  # records, some 25 MB: more orders at a time than one installation has live
_decoded: Final = Remembered[Order](_MOST_REMEMBERED)


def _amount(name: str, text: object) -> Decimal:
    value = parse_number(text) if isinstance(text, str) else _MAX_AMOUNT
    if abs(value) >= _MAX_AMOUNT or (value < 0 and name not in _SIGNED):
        raise ValueError(f"{name} is no amount")
    return value


def _whole(name: str, value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError(f"{name} is not a whole number")  # noqa: TRY004 - one error for whatever is wrong with a record
    if not 0 <= value < (_MAX_MOMENT if name.endswith("_at") else _MAX_WHOLE):
        raise ValueError(f"{name} is out of range")
    return value


def _read(field: Field[Any], value: Any) -> Any:  # noqa: ANN401 - JSON
    if field.type in _READ:
        return _READ[field.type](value)
    if field.type is Decimal:
        return _amount(field.name, value)
    if field.type is int:
        return _whole(field.name, value)
    if field.type is bool:
        return value is True
    return tuple(map(str, value)) if isinstance(value, list) else str(value)


def _build(kind: type, known: Mapping[str, Field[Any]], what: str, text: str) -> Any:  # noqa: ANN401 - either record
    values = _load(what, text)
    try:
        return kind(**{name: _read(known[name], value) for name, value in values.items() if name in known})
    except (ValueError, TypeError, InvalidOperation) as error:
        raise RecordUnreadable(f"{what} in Redis is not readable: {error}") from None


def decode_order(text: str) -> Order:
    """Read an order's record; the same text gives the same record, unread.

    Raises:
        RecordUnreadable: it is not one; nothing is decided on a record that cannot be read.
    """
    known = _decoded.get(text)
    if known is not None:
        return known
    order: Order = _written.get(text) or _build(Order, _ORDER, "an order's record", text)
    _decoded.put(text, order)
    return order


def decode_signal(text: str) -> SignalRecord:
    """Read a signal's record.

    Raises:
        RecordUnreadable: it is not one.
    """
    record: SignalRecord = _build(SignalRecord, _SIGNAL, "a signal's record", text)
    return record


def decode_foreign(text: str) -> ForeignBet:
    """Read a foreign bet's record.

    Raises:
        RecordUnreadable: it is not one.
    """
    bet: ForeignBet = _build(ForeignBet, _FOREIGN, "a foreign bet's record", text)
    return bet


def order_fields(order: Order, identity: str) -> str:
    """Write the message of `channel:order-updates`."""
    shown = {
        "order_id": order.order_id,
        "signal_id": order.signal_id,
        "market_id": order.market_id,
        "selection_id": order.selection_id,
        "side": order.side,
        "price": f"{order.price:f}",
        "size": f"{order.size:f}",
        "size_matched": f"{order.size_matched:f}",
        "average_price_matched": f"{order.average_price_matched:f}",
        "status": order.status,
        "reason": order.reason,
        "bet_id": order.bet_id,
        "identity": identity,
    }
    return json.dumps(shown, separators=(",", ":"))


def _side(total: SideTotal) -> str:
    return f'{{"Stake":{total.size:f},"Odds":{total.price:f}}}'


def position_fields(position: Position) -> str:
    """Write a value of `positions:{market}`; amounts are JSON numbers, as the reference shows them."""
    larger = position.back if position.back.size >= position.lay.size else position.lay
    side = "Back" if larger is position.back else "Lay"
    return (
        f'{{"SelectionId":"{position.selection_id}","Side":"{side}","Stake":{larger.size:f},"Odds":{larger.price:f},'
        f'"Exposure":{position.exposure:f},"Timestamp":"{iso(position.changed_at)}",'
        f'"Back":{_side(position.back)},"Lay":{_side(position.lay)}}}'
    )
