"""The exchange's dead-man's switch with the product's own processes: killed, hung, halted, stopped.

What the sandbox does is read from the sandbox; what became of an order from its record.
"""

import json
import os
import signal
import time
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, Final

import pytest
from support.running_stack import RunningStack, until

from executor import keys, wiring
from executor.domain.order import Order, OrderStatus
from executor.ports import Alert

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

WAITS_S: Final = 10  # the shortest that the exchange allows
MARKET: Final = "1.777"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    patient = {
        "EXECUTOR_BETFAIR__HEARTBEAT_SECONDS": str(WAITS_S),
        "EXECUTOR_ORDER_MANAGER__UNMATCHED_ORDER_TIMEOUT_SECONDS": "3600",
    }
    running = RunningStack(tmp_path_factory.mktemp("switch"), patient)
    try:
        running.start()
        runner = {"selectionId": 1, "availableToBack": [[2.0, 100]], "availableToLay": []}
        running.sandbox.control("markets", {"marketId": MARKET, "runners": [runner]})
        until(lambda: "heartbeat" in wiring.state(running.settings).read().last_success, 30, "no heartbeat was sent")
        yield running
    finally:
        running.stop()


def order_of(stack: RunningStack, name: str) -> Order | None:
    found = (order for order in wiring.store(stack.settings).recent_orders(100) if order.signal_id == name)
    return next(found, None)


def rest(stack: RunningStack, name: str) -> Order:
    """Have an unmatched order at the exchange."""
    leg = {"selectionId": "1", "recommendedOdds": 10, "stake": 10, "betType": "Back"}
    stack.publish({"signalId": name, "marketId": MARKET, "strategy": "test", "primarySelection": leg})

    def live() -> Order | None:
        order = order_of(stack, name)
        return order if order is not None and order.status is OrderStatus.PENDING else None

    order = until(live, 20, f"{name} is not live")
    assert order is not None
    return order


def cancelled_size(stack: RunningStack, order: Order) -> Decimal:
    row: Any = next(row for row in stack.sandbox.orders() if row["betId"] == order.bet_id)
    return Decimal(row["sizeCancelled"])


def send(stack: RunningStack, number: signal.Signals, *names: str) -> None:
    for name in names:
        if (pid := stack.supervisor.pid(name)) is not None:
            os.killpg(pid, number)


def told_and_recorded(stack: RunningStack, order: Order, since: str) -> None:
    def recorded() -> bool:
        stack.supervisor.tick()
        held = order_of(stack, order.signal_id)
        return held is not None and held.status is OrderStatus.CANCELLED and held.cancel_reason == "EXCHANGE"

    until(recorded, 60, "the order is not recorded as cancelled by the exchange")
    until(lambda: stack.supervisor.tick() or fired(stack) > since, 60, "nobody kept what the exchange did")
    until(lambda: stack.supervisor.tick() or stands(stack), 60, "the alert does not stand")


def fired(stack: RunningStack) -> str:
    return str(stack.redis.hget(keys.SWITCH_FIRED, "at") or "")


def stands(stack: RunningStack) -> bool:
    return bool(stack.redis.hexists(keys.ALERTS, Alert.CANCELLED_BY_EXCHANGE))


def test_halted_with_orders_to_keep_they_stay(stack: RunningStack) -> None:
    order = rest(stack, "kept")
    assert stack.executor("halt").returncode == 0
    time.sleep(2 * WAITS_S)  # nothing happens: as long as would surely make it happen
    assert cancelled_size(stack, order) == 0
    assert stack.executor("resume").returncode == 0
    assert not fired(stack)


def test_worker_and_beat_killed_the_exchange_cancels_and_the_restarted_engine_tells(stack: RunningStack) -> None:
    pubsub = stack.redis.pubsub(ignore_subscribe_messages=True)  # type: ignore[no-untyped-call]
    pubsub.subscribe(keys.KILL_SWITCH, keys.ALERT_UPDATES)
    order = rest(stack, "orphaned")
    send(stack, signal.SIGKILL, "worker", "maintenance", "beat", "stream", "bridge")
    until(lambda: cancelled_size(stack, order) == order.size, 3 * WAITS_S, "the exchange cancels nothing")
    held = order_of(stack, "orphaned")
    assert held is not None
    assert held.status is OrderStatus.PENDING, "nobody is there who could know"
    told_and_recorded(stack, order, "")
    wanted = {
        ("orders_cancelled_by_exchange", "ALL_BETS_CANCELLED"),
        ("alert_started", str(Alert.CANCELLED_BY_EXCHANGE)),
    }
    heard: set[tuple[str, str]] = set()

    def complete() -> bool:
        if (message := pubsub.get_message(timeout=0.1)) is not None:
            event = json.loads(message["data"])
            heard.add((event["event"], event.get("action") or event.get("alert") or ""))
        return wanted <= heard

    until(complete, 20, f"only {heard} was told")
    pubsub.close()


def test_a_hung_worker_is_as_good_as_dead(stack: RunningStack) -> None:
    order, since = rest(stack, "hung"), fired(stack)
    send(stack, signal.SIGSTOP, "maintenance")
    try:
        until(lambda: cancelled_size(stack, order) == order.size, 3 * WAITS_S, "the exchange cancels nothing")
    finally:
        send(stack, signal.SIGCONT, "maintenance")
    told_and_recorded(stack, order, since)


def test_a_clean_stop_keeps_the_orders_over_an_upgrade(stack: RunningStack) -> None:
    order, since = rest(stack, "upgraded"), fired(stack)
    began = time.time()
    for name in ("beat", "maintenance"):  # in the order in which `up`, compose and systemd stop them
        pid = stack.supervisor.pid(name)
        assert pid is not None
        os.kill(pid, signal.SIGTERM)
        until(lambda name=name: stack.supervisor.pid(name) is None, 40, f"{name} does not stop")  # type: ignore[misc]
    sent = [call["params"]["preferredTimeoutSeconds"] for call in stack.sandbox.journal("heartbeat", began)]
    assert sent[-1:] == [0], sent
    time.sleep(2 * WAITS_S)
    assert cancelled_size(stack, order) == 0
    before = [call["received_at"] for call in stack.sandbox.journal("heartbeat", began)]

    def again() -> bool:
        stack.supervisor.tick()
        return len(stack.sandbox.journal("heartbeat", began)) > len(before)

    until(again, 60, "the new ones send no heartbeats")
    time.sleep(WAITS_S)
    assert cancelled_size(stack, order) == 0
    assert fired(stack) == since
