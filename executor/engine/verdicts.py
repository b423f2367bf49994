"""What a person decides: an order whose outcome stays unknown, a signal to be tried again.

Invariants: nobody can say "not placed" of a bet that the exchange shows; a signal is tried again only when none of its
legs is, or may be, at the exchange, under the same order ids and a new customer_ref.
"""

from collections.abc import Sequence
from dataclasses import replace

import structlog

from executor.domain.order import MAX_LEGS, UNPLACED, Order, OrderStatus, move, order_ids
from executor.domain.signal_record import SignalRecord, SignalStatus, advance
from executor.engine.context import Engine
from executor.engine.lookup import NOT_PLACED, look_up
from executor.engine.reports import Rewritten, merge_reports, rewrite
from executor.errors import Contended, NotAllowed
from executor.ports import Change, MarketView, OrderStore

log = structlog.get_logger(__name__)


def _order(engine: Engine, order_id: str) -> Order:
    found = engine.store.orders([order_id])
    if not found:
        raise NotAllowed(f"there is no order {order_id}")
    return found[0]


def _unknown(engine: Engine, order_id: str) -> Order:
    """Ask the exchange once more, and return the order if its outcome is still unknown."""
    order = _order(engine, order_id)
    if order.status is OrderStatus.SUBMITTED:
        look_up(engine, [order], engine.store.now())
        order = _order(engine, order_id)
    if order.status is not OrderStatus.SUBMITTED:
        raise NotAllowed(f"order {order_id} is {order.status}: only an order whose outcome is unknown can be resolved")
    return order


def resolve_not_placed(engine: Engine, order_id: str, who: str) -> Order:
    """Book a person's word that an order did not reach the exchange.

    Raises:
        NotAllowed: the order is not unknown, or the exchange shows its bet.
    """
    order = _unknown(engine, order_id)

    def fail(stored: Order, now: int) -> Rewritten:
        if stored != order:
            return stored, []
        return replace(move(stored, OrderStatus.FAILED, NOT_PLACED, f"as {who} said"), finished_at=now), []

    changed = rewrite(engine, order.market_id, [order_id], [order.signal_id], fail)
    if not changed:
        raise NotAllowed(f"order {order_id} has just changed: look at it again")
    _audit(engine, "order_resolved", order_id=order_id, verdict="not placed", who=who)
    return changed[0]


def resolve_placed(engine: Engine, order_id: str, bet_id: str, who: str) -> Order:
    """Book a person's word that a bet at the exchange is an order's.

    Raises:
        NotAllowed: the order is not unknown, or the exchange shows no such bet of ours.
    """
    order = _unknown(engine, order_id)
    bet = next((one for one in engine.exchange.current_orders() if one.bet_id == bet_id), None)
    if bet is None:
        raise NotAllowed(f"the exchange shows no bet {bet_id} under our strategy reference")
    if (bet.market_id, bet.selection_id, bet.side) != (order.market_id, order.selection_id, order.side):
        raise NotAllowed(f"bet {bet_id} is on market {bet.market_id}, selection {bet.selection_id}, {bet.side}")
    merge_reports(engine, order.market_id, [replace(bet, order_id=order_id)], {order_id: order})
    _audit(engine, "order_resolved", order_id=order_id, verdict=f"bet {bet_id}", who=who)
    return _order(engine, order_id)


def retry_obstacle(store: OrderStore, signal_id: str, *, force: bool) -> str:
    """Say why a signal cannot be tried again; empty when it can."""
    try:
        record, view, legs = _stored(store, signal_id)
    except NotAllowed as error:
        return str(error)
    if _is_under_way(record, legs, view.now):
        return ""
    return _obstacle(record, legs, view.now, force=force)


def _stored(store: OrderStore, signal_id: str) -> tuple[SignalRecord, MarketView, list[Order]]:
    record = store.signal(signal_id)
    if record is None:
        raise NotAllowed(f"there is no signal {signal_id}")
    ids = order_ids(signal_id, MAX_LEGS)
    view = store.view(record.market_id, signal_ids=(signal_id,), order_ids=ids)
    legs = [order for order in view.orders.values() if order.order_id in ids]
    return view.signals.get(signal_id, record), view, legs


def _is_under_way(record: SignalRecord, legs: Sequence[Order], now: int) -> bool:
    """Tell whether only its chain has to be started again."""
    open_still = record.status in {SignalStatus.RECEIVED, SignalStatus.ACCEPTED}
    return open_still and all(order.status is OrderStatus.RESERVED for order in legs) and now < record.deadline


def _obstacle(record: SignalRecord, legs: Sequence[Order], now: int, *, force: bool) -> str:
    taken = [f"{order.order_id} is {order.status}" for order in legs if order.status not in UNPLACED]
    if taken:
        return f"signal {record.signal_id} cannot be tried again: {', '.join(taken)}"
    if not record.market_id:
        return f"signal {record.signal_id} is malformed: there is nothing to try"
    if now >= record.deadline and not force:
        return f"signal {record.signal_id} is stale, its price may be gone: --force gives it a new deadline"
    return ""


def retry_signal(engine: Engine, signal_id: str, *, force: bool, who: str) -> SignalRecord:
    """Prepare a signal to be validated once more; the caller starts its chain.

    A signal that is still open is left as it is: its chain only has to be started again. `force` gives a stale signal
    a new deadline.

    Raises:
        NotAllowed: the signal is unknown, a leg is or may be at the exchange, or it is stale and not forced.
        Contended: it kept changing.
    """
    record, view, legs = _stored(engine.store, signal_id)
    if _is_under_way(record, legs, view.now):
        return record
    if problem := _obstacle(record, legs, view.now, force=force):
        raise NotAllowed(problem)
    fresh = replace(
        advance(record, SignalStatus.RECEIVED, view.now),
        attempt=record.attempt + 1,
        dispatches=0,
        deadline=view.now + engine.policy.max_age_s * 1000 if force else record.deadline,
    )
    if not engine.store.commit(view, Change(signals=(fresh,))):
        raise Contended(f"signal {signal_id} has just changed: look at it again")
    _audit(engine, "signal_retried", signal_id=signal_id, attempt=fresh.attempt, forced=force, who=who)
    return fresh


def _audit(engine: Engine, event: str, **fields: object) -> None:
    log.warning(event, **fields)
    engine.controls.alert(event, {name: str(value) for name, value in fields.items()})
