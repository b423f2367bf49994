"""What was set aside because it cannot be read: rows of the exchange's answers, records of ours.

Invariants: a thing is new once; it stands until it has not been met for three minutes, by then every list was read
again. Names and problems are bounded, and so is their number. Times in milliseconds.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, cast

from redis import Redis

from executor import keys
from executor.adapters.redis.adapter import RedisAdapter
from executor.adapters.redis.client import guarded, hash_of
from executor.domain.times import iso

STANDS_MS: Final = 180_000  # every list is read at least once a minute
_MOST: Final = 1000  # more is a broken reader or exchange, not odd rows; they are counted all the same
_MAX_TEXT: Final = 200


def standing(held: Mapping[str, str], now: int) -> dict[str, str]:
    """Return what of a hash of things still stands: name -> what is wrong with it, and since when."""
    found = {name: _read(text) for name, text in held.items()}
    return {
        name: f"{entry.problem} (since {entry.since})"
        for name, entry in sorted(found.items())
        if entry is not None and now - entry.seen < STANDS_MS
    }


@dataclass(frozen=True, slots=True)
class _Entry:
    since: str
    seen: int
    problem: str


def _read(text: str) -> _Entry | None:
    try:
        value = json.loads(text)
        return _Entry(str(value["since"]), int(value["seen"]), str(value["problem"]))
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None


class RedisSetAside(RedisAdapter):
    """`SetAside` on one Redis db."""

    def __init__(self, client: "Redis") -> None:
        super().__init__(client)

    @guarded
    def note(self, things: Mapping[str, str]) -> list[str]:
        """Remember these (name -> what is wrong with it); returns the names that did not stand before."""
        if not things:
            return []
        now = self._now()
        held = self._held(now)
        fields: dict[str, str] = {}
        for name, problem in list(things.items())[:_MOST]:
            kept = name[:_MAX_TEXT]
            since = held[kept].since if kept in held else iso(now)
            fields[kept] = json.dumps({"since": since, "seen": now, "problem": problem[:_MAX_TEXT]})
        new = [name for name in things if name[:_MAX_TEXT] not in held]
        if len(held) < _MOST:
            self._redis.hset(keys.SET_ASIDE, mapping=hash_of(fields))
        return new

    @guarded
    def standing(self) -> dict[str, str]:
        """Return what stands: name -> what is wrong with it, and since when."""
        return standing(cast("dict[str, str]", self._redis.hgetall(keys.SET_ASIDE)), self._now())

    def _held(self, now: int) -> dict[str, _Entry]:
        """Return what stands, and forget what does not any more."""
        held = {name: _read(text) for name, text in cast("dict[str, str]", self._redis.hgetall(keys.SET_ASIDE)).items()}
        found = {name: entry for name, entry in held.items() if entry is not None and now - entry.seen < STANDS_MS}
        if gone := held.keys() - found.keys():
            self._redis.hdel(keys.SET_ASIDE, *gone)
        return found
