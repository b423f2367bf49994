"""Real bridge processes: one execution whatever is published how often, and nothing that anyone sends stops them."""

import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest
from support.process_rig import Process, Stack, message, running, wait

from executor import keys
from executor.domain.signal_record import SignalStatus

REPEATS = 'signals_rejected_total{reason="DUPLICATE_SIGNAL"}'
MALFORMED = 'signals_rejected_total{reason="MALFORMED_SIGNAL"}'


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    limits = {"EXECUTOR_RISK__MAX_EXPOSURE_PER_MARKET": "5000", "EXECUTOR_RISK__MAX_EXPOSURE_PER_SELECTION": "5000"}
    fast = {"EXECUTOR_ORDER_MANAGER__STATUS_CHECK_INTERVAL_SECONDS": "60"}  # reconciled for four minutes
    with running(tmp_path_factory.mktemp("bridge"), **limits, **fast) as stack:
        stack.worker()
        yield stack


@pytest.fixture(scope="module")
def bridges(stack: Stack) -> tuple[Process, Process]:
    return stack.bridge(), stack.bridge()


def total(bridges: tuple[Process, ...], sample: str) -> float:
    return sum(bridge.metrics().get(sample, 0) for bridge in bridges)


def trades(stack: Stack, signal_id: str) -> None:
    """Publish a good signal and wait until it is executed."""
    assert stack.publish(message(signal_id)) >= 1
    assert stack.ended(signal_id).status is SignalStatus.COMPLETED


def seconds_of(work: Callable[[], object]) -> float:
    """Return how long something takes."""
    started = time.monotonic()
    work()
    return time.monotonic() - started


def listening(stack: Stack, count: int) -> None:
    wait(lambda: dict(stack.state.pubsub_numsub(keys.STRATEGY_SIGNALS))[keys.STRATEGY_SIGNALS] == count)


def test_a_chain_is_started_by_the_script_that_records_its_signal(stack: Stack, bridges: tuple[Process, ...]) -> None:
    del bridges
    pushed: list[str] = []
    with stack.broker.monitor() as said:  # type: ignore[no-untyped-call]
        assert stack.publish(message("scripted")) >= 1
        for command in said.listen():
            if command["command"].upper().startswith("LPUSH SIGNALS"):
                pushed.append(command["client_type"])
            elif pushed and "scripted" in command["command"]:
                break
    assert pushed == ["lua"], "once, though two bridges heard it"
    assert stack.ended("scripted").status is SignalStatus.COMPLETED


def test_two_bridges_execute_a_signal_once(stack: Stack, bridges: tuple[Process, ...]) -> None:
    received = 'signals_received_total{strategy="test"}'
    before = total(bridges, received)
    for at in range(20):
        assert stack.publish(message(f"two-{at}")) == 2
    for at in range(20):
        stack.ended(f"two-{at}")
        assert len(stack.orders(f"two-{at}")) == 1
    assert total(bridges, received) - before == 20, "the one that comes second is silent"
    assert total(bridges, REPEATS) == 0


def test_a_repeat_is_counted_once_as_a_duplicate(stack: Stack, bridges: tuple[Process, ...]) -> None:
    trades(stack, "repeated")
    before = total(bridges, REPEATS)
    for _ in range(3):
        stack.publish(message("repeated"))
    wait(lambda: total(bridges, REPEATS) - before == 3)
    assert len(stack.orders("repeated")) == 1
    assert any(bridge.said("DUPLICATE_SIGNAL", "repeated") for bridge in bridges)


def test_a_dropped_connection_is_counted_and_the_next_signal_trades(stack: Stack, bridges: tuple[Process, ...]) -> None:
    before = [bridge.count("bridge_reconnects_total") for bridge in bridges]
    for client in stack.state.client_list(_type="pubsub"):
        if client["db"] == "0":
            stack.state.client_kill_filter(_id=client["id"])
    wait(lambda: [bridge.count("bridge_reconnects_total") for bridge in bridges] == [count + 1 for count in before])
    listening(stack, 2)
    assert all(bridge.said("bridge_disconnected", "gap_possible") for bridge in bridges)
    trades(stack, "after-the-gap")


