"""One call of placeOrders for the orders that this process alone may send, and what its answer means for each.

Invariants: a process that stood still between the submit step and sending does not send; the deadline, the kill switch,
the reconciled mark and the orders themselves are read again when the first byte is about to go; whatever goes wrong
after the request may have left is an unknown outcome; every order gets exactly one report.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import structlog

from executor.domain.order import Order
from executor.domain.risk import Reason, is_true
from executor.domain.signal_record import CLOCK_WENT_BACK, is_from_the_future
from executor.engine.engine import Engine, Submission
from executor.errors import (
    ExecutorError,
    LoginRefused,
    NoLongerAllowed,
    NotSent,
    Refused,
    SessionExpired,
    StoreUnavailable,
    Throttled,
)
from executor.ports import Instruction, LegOutcome, LegReport, SendPermit

log = structlog.get_logger(__name__)

_BACKOFF_S: Final = 0.3  # a refused connection: short enough for the price to be still there
_CHANGED: Final = "ORDER_CHANGED"
_FROZEN_S: Final = 1.0  # between the submit step and sending: a process that slept here must not send


@dataclass(frozen=True, slots=True)
class PlacementResult:
    """What a call came to: a report per order, and what it counts as for the breaker ("": not as a failure)."""

    reports: Mapping[str, LegReport]
    failure: str = ""
    placed: bool = False
    retry_after_s: float | None = None  # set when nothing was sent and another attempt makes sense


def _same(orders: Sequence[Order], outcome: LegOutcome, code: str, detail: str = "") -> dict[str, LegReport]:
    return {order.order_id: LegReport(order.order_id, outcome, code, detail) for order in orders}


def _not_sent(claim: Submission, code: str, detail: str, retry_after_s: float) -> PlacementResult:
    reports = _same(claim.orders, LegOutcome.NOT_SENT, code, detail)
    return PlacementResult(reports, failure=code, retry_after_s=retry_after_s)


def _failed(claim: Submission, outcome: LegOutcome, code: str, error: Exception) -> PlacementResult:
    return PlacementResult(_same(claim.orders, outcome, code, str(error) or repr(error)), failure=code)


def kept_here(claim: Submission, code: str, detail: str) -> PlacementResult:
    """Say that nothing was sent, by our own choice: no failure, and another attempt makes sense at once."""
    return replace(_not_sent(claim, code, detail, 0.0), failure="")


def send(engine: Engine, claim: Submission, sent: Callable[[], None] = lambda: None) -> PlacementResult:
    """Send the claimed orders, unless this process stood still since; whatever happens is an answer.

    `sent` may be called while the exchange works.
    """
    orders = claim.orders
    instructions = [Instruction(o.order_id, o.selection_id, o.side, o.price, o.size) for o in orders]
    now = engine.clock.monotonic()
    if (elapsed := now - claim.since) > _FROZEN_S:
        log.error("not_sent_after_pause", signal_id=claim.record.signal_id, elapsed_ms=round(elapsed * 1000))
        paused = f"this process stood still for {elapsed:.1f} s before sending"
        return kept_here(claim, "PROCESS_PAUSED", paused)
    permit = _permit(engine, claim, sent)
    try:
        reports = engine.exchange.place(claim.record.market_id, instructions, orders[0].customer_ref, permit)
    except NoLongerAllowed as error:
        log.warning("not_sent_any_more", signal_id=claim.record.signal_id, code=error.code, why=str(error))
        return kept_here(claim, error.code, str(error))
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
    return _read(engine, claim, reports)


def _permit(engine: Engine, claim: Submission, sent: Callable[[], None]) -> SendPermit:
    """Say until when the call may be sent, and look again when it could be: a new connection takes seconds at worst."""
    first = claim.orders[0]
    # From before the submit step, when Redis said `submitted_at`: never later than the deadline is.
    send_by = claim.since + min((claim.record.deadline - first.submitted_at) / 1000, engine.policy.send_within_s)

    def check() -> None:
        state = engine.store.send_state(claim.record.market_id, [order.order_id for order in claim.orders])
        if state.now >= claim.record.deadline:
            late = state.now - claim.record.deadline
            raise NoLongerAllowed(Reason.SIGNAL_EXPIRED, f"Signal expired {late} ms before its first byte could go")
        if is_from_the_future(claim.record, state.now):
            raise NoLongerAllowed(Reason.SIGNAL_EXPIRED, CLOCK_WENT_BACK)
        if not is_true(state.trading):
            raise NoLongerAllowed(Reason.TRADING_DISABLED, "Trading was disabled before the first byte could go")
        if not state.reconciled:
            raise NoLongerAllowed(Reason.NOT_RECONCILED, "Orders were not reconciled when the first byte could go")
        if state.stop_reason:
            raise NoLongerAllowed(Reason.NOT_RECONCILED, f"Stopped before the first byte: {state.stop_reason}")
        if any(state.orders.get(order.order_id) != order for order in claim.orders):
            raise NoLongerAllowed(_CHANGED, "the order's record has changed since it was marked as sent")
        engine.telemetry.execution_latency((state.now - first.received_at) / 1000)

    return SendPermit(send_by, lambda: _as_not_sent(check), sent)


def _as_not_sent(check: Callable[[], None]) -> None:
    try:
        check()
    except StoreUnavailable as error:
        raise NotSent(f"it cannot be seen whether it may be sent: {error}") from error


def _read(engine: Engine, claim: Submission, reports: Sequence[LegReport]) -> PlacementResult:
    by_id = {report.order_id: report for report in reports}
    for order in claim.orders:
        by_id.setdefault(order.order_id, LegReport(order.order_id, LegOutcome.UNKNOWN, "NO_REPORT"))
    outcomes = {by_id[order.order_id].outcome for order in claim.orders}
    if LegOutcome.PLACED in outcomes:
        return PlacementResult(by_id, placed=True)
    codes = {code for order in claim.orders for code in by_id[order.order_id].root_codes} or {"NO_REPORT"}
    # One that counts, where there is one, whichever leg has it: an ignored one must not hide it.
    code = min(codes - engine.policy.breaker_ignored or codes)
    retry_after_s = _BACKOFF_S if outcomes == {LegOutcome.NOT_SENT} else None
    return PlacementResult(by_id, failure=code, retry_after_s=retry_after_s)


def as_refused(answer: PlacementResult) -> PlacementResult:
    """Turn what was not sent, and will not be tried again, into a refusal."""
    reports = {
        order_id: replace(report, outcome=LegOutcome.REFUSED) if report.outcome is LegOutcome.NOT_SENT else report
        for order_id, report in answer.reports.items()
    }
    return replace(answer, reports=reports, retry_after_s=None)
