"""Workers that live and do nothing: what they should have done in time is not done late, nothing is placed blind."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.engine_rig import strategy_message

from executor import keys
from storm.arena import Arena
from storm.run import wait_until_it_trades

FOREVER_S = 600.0

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


@pytest.fixture
def arena(tmp_path: Path) -> Iterator[Arena]:
    with Arena(tmp_path / "arena", 1) as arena:
        wait_until_it_trades(arena)
        yield arena


class Person:
    """Publishes a signal and looks at what becomes of it."""

    def __init__(self, arena: Arena) -> None:
        self.arena = arena
        self.client = arena.client()

    def says(self, signal_id: str, **message: Any) -> None:
        assert self.client.publish(keys.STRATEGY_SIGNALS, strategy_message(signal_id, **message))

    def sees(self, signal_id: str) -> dict[str, Any]:
        text = self.client.get(keys.signal(signal_id))
        found: dict[str, Any] = json.loads(str(text)) if text else {"status": "none"}
        return found

    def waits(self, signal_id: str, *statuses: str) -> dict[str, Any]:
        self.arena.wait(lambda: self.sees(signal_id)["status"] in statuses, f"{signal_id} {statuses}")
        return self.sees(signal_id)

    def calls(self) -> int:
        return len(self.arena.sandbox.journal("placeOrders"))


def _held(read: Callable[[], bool], seconds: float) -> bool:
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        if not read():
            return False
        time.sleep(0.2)
    return True


def test_order_workers_that_stand_still_place_nothing_late(arena: Arena) -> None:
    person = Person(arena)
    workers = [arena.children[name] for name in ("worker-1", "worker-2")]
    for worker in workers:
        worker.pause(FOREVER_S)
    person.says("late", validityWindow=3)
    assert person.waits("late", "EXPIRED")["reason"] == "SIGNAL_EXPIRED"
    for worker in workers:
        worker.resume()
    person.says("fresh")
    person.waits("fresh", "COMPLETED")
    with arena.client(1) as broker:
        arena.wait(lambda: not any(broker.llen(queue) for queue in ("signals", "orders")), "empty queues")
    assert _held(lambda: person.calls() == 1, 3)
    assert person.sees("late")["status"] == "EXPIRED"


def test_without_polls_nothing_is_placed_and_with_them_it_is_again(arena: Arena) -> None:
    person = Person(arena)
    maintenance = arena.children["maintenance"]
    maintenance.pause(FOREVER_S)
    arena.wait(lambda: not person.client.exists(keys.RECONCILED), "the end of the mark")
    person.says("blind")
    assert person.waits("blind", "REJECTED")["reason"] == "NOT_RECONCILED"
    assert person.calls() == 0
    maintenance.resume()
    arena.wait(lambda: person.client.exists(keys.RECONCILED), "the next poll")
    person.says("seeing")
    person.waits("seeing", "COMPLETED")
    assert person.calls() == 1
