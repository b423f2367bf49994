"""What the server that the tests run on can do: they pass on Redis 6.2, on 7.0 and on later ones."""

import redis


def redis_version(client: "redis.Redis") -> tuple[int, ...]:
    """Return major and minor; Valkey says which Redis it is like."""
    return tuple(map(int, client.info("server")["redis_version"].split(".")[:2]))


def counts_entries(client: "redis.Redis") -> bool:
    """Tell whether the server counts what was ever added to a stream."""
    return redis_version(client) >= (7, 0)
