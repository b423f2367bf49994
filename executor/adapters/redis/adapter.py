"""What every adapter on Redis does alike: one value, and Redis's own time."""

from typing import cast

from redis import Redis


def redis_time(client: "Redis") -> int:
    """Return Redis TIME in ms, the engine's clock."""
    seconds, micros = client.time()
    return int(seconds) * 1000 + int(micros) // 1000


class RedisAdapter:
    """A client, and the two reads that most need."""

    def __init__(self, client: "Redis") -> None:
        self._redis = client

    def _get(self, key: str) -> str | None:
        return cast("str | None", self._redis.get(key))

    def _now(self) -> int:
        """Return Redis TIME in ms."""
        return redis_time(self._redis)