def test_nothing_that_anyone_publishes_stops_it(stack: Stack, bridges: tuple[Process, ...]) -> None:
    noise = random.Random(1)  # noqa: S311 - the same nonsense each time
    awkward = [
        b"",
        b"{",
        b"null",
        b"[" * 60_000,
        noise.randbytes(5000),
        noise.randbytes(1 << 20),
        b"{" + b" " * (1 << 20) + b"}",
        b'{"signalId": "x", "signalId": "y"}',
        b'{"signalId": "' + b"9" * 60_000 + b'"}',
        b'{"price": ' + b"9" * 60_000 + b"}",
        json.dumps(message("odd") | {"strategy": "\x00\ud800"}).encode(),
    ]
    before = total(bridges, MALFORMED)
    for channel in (keys.STRATEGY_SIGNALS, keys.SUREBET_SIGNALS):
        for raw in awkward:
            stack.publish(raw, channel)
        pipe = stack.state.pipeline(transaction=False)
        for at in range(1000):
            pipe.publish(channel, f"{channel} nonsense {at}")
        pipe.execute()
    trades(stack, "after-the-noise")
    sent = 2 * (len(awkward) + 1000)
    same = len(awkward)  # on both channels, one record each: told as repeats by whoever has the record
    wait(lambda: sent - same <= total(bridges, MALFORMED) - before <= sent)
    assert not any(bridge.said("Traceback") or bridge.said("message_not_handled") for bridge in bridges)


def test_a_record_of_the_wrong_type_stops_that_signal_only(stack: Stack, bridges: tuple[Process, ...]) -> None:
    stack.state.rpush(keys.seen("poisoned"), "garbage")
    stack.publish(message("poisoned"))
    trades(stack, "after-the-poison")
    wait(lambda: all(bridge.said("signal_lost") for bridge in bridges))
    assert stack.signal("poisoned") is None


def test_a_signal_whose_chain_cannot_be_queued_keeps_its_record(stack: Stack, bridges: tuple[Process, ...]) -> None:
    stack.broker.set("signals", "in the way")  # whoever pushes to it is refused
    stack.publish(message("unqueued"))
    wait(lambda: any(bridge.said("chain_not_queued", "unqueued") for bridge in bridges))
    stack.broker.delete("signals")
    trades(stack, "after-the-queue")
    record = stack.signal("unqueued")
    assert record is not None
    assert record.status is SignalStatus.RECEIVED, "the sweep finds it there"


def stops_at_once(bridge: Process) -> bool:
    """Stop a bridge; tell whether that took a second at most, beside what the machine is behind."""
    busy_s = seconds_of(lambda: subprocess.run([sys.executable, "-c", ""], check=True))
    took_s = seconds_of(lambda: bridge.kill(signal.SIGTERM))
    assert bridge.popen.returncode == 0
    assert bridge.said("bridge_stopped")
    return took_s < 1 + 10 * busy_s


def test_sigterm_stops_one_within_a_second_and_the_other_goes_on(stack: Stack, bridges: tuple[Process, ...]) -> None:
    # A busy machine may be slow once, a bridge that waits for something is slow each time.
    assert stops_at_once(bridges[0]) or any(stops_at_once(stack.bridge()) for _ in range(3))
    trades(stack, "one-is-enough")
    assert stack.publish(message("one-is-enough")) == 1


def test_what_was_sent_to_one_that_stops_is_recorded(stack: Stack, bridges: tuple[Process, ...]) -> None:
    for each in bridges:
        each.popen.terminate()
        each.popen.wait(10)
    listening(stack, 0)
    bridge = stack.bridge()
    listening(stack, 1)
    bridge.popen.send_signal(signal.SIGSTOP)
    names = [f"sent-{at}" for at in range(30)]
    assert [stack.publish(message(name)) for name in names] == [1] * len(names)
    bridge.popen.send_signal(signal.SIGTERM)
    bridge.popen.send_signal(signal.SIGCONT)
    assert bridge.popen.wait(10) == 0
    assert [name for name in names if stack.signal(name) is None] == []
    assert bridge.said("bridge_stopped")
