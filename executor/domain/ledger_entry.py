"""Entries of the feeds `stream:trades` and `stream:audit`: what the ledger books, how each is written and read.

Invariants: reading what was written gives the same entry; what cannot be read is an entry, too, which says why, so that
it holds up no other. Amounts in account currency as decimal text, times ISO 8601 in UTC, milliseconds inside.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import fields as fields_of
from decimal import Decimal
from typing import Final

from executor.domain.money import Side
from executor.domain.order import Trade, TradeKind
from executor.domain.signal_record import SignalRecord
from executor.domain.times import from_iso, iso

SIGNAL: Final = "signal"
AUDIT: Final = "audit"
_SIGNAL_TEXTS: Final = ("signal_id", "kind", "strategy", "market_id", "status", "reason", "detail")
_BET_TEXTS: Final = ("order_id", "signal_id", "bet_id", "strategy", "market_id", "identity")


@dataclass(frozen=True, slots=True, kw_only=True)
class BetEntry:
    """What happened to a bet, and its totals after it."""

    trade_id: str
    order_id: str
    signal_id: str
    bet_id: str
    strategy: str
    market_id: str
    selection_id: int
    side: Side
    size: Decimal  # matched or taken back by this entry
    price: Decimal  # average price of that
    size_matched: Decimal
    average_price_matched: Decimal
    at: int
    identity: str
    currency: str = ""  # the account's, where it is known
    paper: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Fill(BetEntry):
    """More is matched, or it is repriced."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Void(BetEntry):
    """What was matched is taken back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement(BetEntry):
    """The bet is settled; a later one replaces it."""

    profit: Decimal
    commission: Decimal
    net_profit: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalEnd:
    """How a signal ended; a later one replaces it."""

    signal_id: str
    kind: str
    strategy: str
    market_id: str
    status: str
    reason: str
    detail: str
    received_at: int
    finished_at: int
    identity: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """What somebody did by hand, or was refused."""

    at: int
    identity: str
    who: str
    role: str
    via: str
    address: str
    action: str
    target: str
    before: str
    after: str
    outcome: str


ACT_FIELDS: Final = tuple(field.name for field in fields_of(Act) if field.name not in {"at", "identity"})


@dataclass(frozen=True, slots=True)
class Unreadable:
    """What is no entry of ours; nobody can book it."""

    problem: str


LedgerEntry = Fill | Void | Settlement | SignalEnd | Act | Unreadable

_BETS: Final[Mapping[str, type[Fill | Void]]] = {TradeKind.FILL: Fill, TradeKind.VOID: Void}


def of_trade(trade: Trade, identity: str, currency: str = "") -> Fill | Void | Settlement:
    """Return the entry that a change of an order means; `currency` is the account's, where it is known."""
    order = trade.order
    facts = {
        "trade_id": f"{order.order_id}:{trade.number}",
        "order_id": order.order_id,
        "signal_id": order.signal_id,
        "bet_id": order.bet_id,
        "strategy": order.strategy,
        "market_id": order.market_id,
        "selection_id": order.selection_id,
        "side": order.side,
        "size": trade.size,
        "price": trade.price,
        "size_matched": order.size_matched,
        "average_price_matched": order.average_price_matched,
        "at": trade.at,
        "identity": identity,
        "currency": currency,
        "paper": order.paper,
    }
    if trade.kind is TradeKind.SETTLEMENT:
        result = {"profit": order.profit, "commission": order.commission, "net_profit": order.net_profit}
        return Settlement(**facts, **result)  # type: ignore[arg-type]
    return _BETS[trade.kind](**facts)  # type: ignore[arg-type]


def of_signal(record: SignalRecord, identity: str) -> SignalEnd:
    """Return the entry that says how a signal ended."""
    return SignalEnd(
        signal_id=record.signal_id,
        kind=record.kind,
        strategy=record.strategy,
        market_id=record.market_id,
        status=record.status,
        reason=record.reason,
        detail=record.detail,
        received_at=record.received_at,
        finished_at=record.finished_at,
        identity=identity,
    )


