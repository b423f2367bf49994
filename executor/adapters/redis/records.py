"""Records as text: orders, signals and trades to and from what Redis holds.

Invariant: decoding what was encoded gives the same record; amounts are decimal text. A field that has its default is
left out, so that a record in `redis-cli` shows what happened and not what did not.
"""

import json
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields
from decimal import Decimal, InvalidOperation
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


def _default(field: Field[Any]) -> object:
    return field.default if field.default is not MISSING else None


def _plain(value: object) -> object:
    if isinstance(value, Decimal):
        return f"{value:f}"
    return list(value) if isinstance(value, tuple) else value


def _fields(record: Order | SignalRecord | ForeignBet) -> dict[str, object]:
    kept: dict[str, object] = {}
    for field in fields(record):
        value = getattr(record, field.name)
        if field.name in _ALWAYS or value != _default(field):
            kept[field.name] = _plain(value)
    return kept


def encode(record: Order | SignalRecord | ForeignBet) -> str:
    """Write a record as JSON."""
    return json.dumps(_fields(record), separators=(",", ":"))


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
    order: Order = _build(Order, _ORDER, "an order's record", text)
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
