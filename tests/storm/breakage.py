"""Does what the plan says: kills, pauses, Redis and the exchange in trouble, people at the controls.

Invariant: somebody always listens. A bridge is touched only when both have been subscribed and running for a while,
since pub/sub loses what it hands to a listener that dies. Times in seconds since the epoch where they are kept for the
verdict.
"""

import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import redis
import requests

from betfair_sandbox.control.faults import TIMED_KINDS
from executor import keys
from storm.accidents import Accidents
from storm.arena import Arena
from storm.failovers import Failovers
from storm.plan import ALWAYS, FAILOVERS, Event
from storm.processes import Child
from storm.signals import Markets

_CONFIRMED_MS: Final = 300
_SEEN_S: Final = 5.0  # for the phases of the last failover: by now the next order was sent
_CHANNELS: Final = (keys.SUREBET_SIGNALS, keys.STRATEGY_SIGNALS)
_ASK_S: Final = 0.3
_HEARD_S: Final = 3.0  # a busy machine may let a process wait for a second
_RETIRED_S: Final = 3.0  # a retired market is settled when most of what was sent to it has arrived


@dataclass
class Diary:
    """What happened, for the verdict and the table."""

    counts: Counter[str] = field(default_factory=Counter)
    cuts: list[float] = field(default_factory=list)  # Redis killed, which may cost what it wrote last
    failovers: list[float] = field(default_factory=list)  # the master lost, which may cost what it was told last
    cut_bytes: int = 0  # lost with the power
    restarts: list[float] = field(default_factory=list)
    off: list[tuple[float, float]] = field(default_factory=list)  # trading switched off from, until
    limits: list[tuple[float, dict[str, int]]] = field(default_factory=list)
    settled: dict[str, float] = field(default_factory=dict)  # market -> when it was settled or voided
    notes: list[str] = field(default_factory=list)

    def note(self, text: str) -> None:
        self.notes.append(f"{time.time():.2f} {text}")


