"""place_order: mark the intent, send once, record the answer.

Invariants: RESERVED -> SUBMITTED is a compare-and-set that reads the kill switch, the deadline and the reconciled mark,
before every HTTP attempt, and only its winner calls the exchange; a call whose outcome is unknown is never repeated,
its orders stay SUBMITTED until the poll has asked the exchange.
"""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Final, cast

import structlog

from executor.domain.order import CancelReason, Order, OrderStatus, Trade, merge, move
from executor.domain.risk import Reason, is_true
from executor.domain.signal_record import CLOCK_WENT_BACK, SignalRecord, SignalStatus, advance, is_from_the_future
from executor.engine.breaker import with_failure
from executor.engine.cancellation import cancel_orders
from executor.engine.engine import Engine, Step, Submission, repeated, step, unknown_signal
from executor.engine.optimistic import until_committed
from executor.engine.reports import announce, conclude_all
from executor.engine.sending import PlacementResult, as_refused, kept_here, send
from executor.engine.submitting import has_room, marked_as_sent
from executor.engine.waiting import wait_for_poll
from executor.errors import NotYet, StoreUnavailable
from executor.ports import Change, Failure, LegOutcome, LegReport, MarketView

log = structlog.get_logger(__name__)

_SENDS: Final = 3  # attempts that provably did not reach the exchange; then the price is old and the signal fails
_LONGEST_WAIT_S: Final = 10.0  # longer is a ban: it holds a thread and the exposure, and the price will be gone
_RECORD_FOR_S: Final = 30.0  # how long an answer is kept trying to reach Redis; after that the poll finds it out
_PUT_BACK_FOR_S: Final = 2.0  # nothing is at the exchange, and the process has other signals to serve
_NEW: Final = SignalStatus.RECEIVED
_SENT: Final = frozenset({SignalStatus.COMPLETED, SignalStatus.FAILED})


def place(
    engine: Engine,
    signal_id: str,
    market_id: str,
    *,
    patience_ms: int = 0,
    take: Callable[[], Submission | None] = lambda: None,
) -> Step:
    """Send an accepted signal's orders in one call, at most once; what was sent before is left alone.

    `patience_ms`: how long they wait, reserved, for orders to be reconciled. `take` gives what the decision has just
    marked as sent, if anything: until it is asked nothing can have left, and whoever has it may put it back.

    Raises:
        NotYet: they wait for orders to be reconciled, or for a replica that knows of them.
        Contended, StoreUnavailable: nothing was sent.
    """
    submission = take()
    with ExitStack() as unsaid:
        if submission is not None:
            unsaid.callback(submission.announce)
        for attempt in range(1, _SENDS + 1):
            claim = submission or _submit(engine, signal_id, market_id, patience_ms)
            submission = None
            if isinstance(claim, Step):
                return claim
            market_id = claim.record.market_id
            if not claim.view.replicated:
                _give_back(engine, claim)
            answer = send(engine, claim, unsaid.close)
            unsaid.close()
            wait_s = (answer.retry_after_s or 0) * attempt
            last = answer.retry_after_s is None or attempt == _SENDS or wait_s > _LONGEST_WAIT_S
            outcome = _record(engine, claim, as_refused(answer) if last else answer)
            if last:
                _cancel_rest(engine, claim)
                return outcome
            engine.clock.sleep(wait_s)
    raise AssertionError("unreachable: the last attempt returns")


def _give_back(engine: Engine, claim: Submission) -> None:
    """Make orders reserved again that were marked as sent and are not: only this server knows of the mark.

    Raises:
        NotYet: always; another try finds a master whose replicas keep up, or the deadline.
    """
    log.warning("not_sent_yet", signal_id=claim.record.signal_id, why="no replica has the record of the submit step")
    _record(engine, claim, kept_here(claim, "NOT_REPLICATED", "no replica has its record"))
    raise NotYet("no replica has the order's record yet")


def put_back(engine: Engine, submission: Submission) -> None:
    """Make orders reserved again that nobody is going to send after all.

    Raises:
        StoreUnavailable: they stay as they are, until a poll finds out that they are not at the exchange.
    """
    submission.announce()
    why = "its next step did not follow"
    log.warning("not_sent_yet", signal_id=submission.record.signal_id, why=why)
    _record(engine, submission, kept_here(submission, "NOT_SENT", why), _PUT_BACK_FOR_S)


