"""What a person decides: an order whose outcome stays unknown, a signal to be tried again.

Invariants: nobody can say "not placed" of a bet that the exchange shows, or of an order whose call may still reach it;
a signal is tried again only when none of its legs is, or may be, at the exchange, as the exchange itself says, under
the same order ids and a new customer_ref.
"""

from collections.abc import Sequence
from dataclasses import replace

import structlog

from executor.domain.order import MAX_LEGS, UNPLACED, Order, OrderStatus, move, order_ids
from executor.domain.signal_record import SignalRecord, SignalStatus, advance
from executor.engine.bet_assignment import assign_bet
from executor.engine.engine import Engine
from executor.engine.lookup import NOT_PLACED, look_up, shows_by, under_way_ms
from executor.engine.reports import Rewritten, rewrite
from executor.errors import Contended, ExecutorError, NotAllowed, StoreUnavailable
from executor.ports import Change, Listing, MarketView, OrderStore

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
        NotAllowed: the order is not unknown, the exchange shows its bet, or the call may still be under way.
    """
    before = _order(engine, order_id)
    try:
        order = _unknown(engine, order_id)
    except NotAllowed:
        order = _order(engine, order_id)
        if (before.status, order.reason) != (OrderStatus.SUBMITTED, NOT_PLACED):
            raise
        _audit(engine, "order_resolved", order_id=order_id, verdict="not placed", who=who)
        return order  # the exchange has just said so itself
    _refuse_under_way(engine, order)

    def fail(stored: Order, now: int) -> Rewritten:
        if stored != order:
            return stored, []
        return replace(move(stored, OrderStatus.FAILED, NOT_PLACED, f"as {who} said"), finished_at=now), []

    changed = rewrite(engine, order.market_id, [order_id], [order.signal_id], fail)
    if not changed:
        raise NotAllowed(f"order {order_id} has just changed: look at it again")
    _audit(engine, "order_resolved", order_id=order_id, verdict="not placed", who=who)
    return changed[0]


def _refuse_under_way(engine: Engine, order: Order) -> None:
    left_ms = under_way_ms(engine.policy, order, engine.store.now())
    if left_ms:
        raise NotAllowed(
            f"the call of order {order.order_id} may still be under way: nothing is released for another "
            f"{-(-left_ms // 1000)} s"
        )


def resolve_placed(engine: Engine, order_id: str, bet_id: str, who: str) -> Order:
    """Book a person's word that a bet at the exchange is an order's.

    Raises:
        NotAllowed: the order is not unknown, or the exchange shows no such bet of ours, or it is not this order's.
        Contended: others kept changing the market's orders.
    """
    order = _order(engine, order_id)
    if (order.status, order.reason) != (OrderStatus.FAILED, NOT_PLACED):  # concluded, as its name is lost
        order = _unknown(engine, order_id)
    bet = next((state for state in engine.exchange.current_orders() if state.bet_id == bet_id), None)
    if bet is None:
        raise NotAllowed(f"the exchange shows no bet {bet_id} under our strategy reference")
    assign_bet(engine, order, bet, who)
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
        NotAllowed: the signal is unknown, a leg is or may be at the exchange, which must have been asked, or it is
            stale and not forced.
        Contended: it kept changing.
    """
    record, view, legs = _stored(engine.store, signal_id)
    if _is_under_way(record, legs, view.now):
        return record
    if problem := _obstacle(record, legs, view.now, force=force):
        raise NotAllowed(problem)
    _ask_before_retry(engine, record, legs, view.now)
    seen = record
    record, view, legs = _stored(engine.store, signal_id)
    if problem := _obstacle(record, legs, view.now, force=force):
        raise NotAllowed(problem)
    if record != seen:
        raise Contended(f"signal {signal_id} has just changed: look at it again")
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


def _ask_before_retry(engine: Engine, record: SignalRecord, legs: Sequence[Order], now: int) -> None:
    """Ask the exchange, in all its lists, for bets of these legs; one that turned up is taken back."""
    for order in legs:
        waits_s = -((now - shows_by(engine.policy, order)) // 1000)
        if order.submitted_at and order.reason == NOT_PLACED and waits_s > 0:
            raise NotAllowed(
                f"signal {record.signal_id} cannot be tried again yet: the exchange may still show a bet of order "
                f"{order.order_id} for {waits_s} s"
            )
    known = {order.order_id for order in legs}
    unknown = [name for name in order_ids(record.signal_id, MAX_LEGS) if name not in known]
    unread: set[str] = set()
    try:
        if legs:
            look_up(engine, legs, now, unread=unread)
        lost = engine.exchange.find_current(unknown) if unknown else Listing()
    except StoreUnavailable:
        raise
    except ExecutorError as error:
        raise NotAllowed(
            f"signal {record.signal_id} cannot be tried again: the exchange cannot be asked for its bets ({error})"
        ) from error
    if unread or lost.odd:
        raise NotAllowed(
            f"signal {record.signal_id} cannot be tried again: the exchange has something of it that cannot be read "
            "(executor check)"
        )
    if lost:
        found = ", ".join(bet.bet_id for bet in lost)
        raise NotAllowed(f"signal {record.signal_id} cannot be tried again: the exchange has bet {found}")


def _audit(engine: Engine, event: str, **fields: object) -> None:
    log.warning(event, **fields)
    engine.controls.alert(event, {name: str(value) for name, value in fields.items()})
