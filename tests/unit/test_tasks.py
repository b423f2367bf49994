"""A chain's first message in one process, as a pool's process runs it: what the steps hand on, and what is put back."""

import base64
import json
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest
from celery.app.trace import build_tracer
from kombu.exceptions import OperationalError
from support.engine_rig import MARKET, Rig, sends
from support.memory_redis import MemoryStore

from executor import tasks
from executor.app import app
from executor.domain.order import OrderStatus
from executor.domain.signal_record import SignalRecord
from executor.engine import placement
from executor.engine.engine import step

STEPS = (tasks.validate_risk, tasks.place_order, tasks.log_trade)


@pytest.fixture(autouse=True)
def _in_a_process(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(tasks, "get_engine", lambda: rig.engine)
    monkeypatch.setattr(tasks, "_ledger_pause", tasks._Pause(0.5))
    for task in STEPS:
        task.__trace__ = build_tracer(task.name, task, app=app)
    yield
    for task in STEPS:
        task.__trace__ = None


def run(record: SignalRecord) -> Any:
    """Run a chain's first message; returns what its first step came to."""
    message = tasks.first_message(record, db=1)
    assert message is not None
    sent = json.loads(message.text)
    args, kwargs, embed = json.loads(base64.b64decode(sent["body"]))
    request = {**sent["headers"], "hostname": "worker@here", "args": args, "kwargs": kwargs, "is_eager": False, **embed}
    return tasks.validate_risk.__trace__(sent["headers"]["id"], args, kwargs, request)


def test_a_signal_is_sent_by_the_steps_of_one_process(rig: Rig) -> None:
    rig.memory.facts[MARKET] = None  # looked up, and not known
    asked: list[str] = []

    class Noting:
        def __getattr__(self, name: str) -> Any:
            asked.append(name)
            return getattr(rig.store, name)

    record = rig.received()
    rig.engine = replace(rig.engine, store=cast("MemoryStore", Noting()))
    outcome = run(record)
    results = [fields["result"] for name, fields in outcome.retstr.events if name == "task-succeeded"]
    assert [result.split()[0].strip("'\",") for result in results] == ["COMPLETED", "COMPLETED"]
    assert (rig.order().status, sends(rig)) == (OrderStatus.PENDING, 1)
    assert asked == ["view", "commit", "send_state", "commit"], "decided and marked, the last look, and the answer"
    assert rig.telemetry.counts["validated"] == 1


def test_what_the_next_step_does_not_send_is_put_back(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: object, **__: object) -> None:
        raise OperationalError("no broker")

    monkeypatch.setattr(tasks.place_order._get_current_object(), "apply_async", away)
    run(rig.received())
    assert (rig.order().status, sends(rig)) == (OrderStatus.RESERVED, 0)
    assert rig.telemetry.counts["validated"] == 1
    monkeypatch.undo()
    assert rig.place().verdict == "COMPLETED"


def test_what_cannot_be_put_back_ends_no_process(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: object, **__: object) -> None:
        rig.memory.away |= {"view", "commit"}
        rig.clock.on_sleep = lambda: rig.clock.tick(20)
        raise OperationalError("no broker")

    monkeypatch.setattr(tasks.place_order._get_current_object(), "apply_async", away)
    run(rig.received())
    assert rig.order().status is OrderStatus.SUBMITTED, "a poll finds it out"


def test_a_step_for_another_signal_sends_nothing_of_this_one(rig: Rig) -> None:
    record = rig.received()
    rig.accepted("signal-2")
    tasks._handed.submission = rig.validate(record.signal_id, MARKET, submit=True).submission
    tasks._place(rig.engine, "signal-2", MARKET)
    assert (rig.order("signal-2").status, sends(rig)) == (OrderStatus.PENDING, 1)
    tasks.place_order.steps_ended()
    assert rig.order("signal-1").status is OrderStatus.RESERVED


@pytest.mark.parametrize("error", [LookupError("nobody thought of this"), ValueError("nor of that")])
def test_a_step_that_breaks_before_it_sends_leaves_nothing_marked(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(placement, "place", broken)
    monkeypatch.setattr(tasks, "failed_tasks", lambda _: SimpleNamespace(keep=lambda *_: None))
    run(rig.received())
    assert (rig.order().status, sends(rig)) == (OrderStatus.RESERVED, 0)


def test_putting_back_that_breaks_ends_no_process(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ValueError("a record that cannot be")

    rig.accepted("signal-1", submit=True)
    monkeypatch.setattr(placement, "put_back", broken)
    tasks._handed.submission = rig.submission
    tasks.place_order.steps_ended()
    assert tasks._handed.submission is None


class Asked:
    """Facts of which this process has asked for none."""

    def __init__(self, asked: list[int]) -> None:
        self._asked = asked

    def has_requested(self) -> bool:
        return False

    def take_requested(self, most: int) -> list[str]:
        self._asked.append(most)
        return []


@pytest.mark.parametrize("follows", [True, False])
def test_a_market_is_looked_up_at_a_chains_end_where_somebody_may_have_asked(rig: Rig, *, follows: bool) -> None:
    tasks._handed.placed = step(rig.accepted()) if follows else None
    asked: list[int] = []
    rig.engine = replace(rig.engine, market_facts=cast("Any", Asked(asked)))
    tasks._log(rig.engine, "signal-1", MARKET)
    assert bool(asked) is not follows, "another process may have asked"


def test_the_ledger_is_asked_for_twice_a_second_at_most(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def cooldown(task: str, pause_ms: int) -> bool:
        del task, pause_ms
        asked.append(rig.clock.now)
        return False

    monkeypatch.setattr(rig.locks, "acquire_cooldown", cooldown)
    for at in range(10):
        tasks._log(rig.engine, f"signal-{at}", MARKET)
        rig.clock.tick(0.1)
    assert len(asked) == 2
