"""Signals that waited for workers: the expired ones are out of the way within one sweep, a fresh one is served."""

from collections.abc import Iterator

import pytest
from support.process_rig import Stack, message, running, wait

from executor import keys
from executor.domain.signal_record import SignalStatus

SLOW_POLL = {"EXECUTOR_ORDER_MANAGER__STATUS_CHECK_INTERVAL_SECONDS": "60"}  # reconciled for four minutes
BACKLOG = 1500


@pytest.fixture
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running(tmp_path_factory.mktemp("backlog"), **SLOW_POLL) as stack:
        yield stack


@pytest.mark.slow
def test_a_fresh_signal_does_not_wait_for_a_backlog_of_expired_ones(stack: Stack) -> None:
    """Two thirds reach the bridge in time and expire in the queue, the others expired in the stream."""
    maintenance = stack.worker("-Q", "maintenance", "-P", "threads")
    late = BACKLOG // 3
    for at in range(late):
        stack.add({**message(f"late-{at}"), "validityWindow": 0.001})
    for at in range(BACKLOG - late):
        stack.add({**message(f"queued-{at}"), "validityWindow": 8})
    bridge = stack.bridge()
    wait(lambda: not stack.state.xlen(keys.SIGNALS))
    assert stack.broker.llen("signals") > 0, "nobody validates yet"
    wait(lambda: all(at < stack.now() for at in (record.deadline for record in stack.signals())))

    def swept() -> bool:
        stack.tick("sweep_signals")
        return maintenance.said("backlog_closed")

    wait(swept)
    wait(lambda: not stack.broker.llen("signals"))
    records = stack.signals()
    assert len(records) == BACKLOG
    assert {record.status for record in records} == {SignalStatus.EXPIRED}
    stack.worker("-Q", "signals,orders,trades")
    stack.add(message("fresh"))
    assert stack.ended("fresh").status is SignalStatus.COMPLETED
    counted = bridge.count("signals_rejected_total") + maintenance.count("signals_rejected_total")
    assert counted == BACKLOG, "each counted once, by who closed it"
