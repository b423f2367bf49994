"""`executor stream` as processes beside the product's own: what it alone records, who covers it, what is shown."""

import json
import os
import re
import signal
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

import pytest
from support.running_stack import RunningStack, until

from executor import keys, wiring
from executor.devstack.redis_server import free_port
from executor.devstack.stack import STREAM_PORT, Stack, replaced
from executor.domain.order import OrderStatus

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

MARKET: Final = "1.888"
SECOND: Final = "stream-2"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    patient = {"EXECUTOR_ORDER_MANAGER__UNMATCHED_ORDER_TIMEOUT_SECONDS": "3600"}
    running = RunningStack(tmp_path_factory.mktemp("streams"), patient)
    try:
        running.start()
        until(lambda: running.redis.exists(keys.ORDER_STREAM), 30, "nobody is connected")
        programs = Stack(running.environ, running.folder, running.ports).trading()
        first = next(program for program in programs if program.name == "stream")
        port = {STREAM_PORT: str(free_port())}
        running.supervisor.start(replace(first, name=SECOND, environment=replaced(first.environment, port)))
        yield running
    finally:
        running.stop()


def quote(stack: RunningStack, size: float) -> None:
    """Have somebody lay this much at 10."""
    offer = {"marketId": MARKET, "selectionId": 1, "availableToBack": [[10, size]], "availableToLay": []}
    stack.sandbox.control("prices", offer)


def status_of(stack: RunningStack, name: str) -> OrderStatus | None:
    orders = wiring.store(stack.settings).recent_orders(100)
    return next((order.status for order in orders if order.signal_id == name), None)


def rest(stack: RunningStack, name: str) -> None:
    leg = {"selectionId": "1", "recommendedOdds": 10, "stake": 10, "betType": "Back"}
    stack.publish({"signalId": name, "marketId": MARKET, "strategy": "test", "primarySelection": leg})
    until(lambda: status_of(stack, name) is OrderStatus.PENDING, 20, f"{name} is not live")


def test_it_records_fills_while_nothing_polls_and_another_takes_over(stack: RunningStack) -> None:
    runner = {"selectionId": 1, "availableToBack": [[2.0, 100]], "availableToLay": []}
    stack.sandbox.control("markets", {"marketId": MARKET, "runners": [runner]})
    assert stack.executor("check").stdout.count("stream") >= 1
    shown = json.loads(stack.executor("status", "--json").stdout)["stream"]
    assert shown["connected"] is True
    assert shown["heard_s_ago"] < 10
    assert re.search(r"order stream +connected, last heard", stack.executor("status").stdout)
    assert "executor_stream_connected 1.0" in stack.scrape(stack.ports.stream)

    for name in ("first", "second"):
        rest(stack, name)
    maintenance, connected = stack.supervisor.pid("maintenance"), stack.supervisor.pid("stream")
    assert maintenance is not None
    assert connected is not None
    os.killpg(maintenance, signal.SIGSTOP)  # no poll from here on but after a connection
    try:
        quote(stack, 10)
        until(lambda: status_of(stack, "first") is OrderStatus.MATCHED, 10, "the stream recorded nothing")
        owner = stack.redis.hget(keys.ORDER_STREAM, "process")
        os.killpg(connected, signal.SIGKILL)
        until(lambda: stack.redis.hget(keys.ORDER_STREAM, "process") not in {owner, None}, 40, "nobody takes over")
        quote(stack, 10)
        until(lambda: status_of(stack, "second") is OrderStatus.MATCHED, 10, "the second stream recorded nothing")
    finally:
        os.killpg(maintenance, signal.SIGCONT)


def test_with_none_everything_works_at_the_polls_pace_and_check_says_so(stack: RunningStack) -> None:
    rest(stack, "third")
    for name in ("stream", SECOND):
        if (pid := stack.supervisor.pid(name)) is not None:
            os.killpg(pid, signal.SIGKILL)
    quote(stack, 10)
    until(lambda: status_of(stack, "third") is OrderStatus.MATCHED, 20, "the poll recorded nothing")
    until(lambda: not stack.redis.exists(keys.ORDER_STREAM), 40, "a dead process is shown as connected")
    assert "fills are learned of by the poll" in stack.executor("check").stdout
