"""The exchange's dead-man's switch: what it did is told, and what a clean stop leaves alone."""

from dataclasses import replace

import pytest
from structlog.testing import capture_logs
from support.engine_rig import Rig, make_policy

from executor.engine.dead_mans_switch import renew_switch, unregister
from executor.errors import StoreUnavailable
from executor.ports import HeartbeatAction

A = HeartbeatAction


@pytest.mark.parametrize("action", list(A))
def test_what_was_cancelled_is_told_and_read_at_once(action: HeartbeatAction) -> None:
    rig = Rig(policy=replace(make_policy(), heartbeat_s=30))
    rig.exchange.did = action
    rig.memory.trading = "false"  # halted, with orders to keep: it goes on
    assert renew_switch(rig.engine).action is action
    assert rig.exchange.called("heartbeat") == [30]
    told = [message for message in rig.memory.messages if message["event"] == "orders_cancelled_by_exchange"]
    assert bool(told) == (action is not A.NONE)
    assert rig.memory.switch_fired == ("" if action is A.NONE else action)
    assert (rig.memory.full_read_at is None) == (action is not A.NONE)


@pytest.mark.parametrize("broken", ["keep_switch_fired", "alert"])
def test_what_cannot_be_kept_is_told_and_read_all_the_same(broken: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The exchange says it once."""
    rig = Rig(policy=replace(make_policy(), heartbeat_s=30))
    rig.exchange.did = A.ALL_BETS_CANCELLED

    def fail(*_: object) -> None:
        raise StoreUnavailable("Redis: WRONGTYPE")

    monkeypatch.setattr(rig.alerts if broken == "keep_switch_fired" else rig.controls, broken, fail)
    with capture_logs() as logs, pytest.raises(StoreUnavailable):
        renew_switch(rig.engine)
    assert [entry["event"] for entry in logs if entry["log_level"] == "critical"] == ["orders_cancelled_by_exchange"]
    assert rig.memory.full_read_at is None
    told = [message for message in rig.memory.messages if message["event"] == "orders_cancelled_by_exchange"]
    assert bool(told) == (broken != "alert")
    assert bool(rig.memory.switch_fired) == (broken == "alert")


def test_a_clean_stop_keeps_the_orders() -> None:
    rig = Rig(policy=replace(make_policy(), heartbeat_s=30))
    unregister(rig.engine)
    assert rig.exchange.called("heartbeat") == [0]
    off = Rig()
    unregister(off.engine)
    assert off.exchange.called("heartbeat") == []
