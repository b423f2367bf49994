"""A signal whose bets were adopted: its record or its orders' were lost, and the poll found them at the exchange first.

Invariant: only bets under the ids of the signal's own legs, with just their content, become its orders again; a leg
without a record is taken as sent, as all legs go in one call: the poll finds it, or concludes that it is not there.
"""

from dataclasses import replace

import structlog

from executor.domain.order import ADOPTED, UNPLACED, Order, customer_ref, order_ids
from executor.domain.signal import Leg, Signal
from executor.domain.signal_record import SignalRecord, SignalStatus, advance
from executor.engine.engine import Policy
from executor.engine.reports import conclude_all
from executor.engine.submitting import as_sent
from executor.ports import Change, MarketView

log = structlog.get_logger(__name__)


def new_order(policy: Policy, view: MarketView, record: SignalRecord, signal: Signal, number: int) -> Order:
    """Make the order of a signal's leg (1, 2), as nothing of it is reserved yet."""
    leg = signal.legs[number - 1]
    return Order(
        order_id=order_ids(record.signal_id, len(signal.legs))[number - 1],
        signal_id=record.signal_id,
        leg=number,
        market_id=record.market_id,
        selection_id=leg.selection_id,
        side=leg.side,
        price=leg.price,
        size=leg.size,
        strategy=record.strategy,
        created_at=view.now,
        received_at=record.received_at,
        timeout_s=signal.unmatched_timeout_s or policy.unmatched_timeout_s,
        attempt=record.attempt,
        paper=policy.paper,
        customer_ref=customer_ref(record.signal_id, record.attempt),
    )


def claim_adopted_bets(policy: Policy, view: MarketView, record: SignalRecord, signal: Signal) -> Change | None:
    """Return what gives adopted bets back to their signal; None where they are none of it."""
    names = order_ids(record.signal_id, len(signal.legs))
    legs = dict(zip(names, signal.legs, strict=True))
    held = {name: view.orders[name] for name in names if name in view.orders}
    if not held or not all(_is_of(order, legs[name]) for name, order in held.items()):
        return None
    orders: list[Order] = []
    for number, name in enumerate(names, start=1):
        fresh = new_order(policy, view, record, signal, number)
        order = held.get(name) or as_sent(fresh, view.now)
        orders.append(
            replace(
                order,
                signal_id=fresh.signal_id,
                leg=fresh.leg,
                strategy=fresh.strategy,
                attempt=fresh.attempt,
                customer_ref=fresh.customer_ref,
                timeout_s=fresh.timeout_s,
            )
        )
    accepted = replace(advance(record, SignalStatus.ACCEPTED, view.now), order_ids=names)
    concluded, signals = conclude_all(policy, replace(view, signals={record.signal_id: accepted}), orders)
    log.warning("adopted_bets_taken_over", signal_id=record.signal_id, order_ids=sorted(held))
    return Change(orders=tuple(concluded), signals=tuple(signals) or (accepted,))


def _is_of(order: Order, leg: Leg) -> bool:
    adopted = order.strategy == ADOPTED and not order.signal_id and order.status not in UNPLACED
    same = (order.selection_id, order.side, order.price, order.size)
    return adopted and same == (leg.selection_id, leg.side, leg.price, leg.size)
