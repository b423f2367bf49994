"""Early refusal: an estimate that never refuses what could have been served on an idle system."""

from dataclasses import dataclass, field
from typing import Any

import pytest
from support.engine_rig import Rig, strategy_message

from executor.domain.signal import SignalKind
from executor.engine.intake import Intake, Message, Receipt, receive_all
from executor.engine.overload import Overload
from executor.errors import StoreUnavailable
from executor.ports import Load

KIND = SignalKind.STRATEGY


@dataclass
class ScriptedBacklog:
    """A queue that tests fill, and that is served as they say."""

    at: int = 1_000_000
    recorded: int = 0
    waiting: int = 0
    away: bool = False
    looks: int = field(default=0)

    def look(self) -> Load:
        self.looks += 1
        if self.away:
            raise StoreUnavailable("away")
        return Load(self.at, self.recorded, self.waiting)

    def arrive(self, signals: int) -> None:
        self.recorded += signals
        self.waiting += signals

    def serve(self, seconds: float, per_s: float) -> None:
        self.at += int(seconds * 1000)
        self.waiting = max(0, self.waiting - int(seconds * per_s))


def run(overload: Overload, queue: ScriptedBacklog, seconds: float, per_s: float) -> float:
    """Let time pass in quarter seconds, asking each time; returns the last answer."""
    wait_ms = 0.0
    for _ in range(int(seconds * 4)):
        queue.serve(0.25, per_s)
        wait_ms = overload.wait_ms(queue.at)
        overload.look_behind(queue.at)
    return wait_ms


def test_a_busy_queues_wait_is_its_length_over_its_rate() -> None:
    queue = ScriptedBacklog()
    overload = Overload(queue)
    queue.arrive(5000)
    wait_ms = run(overload, queue, 10, per_s=40)
    assert wait_ms == pytest.approx(queue.waiting / (40 * 1.25) * 1000)


def test_nothing_is_known_before_a_rate_was_measured() -> None:
    queue = ScriptedBacklog()
    overload = Overload(queue)
    queue.arrive(100_000)
    assert overload.wait_ms(queue.at) == 0
    assert run(overload, queue, 2.75, per_s=40) == 0
    assert run(overload, queue, 1, per_s=40) > 0


def test_workers_that_are_down_refuse_nothing() -> None:
    queue = ScriptedBacklog()
    overload = Overload(queue)
    queue.arrive(100_000)
    assert run(overload, queue, 60, per_s=0) == 0


def test_a_rate_of_a_queue_that_is_often_empty_is_no_rate() -> None:
    """A signal a second is served at one a second, whatever could have been served."""
    queue = ScriptedBacklog()
    overload = Overload(queue)
    for _ in range(100):
        queue.arrive(1)
        run(overload, queue, 1, per_s=1000)
    queue.arrive(3000)
    queue.at += 1000
    assert overload.wait_ms(queue.at) == 0


def test_a_short_queue_waits_for_nothing_however_slow_it_is() -> None:
    queue = ScriptedBacklog()
    overload = Overload(queue)
    queue.arrive(600)
    assert run(overload, queue, 20, per_s=20) > 0
    assert run(overload, queue, 6, per_s=20) == 0
    assert queue.waiting > 0


def test_the_best_rate_of_half_a_minute_is_counted_with_and_then_forgotten() -> None:
    queue = ScriptedBacklog()
    overload = Overload(queue)
    queue.arrive(100_000)
    run(overload, queue, 10, per_s=100)
    assert run(overload, queue, 20, per_s=10) == pytest.approx(queue.waiting / (100 * 1.25) * 1000, rel=0.1)
    assert run(overload, queue, 40, per_s=10) == pytest.approx(queue.waiting / (10 * 1.25) * 1000, rel=0.3)


def test_no_signal_waits_for_a_look_while_few_wait(rig: Rig) -> None:
    queue = ScriptedBacklog(at=rig.clock.now)
    intake = Intake(rig.store, rig.telemetry, rig.policy, Overload(queue))
    looked: list[int] = []
    for at in range(3):
        message = Message(KIND, strategy_message(f"calm-{at}"), queue.at, queue.at, "bridge-1", f"token-{at}")
        receive_all(intake, [message], lambda _: looked.append(queue.looks))
        queue.serve(1, per_s=0)
    assert (looked, queue.looks) == ([0, 1, 2], 3)


def test_an_old_look_at_a_long_queue_refuses_nobody() -> None:
    queue = ScriptedBacklog()
    overload = Overload(queue)
    queue.arrive(5000)
    assert run(overload, queue, 10, per_s=40) > 0
    queue.serve(1, per_s=10_000)
    assert overload.wait_ms(queue.at) == 0


def test_what_this_process_adds_between_two_looks_counts() -> None:
    queue = ScriptedBacklog()
    overload = Overload(queue)
    queue.arrive(1000)
    before = run(overload, queue, 5, per_s=40)
    looks = queue.looks
    overload.added(1000)
    assert overload.wait_ms(queue.at + 1) == pytest.approx(before + 1000 / (40 * 1.25) * 1000)
    assert queue.looks == looks


def test_who_cannot_look_refuses_nothing() -> None:
    queue = ScriptedBacklog()
    overload = Overload(queue)
    queue.arrive(5000)
    assert run(overload, queue, 5, per_s=40) > 0
    queue.away = True
    assert run(overload, queue, 1, per_s=40) == 0


def test_a_burst_is_taken_up_to_what_can_be_served_and_the_rest_is_refused_at_once(rig: Rig) -> None:
    """Of ten thousand at 50 a second those of the first minute are taken: the first to come, and none after them."""
    queue = ScriptedBacklog(at=rig.clock.now)
    intake = Intake(rig.store, rig.telemetry, rig.policy, Overload(queue))
    taken: list[bool] = []
    for start in range(0, 10_000, 100):
        messages = [
            Message(KIND, strategy_message(f"burst-{at}"), queue.at, queue.at, "bridge-1", f"token-{at}")
            for at in range(start, start + 100)
        ]
        for receipt in receive_all(intake, messages):
            assert isinstance(receipt, Receipt)
            taken.append(receipt.to_start is not None)
            queue.arrive(taken[-1])
        queue.serve(0.25, per_s=50)
        rig.clock.now = queue.at
    served = 60 * 50 * 1.25
    assert served <= sum(taken) <= served + 25 * 60
    assert all(taken[:3000])
    assert rig.telemetry.counts["rejected OVERLOADED"] == 10_000 - sum(taken)
    record = rig.memory.signals["burst-9999"]
    assert (record.status, record.reason) == ("REJECTED", "OVERLOADED")
    assert "for a worker" in record.detail


def test_a_repeat_is_a_repeat_and_an_expired_one_expired_however_long_the_queue(rig: Rig) -> None:
    queue = ScriptedBacklog(at=rig.clock.now)
    overload = Overload(queue)
    intake = Intake(rig.store, rig.telemetry, rig.policy, overload)
    queue.arrive(50_000)
    run(overload, queue, 5, per_s=40)

    def send(name: str, token: str, **fields: Any) -> None:
        receive_all(intake, [Message(KIND, strategy_message(name, **fields), queue.at, queue.at, "bridge-1", token)])

    send("one", "1")
    send("one", "2")
    send("two", "3", validityWindow=0)
    assert rig.memory.signals["one"].reason == "OVERLOADED"
    assert rig.memory.signals["two"].reason == "SIGNAL_EXPIRED"
    assert rig.telemetry.counts["rejected DUPLICATE_SIGNAL"] == 1
