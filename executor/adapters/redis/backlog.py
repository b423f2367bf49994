"""`Backlog` on Redis: how many signals were ever recorded, and how many wait in their queue."""

from typing import cast

from redis import Redis

from executor import keys
from executor.adapters.redis.adapter import RedisAdapter
from executor.adapters.redis.client import guarded
from executor.domain.times import whole
from executor.ports import Load


class RedisBacklog(RedisAdapter):
    """The queue `queue` of the broker's db, beside the count that `record.lua` keeps."""

    def __init__(self, client: "Redis", broker: "Redis", queue: str) -> None:
        super().__init__(client)
        self._broker = broker
        self._queue = queue

    @guarded
    def look(self) -> Load:
        """Take one look."""
        waiting = int(self._broker.llen(self._queue))
        recorded = cast("str | None", self._redis.get(keys.SIGNALS_RECORDED))
        return Load(self._now(), whole(recorded or ""), waiting)
