"""A chain's next step, run at once by the process that ended the one before: no queue, no other process in between.

Owns: when that is done, and that Celery's events tell of it as of any task. Invariants: the message that began is
acknowledged after the last step that ran here, so that whatever dies in between comes back with it, and finds in the
records what was done; a step goes through its queue after all where this worker does not read that queue, and when it
is tried again; nothing is run here that its chain does not name as next.
"""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

from celery import Task
from celery.utils.saferepr import saferepr
from celery.worker.request import Request

_MOST: Final = 2  # steps behind the first: our chains have no more, whatever somebody's message says

_Trace = Callable[..., Any]  # Celery's tracer: (task id, args, kwargs, request) -> (value, failure, seconds, text)
_Event = tuple[str, dict[str, Any]]


@dataclass(frozen=True, slots=True)
class _Step:
    task: "ContinuingTask"
    args: Sequence[object]
    kwargs: Mapping[str, object]
    task_id: str
    options: Mapping[str, Any]


class _Thread(threading.local):
    """What this thread goes on with, and how many further steps it may."""

    step: _Step | None = None
    left = 0


_thread: Final = _Thread()


class Outcome(str):
    """A first step's result, as text, with the events of the steps that ran behind it."""

    __slots__ = ("events",)
    events: Sequence[_Event]

    def __new__(cls, text: str, events: Sequence[_Event]) -> Self:
        """Join the two."""
        outcome = super().__new__(cls, text)
        outcome.events = events
        return outcome

    def __reduce__(self) -> tuple[type["Outcome"], tuple[str, Sequence[_Event]]]:
        """Travel from a pool's process to its parent."""
        return Outcome, (str(self), self.events)


class ContinuedRequest(Request):  # type: ignore[misc]
    """A request whose end tells of the further steps, too, in the process that sends events."""

    def send_event(self, type: str, **fields: Any) -> None:  # noqa: A002, ANN401 - Celery's
        """Send an event of this task; of its success, with those of the steps behind it."""
        result = fields.get("result")
        if not isinstance(result, Outcome):
            super().send_event(type, **fields)
            return
        super().send_event(type, **{**fields, "result": str(result)})
        if self._eventer and self._eventer.enabled:
            for name, told in result.events:
                self._eventer.send(name, **told)


class ContinuingTask(Task):  # type: ignore[misc]
    """A step of a chain whose next step follows in the same process."""

    Request = f"{__name__}:ContinuedRequest"
    _own_trace: _Trace | None = None
    _whole_trace: _Trace | None = None
    _queue = ""

    @property
    def __trace__(self) -> _Trace | None:
        """Return what runs this step and those behind it."""
        return self._whole_trace

    @__trace__.setter
    def __trace__(self, trace: _Trace | None) -> None:
        self._own_trace = trace
        self._whole_trace = None if trace is None else _with_further_steps(trace, self.steps_ended)

    def steps_ended(self) -> None:
        """Do what was left for a further step, of which none followed here."""

    def apply_async(
        self,
        args: Sequence[object] | None = None,
        kwargs: Mapping[str, object] | None = None,
        task_id: str | None = None,
        **options: Any,  # noqa: ANN401 - Celery's
    ) -> Any:  # noqa: ANN401 - Celery's result
        """Publish this task; as the next step of the chain that is at work in this thread, let it follow at once."""
        if task_id is not None and self._is_next(task_id, options):
            _thread.step, _thread.left = _Step(self, args or (), kwargs or {}, task_id, options), _thread.left - 1
            return self.AsyncResult(task_id)
        return super().apply_async(args, kwargs, task_id, **options)

    def follows(self) -> bool:
        """Tell whether this task will follow at once, in this process, when the one that runs here has ended well."""
        before = self.app.current_worker_task
        chain = before.request.chain if isinstance(before, ContinuingTask) else None
        if not chain or chain[-1].get("task") != self.name:
            return False
        options = chain[-1].get("options") or {}
        return options.get("task_id") is not None and self._is_next(options["task_id"], options)

    def _is_next(self, task_id: str, options: Mapping[str, Any]) -> bool:
        before = self.app.current_worker_task
        if not _thread.left or not isinstance(before, ContinuingTask) or self._own_trace is None:
            return False
        chain = before.request.chain
        if not chain or (chain[-1].get("options") or {}).get("task_id") != task_id:
            return False  # another task, or the same one to be tried again
        if any(options.get(name) is not None for name in ("eta", "countdown", "expires")):
            return False
        return self._queue_here() in self.app.amqp.queues.consume_from

    def _queue_here(self) -> str:
        self._queue = self._queue or str(self.app.amqp.router.route({}, self.name)["queue"].name)
        return self._queue


def _with_further_steps(trace: _Trace, ended: Callable[[], None]) -> _Trace:
    def run(task_id: str, args: Any, kwargs: Any, request: Any = None) -> Any:  # noqa: ANN401 - Celery's
        _thread.step, _thread.left = None, _MOST
        events: list[_Event] = []
        try:
            first = trace(task_id, args, kwargs, request)
            while (step := _taken()) is not None:
                events += _follow(step, (request or {}).get("hostname"))
        finally:
            _thread.step, _thread.left = None, 0
            ended()
        return first._replace(retstr=Outcome(first.retstr, events)) if events else first

    return run


def _taken() -> _Step | None:
    step, _thread.step = _thread.step, None
    return step


def _follow(step: _Step, hostname: str | None) -> list[_Event]:
    """Run a step as a worker would that had received it; returns what a worker would have told of it."""
    task, began = step.task, time.time()
    arguments = {"args": list(step.args), "kwargs": dict(step.kwargs)}
    told = {"uuid": step.task_id, "timestamp": began}
    parents = {name: step.options.get(name) for name in ("root_id", "parent_id")}
    request = {
        **arguments,
        **parents,
        "id": step.task_id,
        "task": task.name,
        "chain": step.options.get("chain"),
        "retries": 0,
        "ignore_result": True,
        "is_eager": False,
        "hostname": hostname,
        "delivery_info": {"exchange": "", "routing_key": task._queue_here(), "priority": 0, "redelivered": False},  # noqa: SLF001
        "headers": step.options.get("headers"),
    }
    assert task._own_trace is not None  # noqa: S101, SLF001 - seen when it was taken
    value, failure, seconds, text = task._own_trace(step.task_id, *arguments.values(), request)  # noqa: SLF001
    shown = {name: saferepr(value, task.app.amqp.argsrepr_maxsize) for name, value in arguments.items()}
    received = {**told, **shown, **parents, "name": task.name, "retries": 0, "eta": None, "expires": None}
    ended = {**told, "timestamp": time.time()}
    events: list[_Event] = [("task-received", received), ("task-started", dict(told))]
    if failure is None:
        return [*events, ("task-succeeded", {**ended, "result": text, "runtime": seconds})]
    kinds = {"RETRY": "task-retried", "FAILURE": "task-failed"}
    if failure.state in kinds:
        events.append((kinds[failure.state], {**ended, **_trouble(value)}))
    return events


def _trouble(info: Any) -> dict[str, str]:  # noqa: ANN401 - billiard's
    error = info.exception
    while (inner := getattr(error, "exc", None)) is not None:  # with its traceback, and as the cause of another try
        error = inner
    return {"exception": saferepr(error), "traceback": str(info.traceback)}
