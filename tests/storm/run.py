"""One storm from beginning to end: start everything, let it rage, let it calm down, judge.

Units: seconds.
"""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import redis
import requests

from executor import keys
from storm import books as reading
from storm.arena import API_TIMEOUT_S, Arena
from storm.breakage import Breakage
from storm.plan import FAILOVERS, Event, make_failover_plan, make_plan
from storm.publisher import Publisher
from storm.signals import Markets, Signals
from storm.table import Result, result
from storm.verdict import Verdict
from storm.witness import disagreements

VISIBILITY_S: Final = 120  # celeryconfig: visibility_timeout at this API timeout
QUIET_S: Final = VISIBILITY_S + API_TIMEOUT_S + 60.0  # contract section 5, issue of recovery: by then everything ends
FOR_GOOD: Final = ("doubles", "repeated", "over limit", "sent while off")  # nothing that happens later mends these
ALONE: Final = "alone"
_TICK_S: Final = 0.03
_PROGRESS_S: Final = 5.0
_LOOK_S: Final = 1.5
_WHOLE_S: Final = 120.0  # a storm as long as this has everything in it
_AGAIN_S: Final = 1.0  # when what could not happen is tried again
_TRIES: Final = 15
_WELL_S: Final = 30.0

Say = Callable[[str], None]


def storm(
    folder: Path, *, seed: int, seconds: float, rate: float, say: Say, force: bool = False, failover: str = ""
) -> Result:
    """Run one storm; everything that was started is stopped when it returns or raises.

    `force`: settlements, which beat asks for once a minute, are asked for more often. `failover`: behind sentinels, the
    master is lost every half minute, among faults of the exchange, or `alone`.
    """
    began = time.monotonic()
    with Arena(folder, seed, sentinels=bool(failover)) as arena:
        wait_until_it_trades(arena)
        say(f"running after {time.monotonic() - began:.1f} s; logs in {folder}")
        markets = Markets(seed)
        publisher = Publisher(arena, Signals(seed, markets), seed, rate)
        breakage = Breakage(arena, markets)
        plan = make_failover_plan(seed, seconds, faults=failover != ALONE) if failover else make_plan(seed, seconds)
        _rage(arena, publisher, breakage, plan, seconds, say)
        say("faults off; waiting until everything is resolved")
        breakage.finish()
        waited = _calm(arena, publisher, breakage, say, force=force)
        books = reading.read(arena)
        verdict = Verdict(books, publisher.published, breakage.diary)
        found = result(seed, seconds / 60, publisher, breakage, books, verdict)
        found.mode = f" FAILOVER={failover}" if failover else ""
        seen, wrong = disagreements(folder / "sandbox", arena.url(), arena.line.beside)
        found.numbers["witness"] = f"{seen} orders read, {len(wrong)} disagreements"
        found.numbers["calm after"] = f"{waited:.0f} s"
        found.violations += [f"witness: {line}" for line in wrong]
        unwell = _unwell(arena)
        found.numbers["unwell"] = len(unwell)
        found.violations += [f"unwell: {line}" for line in unwell]
        missing = breakage.missing() if seconds >= _WHOLE_S else []
        found.violations += [f"it never came to a {kind}, so nothing is known of it" for kind in missing]
        (folder / "diary.txt").write_text("\n".join(breakage.diary.notes) + "\n")
        return found


def _unwell(arena: Arena) -> list[str]:
    """Return of which process no page is well, though there was time for it."""
    ends = time.monotonic() + _WELL_S
    while (found := arena.unwell()) and time.monotonic() < ends:
        arena.tick()
        time.sleep(_LOOK_S)
    return found


def wait_until_it_trades(arena: Arena) -> None:
    """Return when the first poll has enabled trading and both bridges listen."""
    with arena.client() as client:
        arena.wait(lambda: client.get(keys.TRADING_ENABLED) == "true", "the first start")
        arena.wait(lambda: client.exists(keys.RECONCILED), "the first poll")
        channels = (keys.SUREBET_SIGNALS, keys.STRATEGY_SIGNALS)
        arena.wait(lambda: all(count == 2 for _, count in client.pubsub_numsub(*channels)), "the bridges")


def _rage(arena: Arena, publisher: Publisher, breakage: Breakage, plan: list[Event], seconds: float, say: Say) -> None:
    tried: Counter[str] = Counter()
    began = told = time.monotonic()
    while (at := time.monotonic() - began) < seconds:
        arena.tick()
        publisher.tick()
        breakage.tick()
        while plan and plan[0].at_s <= at:
            event = plan.pop(0)
            tried[event.kind] += 1
            again = event.kind in FAILOVERS or (tried[event.kind] < _TRIES and event.kind in breakage.missing())
            if not breakage.do(event) and again:
                plan.append(replace(event, at_s=at + _AGAIN_S))
                plan.sort(key=lambda event: event.at_s)
        if time.monotonic() - told > _PROGRESS_S:
            told = time.monotonic()
            counts = breakage.diary.counts
            kills = sum(number for name, number in counts.items() if name.startswith("kill"))
            say(
                f"{at:4.0f} s: {len(publisher.published)} signals, {kills} kills, {counts['fault']} faults, "
                f"{len(breakage.diary.restarts)} Redis restarts, {counts['trip']} trips"
                + (f", {len(breakage.diary.failovers)} masters lost" if breakage.failovers else "")
            )
        time.sleep(_TICK_S)


def _calm(arena: Arena, publisher: Publisher, breakage: Breakage, say: Say, *, force: bool) -> float:
    """Wait until nothing is open any more; returns how long that took, at most the quiet time."""
    began = told = time.monotonic()
    pending: list[str] = ["everything"]
    while pending and time.monotonic() - began < QUIET_S:
        ends = time.monotonic() + _LOOK_S
        if force:
            arena.nudge("settle_orders")
        while time.monotonic() < ends:
            arena.tick()
            breakage.tick()
            time.sleep(_TICK_S)
        try:
            pending = _pending(reading.read(arena), Verdict, publisher, breakage)
        except (redis.RedisError, requests.RequestException) as error:
            pending = [str(error)]
        if pending and time.monotonic() - told > _PROGRESS_S:
            told = time.monotonic()
            say(f"{time.monotonic() - began:4.0f} s: {len(pending)} open, as {pending[0][:150]}")
    return time.monotonic() - began


def _pending(books: Any, judge: type[Verdict], publisher: Publisher, breakage: Breakage) -> list[str]:
    """Return what may still come right by itself."""
    queued = [f"{count} messages in queue {name}" for name, count in books.queues.items() if count]
    found = judge(books, publisher.published, breakage.diary).violations
    return [*queued, *(line for line in found if not line.startswith(FOR_GOOD))]
