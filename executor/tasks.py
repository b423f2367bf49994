"""Celery's tasks: decode, call the engine, say errors in Celery's words. Only ids travel.

A rejection is a result, not an error: the chain goes on, each later step reads the record and returns what it found.
"""

import threading
from collections.abc import Callable, Mapping
from typing import Any, Final

import structlog
from celery import Task

from executor.app import app
from executor.broker import GOOD_FOR, SENT_AT, UNPUBLISHED, refuse
from executor.chain_message import ChainMessage
from executor.continuing import ContinuingTask
from executor.domain.signal import MAX_ID
from executor.domain.signal_record import SignalRecord
from executor.engine import (
    account,
    accounting,
    cancellation,
    dead_mans_switch,
    hedging,
    markets,
    placement,
    reconciliation,
    session,
    settlement,
    sweeping,
    validation,
    watchdog,
)
from executor.engine.engine import Engine, Step, Submission, unknown_signal
from executor.engine.waiting import RECONCILED_MS
from executor.errors import Contended, ExecutorError, NotYet, StoreUnavailable
from executor.ports import HeartbeatAction, QueuedMessage, RefusedTask
from executor.settings.urls import is_sentinel
from executor.wiring import failed_tasks, get_engine, get_settings

log = structlog.get_logger(__name__)

RETRY_S: Final = 1  # others were faster, or Redis is away: the price is still there in a second
_TRACEBACK: Final = 8000  # characters; its end says what went wrong
_IDS: Final = ("signal_id", "market_id")  # what a message carries, and nothing else
_MAX_ID: Final = 2 * MAX_ID  # a surebet's id is a digest and a time
RETRIES: Final = 300  # the longest validity; the deadline in the record ends it sooner


class ChainTask(ContinuingTask):
    """A chain's step: a failure for good is kept for a person."""

    def steps_ended(self) -> None:
        """Put back what the last decision has marked as sent and no step has begun to send."""
        submission, _handed.submission, _handed.placed = _handed.submission, None, None
        if submission is not None:
            _put_back(submission)

    def on_failure(self, exc: Exception, task_id: str, args: tuple[Any, ...], kwargs: object, einfo: object) -> None:
        """Keep what a person needs to understand it and to run it again."""
        del kwargs
        if isinstance(exc, UNPUBLISHED) and is_sentinel(get_settings().redis.broker_url):
            # The step has done its part, and only the doorbell of the next one was not heard: the sweep rings it again.
            log.warning("next_step_not_published", task=self.name, task_id=task_id, error=str(exc))
            return
        # Whoever sent it may have sent anything.
        signal_id, market_id = (str(argument) for argument in (*args, "", "")[:2])
        fields = {
            "task": self.name,
            "signal_id": signal_id,
            "market_id": market_id,
            "error": f"{type(exc).__name__}: {exc}",
            "traceback": str(einfo)[-_TRACEBACK:],
        }
        try:
            failed_tasks(get_settings()).keep(task_id, fields)
        except StoreUnavailable as error:
            log.error("failed_task_not_kept", task_id=task_id, error=str(error))  # noqa: TRY400


_CHAIN: Final[dict[str, Any]] = {
    "base": ChainTask,
    "bind": True,
    "max_retries": RETRIES,
    "default_retry_delay": RETRY_S,  # also of a step whose process was killed; Celery's is three minutes
    "throws": (Contended, NotYet, StoreUnavailable),
}


def _step(
    task: Task, work: Callable[[Engine, str, str], object], args: tuple[object, ...], kwargs: dict[str, object]
) -> str:
    ids = [text for text in args if isinstance(text, str) and 0 < len(text) <= _MAX_ID]
    if len(ids) != len(args) or len(ids) != len(_IDS) or kwargs:
        return _refused(task)
    signal_id, market_id = ids
    try:
        return str(work(get_engine(), signal_id, market_id))
    except (Contended, NotYet, StoreUnavailable) as error:
        log.warning("step_postponed", task=task.name, signal_id=signal_id, error=str(error))
        raise task.retry(exc=error, countdown=RETRY_S) from error


