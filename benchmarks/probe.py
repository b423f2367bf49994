"""Notes, inside the engine's processes, when each signal passed which point. Imported there for `stages` only.

It wraps what it watches from outside, so that the engine has no line for it, and writes what it noted when the process
ends. Times are epoch seconds, durations seconds.
"""

import atexit
import json
import os
import threading
import time
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, Final

from celery import signals

from benchmarks.stack import PROBE_FOLDER
from executor.adapters.betfair.exchange import BetfairExchange
from executor.adapters.redis.store import RedisStore
from executor.engine import intake

_ID: Final = 0  # a chain task's first argument is its signal's id

_moments: Final[list[tuple[str, str, float]]] = []
_durations: Final[list[tuple[str, str, float]]] = []


class _Current(threading.local):
    """What this thread works on."""

    signal_id = ""
    task = ""


_current: Final = _Current()


def _note(point: str, signal_id: str) -> None:
    _moments.append((point, signal_id, time.time()))


def _short(task: str) -> str:
    return task.removeprefix("executor.")


@signals.task_prerun.connect  # type: ignore[untyped-decorator]
def _starting(task: Any, args: tuple[Any, ...], **_: object) -> None:  # noqa: ANN401 - Celery's task
    _current.task, _current.signal_id = _short(task.name), str(args[_ID]) if args else ""
    if args:
        _note(f"start {_current.task}", _current.signal_id)


@signals.task_postrun.connect  # type: ignore[untyped-decorator]
def _ended(**_: object) -> None:
    if _current.signal_id:
        _note(f"end {_current.task}", _current.signal_id)
    _current.signal_id = ""


def _timed(owner: type, name: str) -> None:
    inner: Callable[..., Any] = getattr(owner, name)

    @wraps(inner)
    def timed(*args: object, **kwargs: object) -> object:
        begun = time.perf_counter()
        try:
            return inner(*args, **kwargs)
        finally:
            if _current.signal_id:
                _durations.append((f"{_current.task} {name}", _current.signal_id, time.perf_counter() - begun))

    setattr(owner, name, timed)


def _watch_exchange() -> None:
    inner = BetfairExchange.place

    @wraps(inner)
    def place(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - the wrapped method's
        _note("call", _current.signal_id)
        try:
            return inner(*args, **kwargs)
        finally:
            _note("answer", _current.signal_id)

    BetfairExchange.place = place  # type: ignore[method-assign]


def _watch_bridge() -> None:
    """Wrap what the bridge calls for messages; before the bridge is imported, as it imports it by name."""
    receive_all, record = intake.receive_all, RedisStore.record

    @wraps(receive_all)
    def received(known: Any, messages: Any, start: Callable[[Any], None]) -> Any:  # noqa: ANN401 - the wrapped one's
        heard = time.time()
        receipts = receive_all(known, messages, start)
        for receipt in receipts:
            if isinstance(receipt, intake.Receipt):
                _moments.append(("heard", receipt.signal_id, heard))
        return receipts

    @wraps(record)
    def recorded(store: RedisStore, arrivals: Any) -> Any:  # noqa: ANN401 - the wrapped one's
        answers = record(store, arrivals)
        for arrival in arrivals:
            _note("recorded", arrival.record.signal_id)
        return answers

    intake.receive_all = received  # type: ignore[assignment]
    RedisStore.record = recorded  # type: ignore[method-assign, assignment]


@signals.worker_process_shutdown.connect  # type: ignore[untyped-decorator]
def _write(**_: object) -> None:
    """Write what this process noted; a pool's processes end without Python's own exit."""
    path = Path(os.environ[PROBE_FOLDER]) / f"probe-{os.getpid()}.json"
    path.write_text(json.dumps({"moments": _moments, "durations": _durations}), encoding="utf-8")


if PROBE_FOLDER in os.environ:
    for _method in ("view", "commit", "signal"):
        _timed(RedisStore, _method)
    _watch_exchange()
    _watch_bridge()
    atexit.register(_write)