class Breakage:
    """Carries out events; what takes time is carried on by `tick`."""

    def __init__(self, arena: Arena, markets: Markets) -> None:
        self.diary = Diary(limits=[(time.time(), arena.limits)])
        self._arena = arena
        self._markets = markets
        self._client = arena.client(timeout_s=0.4)
        self._later: list[tuple[float, Callable[[], None]]] = []
        self._accidents = Accidents(arena, self._do_later)
        self.failovers = Failovers(arena, self._do_later, self.diary.failovers.append) if arena.cluster else None
        self._redis_back = 0.0  # monotonic; when a stopped Redis is started again
        self._redis_wakes = 0.0
        self._tripped = False
        self._on_at = 0.0  # monotonic; when somebody who found trading off switches it on
        self._off_since = 0.0
        self._asked_at = 0.0  # monotonic; whether all bridges listen
        self._deaf_at = time.monotonic()  # when that was last not so

    def tick(self) -> None:
        """Do what has become due, and let trading go on after a trip."""
        now = time.monotonic()
        if self._redis_back and now >= self._redis_back:
            self._redis_back = 0.0
            self._arena.redis.start()
        due = [act for at, act in self._later if at <= now]
        self._later = [(at, act) for at, act in self._later if at > now]
        for act in due:
            act()
        if not self._redis_back:
            self._watch_trading()
        if now - self._asked_at > _ASK_S:
            self._asked_at = now
            self._watch_bridges()

    def _do_later(self, after_s: float, act: Callable[[], None]) -> None:
        self._later.append((time.monotonic() + after_s, act))

    def _watch_bridges(self) -> None:
        try:
            listening = not self._redis_wakes and self._all_listen()
        except redis.RedisError:
            listening = False
        if not listening:
            self._deaf_at = time.monotonic()

    def do(self, event: Event) -> bool:
        """Start an event; returns whether it happened: one that cannot happen now does not."""
        name = event.kind.replace(" ", "_")
        failovers = self.failovers
        act = failovers.do if failovers and event.kind in FAILOVERS else getattr(self, f"_{name}")
        try:
            done = act(event)
        except (redis.RedisError, requests.RequestException) as error:
            self.diary.note(f"{event.kind} failed: {error}")
            return False
        if done is not False:
            self.diary.counts[event.kind] += 1
            self.diary.note(f"{event.kind} {event.method} {event.fault} {event.pick:.3f} {event.for_s:.2f}")
        return done is not False

    def missing(self) -> list[str]:
        """Return what a storm must have and this one has not had yet; what this machine does not allow is not asked."""
        if self.failovers:
            return [kind for kind in FAILOVERS if not self.diary.counts[kind]]
        never = {"disk full": self._arena.disk is None, "clock step": not self._arena.clocks}
        return [kind for kind in ALWAYS if not self.diary.counts[kind] and not never.get(kind)]

    @property
    def line(self) -> str:
        """How the line to the exchange is cut."""
        return self._arena.line.what

    @property
    def stepped(self) -> set[str]:
        """The kinds of processes whose clock was stepped."""
        return self._accidents.stepped

    def finish(self) -> None:
        """Bring everything back: the exchange, Redis, paused processes, markets, controls."""
        self._arena.sandbox.disarm()
        self._arena.sandbox.control("odd", seconds=0)
        for child in self._arena.children.values():
            child.resume()
        while self._later or self._redis_back:
            self.tick()
            time.sleep(0.05)
        if self.failovers:
            self._arena.wait(self.failovers.is_whole, "a whole cluster")
            self.failovers.phases.finish(_SEEN_S)
        self._arena.wait(self._enable, "trading could not be enabled")
        for market in list(self._markets.live):
            self._open(market)

    # --- processes ---------------------------------------------------------------------------------------------------

    def _child(self, kind: str, pick: float) -> Child:
        named = [child for name, child in self._arena.children.items() if name.startswith(kind)]
        return named[int(pick * len(named))]

    def _kill_worker(self, event: Event) -> bool:
        return self._child("worker", event.pick).kill()

    def _kill_task(self, event: Event) -> bool:
        return self._child("worker", event.pick).kill_one(event.for_s % 1)

    def _kill_maintenance(self, event: Event) -> bool:
        return self._child("maintenance", event.pick).kill()

    def _kill_beat(self, event: Event) -> bool:
        return self._child("beat", event.pick).kill()

    def _kill_stream(self, event: Event) -> bool:
        return self._child("stream", event.pick).kill()

    def _kill_console(self, event: Event) -> bool:
        return self._child("console", event.pick).kill()

    def _pause_stream(self, event: Event) -> bool:
        return self._child("stream", event.pick).pause(event.for_s + 3)

    def _kill_bridge(self, event: Event) -> bool:
        return self._others_listen() and self._child("bridge", event.pick).kill()

    def _pause_worker(self, event: Event) -> bool:
        return self._child("worker", event.pick).pause(event.for_s + 1)

    def _pause_maintenance(self, event: Event) -> bool:
        return self._child("maintenance", event.pick).pause(event.for_s + 3)

    def _pause_bridge(self, event: Event) -> bool:
        return self._others_listen() and self._child("bridge", event.pick).pause(event.for_s)

    def _others_listen(self) -> bool:
        """Tell whether all bridges have listened for a while: what one of them alone was sent, it has taken."""
        return self._all_listen() and time.monotonic() - self._deaf_at > _HEARD_S

    def _all_listen(self) -> bool:
        bridges = [child for name, child in self._arena.children.items() if name.startswith("bridge")]
        if self._redis_back or not all(child.runs and not child.paused for child in bridges):
            return False
        return all(number >= len(bridges) for _, number in self._client.pubsub_numsub(*_CHANNELS))

    # --- Redis -------------------------------------------------------------------------------------------------------

    def _down(self, event: Event) -> None:
        self._redis_back = time.monotonic() + event.for_s
        self.diary.restarts.append(time.time())
        self._off_since = 0.0

    def _redis_restart(self, event: Event) -> bool:
        if self._redis_back or self._redis_wakes > time.monotonic():
            return False
        self._arena.redis.stop()
        self._down(event)
        return True

    def _redis_kill(self, event: Event) -> bool:
        if self._redis_back:
            return False
        self.diary.cuts.append(time.time())
        self._arena.redis.kill()
        self._down(event)
        return True

    def _redis_power_cut(self, event: Event) -> bool:
        if self._redis_back:
            return False
        self.diary.cuts.append(time.time())
        self.diary.cut_bytes += self._arena.cut_power()
        self._down(event)
        return True

    def _redis_pause(self, event: Event) -> bool:
        pid = self._arena.redis.pid
        if self._redis_back or pid is None:
            return False
        self._redis_wakes = time.monotonic() + event.for_s
        os.kill(pid, signal.SIGSTOP)
        self._later.append((self._redis_wakes, lambda: self._wake(pid)))
        return True

    def _wake(self, pid: int) -> None:
        self._redis_wakes = 0.0
        if self._arena.redis.pid == pid:
            os.kill(pid, signal.SIGCONT)

    def _blip(self, event: Event) -> bool:
        self._deaf_at = time.monotonic()
        kinds = ["normal", "normal", "pubsub"]
        self._client.client_kill_filter(_type=kinds[int(event.pick * len(kinds))], skipme=True)
        return True

    # --- the machine, and odd answers ---------------------------------------------------------------------------------

    def _damage_files(self, event: Event) -> bool:
        return self._accidents.damage_files(event)

    def _disk_full(self, event: Event) -> bool:
        return self._accidents.disk_full(event)

    def _clock_step(self, event: Event) -> bool:
        return self._accidents.clock_step(event)

    def _odd_bet(self, event: Event) -> bool:
        return self._accidents.odd_bet(event)

    def _odd_rows(self, event: Event) -> bool:
        return self._accidents.odd_rows(event)

    def _line_cut(self, event: Event) -> bool:
        return self._accidents.line_cut(event)

    # --- people ------------------------------------------------------------------------------------------------------

    def _switch_off(self, event: Event) -> bool:
        if self._off_since or self._client.get(keys.TRADING_ENABLED) != "true":
            return False
        if not self._set_off():
            return False
        self._off_since = time.time()
        self._later.append((time.monotonic() + event.for_s, self._switch_on))
        return True

    def _set_off(self) -> bool:
        """Switch trading off; behind sentinels it is so when a replica has it, as `executor halt` says."""
        pipe = self._client.pipeline(transaction=False)
        pipe.set(keys.TRADING_ENABLED, "false")
        if not self.failovers:
            return bool(pipe.execute()[0])
        pipe.execute_command("WAIT", 1, _CONFIRMED_MS)  # type: ignore[no-untyped-call]
        return int(pipe.execute()[-1]) > 0

    def _switch_on(self) -> None:
        until = time.time()
        try:
            self._client.set(keys.TRADING_ENABLED, "true")
        except redis.RedisError:
            self._later.append((time.monotonic() + 1, self._switch_on))
            return
        if self._off_since:
            self.diary.off.append((self._off_since, until))
        self._off_since = 0.0

    def _limits(self, event: Event) -> bool:
        factor = (0.4, 0.7, 1.0, 1.0, 1.3)[int(event.pick * 5)]
        wanted = {name: int(value * factor) for name, value in self._arena.limits.items()}
        self.diary.limits.append((time.time(), wanted))
        self._client.hset(keys.LIMITS, mapping={name: str(value) for name, value in wanted.items()})
        return True

    def _enable(self) -> bool:
        return bool(self._client.set(keys.TRADING_ENABLED, "true"))

    def _watch_trading(self) -> None:
        """Let trading go on a second after it stopped: by a trip, or by a Redis that forgot who switched it on."""
        try:
            tripped = bool(self._client.exists(keys.BREAKER))
            stopped = tripped or self._client.get(keys.TRADING_ENABLED) != "true"
        except redis.RedisError:
            return
        if tripped and not self._tripped:
            self.diary.counts["trip"] += 1
            self.diary.note("breaker tripped; resuming in a second")
        self._tripped = tripped
        if not stopped or (self._off_since and not tripped):
            self._on_at = 0.0
        elif not self._on_at:
            self._on_at = time.monotonic() + 1
        elif time.monotonic() >= self._on_at:
            self._on_at = 0.0
            self._switch_on()

    # --- the exchange ------------------------------------------------------------------------------------------------

    def _settle(self, event: Event) -> bool:
        market = self._markets.retire(event.pick)
        winners = [101] if event.for_s < 2 else []
        self._later.append((time.monotonic() + _RETIRED_S, lambda: self._end(market, "settle", winners=winners)))
        return True

    def _void(self, event: Event) -> bool:
        market = self._markets.retire(event.pick)
        self._later.append((time.monotonic() + _RETIRED_S, lambda: self._end(market, "void")))
        return True

    def _end(self, market: str, how: str, **body: Any) -> None:
        self.diary.settled[market] = time.time()
        self._control("markets", marketId=market)  # one that nobody bet on does not exist yet
        self._control(how, marketId=market, **body)

    def _suspend(self, event: Event) -> bool:
        market = self._markets.live[int(event.pick * len(self._markets.live))]
        self._control("markets", marketId=market, status="SUSPENDED")
        self._later.append((time.monotonic() + event.for_s, lambda: self._open(market)))
        return True

    def _open(self, market: str) -> None:
        if market not in self.diary.settled:
            self._control("markets", marketId=market, status="OPEN")

    def _control(self, path: str, **body: Any) -> None:
        try:
            self._arena.sandbox.control(path, **body)
        except (AssertionError, requests.RequestException) as error:
            self.diary.note(f"/sandbox/{path} {body}: {error}")

    def _fault(self, event: Event) -> bool:
        armed = self._arena.sandbox.control("faults")
        if sum(fault["method"] == event.method for fault in armed) >= 4:
            return False  # what waits for calls that do not come must not pile up
        seconds = {"seconds": event.for_s} if event.fault in TIMED_KINDS else {}
        self._control("faults", method=event.method, kind=event.fault, count=event.count, **seconds)
        return True
