"""Real bridges behind `stream:signals`: what XADD has answered is executed once, whoever dies and whatever is added."""

import contextlib
import json
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.process_rig import Process, Stack, make_stack, message, running, wait
from support.redis_versions import counts_entries
from support.sandbox_client import wait_for

from executor import keys
from executor.devstack.redis_server import PrivateRedis
from executor.domain.signal_record import SignalStatus

REPEATS = 'signals_rejected_total{reason="DUPLICATE_SIGNAL"}'
MALFORMED = 'signals_rejected_total{reason="MALFORMED_SIGNAL"}'
ROOM = {"EXECUTOR_RISK__MAX_EXPOSURE_PER_MARKET": "5000", "EXECUTOR_RISK__MAX_EXPOSURE_PER_SELECTION": "5000"}
SLOW_POLL = {"EXECUTOR_ORDER_MANAGER__STATUS_CHECK_INTERVAL_SECONDS": "60"}  # reconciled for four minutes


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running(tmp_path_factory.mktemp("door"), **ROOM, **SLOW_POLL) as stack:
        stack.worker()
        yield stack


@pytest.fixture(scope="module")
def bridges(stack: Stack) -> tuple[Process, Process]:
    return stack.bridge(), stack.bridge()


def total(bridges: tuple[Process, ...], sample: str) -> float:
    return sum(bridge.metrics().get(sample, 0) for bridge in bridges)


def empty(stack: Stack) -> None:
    """Wait until all that was added is acknowledged and dropped."""
    wait(lambda: not stack.state.xlen(keys.SIGNALS))


def trades(stack: Stack, signal_id: str) -> None:
    stack.add(message(signal_id))
    assert stack.ended(signal_id).status is SignalStatus.COMPLETED


def test_what_was_added_with_no_bridge_is_executed_in_its_order(stack: Stack) -> None:
    names = [f"waited-{at}" for at in range(20)]
    ids = [stack.add(message(name)) for name in names]
    bridge = stack.bridge()
    assert {stack.ended(name).status for name in names} == {SignalStatus.COMPLETED}
    empty(stack)
    lines = [line for line in bridge.log.read_text().splitlines() if "signal_received" in line]
    assert [re.findall(r"waited-[0-9]+", line)[0] for line in lines] == names
    records = [stack.signal(name) for name in names]
    assert {record.door for record in records if record} == {"stream"}
    assert [f"{record.received_at}" for record in records if record] == [entry_id.partition("-")[0] for entry_id in ids]
    bridge.kill(signal.SIGTERM)
    assert bridge.popen.returncode == 0


def test_two_bridges_share_what_is_added_and_each_is_executed_once(stack: Stack, bridges: tuple[Process, ...]) -> None:
    before = [bridge.count("signals_received_total") for bridge in bridges]
    for at in range(60):
        stack.add(message(f"shared-{at}"))
    for at in range(60):
        stack.ended(f"shared-{at}")
        assert len(stack.orders(f"shared-{at}")) == 1
    counted = [bridge.count("signals_received_total") - was for bridge, was in zip(bridges, before, strict=True)]
    assert sum(counted) == 60
    empty(stack)


def test_a_repeat_is_told_once_by_whichever_door(stack: Stack, bridges: tuple[Process, ...]) -> None:
    trades(stack, "repeated")
    before = total(bridges, REPEATS)
    for _ in range(6):
        stack.add(message("repeated"))
    stack.publish(message("repeated"))
    wait(lambda: total(bridges, REPEATS) - before == 7)
    stack.publish(message("published"))
    stack.ended("published")
    stack.add(message("published"))
    wait(lambda: total(bridges, REPEATS) - before == 8)
    assert len(stack.orders("repeated")) == len(stack.orders("published")) == 1


def test_what_a_killed_bridge_was_given_is_anothers(stack: Stack, bridges: tuple[Process, ...]) -> None:
    """It was given entries, and died before it recorded them; or recorded them, and died before it said so."""
    for bridge in bridges:
        bridge.popen.send_signal(signal.SIGSTOP)
    names = [f"orphan-{at}" for at in range(5)]
    for name in names:
        stack.add(message(name))
    given: Any = stack.state.xreadgroup(keys.SIGNALS_GROUP, "the dead", {keys.SIGNALS: ">"}, count=3)
    assert given
    for bridge in bridges:
        bridge.popen.send_signal(signal.SIGCONT)
    assert {stack.ended(name).status for name in names} == {SignalStatus.COMPLETED}
    empty(stack)
    assert all(len(stack.orders(name)) == 1 for name in names)


