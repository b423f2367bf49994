"""Locks, cool-downs and signs of life in Redis.

Invariant: a lock saves work and guarantees nothing.
"""

import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from decimal import Decimal
from typing import Final, cast

from redis import Redis
from redis.exceptions import RedisError, ResponseError

from executor import keys
from executor.adapters.redis.adapter import RedisAdapter
from executor.adapters.redis.client import guarded, script, store_errors
from executor.domain.times import iso
from executor.ports import Hold

_LOCK_S: Final = 15  # a killed holder must not stop the poll for as long as `executor:reconciled` lasts, 20 s
_DROPPED_AT_ONCE: Final = 500  # messages; Redis does nothing else meanwhile, for 5 ms


class _Held(Hold):
    """A lock of ours, and the value that says so."""

    def __init__(self, value: str) -> None:
        super().__init__(ours=True)
        self.value = value


class RedisLocks(RedisAdapter):
    """`Locks` on one Redis db."""

    def __init__(self, client: "Redis", broker: "Redis", *, lock_s: int = _LOCK_S) -> None:
        super().__init__(client)
        self._broker = broker  # the db of the queues
        self._lock_s = lock_s
        self._lock = client.register_script(script("lock"))
        self._unlock = client.register_script(script("unlock"))
        self._drop_expired = broker.register_script(script("drop_expired"))
        self._renew_lock = client.register_script(script("renew_lock"))

    @contextmanager
    def single_flight(self, task: str) -> Iterator[Hold]:
        """Hold a task's lock, renewed while the task runs; what it yields is false when somebody else holds it."""
        token = secrets.token_hex(8)
        key = keys.task_lock(task)
        with store_errors():
            value = self._take(key, token)
        if not value:
            yield Hold(ours=False)
            return
        held, done = _Held(value), threading.Event()
        renewing = threading.Thread(target=self._renew, args=(key, token, held, done), daemon=True)
        renewing.start()
        try:
            yield held
        finally:
            done.set()
            with store_errors():
                self._unlock(keys=[key], args=[held.value])

    def _take(self, key: str, token: str) -> str:
        return cast("str | None", self._lock(keys=[key], args=[token, self._lock_s])) or ""

    @guarded
    def acquire_cooldown(self, task: str, pause_ms: int) -> bool:
        """Tell whether a task was not done within the pause before, and take its pause from now on if so."""
        return bool(self._redis.set(keys.task_cooldown(task), "1", nx=True, px=pause_ms))

    @guarded
    def succeeded(self, task: str) -> None:
        """Remember when a periodic task last did its job."""
        self._redis.hset(keys.LAST_SUCCESS, task, f"{self._now() / 1000:.3f}")

    @guarded
    def last_success(self, task: str) -> int:
        """Return when a periodic task last did its job, milliseconds since the epoch; 0 where nobody knows."""
        try:
            text = cast("str | None", self._redis.hget(keys.LAST_SUCCESS, task))
            return int(Decimal(text or "0") * 1000)
        except (ResponseError, ArithmeticError, ValueError):  # somebody put something else there
            return 0

    @guarded
    def queue_length(self, queue: str) -> int:
        """Return how many messages wait in a queue."""
        return int(self._broker.llen(queue))

    @guarded
    def drop_expired(self, queue: str, now: int) -> int:
        """Take messages whose deadline has passed off a queue, a part at a time; returns how many."""
        dropped = kept = 0
        while True:
            looked, stay = cast("list[int]", self._drop_expired(keys=[queue], args=[now, kept, _DROPPED_AT_ONCE]))
            dropped, kept = dropped + looked - stay, kept + stay
            if looked < _DROPPED_AT_ONCE:
                return dropped

    @guarded
    def send_heartbeat(self, process: str, ttl_s: int) -> None:
        """Say that a process lives."""
        self._redis.set(keys.heartbeat(process), iso(self._now()), ex=ttl_s)

    def _renew(self, key: str, token: str, held: "_Held", done: threading.Event) -> None:
        """Keep the lock; where it is gone, after an outage or a failover, take it anew, unless somebody else has."""
        while not done.wait(self._lock_s / 3):
            with suppress(RedisError):
                if not self._renew_lock(keys=[key], args=[held.value, self._lock_s]):
                    value = self._take(key, token)
                    held.value, held.lost = value or held.value, not value
