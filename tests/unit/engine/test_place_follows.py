"""place_order behind the decision in one process: what that has left saves a look, and is believed no further."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, cast

import pytest
from support.engine_rig import MARKET, Rig, sends
from support.memory_redis import MemoryStore

from executor.engine.engine import Step
from executor.engine.validation import validate
from executor.errors import NotSent, StoreUnavailable
from executor.ports import Instruction, LegReport


def _views(rig: Rig) -> list[str]:
    """Note the markets that the engine reads from now on."""
    read: list[str] = []

    class Noting:
        def __getattr__(self, name: str) -> Any:
            if name == "view":
                read.append(name)
            return getattr(rig.store, name)

    rig.engine = replace(rig.engine, store=cast("MemoryStore", Noting()))
    return read


def test_what_the_decision_left_is_not_read_again(rig: Rig) -> None:
    rig.accepted(legs=2)
    read = _views(rig)
    assert rig.follow().verdict == "COMPLETED"
    assert (len(read), sends(rig)) == (0, 1)


@pytest.mark.parametrize("why", ["others were faster", "it is old"])
def test_what_the_decision_left_is_read_again_when_it_may_not_hold(rig: Rig, why: str) -> None:
    rig.accepted()
    if why == "it is old":
        rig.clock.tick(0.2)
    else:
        rig.touch_market()
    read = _views(rig)
    assert rig.follow().verdict == "COMPLETED"
    assert (len(read), sends(rig)) == (1, 1)


def test_a_deadline_that_passes_behind_the_decision_is_met(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    rig.accepted(validityWindow=1)
    decided = rig.clock.monotonic()
    monkeypatch.setattr(rig.clock, "monotonic", lambda: decided)  # this process believes that it was just now
    rig.clock.tick(1.001)
    step = rig.follow()
    assert (step.verdict, step.reason, sends(rig)) == ("FAILED", "SIGNAL_EXPIRED", 0)


def test_steps_that_were_decided_before_hand_on_nothing(rig: Rig) -> None:
    rig.accepted()
    assert rig.validate().view_after is None
    rig.received("signal-2", stake=500)
    assert rig.validate("signal-2").view_after is None


def _accepted_unsaid(rig: Rig) -> Step:
    rig.received()
    step = validate(rig.engine, "signal-1", MARKET, announce_later=True)
    rig.view_after = step.view_after
    assert (step.verdict, rig.telemetry.counts["validated"]) == ("ACCEPTED", 0)
    return step


def test_what_is_said_of_the_decision_waits_until_the_request_has_left(rig: Rig) -> None:
    _accepted_unsaid(rig)
    said: list[int] = []

    def take(market_id: str, instructions: Sequence[Instruction]) -> list[LegReport]:
        said.append(rig.telemetry.counts["validated"])
        rig.exchange.permits[-1].sent()
        said.append(rig.telemetry.counts["validated"])
        return rig.exchange.take(market_id, instructions)

    rig.exchange.script.append(take)
    assert rig.follow().verdict == "COMPLETED"
    assert said == [0, 1]
    assert rig.telemetry.counts["validated"] == 1, "once, though the call has ended, too"


@pytest.mark.parametrize("trouble", ["an exchange that says nothing of it", "not sent", "switched off", "Redis away"])
def test_it_is_said_once_whatever_becomes_of_the_order(rig: Rig, trouble: str) -> None:
    _accepted_unsaid(rig)
    if trouble == "not sent":
        rig.exchange.script += [NotSent("no line")] * 3
    elif trouble == "switched off":
        rig.memory.trading = "false"
    elif trouble == "Redis away":
        rig.engine = replace(rig.engine, store=cast("MemoryStore", _Away()))
    with suppress(StoreUnavailable):
        rig.follow()
    assert rig.telemetry.counts["validated"] == 1


def test_a_refusal_is_said_at_once(rig: Rig) -> None:
    rig.received(stake=500)
    assert validate(rig.engine, "signal-1", MARKET, announce_later=True).verdict == "REJECTED"
    assert rig.telemetry.counts["validated"] == 1


class _Away:
    def __getattr__(self, name: str) -> Any:
        def away(*_: object, **__: object) -> None:
            raise StoreUnavailable(name)

        return away
