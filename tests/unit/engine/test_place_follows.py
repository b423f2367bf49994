"""place_order behind the decision in one process: what that has left saves a look, and is believed no further."""

from dataclasses import replace
from typing import Any, cast

import pytest
from support.engine_rig import Rig, sends
from support.memory_redis import MemoryStore


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
