"""Everything in Redis that is neither a signal nor an order nor money: controls, limits, locks, signs of life.

Invariants: what people may write is read with suspicion and never overwritten but by the rules of contract section 4;
a lock here saves work and guarantees nothing.
"""

import json
import secrets
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from decimal import Decimal
from typing import Any, Final, cast

from redis import Redis
from redis.exceptions import RedisError

from executor import keys
from executor.adapters.redis.accounts import RedisAccounts, hash_of
from executor.adapters.redis.client import guarded, script, store_errors
from executor.domain.risk import LIMIT_FIELDS
from executor.domain.times import iso

_LOCK_S: Final = 15  # a killed holder must not stop the poll for as long as `executor:reconciled` lasts, 20 s
_MAX_TYPES: Final = 10_000

# Compare-and-delete: only the holder of a lock may free it.
_UNLOCK: Final = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"
# A poll that began before a restart or a FLUSHALL has not seen what was lost in between.
_CONFIRM: Final = """
local run = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
if ARGV[1] ~= run .. ' ' .. (redis.call('GET', KEYS[1]) or '') then return 0 end
redis.call('SET', KEYS[2], ARGV[2], 'EX', ARGV[3])
return 1
"""
_RENEW: Final = (
    "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('EXPIRE', KEYS[1], ARGV[2]) end return 0"
)


