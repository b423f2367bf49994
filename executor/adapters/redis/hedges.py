"""What is remembered of hedges, in Redis. A note that cannot be read counts as none."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

from redis.exceptions import ResponseError

from executor import keys
from executor.adapters.redis.adapter import RedisAdapter
from executor.adapters.redis.audit import append
from executor.adapters.redis.client import guarded
from executor.ports import HedgeNote

if TYPE_CHECKING:
    from redis import Redis


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
        text = json.dumps({"attempt": note.attempt, "said": note.said, "waits": note.waits, "at": note.at})
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
        return HedgeNote(int(held["attempt"]), str(held["said"]), held["waits"] is True, int(held["at"]))
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None
