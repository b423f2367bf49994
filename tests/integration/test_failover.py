"""The product's own processes on a Redis behind three sentinels: its master is killed, falls silent, or is cut off.

What the exchange was really asked is read from the sandbox, what became of each signal from its record. How long
nothing was placed is written (`-s` shows it); only that it ends is asserted, as the machine may be busy.
"""

import json
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Final

import pytest
from redis.exceptions import RedisError
from support.running_stack import RunningStack, until
from support.sentinels import Cluster, cluster

from executor import keys, wiring
from executor.adapters.redis.client import connect
from executor.domain.order import order_ids
from executor.domain.signal_record import TERMINAL, SignalStatus
from executor.errors import StoreUnavailable

pytestmark = [pytest.mark.slow, pytest.mark.failover, pytest.mark.timeout(400)]

MARKETS: Final = 20
PACE_S: Final = 0.2
VALID_S: Final = 120
PATIENCE_S: Final = float(os.environ.get("FAILOVER_SECONDS", "90"))
_WIDE: Final = {
    "EXECUTOR_RISK__MAX_EXPOSURE_PER_MARKET": "100000",
    "EXECUTOR_RISK__MAX_EXPOSURE_PER_SELECTION": "100000",
}


@dataclass
class Publisher:
    """Publishes signals as a careful program does: it follows the master and repeats what nobody heard."""

    url: str
    prefix: str
    sent: list[str] = field(default_factory=list)
    refused: int = 0
    _stopping: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join(30)

    def _run(self) -> None:
        with connect(self.url) as client:
            while not self._stopping.wait(PACE_S):
                number = len(self.sent)
                leg = {"selectionId": "1", "recommendedOdds": 3, "stake": 2, "betType": "Back"}
                name = f"{self.prefix}-{number}"
                body = {"signalId": name, "marketId": f"1.{900 + number % MARKETS}", "strategy": "test"}
                text = json.dumps({**body, "primarySelection": leg, "validityWindow": VALID_S})
                while not self._heard(client, text):
                    self.refused += 1
                    if self._stopping.wait(PACE_S):
                        return
                self.sent.append(name)

    def _heard(self, client: Any, text: str) -> bool:
        try:
            return bool(client.publish(keys.STRATEGY_SIGNALS, text))
        except RedisError:
            return False


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Cluster, RunningStack]]:
    folder = tmp_path_factory.mktemp("failover")
    with cluster(folder / "redis") as nodes:
        stack = RunningStack(folder, _WIDE, url=nodes.url())
        try:
            stack.start()
            for number in range(MARKETS):
                runner = {"selectionId": 1, "availableToBack": [[3.0, 1_000_000]], "availableToLay": []}
                stack.sandbox.control("markets", {"marketId": f"1.{900 + number}", "runners": [runner]})
            yield nodes, stack
        finally:
            stack.stop()


def tick(stack: RunningStack) -> bool:
    stack.supervisor.tick()
    return True


def placed(stack: RunningStack, since: float) -> list[float]:
    return sorted(float(call["received_at"]) for call in stack.sandbox.journal("placeOrders", since))


def survive(world: tuple[Cluster, RunningStack], name: str, accident: Callable[[int], None]) -> None:
    """Let an accident befall the master under load; then compare what was published with what the exchange has."""
    nodes, stack = world
    nodes.wait(nodes.master, "a master")
    began = time.time()
    publisher = Publisher(nodes.url(), name)
    try:
        until(lambda: tick(stack) and len(placed(stack, began)) > 10, 60, "nothing is placed")
        master, moment = nodes.master(), time.time()
        accident(master)
        nodes.wait_for_another_master(master)
        until(lambda: tick(stack) and len(placed(stack, time.time() - 1)) > 0, PATIENCE_S, "nothing is placed again")
    finally:
        publisher.stop()
    store = wiring.store(stack.settings)

    def ended() -> bool:
        stack.supervisor.tick()
        try:
            records = [store.signal(one) for one in publisher.sent]
        except StoreUnavailable:
            return False
        return all(record is not None and record.status in TERMINAL for record in records)

    until(ended, PATIENCE_S, "not every signal has ended")
    calls = placed(stack, began)
    gap = max(later - earlier for earlier, later in pairwise(calls))
    first = next((at for at in calls if at > moment + 0.5), 0.0) - moment
    said = f"{name}: {len(publisher.sent)} signals, nothing placed for {gap:.1f} s, next order after {first:.1f} s"
    sys.stdout.write(f"\n{said}, {publisher.refused} heard by nobody\n")
    bets = Counter(str(order["customerOrderRef"]) for order in stack.sandbox.orders())
    mine = {order_ids(one, 1)[0]: one for one in publisher.sent}
    assert [mine[ref] for ref in mine if bets[ref] > 1] == [], "never twice"
    statuses = {one: record for one in publisher.sent if (record := store.signal(one)) is not None}
    missing = {one: (r.status, r.reason) for one, r in statuses.items() if r.status is not SignalStatus.COMPLETED}
    assert missing == {}, "each signal was valid for longer than that lasted"
    assert all(bets[ref] == 1 for ref in mine)


def test_a_master_that_is_killed(world: tuple[Cluster, RunningStack]) -> None:
    nodes, _ = world
    gone: list[int] = []

    def kill(port: int) -> None:
        gone.append(port)
        nodes.kill(port)

    survive(world, "kill", kill)
    nodes.start_node(gone[0])
    nodes.wait(nodes.is_whole, "the old master as a replica")


def test_a_master_that_falls_silent(world: tuple[Cluster, RunningStack]) -> None:
    nodes, _ = world
    silent: list[int] = []

    def freeze(port: int) -> None:
        silent.append(port)
        nodes.freeze(port)

    survive(world, "silent", freeze)
    nodes.thaw(silent[0])
    nodes.wait(nodes.is_whole, "the old master as a replica")


def test_a_master_that_lives_on_cut_off(world: tuple[Cluster, RunningStack]) -> None:
    nodes, _ = world
    lonely: list[int] = []

    def cut(port: int) -> None:
        lonely.append(port)
        nodes.cut_off(port)

    survive(world, "cut", cut)
    nodes.rejoin(lonely[0])
    nodes.wait(nodes.is_whole, "the old master as a replica")


def test_check_names_who_leads_who_follows_and_who_is_silent(world: tuple[Cluster, RunningStack]) -> None:
    nodes, stack = world
    said = stack.executor("check").stdout
    assert f"127.0.0.1:{nodes.master()}" in said
    assert "3 of 3 answer, quorum 2" in said
    first = nodes.sentinels[0]
    nodes.kill(first)
    try:
        said = stack.executor("check").stdout
        assert "2 of 3 answer" in said
        assert str(first) in said
        assert stack.executor("status").returncode == 0, "the first of the list is dead: the next one is asked"
    finally:
        nodes.start_sentinel(first)


def test_a_halt_that_no_replica_has_says_so(world: tuple[Cluster, RunningStack]) -> None:
    nodes, stack = world
    assert stack.executor("halt").returncode == 0
    assert stack.executor("resume").returncode == 0
    master = nodes.master()
    others = [port for port in nodes.nodes if port != master]
    for port in others:
        nodes.freeze(port)
    try:
        done = stack.executor("halt")
        assert done.returncode == 1
        assert "replica" in done.stdout + done.stderr
    finally:
        for port in others:
            nodes.thaw(port)
    assert stack.executor("resume").returncode == 0
