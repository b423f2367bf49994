"""Damaged files and a full disk cost a figure or a wait, never a process, a page or an order."""

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from support.process_rig import Process, Stack, make_stack, message, running, wait
from support.small_disk import NoSmallDiskError, SmallDisk

from executor import keys
from executor.devstack.redis_server import PrivateRedis, free_port
from executor.domain.signal_record import SignalStatus
from executor.ports import Alert

_DEAD: Final = "999999999"


def _placed(worker: Process) -> float:
    return worker.count("orders_placed_total")


def test_damaged_counter_files_and_junk_in_redis_cost_a_figure_and_no_process(tmp_path: Path) -> None:
    with running(tmp_path) as stack:
        ports = [free_port(), free_port()]
        for port in ports:
            folder = tmp_path / "data" / "metrics" / f"{socket.gethostname()}-{port}"
            folder.mkdir(parents=True)
            for name, content in (("counter", b""), ("histogram", b"garbage" * 999)):
                (folder / f"{name}_{_DEAD}.db").write_bytes(content)
                (folder / f"{name}_{_DEAD}1.db").write_bytes(b"\0")
        worker = stack.worker(port=ports[0])
        for process in (worker, stack.bridge(ports[1])):
            text = process.log.read_text()
            assert text.count("counts_damaged") == 4, text
        stack.tick("poll_orders")
        stack.wait_until_reconciled()
        stack.publish(message("one"))
        stack.ended("one")
        wait(lambda: _placed(worker) == 1)
        # While they run: a dead process's file, and keys that the page reads.
        folder = tmp_path / "data" / "metrics" / f"{socket.gethostname()}-{ports[0]}"
        (folder / f"counter_{_DEAD}2.db").write_bytes(b"garbage")
        for key in _READ_BY_THE_PAGE:
            stack.state.delete(key)
        stack.state.hset(keys.ACCOUNT, mapping={"balance": "NaN", "available": "1e9999999", "difference": "many"})
        page = worker.metrics()
        assert page['orders_placed_total{market_type="unknown",side="BACK"}'] == 1
        assert "account_balance" not in page
        assert page["active_orders"] == 0
        for key in _READ_BY_THE_PAGE:
            stack.state.delete(key)
            stack.state.set(key, "junk")
            assert _placed(worker) == 1, key
            stack.state.delete(key)
            stack.state.hset(key, mapping={"junk": "é\u2028", "": "1e400", "balance": "{}"})
            assert _placed(worker) == 1, key
            stack.state.delete(key)
            stack.state.zadd(key, {"junk": 1e300})
            assert _placed(worker) == 1, key
            stack.state.delete(key)


_READ_BY_THE_PAGE: Final = (
    keys.ACCOUNT,
    keys.ALERTS,
    keys.BREAKER,
    keys.BREAKER_SINCE,
    keys.FAILED_ORDERS,
    keys.FAILED_TASKS,
    keys.LAST_SUCCESS,
    keys.LIMITS,
    keys.MARKETS,
    keys.MARKET_TYPES,
    keys.ORDERS_UNSETTLED,
    keys.PNL_TOTAL,
    keys.RECONCILED,
    keys.SIGNALS_OPEN,
    keys.STORAGE,
    keys.TRADES,
    keys.TRADING_ENABLED,
)


@pytest.fixture
def small(tmp_path: Path) -> Iterator[tuple[Stack, SmallDisk]]:
    """Return a stack whose data folder is a disk of eight megabytes."""
    try:
        disk = SmallDisk(tmp_path / "data", "8m")
    except NoSmallDiskError as error:
        pytest.skip(str(error))
    with PrivateRedis(tmp_path / "redis", append_only=False) as server:
        stack = make_stack(tmp_path, server)
        stack.prefix = disk.enter(tmp_path)
        try:
            yield stack, disk
        finally:
            stack.stop()
            disk.close()


def _reconcile(stack: Stack) -> bool:
    stack.tick("poll_orders")
    return bool(stack.state.exists(keys.RECONCILED))


@pytest.mark.slow
def test_a_full_disk_stops_new_orders_and_they_go_on_by_themselves(small: tuple[Stack, SmallDisk]) -> None:
    stack, disk = small
    worker, bridge = stack.worker("-c", "4"), stack.bridge()
    wait(lambda: _reconcile(stack))
    stack.publish(message("before"))
    assert stack.ended("before").status is SignalStatus.COMPLETED
    children = worker.children()
    disk.fill()
    wait(lambda: stack.state.hlen(keys.STORAGE))
    for at in range(20):
        stack.publish(message(f"during-{at}"))
    for at in range(20):
        assert stack.ended(f"during-{at}").status is not SignalStatus.COMPLETED
    stack.tick("poll_orders", "watchdog", "write_ledger")
    wait(lambda: stack.state.hexists(keys.ALERTS, Alert.DISK_FULL))
    assert not stack.state.exists(keys.RECONCILED)
    assert worker.children() == children
    assert worker.log.read_text().count('"disk_full"') == 1 + worker.log.read_text().count('"alert": "disk_full"')
    assert worker.metrics()['alert{alert="disk_full"}'] == 1
    # A restart beside it.
    worker.kill()
    bridge.kill()
    worker, bridge = stack.worker("-c", "4"), stack.bridge()
    assert worker.said("disk_full")
    assert not stack.state.exists(keys.RECONCILED)
    stack.publish(message("still"))
    assert stack.ended("still").status is not SignalStatus.COMPLETED
    assert worker.metrics()["trading_enabled"] == 1
    disk.empty()
    wait(lambda: _reconcile(stack))
    stack.publish(message("after"))
    assert stack.ended("after").status is SignalStatus.COMPLETED
    wait(lambda: _placed(worker) == 1)
    stack.tick("watchdog")
    wait(lambda: not stack.state.hexists(keys.ALERTS, Alert.DISK_FULL))
