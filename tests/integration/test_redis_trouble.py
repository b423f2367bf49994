"""Redis is there and does not do what it should: no memory, read-only, slow. Nothing is sent twice or over a limit."""

import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from support.cli_rig import Console
from support.engine_rig import MARKET
from support.recovery_rig import RecoveryRig, statuses

from executor import keys
from executor.engine.validation import validate
from executor.errors import StoreUnavailable
from executor.ports import Instruction, LegReport


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[RecoveryRig]:
    with RecoveryRig.running(tmp_path) as rig:
        yield rig


def _fill_up(rig: RecoveryRig) -> None:
    used = int(rig.client().info("memory")["used_memory"])
    rig.client().config_set("maxmemory", used // 2)


def _make_room(rig: RecoveryRig) -> None:
    rig.client().config_set("maxmemory", 0)


def _make_read_only(rig: RecoveryRig) -> None:
    rig.client().replicaof("127.0.0.1", "1")  # nobody is there to follow: it keeps its data and refuses writes


def _make_writable(rig: RecoveryRig) -> None:
    rig.client().replicaof("NO", "ONE")


Trouble = Callable[[RecoveryRig], None]
TROUBLES = pytest.mark.parametrize(
    ("begin", "end"), [(_fill_up, _make_room), (_make_read_only, _make_writable)], ids=["no memory", "read-only"]
)


@TROUBLES
def test_nothing_is_recorded_reserved_or_polled_and_all_goes_on_afterwards(
    rig: RecoveryRig, begin: Trouble, end: Trouble
) -> None:
    rig.received()
    begin(rig)
    with pytest.raises(StoreUnavailable):
        rig.received("signal-2")
    with pytest.raises(StoreUnavailable):
        rig.poll()  # so that `reconciled` runs out
    with pytest.raises(StoreUnavailable):
        validate(rig.worker(), "signal-1", MARKET)
    assert rig.orders() == []
    end(rig)
    rig.poll()
    assert validate(rig.worker(), "signal-1", MARKET).verdict == "ACCEPTED"
    rig.place()
    rig.accepted("signal-2")
    rig.place("signal-2")
    assert (statuses(rig.orders()), rig.calls()) == (["PENDING", "PENDING"], 2)


@TROUBLES
def test_an_order_is_sent_once_whatever_befalls_redis_between_its_steps(
    rig: RecoveryRig, begin: Trouble, end: Trouble
) -> None:
    rig.accepted()
    begin(rig)
    with pytest.raises(StoreUnavailable):
        rig.place()
    assert rig.calls() == 0
    end(rig)
    rig.poll()
    for _ in range(2):
        rig.place()
    assert (statuses(rig.orders()), rig.calls()) == (["PENDING"], 1)


def test_a_full_redis_submits_nothing_but_takes_the_answer_of_what_was_sent(rig: RecoveryRig) -> None:
    rig.accepted()
    rig.received("signal-2")
    _fill_up(rig)
    with pytest.raises(StoreUnavailable):
        rig.place()
    with pytest.raises(StoreUnavailable):
        validate(rig.worker(), "signal-2", MARKET)
    assert (statuses(rig.orders()), rig.calls()) == (["RESERVED"], 0)
    _make_room(rig)

    def fill_up_and_take(market_id: str, instructions: Sequence[Instruction]) -> list[LegReport]:
        _fill_up(rig)
        return rig.exchange.take(market_id, instructions)

    rig.exchange.script = [fill_up_and_take]
    assert rig.place().verdict == "COMPLETED"
    assert (statuses(rig.orders()), rig.calls()) == (["PENDING"], 1)


def test_the_switch_works_in_a_full_redis(rig: RecoveryRig, tmp_path: Path) -> None:
    rig.accepted()
    engine = rig.worker()
    _fill_up(rig)
    identity = engine.policy.identity
    console = Console(tmp_path, {"EXECUTOR_REDIS__URL": rig.server.url(0)})
    assert identity == "paper"
    ran = console.run("halt", "--reason", "full")
    assert (ran.code, rig.client().get(keys.TRADING_ENABLED)) == (0, "false"), ran.err
    assert console.run("resume").code == 0
    assert rig.client().get(keys.TRADING_ENABLED) == "true"
    _make_room(rig)
    for at in range(5):
        rig.client().zadd(keys.FAILED_ORDERS, {f"failure {at}": engine.store.now() / 1000})
    rig.client().delete(keys.BREAKER_SINCE)
    _fill_up(rig)
    assert engine.controls.trip_breaker(5, 600)
    assert rig.client().get(keys.TRADING_ENABLED) == "false"


def test_a_redis_that_stands_still_during_the_submit_step_delays_the_call_past_a_second_look(rig: RecoveryRig) -> None:
    rig.accepted()
    pid = rig.server.pid
    assert pid is not None

    def stand_still() -> None:
        os.kill(pid, signal.SIGSTOP)
        threading.Timer(1.4, os.kill, (pid, signal.SIGCONT)).start()

    engine = rig.interrupted_worker(stand_still)
    before = engine.store.now()
    rig.place(engine=engine)
    assert (statuses(rig.orders()), rig.calls()) == (["PENDING"], 1)
    assert rig.orders()[0].submitted_at >= before + 1400  # the first step's claim was given back, not used
    assert engine.store.view(MARKET).failures == 0


def test_the_kill_switch_thrown_while_redis_stood_still_stops_the_call(rig: RecoveryRig) -> None:
    rig.accepted()
    pid = rig.server.pid
    assert pid is not None

    def stand_still() -> None:
        rig.client().set(keys.TRADING_ENABLED, "false")
        os.kill(pid, signal.SIGSTOP)
        threading.Timer(1.4, os.kill, (pid, signal.SIGCONT)).start()

    step = rig.place(engine=rig.interrupted_worker(stand_still))
    assert (step.reason, rig.calls(), rig.exposure()) == ("TRADING_DISABLED", 0, {})
