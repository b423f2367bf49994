"""What the order stream's process says of itself in Redis, for status, metrics and check.

Invariant: it is gone soon after the process is; nobody decides by it. Times in milliseconds.
"""

from redis import Redis

from executor import keys
from executor.adapters.redis.adapter import RedisAdapter
from executor.adapters.redis.client import guarded, hash_of

_TTL_S = 30


class RedisStreamStatus(RedisAdapter):
    """The hash of the one process that is connected."""

    def __init__(self, client: "Redis", process: str) -> None:
        super().__init__(client)
        self._process = process

    @guarded
    def connected(self, connection: str, *, behind: bool) -> None:
        """Say that the stream was heard just now."""
        fields = {"process": self._process, "connection": connection, "heard_at": str(self._now())}
        pipe = self._redis.pipeline(transaction=True)
        pipe.hset(keys.ORDER_STREAM, mapping=hash_of({**fields, "behind": str(int(behind))}))
        pipe.expire(keys.ORDER_STREAM, _TTL_S)
        pipe.execute()

    @guarded
    def disconnected(self) -> None:
        """Say that this process hears nothing any more."""
        if self._redis.hget(keys.ORDER_STREAM, "process") == self._process:
            self._redis.delete(keys.ORDER_STREAM)