def encode_entry(entry: LedgerEntry) -> dict[str, str]:
    """Write an entry as the feed has it."""
    if isinstance(entry, Unreadable):
        return {}
    if isinstance(entry, SignalEnd):
        ended = {name: str(getattr(entry, name)) for name in _SIGNAL_TEXTS}
        times = {"received_at": iso(entry.received_at), "finished_at": iso(entry.finished_at)}
        return {"type": SIGNAL, **ended, **times, "identity": entry.identity}
    if isinstance(entry, Act):
        done = {name: str(getattr(entry, name)) for name in ACT_FIELDS}
        return {"type": AUDIT, "at": iso(entry.at), "identity": entry.identity, **done}
    fields = {
        "type": kind_of(entry),
        "trade_id": entry.trade_id,
        "order_id": entry.order_id,
        "signal_id": entry.signal_id,
        "bet_id": entry.bet_id,
        "strategy": entry.strategy,
        "market_id": entry.market_id,
        "selection_id": str(entry.selection_id),
        "side": entry.side,
        "size": f"{entry.size:f}",
        "price": f"{entry.price:f}",
        "size_matched": f"{entry.size_matched:f}",
        "average_price_matched": f"{entry.average_price_matched:f}",
        "at": iso(entry.at),
        "identity": entry.identity,
    }
    if entry.currency:
        fields["currency"] = entry.currency
    if entry.paper:
        fields["paper"] = "true"
    if isinstance(entry, Settlement):
        fields |= {name: f"{getattr(entry, name):f}" for name in ("profit", "commission", "net_profit")}
    return fields


def decode_entry(fields: Mapping[str, str]) -> LedgerEntry:
    """Read an entry; one that is none says why."""
    try:
        return _decode(fields)
    except (KeyError, ArithmeticError, ValueError) as error:
        return Unreadable(f"{type(error).__name__}: {error}")


def _decode(fields: Mapping[str, str]) -> LedgerEntry:
    kind = fields.get("type")
    if kind == SIGNAL:
        ended = {name: fields[name] for name in (*_SIGNAL_TEXTS, "identity")}
        times = {name: from_iso(fields[name]) for name in ("received_at", "finished_at")}
        return SignalEnd(**ended, **times)  # type: ignore[arg-type]
    if kind == AUDIT:
        done = {name: fields[name] for name in ACT_FIELDS}
        return Act(at=from_iso(fields["at"]), identity=fields["identity"], **done)
    if kind not in {TradeKind.FILL, TradeKind.VOID, TradeKind.SETTLEMENT}:
        raise ValueError("not an entry of ours")
    facts: dict[str, object] = {name: fields[name] for name in _BET_TEXTS}
    facts |= {name: _amount(fields, name) for name in ("size", "price", "size_matched", "average_price_matched")}
    facts |= {
        "trade_id": fields.get("trade_id", ""),
        "selection_id": int(fields["selection_id"]),
        "side": Side(fields["side"]),
        "at": from_iso(fields["at"]),
        "currency": fields.get("currency", "")[:3],
        "paper": fields.get("paper") == "true",
    }
    if kind == TradeKind.SETTLEMENT:
        facts |= {name: _amount(fields, name) for name in ("profit", "commission", "net_profit")}
        return Settlement(**facts)  # type: ignore[arg-type]
    return _BETS[kind](**facts)  # type: ignore[arg-type]


def _amount(fields: Mapping[str, str], name: str) -> Decimal:
    value = Decimal(fields[name])
    if not value.is_finite():
        raise ValueError(f"{name} is no amount")
    return value


def kind_of(entry: Fill | Void | Settlement) -> TradeKind:
    """Return what happened to the bet."""
    if isinstance(entry, Settlement):
        return TradeKind.SETTLEMENT
    return TradeKind.FILL if isinstance(entry, Fill) else TradeKind.VOID
