"""Delivered again, killed, cut off, lost: one bet for one order, whatever happens to messages and workers."""

import json
import os
import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest
from support.process_rig import Process, Stack, message, running, wait
from support.running_stack import until
from support.sandbox_client import RunningSandbox

from betfair_sandbox.options import sandbox_env
from executor import keys
from executor.domain.order import Order, OrderStatus
from executor.domain.signal_record import SignalStatus

S = OrderStatus


@pytest.fixture(scope="module")
def market(sandbox_process: RunningSandbox) -> RunningSandbox:
    sandbox_process.control("reset")
    sandbox_process.market("1.5", to_back=[[3.0, 5000]])
    return sandbox_process


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, market: RunningSandbox) -> Iterator[Stack]:
    settings = {**sandbox_env(market.directory), "EXECUTOR_RISK__MAX_EXPOSURE_PER_SELECTION": "500"}
    with running(tmp_path_factory.mktemp("redelivery"), **settings) as stack:
        stack.bridge()
        yield stack


@pytest.fixture(autouse=True)
def _no_worker_is_left(stack: Stack) -> Iterator[None]:
    yield
    for process in stack.processes[1:]:
        if process.popen.poll() is None:
            process.kill()
    stack.redeliver()


def queued(stack: Stack, signal_id: str, queue: str = "signals") -> str:
    """Return a signal's message, waiting until it is in the queue."""
    return wait(lambda: [message for message in stack.waiting(queue) if f"-{signal_id}" in message])[0]


def idle(stack: Stack) -> None:
    """Wait until nothing waits in the chain's queues and no worker holds anything."""
    wait(lambda: not any(map(stack.waiting, ("signals", "orders", "trades"))) and not stack.unacknowledged())


def calls(market: RunningSandbox, order: Order) -> list[Any]:
    """Return the placeOrders calls that named this order."""
    return [call for call in market.journal("placeOrders") if order.order_id in json.dumps(call["params"])]


def one_bet(market: RunningSandbox, order: Order) -> None:
    bets = [bet for bet in market.get("orders") if bet["customerOrderRef"] == order.order_id]
    assert len(bets) == 1
    assert len(calls(market, order)) == 1


def calling(stack: Stack, market: RunningSandbox, signal_id: str) -> Order:
    """Wait until the exchange has a signal's call in hand."""

    def called() -> list[Order]:
        return [order for order in stack.orders(signal_id) if calls(market, order)]

    return wait(called)[0]


def test_a_chain_delivered_three_times_places_one_bet(stack: Stack, market: RunningSandbox) -> None:
    stack.publish(message("thrice"))
    raw = queued(stack, "thrice")
    stack.broker.lpush("signals", raw, raw)
    stack.worker()
    assert stack.ended("thrice").status is SignalStatus.COMPLETED
    idle(stack)
    (order,) = stack.orders("thrice")
    one_bet(market, order)
    assert order.status is S.MATCHED


def test_every_step_delivered_again_later_changes_nothing(stack: Stack, market: RunningSandbox) -> None:
    stack.publish(message("again"))
    risk = queued(stack, "again")
    worker = stack.worker("-Q", "signals")
    place = queued(stack, "again", "orders")
    worker.kill()
    stack.worker()
    stack.ended("again")
    idle(stack)
    before = stack.orders("again")
    stack.broker.lpush("orders", place, place)
    stack.broker.lpush("signals", risk)
    idle(stack)
    assert stack.orders("again") == before
    one_bet(market, before[0])


def test_a_worker_killed_between_two_steps_loses_nothing(stack: Stack, market: RunningSandbox) -> None:
    worker = stack.worker("-Q", "signals")
    stack.publish(message("between"))
    queued(stack, "between", "orders")
    assert stack.orders("between")[0].status is S.RESERVED
    worker.kill()
    stack.worker()
    assert stack.ended("between").status is SignalStatus.COMPLETED
    one_bet(market, stack.orders("between")[0])


def test_a_worker_killed_in_mid_call_leaves_one_bet_that_the_poll_finds(stack: Stack, market: RunningSandbox) -> None:
    worker = stack.worker()
    market.control("faults", method="placeOrders", kind="delay", seconds=2)
    stack.publish(message("killed"))
    order = calling(stack, market, "killed")
    worker.kill()
    (order,) = stack.orders("killed")
    assert (order.status, order.answered_at, order.bet_id) == (S.SUBMITTED, 0, "")
    held = stack.state.hget(keys.risk_exposure("1.5"), "1")
    stack.worker()
    assert "risk-killed" in stack.redeliver()
    idle(stack)
    assert stack.state.hget(keys.risk_exposure("1.5"), "1") == held, "what may be at the exchange is still counted"
    wait(lambda: [bet for bet in market.get("orders") if bet["customerOrderRef"] == order.order_id])
    stack.tick("poll_orders")
    assert stack.ended("killed").status is SignalStatus.COMPLETED
    (order,) = stack.orders("killed")
    assert order.status is S.MATCHED
    one_bet(market, order)


def _polled(stack: Stack, signal_id: str) -> bool:
    """Poll as beat does, again and again; tell whether a signal has been completed."""
    stack.tick("poll_orders")
    time.sleep(0.5)
    record = stack.signal(signal_id)
    return record is not None and record.status is SignalStatus.COMPLETED