def _refused(task: Task) -> str:
    refuse(RefusedTask.ARGUMENTS, task=task.name, id=task.request.id, arguments=task.request.argsrepr)
    return f"REFUSED: {RefusedTask.ARGUMENTS}"


@app.task(name="executor.validate_risk", **_CHAIN)  # type: ignore[untyped-decorator]
def validate_risk(self: Task, *ids: object, **more: object) -> str:
    """Decide whether a signal's orders may be placed, and reserve their exposure."""
    return _step(self, _validate, ids, more)


@app.task(name="executor.place_order", **_CHAIN)  # type: ignore[untyped-decorator]
def place_order(self: Task, *ids: object, **more: object) -> str:
    """Send an accepted signal's orders to the exchange, at most once."""
    return _step(self, _place, ids, more)


@app.task(name="executor.log_trade", **_CHAIN)  # type: ignore[untyped-decorator]
def log_trade(self: Task, *ids: object, **more: object) -> str:
    """Put what the exchange matched into the ledger."""
    return _step(self, _log, ids, more)


class _Handed(threading.local):
    """What a step of this thread hands on to the one that follows it."""

    submission: Submission | None = None  # of the last decision: what it has marked as sent
    placed: Step | None = None


_handed: Final = _Handed()


def _validate(engine: Engine, signal_id: str, market_id: str) -> object:
    submit = place_order.follows()
    done = validation.validate(engine, signal_id, market_id, patience_ms=RECONCILED_MS, submit=submit)
    _handed.submission = done.submission
    return done


def _place(engine: Engine, signal_id: str, market_id: str) -> object:
    def take() -> Submission | None:
        submission = _handed.submission
        if submission is None or submission.record.signal_id != signal_id:
            return None
        _handed.submission = None
        return submission

    done = placement.place(engine, signal_id, market_id, patience_ms=RECONCILED_MS, take=take)
    _handed.placed = done
    return done


def _put_back(submission: Submission) -> None:
    try:
        placement.put_back(get_engine(), submission)
    except StoreUnavailable as error:
        log.warning("not_put_back", signal_id=submission.record.signal_id, error=str(error), hint="a poll does it")
    except Exception:  # whatever it is, the step before it has its result
        log.exception("not_put_back", signal_id=submission.record.signal_id, hint="a poll does it")


def _log(engine: Engine, signal_id: str, market_id: str) -> str:
    placed, _handed.placed = _handed.placed, None
    written = accounting.log_trades(engine) if _ledger_pause.is_over(engine.clock.monotonic()) else 0
    if placed is None or engine.market_facts.has_requested():  # else nobody here has asked for what a market is
        markets.learn_at_once(engine)
    if placed is not None and placed.signal_id == signal_id:
        found = placed.verdict
    else:
        record = engine.store.signal(signal_id)
        found = record.status if record else unknown_signal(engine, signal_id, market_id).verdict
    return f"{found}, {written} ledger entries written"


class _Pause:
    """A pause of this process between two looks, which saves asking Redis for the pause of all of them."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._until = 0.0

    def is_over(self, now: float) -> bool:
        """Tell whether it is over by this monotonic time, and begin the next one if so."""
        if now < self._until:
            return False
        self._until = now + self._seconds
        return True


_ledger_pause: Final = _Pause(accounting.PAUSE_MS / 1000)
_chain_message: Final = ChainMessage(app, validate_risk)


def dispatch(record: SignalRecord) -> None:
    """Start a signal's chain."""
    task_id, args, steps = _chain_of(record)
    if app.current_worker_task is None:
        _chain_message.publish(task_id, args, steps, record.deadline)
    else:  # a sweep's, of which the message says so
        validate_risk.apply_async(args, task_id=task_id, chain=steps, headers={"deadline": record.deadline})


