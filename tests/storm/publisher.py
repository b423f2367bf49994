"""Publishes as a careful upstream program does: what nobody heard is published again; some is said twice on purpose."""

import time
from dataclasses import dataclass, field
from random import Random
from typing import Final

import redis
import requests

from executor import keys
from storm.arena import PUBLISHER, Arena
from storm.signals import Message, Signals, Sort

_REPEATS: Final = 0.12  # share of messages that are said again
_REPEAT_WITHIN_S: Final = 20.0  # a surebet is known by its content for a minute
_AGAIN_S: Final = 0.5
_TRIES: Final = 30
_HTTP_S: Final = 0.6  # who drives the storm waits meanwhile


@dataclass
class Published:
    """One message: when it was first said and when somebody heard it (epoch seconds; 0: nobody, or not known)."""

    message: Message
    first: float
    heard: list[float] = field(default_factory=list)
    added: list[float] = field(default_factory=list)  # those of them when it was kept in Redis before the answer
    maybe: int = 0  # times said without an answer from Redis
    tries: int = 0
    again: float = 0.0  # monotonic; 0: not wanted any more


class Publisher:
    """Says `rate` messages a second."""

    def __init__(self, arena: Arena, signals: Signals, seed: int, rate: float) -> None:
        self._client = arena.client(timeout_s=0.4)
        arena.add_publisher()
        self._http = requests.Session()
        self._http.trust_env = False
        self._http.headers["Authorization"] = f"Bearer {PUBLISHER}"
        self._url = f"{arena.console_url}/api/signals"
        self._signals = signals
        self._rng = Random(f"{seed}/publisher")  # noqa: S311 - a seeded publisher is the point
        self._rate = rate
        self._due = time.monotonic()
        self._silent_until = 0.0
        self.published: list[Published] = []
        self.said = 0
        self.repeats = 0
        self.over_http = 0

    def tick(self) -> None:
        """Say what is due; while Redis is away nothing is said, and it is not asked for each message."""
        now = time.monotonic()
        if now < self._silent_until:
            self._due = max(self._due, now)
            return
        while self._due <= now and now >= self._silent_until:
            self._due += self._rng.expovariate(self._rate)
            if self.published and self._rng.random() < _REPEATS:
                self._repeat()
            else:
                self._say(self._first())
        for message in self.published[-200:]:
            if message.again and message.again <= now and now >= self._silent_until:
                self._say(message)

    def _first(self) -> Published:
        message = Published(self._signals.next(), time.time())
        self.published.append(message)
        return message

    def _repeat(self) -> None:
        recent = [
            message
            for message in self.published[-100:]
            if time.time() - message.first < _REPEAT_WITHIN_S and message.heard
        ]
        if recent:
            self.repeats += 1
            self._say(self._rng.choice(recent))

    def _publish(self, message: Published) -> int:
        listeners = int(self._client.publish(message.message.channel, message.message.payload))
        if not listeners:  # of a master that is none any more its listeners have left: the next connection asks anew
            self._client.connection_pool.disconnect()
        return listeners

    def _add(self, message: Published) -> int:
        kind = "surebet" if message.message.channel == keys.SUREBET_SIGNALS else "strategy"
        self._client.xadd(keys.SIGNALS, {"kind": kind, "payload": message.message.payload})
        return 1

    def _hand_in(self, message: Published) -> int:
        try:
            answer = self._http.post(self._url, data=message.message.payload, timeout=_HTTP_S)
        except requests.RequestException:
            message.maybe += 1
            return 0
        if not answer.ok:
            return 0
        self.over_http += 1
        return 1

    def _say(self, message: Published) -> None:
        self.said += 1
        message.tries += 1
        message.again = time.monotonic() + _AGAIN_S if message.tries < _TRIES else 0.0
        turn = self.said % 3  # each door has its turn; the console answers a malformed one without a record
        if turn == 2 and message.message.sort is Sort.MALFORMED:
            turn = 1
        try:
            listeners = (self._publish, self._add, self._hand_in)[turn](message)
        except redis.RedisError:
            message.maybe += 1
            self._silent_until = time.monotonic() + _AGAIN_S
            return
        if turn and listeners:
            message.added.append(time.time())
        if listeners:
            message.heard.append(time.time())
            message.again = 0.0