class RedisDesk(RedisAccounts):
    """`Desk` on one Redis db; `broker` is the db of the queues."""

    def __init__(self, client: "Redis", broker: "Redis", identity: str, *, lock_s: int = _LOCK_S) -> None:
        super().__init__(client)
        self._broker = broker
        self._identity = identity
        self._lock_s = lock_s
        self._types: dict[str, str] = {}  # of markets; they do not change
        self._first_start = client.register_script(script("first_start"))
        self._trip = client.register_script(script("trip"))

    @guarded
    def claim_identity(self) -> str:
        """Make this db ours if it is nobody's; returns whose it is."""
        self._redis.set(keys.IDENTITY, self._identity, nx=True)
        return self._get(keys.IDENTITY) or ""

    @guarded
    def is_started(self) -> bool:
        """Tell whether the first-start decision has been made."""
        return bool(self._redis.exists(keys.STARTED))

    @guarded
    def first_start(self, *, anything_of_ours: bool) -> bool:
        """Decide once whether this is a first start; on one, enable trading."""
        message = json.dumps({"event": "trading_enabled", "reason": "first start", "identity": self._identity})
        args = ["1" if anything_of_ours else "0", keys.KILL_SWITCH, message]
        return bool(self._first_start(keys=[keys.STARTED, keys.TRADING_ENABLED], args=args))

    @guarded
    def data_mark(self) -> str:
        """Name the data as they are: this run of the server (a restart may lose a second), this filling of the db."""
        self._redis.set(keys.EPOCH, secrets.token_hex(8), nx=True)
        return f"{self._redis.info('server')['run_id']} {self._get(keys.EPOCH)}"

    @guarded
    def confirm_reconciled(self, ttl_s: int, mark: str) -> bool:
        """Say that a complete poll has just ended, unless the data are not those that `mark` named at its start."""
        value = f"{mark} {iso(self._now())}"
        if not self._redis.eval(_CONFIRM, 2, keys.EPOCH, keys.RECONCILED, mark, value, str(ttl_s)):
            return False
        self._redis.set(keys.ACTIVE_COUNT, 0, nx=True)  # documented for people to read, so it is there from the start
        return True

    @guarded
    def set_trading(self, *, enabled: bool, reason: str) -> None:
        """Throw the kill switch, or release it; releasing it also closes the breaker."""
        message = {"event": "trading_enabled" if enabled else "trading_disabled", "reason": reason}
        pipe = self._redis.pipeline(transaction=True)
        pipe.set(keys.TRADING_ENABLED, "true" if enabled else "false")
        if enabled:
            pipe.delete(keys.BREAKER)
            pipe.set(keys.BREAKER_SINCE, f"{self._now() / 1000:.3f}")
        pipe.publish(keys.KILL_SWITCH, json.dumps({**message, "identity": self._identity, "at": iso(self._now())}))
        pipe.execute()

    @guarded
    def apply_limits(self, limits: Mapping[str, Decimal], *, missing_only: bool) -> dict[str, tuple[str | None, str]]:
        """Write limits that differ from the settings last applied, and missing ones; returns field -> (old, new)."""
        wanted = {field: f"{limits[attribute]:f}" for field, attribute in LIMIT_FIELDS.items()}
        applied, held = cast("list[dict[str, str]]", self._hashes(keys.LIMITS_APPLIED, keys.LIMITS))
        changed = {
            field: (held.get(field), value)
            for field, value in wanted.items()
            if field not in held or (not missing_only and applied.get(field) != value)
        }
        if changed:
            pipe = self._redis.pipeline(transaction=True)
            mapping = hash_of({field: new for field, (_, new) in changed.items()})
            pipe.hset(keys.LIMITS, mapping=mapping)
            pipe.hset(keys.LIMITS_APPLIED, mapping=mapping)
            pipe.execute()
        return {field: values for field, values in changed.items() if values[0] != values[1]}

    def _hashes(self, *names: str) -> list[Any]:
        pipe = self._redis.pipeline(transaction=True)
        for name in names:
            pipe.hgetall(name)
        return pipe.execute()

    @guarded
    def full_read_due(self, every_s: int, mark: str) -> bool:
        """Tell whether the last complete read of all orders is older, of other data than `mark` names, or unknown."""
        if not (self._get(keys.FULL_READ) or "").startswith(f"{mark} "):
            return True
        return int(self._redis.ttl(keys.FULL_READ)) < keys.FULL_READ_S - every_s

    @guarded
    def full_read_done(self, mark: str) -> None:
        """Remember that all orders have just been read into the data that `mark` names."""
        self._redis.set(keys.FULL_READ, f"{mark} {iso(self._now())}", ex=keys.FULL_READ_S)

    @guarded
    def unknown_markets(self) -> list[str]:
        """Return markets with orders whose type is not known yet."""
        markets = sorted(cast("set[str]", self._redis.smembers(keys.MARKETS)))
        if not markets:
            return []
        types = cast("list[str | None]", self._redis.hmget(keys.MARKET_TYPES, markets))
        return [market for market, known in zip(markets, types, strict=True) if known is None]

    @guarded
    def save_market_types(self, types: Mapping[str, str]) -> None:
        """Remember markets' types for metric labels."""
        if types:
            self._redis.hset(keys.MARKET_TYPES, mapping=hash_of(types))

    @guarded
    def trip_breaker(self, threshold: int, window_s: int) -> str:
        """Trip the breaker if its condition holds and it is closed; returns why, or nothing."""
        at = iso(self._now())
        message = {"event": "circuit_breaker_tripped", "reason": "found by the watchdog", "at": at}
        names = [keys.BREAKER, keys.BREAKER_SINCE, keys.TRADING_ENABLED, keys.FAILED_ORDERS]
        body = json.dumps({**message, "identity": self._identity})
        count = self._trip(keys=names, args=[str(threshold), str(window_s), body, at, keys.KILL_SWITCH])
        return f"{count} failed order calls within {window_s} s" if count else ""

    @guarded
    def alert(self, event: str, fields: Mapping[str, str]) -> None:
        """Publish an alert on the kill-switch channel."""
        message = {"event": event, **fields, "identity": self._identity, "at": iso(self._now())}
        self._redis.publish(keys.KILL_SWITCH, json.dumps(message))

    @contextmanager
    def single_flight(self, task: str) -> Iterator[bool]:
        """Hold a task's lock, renewed while the task runs; yields False when somebody else holds it."""
        token = secrets.token_hex(8)
        key = keys.task_lock(task)
        with store_errors():
            ours = bool(self._redis.set(key, token, nx=True, ex=self._lock_s))
        if not ours:
            yield False
            return
        done = threading.Event()
        renewing = threading.Thread(target=self._renew, args=(key, token, done), daemon=True)
        renewing.start()
        try:
            yield True
        finally:
            done.set()
            with store_errors():
                self._redis.eval(_UNLOCK, 1, key, token)

    @guarded
    def take_turn(self, task: str, pause_ms: int) -> bool:
        """Tell whether nobody else took this turn within the pause before; takes it if so."""
        return bool(self._redis.set(keys.task_turn(task), "1", nx=True, px=pause_ms))

    def _renew(self, key: str, token: str, done: threading.Event) -> None:
        while not done.wait(self._lock_s / 3):
            with suppress(RedisError):
                self._redis.eval(_RENEW, 1, key, token, str(self._lock_s))

    @guarded
    def queue_length(self, queue: str) -> int:
        """Return how many messages wait in a queue."""
        return int(self._broker.llen(queue))

    @guarded
    def succeeded(self, task: str) -> None:
        """Remember when a periodic task last did its job."""
        self._redis.hset(keys.LAST_SUCCESS, task, f"{self._now() / 1000:.3f}")

    @guarded
    def beat_heart(self, process: str, ttl_s: int) -> None:
        """Say that a process lives."""
        self._redis.set(keys.heartbeat(process), iso(self._now()), ex=ttl_s)

    @guarded
    def market_type(self, market_id: str) -> str:
        """Return a market's type, `unknown` until it has been looked up."""
        known = self._types.get(market_id)
        if known is None:
            known = cast("str | None", self._redis.hget(keys.MARKET_TYPES, market_id))
            if known is not None and len(self._types) < _MAX_TYPES:
                self._types[market_id] = known
        return known or "unknown"