def _cancel_rest(engine: Engine, claim: Submission) -> None:
    """Take back at once what the outcome marked: the healthy leg of a half-placed signal."""
    if len(claim.orders) > 1 and engine.policy.cancel_half_placed:
        orders = engine.store.orders([order.order_id for order in claim.orders])
        marked = [order for order in orders if order.cancel_reason == CancelReason.HALF_PLACED]
        cancel_orders(engine, marked, CancelReason.HALF_PLACED)


def _submit(engine: Engine, signal_id: str, market_id: str, patience_ms: int) -> Submission | Step:
    def attempt(lock_token: str) -> Submission | Step | None:
        nonlocal market_id
        since = engine.clock.monotonic()
        view = replace(engine.store.view(market_id, signal_ids=(signal_id,)), lock_token=lock_token)
        record = view.signals.get(signal_id)
        if record is None:
            return unknown_signal(engine, signal_id, market_id)
        if record.market_id != market_id:
            market_id = record.market_id
            return None
        return _claim_or_release(engine, view, record, since, patience_ms)

    done = until_committed(engine, market_id, f"signal {signal_id}: market {market_id}", attempt)
    return cast("Submission | Step", done)  # mypy joins the two to object


def _claim_or_release(
    engine: Engine, view: MarketView, record: SignalRecord, since: float, patience_ms: int
) -> Submission | Step | None:
    orders = tuple(view.orders[order_id] for order_id in record.order_ids if order_id in view.orders)
    reserved = [order for order in orders if order.status is OrderStatus.RESERVED]
    if record.status is not SignalStatus.ACCEPTED or not reserved or len(reserved) < len(record.order_ids):
        sent = record.status in _SENT or any(order.submitted_at for order in orders)
        return repeated(engine, record, "place_order") if sent else step(record)
    obstacle = _obstacle(engine, view, record)
    if obstacle is not None:
        if obstacle[0] is Reason.NOT_RECONCILED:
            wait_for_poll(engine, view, record, patience_ms)
        return _release(engine, view, record, orders, *obstacle)
    return _mark(engine, view, record, orders, since)


def _obstacle(engine: Engine, view: MarketView, record: SignalRecord) -> tuple[Reason, str] | None:
    if is_from_the_future(record, view.now):
        return Reason.SIGNAL_EXPIRED, CLOCK_WENT_BACK
    if view.now >= record.deadline:
        return Reason.SIGNAL_EXPIRED, f"Signal expired {view.now - record.deadline} ms before sending"
    if not view.reconciled or view.identity != engine.policy.identity:
        return Reason.NOT_RECONCILED, "Orders are not reconciled with the exchange"
    if view.stop_reason:
        return Reason.NOT_RECONCILED, f"Nothing is placed in this market: {view.stop_reason}"
    if not is_true(view.trading):
        reason = Reason.CIRCUIT_BREAKER_OPEN if view.breaker else Reason.TRADING_DISABLED
        return reason, "Trading was disabled before sending"
    if not has_room(engine.policy, view, len(record.order_ids)):
        used = f"{view.transactions} of {engine.policy.max_transactions_per_hour}"
        return Reason.TRANSACTION_LIMIT, f"{used} transactions of this hour are used"
    return None


def _mark(
    engine: Engine, view: MarketView, record: SignalRecord, orders: Sequence[Order], since: float
) -> Submission | None:
    record = replace(record, updated_at=view.now)
    change = replace(marked_as_sent(engine.policy, view, orders), signals=(record,))
    view_after = engine.store.commit(view, change)
    if view_after is None:
        return None
    return Submission(record, change.orders, view_after, since, engine.clock.monotonic())


def _release(
    engine: Engine, view: MarketView, record: SignalRecord, orders: Sequence[Order], reason: Reason, detail: str
) -> Step | None:
    status = OrderStatus.EXPIRED if reason is Reason.SIGNAL_EXPIRED else OrderStatus.FAILED
    released = [replace(move(order, status, reason, detail), finished_at=view.now) for order in orders]
    record = advance(record, SignalStatus.FAILED, view.now, reason, detail)
    change = Change(orders=released, signals=(record,))
    if not engine.store.commit(view, change):
        return None
    announce(engine, view, change)
    return step(record)


