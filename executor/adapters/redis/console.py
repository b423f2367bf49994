"""What people at the console need of Redis beside the engine's ports: limits by hand, signals by hand, the server.

Limits are written as they are given: who calls has checked them. Versions are (major, minor).
"""

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, cast

from redis import Redis
from redis.exceptions import NoPermissionError

from executor import keys
from executor.adapters.redis.adapter import redis_time
from executor.adapters.redis.client import guarded, script
from executor.adapters.redis.notices import MOST
from executor.domain.notice import Kind, Level, Notice, notice_fields
from executor.domain.risk import LIMIT_FIELDS


@dataclass(frozen=True, slots=True)
class Server:
    """The Redis server, as far as losing nothing depends on it; None or empty where it does not say."""

    version: tuple[int, int]
    eviction: str
    append_only: bool | None


@guarded
def limits_held(client: "Redis") -> dict[str, str]:
    """Return the limits as they are written, whatever that is."""
    held = cast("dict[str, str]", client.hgetall(keys.LIMITS))
    return {field: held[field] for field in LIMIT_FIELDS if field in held}


@guarded
def set_limits(
    client: "Redis", limits: Mapping[str, Decimal], seen: Mapping[str, str] | None, who: str, identity: str
) -> dict[str, str | None] | None:
    """Write these limits by field, in one step; returns field -> what it was, or None when `seen` stands no more.

    `seen` is what the caller decided on, as `limits_held` gave it: with it nobody's change is overwritten unseen.
    """
    values = {field: f"{value:f}" for field, value in limits.items()}
    expected = {field: seen.get(field, "") for field in LIMIT_FIELDS} if seen is not None else {}
    notice = Notice(kind=Kind.LIMITS, level=Level.WARNING, text=f"changed by {who}", at=redis_time(client))
    told = json.dumps(notice_fields(notice, identity))
    args = [str(MOST), told, str(len(expected)), *_flat(expected), *_flat(values)]
    # A repeat after a lost reply would find the new values where the old ones were expected, and say so: no harm.
    old = client.register_script(script("limits", needs=["notice"]))(keys=[keys.LIMITS, keys.NOTICES], args=args)
    return {field: text or None for field, text in zip(values, old, strict=True)} if isinstance(old, list) else None


def _flat(values: Mapping[str, str]) -> list[str]:
    return [text for pair in values.items() for text in pair]


@guarded
def publish(client: "Redis", channel: str, message: str) -> int:
    """Publish a message; returns how many listened."""
    return int(client.publish(channel, message))


@guarded
def add_signal(client: "Redis", kind: str, message: str) -> str:
    """Add a message to the durable door; returns the id under which it is kept there."""
    return str(client.xadd(keys.SIGNALS, {"kind": kind, "payload": message}))


@guarded
def seen(client: "Redis", dedup_id: str) -> bool:
    """Tell whether a signal of this id has been met before; not where this user may not look."""
    with suppress(NoPermissionError):
        return bool(client.exists(keys.seen(dedup_id)))
    return False


@guarded
def write_probe(client: "Redis") -> None:
    """Write a key that passes by itself, where this user may; raises what Redis says of writes."""
    with suppress(NoPermissionError):
        client.set(keys.PROBE, "1", ex=10)


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


@guarded
def standing_alerts(client: "Redis") -> list[tuple[str, dict[str, str]]]:
    """Return the watchdog's alerts that stand, each with since when and what it means."""
    held = cast("dict[str, str]", client.hgetall(keys.ALERTS))
    found: list[tuple[str, dict[str, str]]] = []
    for alert, text in held.items():
        try:
            loaded = json.loads(text)
        except (ValueError, RecursionError):
            loaded = {}
        fields = {str(name): str(value) for name, value in loaded.items()} if isinstance(loaded, dict) else {}
        found.append((alert, fields))
    return found
