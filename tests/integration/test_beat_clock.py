"""Beat while the time of day of its machine steps: ticks go on, and workers with another clock take them.

The clock is libfaketime's, for beat's process alone; the machine's is never touched.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from support.process_rig import Process, Stack, message, running, wait
from support.stepped_clock import SteppedClock

from executor import keys
from executor.broker import GOOD_FOR, SENT_AT
from executor.domain.signal_record import SignalRecord

LIBRARY = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)
needs_faketime = [
    pytest.mark.apt,
    pytest.mark.skipif(LIBRARY is None, reason="libfaketime (Debian: faketime) is not installed"),
]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    fast = {"EXECUTOR_ORDER_MANAGER__STATUS_CHECK_INTERVAL_SECONDS": "1"}
    with running(tmp_path_factory.mktemp("beat"), **fast) as stack:
        yield stack


class Stepped:
    """A process under a clock that a test sets while it runs."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._offset = stack.folder / "offset"

    def beat(self) -> Process:
        return self._start("beat", "-m", "celery", "-A", "executor.app", "beat")

    def bridge(self) -> Process:
        process = self._start("bridge", "-c", "import sys; from executor.bridge import main; sys.exit(main())")
        wait(lambda: process.said("bridge_listening"))
        return process

    def _start(self, name: str, *command: str) -> Process:
        assert LIBRARY is not None
        self._offset.touch()
        fake: dict[str, Any] = {
            "LD_PRELOAD": str(LIBRARY),
            "FAKETIME_TIMESTAMP_FILE": str(self._offset),
            "FAKETIME_NO_CACHE": "1",
        }
        return self._stack.start(name, *command, **fake)

    def step(self, offset: str) -> None:
        fresh = self._offset.with_suffix(".new")
        fresh.write_text(offset)
        fresh.replace(self._offset)  # never read half-written


def end(stack: Stack) -> None:
    for process in stack.processes:
        if process.popen.poll() is None:
            process.kill()
    stack.broker.flushdb()


def ticks(stack: Stack, task: str) -> int:
    """Return how many ticks of a task wait in the queue."""
    return sum(f'"executor.{task}"' in message for message in stack.waiting("maintenance"))


def polls(stack: Stack) -> int:
    return ticks(stack, "poll_orders")


def more_polls(stack: Stack) -> None:
    before = polls(stack)
    wait(lambda: polls(stack) >= before + 3)


@pytest.mark.parametrize("offset", [pytest.param(step, marks=needs_faketime) for step in ("-3600s", "+3600s")])
def test_ticks_go_on_through_a_step_and_after_a_restart(stack: Stack, offset: str) -> None:
    clock = Stepped(stack)
    clock.step("+0s")
    process = clock.beat()
    more_polls(stack)
    clock.step(offset)
    more_polls(stack)
    assert (stack.folder / "data" / "beat-alive").exists()
    process.kill()
    clock.beat()
    more_polls(stack)
    clock.step("+0s")
    more_polls(stack)
    end(stack)


@pytest.mark.slow
@pytest.mark.skipif(bool(SteppedClock.why_not()), reason="no C compiler")
def test_a_step_of_the_time_of_day_brings_no_tick_forward(stack: Stack) -> None:
    clock = SteppedClock(stack.folder, "forward")
    process = stack.start("beat", "-m", "celery", "-A", "executor.app", "beat", port=0, **clock.environ)
    more_polls(stack)
    slow = ("settle_orders", "refresh_account", "watchdog")  # each a minute or half of one apart
    assert [ticks(stack, task) for task in slow] == [1, 1, 1], "each is due once at the start"
    for seconds in (3600, -3600, 7200):
        clock.step(seconds)
        more_polls(stack)
        assert process.popen.poll() is None
    assert [ticks(stack, task) for task in slow] == [1, 1, 1]
    end(stack)


def last_polled(stack: Stack, right: Callable[[object], bool]) -> None:
    wait(lambda: right(stack.state.hget(keys.LAST_SUCCESS, "poll_orders")))


@pytest.mark.parametrize("offset", [pytest.param(step, marks=needs_faketime) for step in ("-3600s", "+3600s")])
def test_a_worker_with_the_right_time_takes_the_ticks_of_a_beat_that_is_wrong(stack: Stack, offset: str) -> None:
    clock = Stepped(stack)
    clock.step(offset)
    stack.worker()
    clock.beat()
    stack.state.delete(keys.LAST_SUCCESS)
    last_polled(stack, lambda seen: seen is not None)
    first = stack.state.hget(keys.LAST_SUCCESS, "poll_orders")
    last_polled(stack, lambda seen: seen != first)
    end(stack)


def test_a_tick_that_waited_too_long_is_not_run(stack: Stack) -> None:
    worker = stack.worker()
    stack.state.delete(keys.LAST_SUCCESS)
    now = int(stack.state.time()[0]) * 1000
    with Celery("beat", broker=stack.server.url(1)) as app:
        headers = {SENT_AT: now - 60_000, GOOD_FOR: 4500}
        app.send_task("executor.poll_orders", queue="maintenance", headers=headers)
        wait(lambda: worker.said("tick_dropped", "poll_orders"))
        app.send_task("executor.poll_orders", queue="maintenance", headers={**headers, SENT_AT: now + 3_600_000})
        last_polled(stack, lambda seen: seen is not None)
    end(stack)


@pytest.mark.parametrize("offset", [pytest.param(step, marks=needs_faketime) for step in ("-3600s", "+3600s")])
def test_a_step_of_the_bridges_clock_moves_no_arrival(stack: Stack, offset: str) -> None:
    clock = Stepped(stack)
    clock.step("+0s")
    clock.bridge()
    for at, step in enumerate(("+0s", offset, "+0s")):
        clock.step(step)
        name = f"stepped{offset}-{at}"
        before = redis_ms(stack)
        stack.publish(message(name))
        record = recorded(stack, name)
        assert before - 1000 <= record.received_at <= redis_ms(stack)
        assert before < record.deadline <= redis_ms(stack) + 300_000
    end(stack)


def recorded(stack: Stack, name: str) -> SignalRecord:
    found = wait(lambda: stack.signal(name))
    assert found is not None
    return found


def redis_ms(stack: Stack) -> int:
    seconds, micros = stack.state.time()
    return int(seconds) * 1000 + int(micros) // 1000
