"""What was set aside because it cannot be read: rows of the exchange's answers, records of ours.

Invariants: a thing is new once; it stands until it has not been met for three minutes, by then every list was read
again. Names and problems are bounded, and so is their number. Times in milliseconds.
"""

import json
from collections.abc import Mapping
from typing import Final, cast

from redis import Redis

from executor import keys
from executor.adapters.redis.adapter import RedisAdapter
from executor.adapters.redis.client import guarded, hash_of
from executor.domain.times import iso

STANDS_MS: Final = 180_000  # every list is read at least once a minute
_MOST: Final = 1000  # more is a broken reader or exchange, not odd rows; they are counted all the same
_MAX_TEXT: Final = 200


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
            since = held.get(kept, {}).get("since") or iso(now)
            fields[kept] = json.dumps({"since": since, "seen": now, "problem": problem[:_MAX_TEXT]})
        new = [name for name in things if name[:_MAX_TEXT] not in held]
        if len(held) < _MOST:
            self._redis.hset(keys.SET_ASIDE, mapping=hash_of(fields))
        return new

    @guarded
    def standing(self) -> dict[str, str]:
        """Return what stands: name -> what is wrong with it, and since when."""
        held = self._held(self._now())
        return {name: f"{value['problem']} (since {value['since']})" for name, value in sorted(held.items())}

    def _held(self, now: int) -> dict[str, dict[str, str]]:
        """Return what stands, and forget what does not any more."""
        found: dict[str, dict[str, str]] = {}
        gone: list[str] = []
        for name, text in cast("dict[str, str]", self._redis.hgetall(keys.SET_ASIDE)).items():
            try:
                value = json.loads(text)
                stands = now - int(value["seen"]) < STANDS_MS
                found[name] = {"since": str(value["since"]), "problem": str(value["problem"])}
            except (ValueError, KeyError, TypeError, RecursionError):
                stands = False
            if not stands:
                found.pop(name, None)
                gone.append(name)
        if gone:
            self._redis.hdel(keys.SET_ASIDE, *gone)
        return found
