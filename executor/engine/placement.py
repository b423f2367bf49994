"""place_order: mark the intent, send once, record the answer.

Invariants: RESERVED -> SUBMITTED is a compare-and-set that reads the kill switch, the deadline and the reconciled mark,
before every HTTP attempt, and only its winner calls the exchange; a call whose outcome is unknown is never repeated,
its orders stay SUBMITTED until the poll has asked the exchange.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import structlog

from executor.domain.order import CancelReason, Order, OrderStatus, Trade, merge, move
from executor.domain.risk import Reason, is_true
from executor.engine.breaker import is_reset, with_failure
from executor.engine.cancellation import cancel_orders
from executor.engine.context import TRIES, Engine, Step, finish, repeated, step, unknown_signal
from executor.engine.evidence import conclude_all, tell
from executor.errors import (
    Contended,
    ExecutorError,
    LoginRefused,
    NotSent,
    Refused,
    SessionExpired,
    StoreUnavailable,
    Throttled,
)
from executor.ports import (
    Change,
    Failure,
    Gate,
    Instruction,
    LegOutcome,
    LegReport,
    MarketView,
    SignalRecord,
    SignalStatus,
)

log = structlog.get_logger(__name__)

_SENDS: Final = 3  # attempts that provably did not reach the exchange; then the price is old and the signal fails
_BACKOFF_S: Final = 0.3  # a refused connection: short enough for the price to be still there
_LONGEST_WAIT_S: Final = 10.0  # longer is a ban: it holds a thread and the exposure, and the price will be gone
_FROZEN_S: Final = 1.0  # between the submit step and sending: a process that slept here must not send
_RECORD_FOR_S: Final = 30  # how long an answer is kept trying to reach Redis; after that the poll finds it out
_NEW: Final = SignalStatus.RECEIVED
_SENT: Final = frozenset({SignalStatus.COMPLETED, SignalStatus.FAILED})
_GATES: Final = frozenset({Gate.TRADING, Gate.RECONCILED, Gate.DEADLINE})


@dataclass(frozen=True, slots=True)
class _Claim:
    """Orders that this process alone may send now."""

    record: SignalRecord
    orders: tuple[Order, ...]
    submitted_at: int  # Redis time of the commit
    since: float  # monotonic seconds just before the submit step
    marked: float  # and just after it


@dataclass(frozen=True, slots=True)
class _Answer:
    """What a call came to: a report per order, and what it counts as for the breaker ("": not as a failure)."""

    reports: Mapping[str, LegReport]
    failure: str = ""
    placed: bool = False
    retry_after_s: float | None = None  # set when nothing was sent and another attempt makes sense


def place(engine: Engine, signal_id: str, market_id: str) -> Step:
    """Send an accepted signal's orders in one call, at most once; what was sent before is left alone.

    Raises:
        Contended, StoreUnavailable: nothing was sent.
    """
    for attempt in range(1, _SENDS + 1):
        claim = _submit(engine, signal_id, market_id)
        if isinstance(claim, Step):
            return claim
        market_id = claim.record.market_id
        answer = _send(engine, claim)
        wait_s = (answer.retry_after_s or 0) * attempt
        last = answer.retry_after_s is None or attempt == _SENDS or wait_s > _LONGEST_WAIT_S
        outcome = _record(engine, claim, _given_up(answer) if last else answer)
        if last:
            _cancel_rest(engine, claim)
            return outcome
        engine.clock.sleep(wait_s)
    raise AssertionError("unreachable: the last attempt returns")


def _cancel_rest(engine: Engine, claim: _Claim) -> None:
    """Take back at once what the outcome marked: the healthy leg of a half-placed signal."""
    if len(claim.orders) > 1 and engine.policy.cancel_half_placed:
        orders = engine.store.orders([order.order_id for order in claim.orders])
        marked = [order for order in orders if order.cancel_reason == CancelReason.HALF_PLACED]
        cancel_orders(engine, marked, CancelReason.HALF_PLACED)


def _submit(engine: Engine, signal_id: str, market_id: str) -> _Claim | Step:
    for attempt in range(TRIES):
        since = engine.clock.monotonic()
        view = engine.store.view(market_id, signal_ids=(signal_id,))
        record = view.signals.get(signal_id)
        if record is None:
            return unknown_signal(engine, signal_id, market_id)
        if record.market_id != market_id:
            market_id = record.market_id
            continue
        orders = tuple(view.orders[one] for one in record.order_ids if one in view.orders)
        reserved = [order for order in orders if order.status is OrderStatus.RESERVED]
        if record.status is not SignalStatus.ACCEPTED or not reserved or len(reserved) < len(record.order_ids):
            sent = record.status in _SENT or any(order.submitted_at for order in orders)
            return repeated(engine, record, "place_order") if sent else step(record)
        obstacle = _obstacle(engine, view, record)
        if obstacle is not None:
            released = _release(engine, view, record, orders, *obstacle)
            if released is not None:
                return released
        else:
            claim = _mark(engine, view, record, orders, since)
            if claim is not None:
                return claim
        engine.clock.sleep(0.002 * attempt)
    raise Contended(f"signal {signal_id}: market {market_id} kept changing")


def _obstacle(engine: Engine, view: MarketView, record: SignalRecord) -> tuple[Reason, str] | None:
    if view.now >= record.deadline:
        return Reason.SIGNAL_EXPIRED, f"Signal expired {view.now - record.deadline} ms before sending"
    if not view.reconciled or view.identity != engine.policy.identity:
        return Reason.NOT_RECONCILED, "Orders are not reconciled with the exchange"
    if not is_true(view.trading):
        reason = Reason.CIRCUIT_BREAKER_OPEN if view.breaker else Reason.TRADING_DISABLED
        return reason, "Trading was disabled before sending"
    most = engine.policy.max_transactions_per_hour
    if view.transactions + len(record.order_ids) > most:
        return Reason.TRANSACTION_LIMIT, f"{view.transactions} of {most} transactions of this hour are used"
    return None


def _mark(
    engine: Engine, view: MarketView, record: SignalRecord, orders: Sequence[Order], since: float
) -> _Claim | None:
    sent = tuple(replace(move(order, OrderStatus.SUBMITTED), submitted_at=view.now, answered_at=0) for order in orders)
    record = replace(record, updated_at=view.now)
    change = Change(
        orders=sent,
        signals=(record,),
        gates=_GATES,
        reset_breaker=is_reset(view),
        transactions=len(sent),
        transactions_max=engine.policy.max_transactions_per_hour,
    )
    committed_at = engine.store.commit(view, change)
    return _Claim(record, sent, committed_at, since, engine.clock.monotonic()) if committed_at else None


def _release(
    engine: Engine, view: MarketView, record: SignalRecord, orders: Sequence[Order], reason: Reason, detail: str
) -> Step | None:
    status = OrderStatus.EXPIRED if reason is Reason.SIGNAL_EXPIRED else OrderStatus.FAILED
    released = [replace(move(order, status, reason, detail), finished_at=view.now) for order in orders]
    record = finish(record, SignalStatus.FAILED, view.now, reason, detail)
    change = Change(orders=released, signals=(record,))
    if not engine.store.commit(view, change):
        return None
    tell(engine, view, change)
    return step(record)


def release(engine: Engine, signal_id: str, market_id: str, reason: Reason, detail: str) -> Step | None:
    """Close an accepted signal that was not sent, giving back what it reserved; None when it is no longer so."""
    view = engine.store.view(market_id, signal_ids=(signal_id,))
    record = view.signals.get(signal_id)
    if record is None or record.status is not SignalStatus.ACCEPTED:
        return None
    orders = [view.orders[one] for one in record.order_ids if one in view.orders]
    if any(order.status is not OrderStatus.RESERVED for order in orders):
        return None
    if not orders:  # the orders are lost: there is nothing to give back
        record = finish(record, SignalStatus.FAILED, view.now, reason, detail)
        return step(record) if engine.store.commit(view, Change(signals=(record,))) else None
    return _release(engine, view, record, orders, reason, detail)


def _same(orders: Sequence[Order], outcome: LegOutcome, code: str, detail: str = "") -> dict[str, LegReport]:
    return {order.order_id: LegReport(order.order_id, outcome, code, detail) for order in orders}


def _not_sent(claim: _Claim, code: str, detail: str, retry_after_s: float) -> _Answer:
    reports = _same(claim.orders, LegOutcome.NOT_SENT, code, detail)
    return _Answer(reports, failure=code, retry_after_s=retry_after_s)


def _failed(claim: _Claim, outcome: LegOutcome, code: str, error: Exception) -> _Answer:
    return _Answer(_same(claim.orders, outcome, code, str(error) or repr(error)), failure=code)


def _send(engine: Engine, claim: _Claim) -> _Answer:
    orders = claim.orders
    instructions = [Instruction(o.order_id, o.selection_id, o.side, o.price, o.size) for o in orders]
    now = engine.clock.monotonic()
    if (elapsed := now - claim.since) > _FROZEN_S:
        log.error("not_sent_after_pause", signal_id=claim.record.signal_id, elapsed_ms=round(elapsed * 1000))
        paused = f"this process stood still for {elapsed:.1f} s before sending"
        return replace(_not_sent(claim, "PROCESS_PAUSED", paused, 0.0), failure="")
    engine.telemetry.execution_latency((claim.submitted_at - orders[0].received_at) / 1000 + now - claim.marked)
    try:
        reports = engine.exchange.place(claim.record.market_id, instructions, orders[0].customer_ref)
    except Throttled as error:
        return _not_sent(claim, error.code, str(error), error.after_s)
    except SessionExpired as error:
        return _not_sent(claim, "SESSION_EXPIRED", str(error), 0.0)
    except NotSent as error:
        return _not_sent(claim, "NOT_SENT", str(error), _BACKOFF_S)
    except LoginRefused as error:
        return _failed(claim, LegOutcome.REFUSED, "LOGIN_REFUSED", error)
    except Refused as error:
        return _failed(claim, LegOutcome.REFUSED, error.code, error)
    except ExecutorError as error:
        return _failed(claim, LegOutcome.UNKNOWN, "OUTCOME_UNKNOWN", error)
    except Exception as error:  # whatever it is, the request may have left
        log.exception("place_orders_crashed", signal_id=claim.record.signal_id)
        return _failed(claim, LegOutcome.UNKNOWN, "OUTCOME_UNKNOWN", error)
    return _read(claim, reports)


def _read(claim: _Claim, reports: Sequence[LegReport]) -> _Answer:
    by_id = {report.order_id: report for report in reports}
    for order in claim.orders:
        by_id.setdefault(order.order_id, LegReport(order.order_id, LegOutcome.UNKNOWN, "NO_REPORT"))
    outcomes = {by_id[order.order_id].outcome for order in claim.orders}
    codes = [by_id[order.order_id].code for order in claim.orders if by_id[order.order_id].code]
    if LegOutcome.PLACED in outcomes:
        return _Answer(by_id, placed=True)
    code = codes[0] if codes else "NO_REPORT"
    retry_after_s = _BACKOFF_S if outcomes == {LegOutcome.NOT_SENT} else None
    return _Answer(by_id, failure=code, retry_after_s=retry_after_s)


def _given_up(answer: _Answer) -> _Answer:
    """Turn what was not sent, and will not be tried again, into a refusal."""
    reports = {
        one: replace(report, outcome=LegOutcome.REFUSED) if report.outcome is LegOutcome.NOT_SENT else report
        for one, report in answer.reports.items()
    }
    return replace(answer, reports=reports, retry_after_s=None)


def _record(engine: Engine, claim: _Claim, answer: _Answer) -> Step:
    """Write the answer down; it must not be lost, so this tries longer than any other step."""
    until = engine.clock.monotonic() + _RECORD_FOR_S
    attempt = 0
    while True:
        attempt += 1
        try:
            done = _try_record(engine, claim, answer)
        except StoreUnavailable:
            if engine.clock.monotonic() > until:
                log.critical("answer_not_recorded", signal_id=claim.record.signal_id, hint="the poll will find it out")
                raise
            done = None
            engine.clock.sleep(0.5)
        if done is not None:
            return done
        engine.clock.sleep(min(0.002 * attempt, 0.1))


def _try_record(engine: Engine, claim: _Claim, answer: _Answer) -> Step | None:
    record = claim.record
    ids = [order.order_id for order in claim.orders]
    view = engine.store.view(record.market_id, signal_ids=(record.signal_id,), order_ids=ids)
    orders: list[Order] = []
    trades: list[Trade] = []
    lost = any(one not in view.orders for one in ids)  # with the records from before the submit step: written again
    if lost:
        answer = _given_up(answer)
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
        change = replace(change, success_at=claim.submitted_at)
    elif answer.failure and answer.retry_after_s is None:
        change = with_failure(engine.policy, view, change, Failure(ids[0], answer.failure, claim.submitted_at))
    if not engine.store.commit(view, change):
        return None
    tell(engine, view, change)
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
