"""Signals: what became of them, and one signal's way step by step.

Reads only. The ledger has those that ended, Redis the records, which are ahead of it and know those under way. Times
UTC.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from executor.domain.order import Order, OrderStatus
from executor.domain.signal_record import SignalRecord, SignalStatus
from executor.domain.times import from_iso
from executor.operations.access import Access
from executor.operations.unbooked import unbooked, with_ends
from executor.operations.wording import moment, money

SHOWN: Final = ("signal_id", "kind", "strategy", "market_id", "status", "reason", "detail")
_PLACED: Final = "its orders were placed"  # and may still be live
_MOST_OPEN: Final = 500  # under way at once: more is a jam, which the queues show


@dataclass(frozen=True, slots=True)
class SignalFilter:
    """Which ended signals are wanted; empty is all. `after` is (finished_at, signal_id) of the last one seen."""

    status: str = ""
    reason: str = ""
    strategy: str = ""
    after: tuple[str, str] | None = None


def ended_signals(access: Access, limit: int, wanted: SignalFilter | None = None) -> list[dict[str, Any]]:
    """Return how signals ended, newest first: from the ledger, those that it has not got yet from its feed."""
    wanted = wanted or SignalFilter()
    filters = {"status": wanted.status, "reason": wanted.reason, "strategy": wanted.strategy}
    waiting = unbooked(access) if wanted.after is None else []  # the newest: on the first page
    ledger = access.ledger
    booked = ledger.ended(limit, filters=filters, after=wanted.after) if ledger.exists() else []
    rows = with_ends(booked, waiting, filters)[:limit]
    return [{name: row[name] for name in (*SHOWN, "received_at", "finished_at")} for row in rows]


def open_signals(access: Access) -> list[dict[str, Any]]:
    """Return the signals under way, newest first."""
    records = access.store.open_signals(access.store.now() + 60_000, _MOST_OPEN)
    return [signal_json(record) for record in sorted(records, key=lambda record: -record.received_at)]


def named_signals(access: Access, ids: Iterable[str]) -> list[dict[str, Any]]:
    """Return the records of these signals, those that are known."""
    records = filter(None, map(access.store.signal, dict.fromkeys(ids)))
    return [signal_json(record) for record in sorted(records, key=lambda record: -record.received_at)]


def signal_json(record: SignalRecord) -> dict[str, Any]:
    """Return a signal in the contract's shape."""
    times = {"received_at": moment(record.received_at), "finished_at": moment(record.finished_at)}
    return (
        {name: getattr(record, name) for name in SHOWN}
        | times
        | {"moved": record.moved, "order_ids": list(record.order_ids)}
    )


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that happened to a signal; `at` is in ms, `leg` 0 where it concerns the whole signal."""

    at: int
    what: str
    detail: str
    leg: int = 0
    bad: bool = False


def journey(record: SignalRecord, orders: Sequence[Order], fills: Sequence[Mapping[str, Any]]) -> list[Step]:
    """Return a signal's steps with their times, oldest first: received, decided, each leg's states, fills, the end."""
    by = f"by {record.bridge.partition(' ')[0]}" if record.bridge else ""
    by += f", through the door {record.door}" if record.door else ""
    by += f", from {record.publisher}" if record.publisher else ""
    by += f"; rounded: {record.moved}" if record.moved else ""
    steps = [Step(record.received_at, "received", by)]
    for order in orders:
        steps += _of_order(order)
    for fill in fills:
        size, price = money(fill["size"]), money(fill["price"])
        leg = next((order.leg for order in orders if order.order_id == fill["order_id"]), 0)
        steps.append(Step(from_iso(fill["at"]), str(fill["kind"]), f"{size} at {price}, bet {fill['bet_id']}", leg))
    if record.finished_at:
        bad = record.status is not SignalStatus.COMPLETED
        why = ": ".join(filter(None, (record.reason, record.detail)))
        steps.append(Step(record.finished_at, record.status.lower(), why or _PLACED, bad=bad))
    return sorted((step for step in steps if step.at), key=lambda step: step.at)


def _of_order(order: Order) -> list[Step]:
    wanted = f"{order.side} {money(order.size)} at {money(order.price)} on {order.selection_id}"
    steps = [
        Step(order.created_at, "accepted, exposure reserved", wanted, order.leg),
        Step(order.submitted_at, "sent to the exchange", f"attempt {order.attempt}", order.leg),
        Step(order.answered_at, "the exchange answered", "", order.leg),
        Step(order.placed_at, "at the exchange", f"bet {order.bet_id}", order.leg),
    ]
    if order.finished_at and order.status is not OrderStatus.SETTLED:
        why = ": ".join(filter(None, (order.reason or order.cancel_reason, order.detail)))
        bad = order.status in {OrderStatus.FAILED, OrderStatus.EXPIRED}
        steps.append(Step(order.finished_at, order.status.lower(), why, order.leg, bad=bad))
    if order.settled_at:
        steps.append(Step(order.settled_at, "settled", f"net {money(order.net_profit)}", order.leg))
    return steps