def test_a_pools_process_killed_in_mid_call_leaves_one_bet_and_a_working_worker(
    stack: Stack, market: RunningSandbox
) -> None:
    worker = stack.worker("-c", "2")
    market.control("faults", method="placeOrders", kind="delay", seconds=2)
    stack.publish(message("orphan"))
    order = calling(stack, market, "orphan")
    for child in worker.children():
        os.kill(child, signal.SIGKILL)
    wait(lambda: worker.said("task_repeated", "orphan"))  # given to a new process, which leaves the order alone
    assert stack.orders("orphan")[0].status is S.SUBMITTED
    wait(lambda: [bet for bet in market.get("orders") if bet["customerOrderRef"] == order.order_id])
    wait(lambda: _polled(stack, "orphan"))
    stack.publish(message("next"))
    assert stack.ended("next").status is SignalStatus.COMPLETED
    idle(stack)
    one_bet(market, stack.orders("orphan")[0])


@pytest.mark.slow
@pytest.mark.parametrize("after_ms", [10, 14, 18, 22])
def test_a_worker_killed_while_it_starts_leaves_no_process_that_holds_its_port(stack: Stack, after_ms: int) -> None:
    worker = stack.starting_worker("-c", "8")
    ends = time.monotonic() + 60
    while not worker.children():
        assert time.monotonic() < ends
    time.sleep(after_ms / 1000)
    children = worker.children()
    worker.kill()
    wait(lambda: all(map(worker.is_gone, children)))


def exits(worker: Process) -> int:
    return worker.popen.wait(30)


def test_a_worker_whose_connection_is_cut_ends_its_call_and_then_itself(stack: Stack, market: RunningSandbox) -> None:
    worker = stack.worker()
    market.control("faults", method="placeOrders", kind="delay", seconds=2)
    stack.publish(message("cut"))
    calling(stack, market, "cut")
    # Every connection with a command of the queues behind it: the worker's, in all its threads.
    for client in stack.broker.client_list():
        if client["db"] == "1" and client["cmd"] in {"brpop", "publish", "zadd", "hset", "subscribe", "psubscribe"}:
            stack.broker.client_kill_filter(_id=client["id"])
    assert exits(worker) != 0, "for its supervisor to start it anew"
    stack.worker()
    stack.redeliver()
    assert stack.ended("cut").status is SignalStatus.COMPLETED
    idle(stack)
    one_bet(market, stack.orders("cut")[0])


def test_a_worker_asked_to_stop_ends_its_call_first(stack: Stack, market: RunningSandbox) -> None:
    worker = stack.worker()
    market.control("faults", method="placeOrders", kind="delay", seconds=1)
    stack.publish(message("stopped"))
    calling(stack, market, "stopped")
    assert worker.kill(signal.SIGTERM) == 0
    (order,) = stack.orders("stopped")
    assert order.status is S.MATCHED
    assert stack.unacknowledged() == {}
    one_bet(market, order)


def test_what_is_nearest_to_the_exchange_goes_first(stack: Stack) -> None:
    """Orders that wait are sent before more signals are decided on, however long these have waited."""
    worker = stack.worker("-Q", "signals")
    decided, heard = ("first-1", "first-2"), ("then-1", "then-2")
    for name in decided:
        stack.publish(message(name))
        queued(stack, name, "orders")
    worker.kill()
    for name in heard:
        stack.publish(message(name))
        queued(stack, name)
    worker = stack.worker("-c", "1")
    for name in (*decided, *heard):
        stack.ended(name)
    one_by_one = [(event, name) for name in heard for event in ("signal_accepted", "order_placed")]
    expected = [*(("order_placed", name) for name in decided), *one_by_one]

    def steps() -> list[tuple[str, str]]:
        told = [json.loads(line) for line in worker.log.read_text().splitlines() if line.startswith("{")]
        seen = [event for event in told if event["event"] in {"signal_accepted", "order_placed"}]
        return [(event["event"], event["signal_id"]) for event in seen]

    until(lambda: len(steps()) >= len(expected), 20, "the last line is written after the record")
    assert steps() == expected


def grow_old(stack: Stack, signal_id: str) -> None:
    """Let a signal have stood still for longer than the sweep waits."""
    record = json.loads(str(stack.state.get(keys.signal(signal_id))))
    record["updated_at"] -= 10_000
    stack.state.set(keys.signal(signal_id), json.dumps(record))
    stack.state.zadd(keys.SIGNALS_OPEN, {signal_id: record["updated_at"]})


@pytest.mark.parametrize("queue", ["signals", "orders"])
def test_a_message_that_the_queue_lost_is_found_by_the_sweep(stack: Stack, market: RunningSandbox, queue: str) -> None:
    name = f"lost-{queue}"
    if queue == "orders":
        worker = stack.worker("-Q", "signals")
        stack.publish(message(name))
        queued(stack, name, queue)
        worker.kill()
    else:
        stack.publish(message(name))
        queued(stack, name, queue)
    stack.broker.delete(queue)
    stack.worker()
    grow_old(stack, name)
    stack.tick("sweep_signals")
    assert stack.ended(name).status is SignalStatus.COMPLETED
    record = stack.signal(name)
    assert record is not None
    assert record.dispatches == 1
    one_bet(market, stack.orders(name)[0])