def test_nothing_that_anyone_adds_stops_it(stack: Stack, bridges: tuple[Process, ...]) -> None:
    before = total(bridges, MALFORMED)
    good = json.dumps(message("never"))
    awkward: list[dict[Any, Any]] = [
        {"x": "y"},
        {"payload": good},
        {"kind": "strategy"},
        {"kind": "horse", "payload": good},
        {"kind": b"\xff\x00" * 1000, "payload": good},
        {"kind": "strategy", "payload": b"\x00\xff" * 5000},
        {"kind": "strategy", "payload": "x" * (1 << 20)},
        {"kind": "surebet", "payload": good},
        {"kind": "strategy", "payload": "[" * 60_000},
        {"kind": "strategy", "payload": json.dumps(message("bad", stake="NaN"))},
    ]
    for fields in awkward:
        stack.state.xadd(keys.SIGNALS, fields)
    stack.state.rpush(keys.seen("poisoned"), "garbage")
    stack.add(message("poisoned"))
    stack.state.xadd(keys.SIGNALS, {"KIND": "Strategy", "Payload": json.dumps(message("any-case")), "more": "ignored"})
    trades(stack, "after-the-noise")
    assert stack.ended("any-case").status is SignalStatus.COMPLETED
    wait(lambda: total(bridges, MALFORMED) - before == len(awkward))
    assert any(bridge.said("signal_lost", "WRONGTYPE") for bridge in bridges)
    never = stack.signal("never")
    assert never is not None
    assert (never.status, never.order_ids) == (SignalStatus.REJECTED, ())
    assert not any(bridge.said("Traceback") or bridge.said("not_handled") for bridge in bridges)
    empty(stack)


def test_a_key_of_all_signals_that_is_of_another_type_loses_none(stack: Stack, bridges: tuple[Process, ...]) -> None:
    """The next poll sets it aside; until then what was heard and what was added wait."""
    stack.state.delete(keys.SIGNALS_OPEN)  # the sweep's; nothing is under way
    stack.state.set(keys.SIGNALS_OPEN, "in the way")
    stack.publish(message("heard-in-the-way"))
    stack.add(message("added-in-the-way"))
    wait(lambda: any(bridge.said("waiting_for_redis", "WRONGTYPE") for bridge in bridges))
    wait(lambda: any(bridge.said("signal_stream_unavailable", "WRONGTYPE") for bridge in bridges))
    stack.state.delete(keys.SIGNALS_OPEN)
    for name in ("heard-in-the-way", "added-in-the-way"):
        assert stack.ended(name).status is SignalStatus.COMPLETED
        assert not any(bridge.said("signal_lost", name) for bridge in bridges)
    empty(stack)


@pytest.mark.parametrize(
    ("sample", "options"),
    [
        ("removed", {"maxlen": 0, "approximate": False}),
        ("own_id", {"id": "18446744073709551615-1"}),
        ("own_id", {"id": "7-1"}),
    ],
)
def test_misuse_is_counted_and_the_next_signal_trades(
    stack: Stack, bridges: tuple[Process, ...], sample: str, options: dict[str, Any]
) -> None:
    if sample == "removed" and not counts_entries(stack.state):
        pytest.skip("this server does not count what was added to a stream; `executor check` says so")
    name = f'signal_stream_misuse_total{{kind="{sample}"}}'
    before = total(bridges, name)
    empty(stack)

    def misuse() -> None:
        if sample == "own_id":
            stack.state.delete(keys.SIGNALS)  # an id of long ago is taken by a stream that had none yet
            wait(lambda: stack.state.exists(keys.SIGNALS))
        stack.state.xadd(keys.SIGNALS, {"x": "y"}, **options)

    def counted() -> bool:
        misuse()  # again and again: a bridge that has not yet found nothing waiting cannot tell how old an id may be
        with contextlib.suppress(AssertionError):
            return wait_for(lambda: total(bridges, name) > before, 3)
        return False

    wait(counted)
    trades(stack, f"after-{sample}-{options.get('id', '')}")


def test_a_flushed_redis_gets_a_new_group(stack: Stack, bridges: tuple[Process, ...]) -> None:
    stack.state.flushdb()
    stack.add(message("after-the-flush"))
    record = stack.ended("after-the-flush")
    assert record.reason in {"NOT_RECONCILED", "TRADING_DISABLED", "INVALID_LIMITS"}, "its limits and switch are gone"
    assert all(bridge.popen.poll() is None for bridge in bridges)


def test_a_restarted_redis_still_has_what_nobody_had_read(tmp_path: Path) -> None:
    with PrivateRedis(tmp_path / "redis") as server:
        stack = make_stack(tmp_path, server)
        try:
            bridge = stack.bridge()
            bridge.popen.send_signal(signal.SIGSTOP)
            for at in range(10):
                stack.add(message(f"kept-{at}"))
            server.restart()
            bridge.popen.send_signal(signal.SIGCONT)
            wait(lambda: all(stack.signal(f"kept-{at}") for at in range(10)))
            empty(stack)
        finally:
            stack.stop()


@pytest.mark.slow
def test_a_small_storm_loses_nothing(tmp_path: Path) -> None:
    """Bridges are killed, all are down, Redis is restarted; `tests/storm/test_doors.py` has the large one."""
    with PrivateRedis(tmp_path / "redis") as server:
        stack = make_stack(tmp_path, server)
        try:
            names = [f"storm-{at}" for at in range(300)]
            bridges = [stack.bridge(), stack.bridge()]
            for number, name in enumerate(names):
                if number % 60 == 30:
                    bridges[number % 2].kill()
                    bridges[number % 2] = stack.starting_bridge()
                if number == 150:
                    server.restart()
                if number == 200:
                    for bridge in bridges:
                        bridge.kill()
                stack.add(message(name))
            bridges = [stack.bridge(), stack.bridge()]
            wait(lambda: not stack.state.xlen(keys.SIGNALS))
            assert sorted(record.signal_id for record in stack.signals()) == sorted(names)
            assert int(str(stack.state.get(keys.SIGNALS_RECORDED))) == len(names), "each was recorded once"
        finally:
            stack.stop()
