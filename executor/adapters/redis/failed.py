"""Chain tasks that failed for good, kept until a person runs them again or drops them.

Invariant: bounded; the oldest go first. Times are ISO 8601 in UTC.
"""

import json
from collections.abc import Mapping
from typing import Final, cast

from redis import Redis

from executor import keys
from executor.adapters.redis.adapter import redis_time
from executor.adapters.redis.client import guarded
from executor.adapters.redis.notices import add_notice
from executor.domain.notice import Kind, Level, Notice
from executor.domain.times import iso

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
        attempts = int(held.get("attempts", "0")) + 1
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
        """Return task id -> what is known of its failure, oldest first."""
        held = cast("dict[str, str]", self._redis.hgetall(keys.FAILED_TASKS))
        read = {task_id: self._read(text) for task_id, text in held.items()}
        return dict(sorted(read.items(), key=lambda item: item[1].get("at", "")))

    @guarded
    def discard(self, task_id: str) -> bool:
        """Drop one; False when it is not there."""
        return bool(self._redis.hdel(keys.FAILED_TASKS, task_id))

    @staticmethod
    def _read(text: str | None) -> dict[str, str]:
        try:
            loaded = json.loads(text) if text else {}
        except (ValueError, RecursionError):
            loaded = {"error": "unreadable entry"}
        return {str(name): str(value) for name, value in loaded.items()} if isinstance(loaded, dict) else {}
