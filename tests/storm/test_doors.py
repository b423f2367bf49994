"""The durable door in a storm of its own: bridges killed every few seconds, all of them down, Redis restarted.

Every signal that XADD has answered ends in exactly one record, and nothing is placed twice; pub/sub runs beside it for
comparison, and loses what nobody heard. `make storm-doors` does it with the 20,000 signals of the promise; SIGNALS sets
another number. Units: seconds.
"""

import json
import os
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, cast

import pytest
import redis
from support.engine_rig import strategy_message

from executor import keys
from executor.domain.signal_record import TERMINAL
from storm.arena import Arena
from storm.run import wait_until_it_trades

SIGNALS: Final = int(os.environ.get("DOOR_SIGNALS", "3000"))
RATE: Final = 100.0  # signals a second through the durable door
BESIDE: Final = 10  # of so many one is published, too
KILL_S: Final = 5.0
DOWN_S: Final = 30.0 if SIGNALS >= 10_000 else 6.0
MARKETS: Final = 100
BRIDGES: Final = ("bridge-1", "bridge-2")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture
def arena(tmp_path: Path) -> Iterator[Arena]:
    with Arena(tmp_path / "arena", 1) as arena:
        wait_until_it_trades(arena)
        yield arena


class Storm:
    """Adds and publishes at a pace, and breaks what is due."""

    def __init__(self, arena: Arena) -> None:
        self.arena = arena
        self.client = arena.client()
        self.random = random.Random(1)  # noqa: S311 - the same storm each time
        self.added: set[str] = set()
        self.heard: set[str] = set()
        self.unheard: set[str] = set()
        self.unsaid: list[str] = []  # nobody knows whether Redis has them
        self.kills = 0

    def run(self, signals: int) -> None:
        began = time.monotonic()
        last_s = signals / RATE
        events = [(KILL_S * number, self.kill) for number in range(1, int(last_s / KILL_S))]
        events += [(last_s * 0.3, self.all_down), (last_s * 0.6, self.restart_redis), (last_s * 0.8, self.all_down)]
        events.sort(key=lambda event: event[0])
        for number in range(signals):
            while time.monotonic() - began < number / RATE:
                self.arena.tick()
                time.sleep(0.005)
            while events and time.monotonic() - began >= events[0][0]:
                events.pop(0)[1]()
            self.say(number)
        while self.unsaid:
            self.arena.tick()
            self.add(self.unsaid.pop())

    def say(self, number: int) -> None:
        self.add(f"durable-{number}")
        if number % BESIDE == 0:
            name = f"published-{number}"
            try:
                heard = self.client.publish(keys.STRATEGY_SIGNALS, self.message(name))
            except redis.RedisError:
                heard = 0
            (self.heard if heard else self.unheard).add(name)

    def message(self, name: str) -> bytes:
        market = f"1.{300_000_000 + self.random.randrange(MARKETS)}"
        return strategy_message(name, marketId=market, stake=2, validityWindow=60)

    def add(self, name: str) -> None:
        try:
            self.client.xadd(keys.SIGNALS, {"kind": "strategy", "payload": self.message(name)})
        except redis.RedisError:  # it may have it all the same: its id makes it safe to say it again
            self.unsaid.append(name)
            time.sleep(0.05)
        else:
            self.added.add(name)

    def kill(self) -> None:
        self.kills += self.arena.children[self.random.choice(BRIDGES)].kill()

    def all_down(self) -> None:
        """Kill every bridge and let none come back for a while."""
        for name in BRIDGES:
            self.kills += self.arena.children[name].keep_down(DOWN_S)

    def restart_redis(self) -> None:
        self.arena.redis.restart()

    def told(self, records: Mapping[str, str]) -> str:
        """Say in one line what came of both doors."""
        durable = Counter(status for name, status in records.items() if name in self.added)
        published = self.heard | self.unheard
        return (
            f"{len(self.added)} added: {dict(durable)}; {self.kills} kills; beside them by pub/sub: "
            f"{len(published)} published once, {len(self.unheard)} heard by nobody, "
            f"{len(published - records.keys())} without a record"
        )


def test_each_signal_that_xadd_answered_ends_in_one_record(arena: Arena, capsys: pytest.CaptureFixture[str]) -> None:
    storm = Storm(arena)
    storm.run(SIGNALS)
    client = arena.client()
    arena.wait(lambda: not client.xlen(keys.SIGNALS) and not client.zcard(keys.SIGNALS_OPEN), "all to end", 300)
    records = {
        str(key).removeprefix(keys.signal("")): _status(client, str(key))
        for key in client.scan_iter(keys.signal("*"), count=5000)
    }
    assert storm.added == {f"durable-{number}" for number in range(SIGNALS)}
    assert storm.added - records.keys() == set(), "no record"
    assert set(records.values()) <= {str(status) for status in TERMINAL}
    ends = Counter(fields["signal_id"] for fields in _feed(client) if fields["type"] == "signal")
    assert {name: count for name, count in ends.items() if count > 1} == {}, "ended twice"
    bets = Counter(bet["customerOrderRef"] for bet in arena.sandbox.get("orders"))
    assert {ref: count for ref, count in bets.items() if count > 1} == {}, "placed twice"
    with capsys.disabled():
        sys.stdout.write(f"\n{storm.told(records)}, {len(bets)} bets\n")


def _status(client: "redis.Redis", key: str) -> str:
    return str(json.loads(str(client.get(key)))["status"])


def _feed(client: "redis.Redis") -> Iterator[dict[str, str]]:
    for _, fields in cast("list[tuple[str, dict[str, Any]]]", client.xrange(keys.TRADES)):
        yield fields