def first_message(record: SignalRecord, *, db: int) -> QueuedMessage | None:
    """Return what `dispatch` would put into its queue, in this db of the broker; None: that is left to `dispatch`."""
    try:
        task_id, args, steps = _chain_of(record)
        return _chain_message.queued(db, task_id, args, steps, record.deadline)
    except Exception:  # whatever it is, the signal is to be recorded
        log.exception("first_message_not_written", signal_id=record.signal_id)
        return None


def _chain_of(record: SignalRecord) -> tuple[str, tuple[str, str], list[dict[str, object]]]:
    """Return the first step's id and arguments, and the steps behind it as Celery's canvas writes them, last first.

    Ids come from the signal's, so that a repeat is recognised. The message's deadline lets a backlog be dropped unread;
    who reads it believes the record alone.
    """
    args = (record.signal_id, record.market_id)
    suffix = record.signal_id if record.attempt == 1 else f"{record.signal_id}-r{record.attempt}"
    steps = [_signature(log_trade, f"log-{suffix}", args), _signature(place_order, f"place-{suffix}", args)]
    return f"risk-{suffix}", args, steps


def _signature(task: Task, task_id: str, args: tuple[str, str]) -> dict[str, object]:
    return {
        "task": task.name,
        "args": args,
        "kwargs": {},
        "options": {"task_id": task_id, "reply_to": app.thread_oid},
        "subtask_type": None,
        "immutable": True,
    }


def _is_stale(engine: Engine, headers: Mapping[str, object]) -> bool:
    """Tell whether a tick of beat has waited so long that the next one has been sent."""
    sent_at, good_for = headers.get(SENT_AT), headers.get(GOOD_FOR)
    return isinstance(sent_at, int) and isinstance(good_for, int) and engine.store.now() > sent_at + good_for


def _periodic(task: str, work: Callable[[Engine], object], headers: Mapping[str, object]) -> str:
    """Run a periodic task unless another process does; its next tick is its retry."""
    engine = get_engine()
    if _is_stale(engine, headers):
        log.info("tick_dropped", task=task, why="it waited until the next one was due")
        return "this tick has waited too long: a later one does it"
    with engine.locks.single_flight(task) as ours:
        if not ours:
            return "another process is at it"
        result = work(engine)
        engine.locks.succeeded(task)
        return str(result)


def _sweep(engine: Engine) -> int:
    """Move the signals that stand still; read what their markets are, which no order waits for."""
    moved = sweeping.sweep(engine, dispatch, "signals")
    markets.learn(engine)
    return moved


def _hedge(engine: Engine) -> str:
    return hedging.hedge(engine, dispatch)


def _heartbeat(engine: Engine) -> str:
    report = dead_mans_switch.renew_switch(engine)
    if report.action is not HeartbeatAction.NONE:
        app.send_task("executor.poll_orders", expires=60)  # at once, over what was cancelled
    return str(report.action)


_PERIODIC: Final[dict[str, Callable[[Engine], object]]] = {
    "poll_orders": reconciliation.poll,
    "cancel_unmatched": cancellation.cancel_unmatched,
    "sweep_signals": _sweep,
    "write_ledger": accounting.write_ledger,
    "settle_orders": settlement.settle,
    "refresh_account": account.refresh_account,
    "watchdog": watchdog.watch,
    "keep_alive": session.keep_alive,
    "heartbeat": _heartbeat,
    "hedge_exposure": _hedge,
    "reauthenticate": session.reauthenticate,
}


def _register(task: str, work: Callable[[Engine], object]) -> None:
    @app.task(name=f"executor.{task}", bind=True, throws=(ExecutorError,))  # type: ignore[untyped-decorator]
    def run(self: Task, *args: object, **kwargs: object) -> str:
        if args or kwargs:
            return _refused(self)
        return _periodic(task, work, self.request.headers or {})


for _name, _work in _PERIODIC.items():
    _register(_name, _work)
