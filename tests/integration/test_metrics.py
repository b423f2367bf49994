"""Counters are right: summed over a pool's processes, across a restart, and with processes that are replaced."""

from collections.abc import Iterator

import pytest
from support.process_rig import Process, Stack, message, running, wait

from executor import keys
from executor.devstack.redis_server import free_port

_GOOD, _BAD = 18, 6
_POOL = ("-P", "prefork", "-c", "4")


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    limits = {"EXECUTOR_RISK__MAX_EXPOSURE_PER_MARKET": "5000", "EXECUTOR_RISK__MAX_EXPOSURE_PER_SELECTION": "5000"}
    slow = {"EXECUTOR_ORDER_MANAGER__STATUS_CHECK_INTERVAL_SECONDS": "60"}
    with running(tmp_path_factory.mktemp("metrics"), **limits, **slow) as stack:
        stack.bridge()
        yield stack


def trade(stack: Stack, name: str) -> None:
    """Publish good signals and signals over a limit, and wait for the end of each."""
    for at in range(_GOOD):
        stack.publish(message(f"{name}-good-{at}"))
    for at in range(_BAD):
        stack.publish(message(f"{name}-bad-{at}", stake=500))
    for kind, count in (("good", _GOOD), ("bad", _BAD)):
        for at in range(count):
            stack.ended(f"{name}-{kind}-{at}")


def totals(worker: Process) -> dict[str, float]:
    return {
        "placed": worker.count("orders_placed_total"),
        "matched": worker.count("orders_matched_total"),
        "rejected": worker.metrics().get('signals_rejected_total{reason="MAX_STAKE_PER_ORDER"}', 0),
        "violations": worker.metrics().get('risk_violations_total{violation_type="MAX_STAKE_PER_ORDER"}', 0),
        "decisions": worker.count("risk_validation_seconds_count"),
        "latencies": worker.count("order_execution_latency_seconds_count"),
    }


def expected(rounds: int) -> dict[str, float]:
    return {
        "placed": _GOOD * rounds,
        "matched": _GOOD * rounds,
        "rejected": _BAD * rounds,
        "violations": _BAD * rounds,
        "decisions": (_GOOD + _BAD) * rounds,
        "latencies": _GOOD * rounds,
    }


def test_totals_are_right_over_children_restarts_and_recycling(stack: Stack) -> None:
    port = free_port()
    first = stack.worker(*_POOL, port=port)
    trade(stack, "first")
    wait(lambda: totals(first) == expected(1))
    assert first.kill() != 0
    second = stack.worker(*_POOL, "--max-tasks-per-child", "5", port=port)
    assert totals(second) == expected(1), "an instance goes on counting where it was"
    trade(stack, "second")
    wait(lambda: totals(second) == expected(2))
    (bridge,) = stack.processes[:1]
    assert bridge.count("signals_received_total") == 2 * (_GOOD + _BAD)
    assert bridge.count("orders_placed_total") == 0, "counted where it happened, once"


def test_gauges_are_the_same_on_every_instance(stack: Stack) -> None:
    bridge, worker = stack.processes[0], stack.processes[-1]
    shown = [process.metrics() for process in (bridge, worker)]
    for gauge in ("active_orders", "current_exposure", "trading_enabled", "reconciled", "daily_pnl"):
        assert shown[0][gauge] == shown[1][gauge], gauge
    assert shown[0]["current_exposure"] == 10 * 2 * _GOOD
    assert stack.state.hget(keys.risk_exposure("1.5"), "1") == f"{10 * 2 * _GOOD}.00"
