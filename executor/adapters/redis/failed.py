"""What failed for good, kept for a person: chain tasks, and signals of which no order was placed.

Invariants: bounded; the oldest go first; a signal is here as long as its record says so. Times are ISO 8601 in UTC.
"""

import json
from collections.abc import Mapping
from typing import Final, cast

from redis import Redis

from executor import keys
from executor.adapters.redis.adapter import redis_time
from executor.adapters.redis.client import guarded
from executor.adapters.redis.notices import add_notice
from executor.adapters.redis.records import decode_signal
from executor.domain.notice import Kind, Level, Notice
from executor.domain.signal_record import SignalStatus
from executor.domain.times import iso, whole
from executor.errors import StoreUnavailable

_AT_ONCE: Final = 500  # records in one reply
_MOST: Final = 1000  # more than a person will look through


class FailedTasks:
    """The list of failed tasks on one Redis db."""

    def __init__(self, client: "Redis", identity: str = "") -> None:
        self._redis = client
        self._identity = identity

    @guarded
    def keep(self, task_id: str, fields: Mapping[str, str]) -> None:
        """Keep a failure; the same task failing again counts up its attempts."""
        held = self._read(cast("str | None", self._redis.hget(keys.FAILED_TASKS, task_id)))
        now = redis_time(self._redis)
        attempts = whole(held.get("attempts", "0")) + 1
        text = f"{fields.get('task', task_id)} of signal {fields.get('signal_id', '?')}: {fields.get('error', '')}"
        notice = Notice(kind=Kind.FAILED_TASK, level=Level.WARNING, text=text, at=now)
        pipe = self._redis.pipeline(transaction=True)
        failure = {**fields, "at": iso(now), "attempts": str(attempts)}
        pipe.hset(keys.FAILED_TASKS, task_id, json.dumps(failure))
        add_notice(pipe, notice, self._identity)
        pipe.execute()
        if int(self._redis.hlen(keys.FAILED_TASKS)) > _MOST:
            oldest = min(self.all().items(), key=lambda item: item[1].get("at", ""))[0]
            self.discard(oldest)

    @guarded
    def all(self) -> dict[str, dict[str, str]]:
        """Return task or signal id -> what is known of its failure, oldest first."""
        held = cast("dict[str, str]", self._redis.hgetall(keys.FAILED_TASKS))
        read = self._signals() | {task_id: self._read(text) for task_id, text in held.items()}
        return dict(sorted(read.items(), key=lambda item: item[1].get("at", "")))

    @guarded
    def discard(self, task_id: str) -> bool:
        """Drop one; False when it is not there."""
        pipe = self._redis.pipeline(transaction=True)
        pipe.hdel(keys.FAILED_TASKS, task_id)
        pipe.zrem(keys.FAILED_SIGNALS, task_id)
        return any(pipe.execute())

    def _signals(self) -> dict[str, dict[str, str]]:
        ids = cast("list[str]", self._redis.zrange(keys.FAILED_SIGNALS, 0, -1))
        found: dict[str, dict[str, str]] = {}
        for at in range(0, len(ids), _AT_ONCE):
            part = ids[at : at + _AT_ONCE]
            texts = cast("list[str | None]", self._redis.mget([keys.signal(signal_id) for signal_id in part]))
            for signal_id, text in zip(part, texts, strict=True):
                if text and (fields := _refusal(text)):
                    found[signal_id] = fields
        return found

    @staticmethod
    def _read(text: str | None) -> dict[str, str]:
        try:
            loaded = json.loads(text) if text else {}
        except (ValueError, RecursionError):
            loaded = {"error": "unreadable entry"}
        return {str(name): str(value) for name, value in loaded.items()} if isinstance(loaded, dict) else {}


def _refusal(text: str) -> dict[str, str]:
    """Return what is known of a signal that failed; nothing where it did not, or cannot be read."""
    try:
        record = decode_signal(text)
    except StoreUnavailable:
        return {}
    if record.status is not SignalStatus.FAILED:
        return {}
    return {
        "task": "placing its orders",
        "signal_id": record.signal_id,
        "market_id": record.market_id,
        "error": f"{record.reason or 'FAILED'}: {record.detail}".rstrip(": "),
        "at": iso(record.updated_at),
        "attempts": str(record.attempt),
    }
