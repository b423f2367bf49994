"""What is remembered of hedges, in Redis. A note that cannot be read counts as none."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Final, cast

from redis.exceptions import ResponseError

from executor import keys
from executor.adapters.redis.adapter import RedisAdapter
from executor.adapters.redis.audit import append
from executor.adapters.redis.client import guarded
from executor.ports import HedgeNote

if TYPE_CHECKING:
    from redis import Redis

_MOST_ATTEMPTS: Final = 10**6  # one a tick for a year
_LATEST: Final = 10**14  # ms: more is no moment of ours


class RedisHedges(RedisAdapter):
    """`Hedges` on one Redis db."""

    def __init__(self, client: "Redis", identity: str) -> None:
        super().__init__(client)
        self._identity = identity

    @guarded
    def notes(self) -> Mapping[str, HedgeNote]:
        """Return position -> the last look at it."""
        try:
            held = cast("dict[str, str]", self._redis.hgetall(keys.HEDGES))
        except ResponseError:  # somebody put something else there
            self._redis.delete(keys.HEDGES)
            return {}
        return {position: note for position, text in held.items() if (note := _decode(text)) is not None}

    @guarded
    def note(self, position: str, note: HedgeNote) -> None:
        """Remember a look at a position."""
        text = json.dumps(asdict(note))
        self._redis.hset(keys.HEDGES, position, text)

    @guarded
    def forget(self, position: str) -> None:
        """Forget a position that is closed: its attempts begin anew."""
        self._redis.hdel(keys.HEDGES, position)

    @guarded
    def explain(self, position: str, signal_id: str, said: str) -> None:
        """Put what is done about a position, and why, on its way to the ledger."""
        act = {"who": "hedge", "via": "beat", "action": "hedge", "target": position}
        append(self._redis, self._identity, act | {"after": signal_id, "outcome": said})


def _decode(text: str) -> HedgeNote | None:
    try:
        held = json.loads(text)
        attempt, at = int(held["attempt"]), int(held["at"])
        sound = 0 <= attempt < _MOST_ATTEMPTS and 0 <= at < _LATEST
        said, done = str(held["said"]), str(held.get("done", ""))
        return HedgeNote(attempt, said, held["waits"] is True, at, done) if sound else None
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None