def release(engine: Engine, signal_id: str, market_id: str, reason: Reason, detail: str) -> Step | None:
    """Close an accepted signal that was not sent, giving back what it reserved; None when it is no longer so."""
    view = engine.store.view(market_id, signal_ids=(signal_id,), leave_out_unreadable=True)
    record = view.signals.get(signal_id)
    if record is None or record.status is not SignalStatus.ACCEPTED:
        return None
    orders = [view.orders[order_id] for order_id in record.order_ids if order_id in view.orders]
    if any(order.status is not OrderStatus.RESERVED for order in orders):
        return None
    if not orders:  # the orders are lost: there is nothing to give back
        record = advance(record, SignalStatus.FAILED, view.now, reason, detail)
        return step(record) if engine.store.commit(view, Change(signals=(record,))) else None
    return _release(engine, view, record, orders, reason, detail)


def _record(engine: Engine, claim: Submission, answer: PlacementResult, for_s: float = _RECORD_FOR_S) -> Step:
    """Write the answer down; it must not be lost, so this tries longer than any other step."""
    until = engine.clock.monotonic() + for_s
    attempt = 0
    while True:
        attempt += 1
        try:
            view = _unchanged(engine, claim) if answer.placed and attempt == 1 else _looked(engine, claim)
            done = _try_record(engine, claim, answer, view)
        except StoreUnavailable:
            if engine.clock.monotonic() > until:
                log.critical("answer_not_recorded", signal_id=claim.record.signal_id, hint="the poll will find it out")
                raise
            done = None
            engine.clock.sleep(0.5)
        if done is not None:
            return done
        engine.clock.sleep(min(0.002 * attempt, 0.1))


def _unchanged(engine: Engine, claim: Submission) -> MarketView:
    """Return the market as the submit step left it, as of now: most often nobody else changed it during the call."""
    return replace(claim.view, now=claim.view.now + round((engine.clock.monotonic() - claim.marked) * 1000))


def _looked(engine: Engine, claim: Submission) -> MarketView:
    ids = [order.order_id for order in claim.orders]
    return engine.store.view(claim.record.market_id, signal_ids=(claim.record.signal_id,), order_ids=ids)


def _try_record(engine: Engine, claim: Submission, answer: PlacementResult, view: MarketView) -> Step | None:
    record = claim.record
    ids = [order.order_id for order in claim.orders]
    orders: list[Order] = []
    trades: list[Trade] = []
    # With the records from before the submit step: written again.
    lost = any(order_id not in view.orders for order_id in ids)
    if lost:
        answer = as_refused(answer)
    again = record.signal_id not in view.signals or (lost and view.signals[record.signal_id].status is _NEW)
    if again:
        view = replace(view, signals={record.signal_id: record})
    for sent in claim.orders:
        stored = view.orders.get(sent.order_id, sent)
        after, entries = _apply(sent, stored, answer.reports[sent.order_id], view.now)
        orders.append(after)
        trades += entries
    signals: list[SignalRecord] = []
    if answer.retry_after_s is None:
        orders, signals = conclude_all(engine.policy, view, orders)
    change = Change(orders=orders, trades=trades, signals=signals or ([record] if again else []))
    if answer.placed:
        change = replace(change, success_at=claim.view.now)
    elif answer.failure and answer.retry_after_s is None:
        change = with_failure(engine.policy, view, change, Failure(ids[0], answer.failure, claim.view.now))
    if not engine.store.commit(view, change):
        return None
    announce(engine, view, change)
    if change.trip:
        log.critical("circuit_breaker_tripped", why=change.trip, hint="after fixing the cause: executor resume")
    return step(signals[0] if signals else view.signals[record.signal_id])


def _apply(sent: Order, order: Order, report: LegReport, now: int) -> tuple[Order, Sequence[Trade]]:
    if report.outcome is LegOutcome.PLACED and report.bet is not None:
        merged, entries = merge(order, report.bet, now)
        return replace(merged, answered_at=now), entries
    own = (order.attempt, order.submitted_at) == (sent.attempt, sent.submitted_at)
    if order.status is not OrderStatus.SUBMITTED or not own:
        return order, ()  # the poll has decided meanwhile, or a later attempt is under way: not this call's business
    if report.outcome is LegOutcome.REFUSED:
        failed = move(order, OrderStatus.FAILED, report.code, report.detail)
        return replace(failed, answered_at=now, finished_at=now), ()
    if report.outcome is LegOutcome.NOT_SENT:
        return replace(move(order, OrderStatus.RESERVED, report.code), submitted_at=0, answered_at=0), ()
    return replace(order, reason=report.code, detail=report.detail, answered_at=now), ()
