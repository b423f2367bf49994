"""What people at the console need of Redis beside the engine's ports: limits by hand, signals by hand, the server.

Limits are written as they are given: who calls has checked them. Versions are (major, minor).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from redis import Redis

from executor import keys
from executor.adapters.redis.client import guarded


@dataclass(frozen=True, slots=True)
class Server:
    """The Redis server, as far as losing nothing depends on it; None or empty where it does not say."""

    version: tuple[int, int]
    eviction: str
    append_only: bool | None


@guarded
def set_limits(client: "Redis", limits: Mapping[str, Decimal]) -> dict[str, str | None]:
    """Write these limits by field, in one step; returns field -> what it was."""
    values: dict[Any, Any] = {field: f"{value:f}" for field, value in limits.items()}
    pipe = client.pipeline(transaction=True)
    pipe.hmget(keys.LIMITS, list(values))
    pipe.hset(keys.LIMITS, mapping=values)
    return dict(zip(values, pipe.execute()[0], strict=True))


@guarded
def publish(client: "Redis", channel: str, message: str) -> int:
    """Publish a message; returns how many listened."""
    return int(client.publish(channel, message))


@guarded
def server(client: "Redis") -> Server:
    """Ask the server about itself."""
    facts: Mapping[str, Any] = client.info("everything")
    found = re.match(r"(\d+)\.(\d+)", str(facts.get("redis_version", "")))
    append_only = facts.get("aof_enabled")
    return Server(
        version=(int(found[1]), int(found[2])) if found else (0, 0),
        eviction=str(facts.get("maxmemory_policy", "")),
        append_only=None if append_only is None else bool(append_only),
    )
