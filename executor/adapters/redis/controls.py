"""The switch, the limits, the breaker and the reconciled mark in Redis.

Invariant: what people may write is read with suspicion and never overwritten but by the rules of contract section 4.
"""

import json
import secrets
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final, cast

from redis import Redis
from redis.exceptions import ResponseError

from executor import keys
from executor.adapters.redis.adapter import RedisAdapter
from executor.adapters.redis.client import guarded, hash_of, run_of, script
from executor.adapters.redis.notices import MOST, add_notice, notice_args
from executor.adapters.redis.topology import has_replicas, run_durably
from executor.domain.notice import BREAKER_KEY, Kind, Level, Notice
from executor.domain.risk import LIMIT_FIELDS
from executor.domain.times import iso, whole

_TOLD_ELSEWHERE: Final = frozenset({"limits_changed"})  # in the script that changes them
_CRITICAL: Final = frozenset({"orders_cancelled_by_exchange"})
_SWITCH_MS: Final = 2000  # how long a person waits to hear that a replica has it
_WAITING_S: Final = 60  # several times as long as a signal waits for a poll
_LONGEST_REASON: Final = 500  # characters that `status` has to show
_MOST_STOPPED: Final = 2000  # markets; Lua unpacks no more than some thousand texts


class RedisControls(RedisAdapter):
    """`Controls` on one Redis db."""

    def __init__(self, client: "Redis", identity: str) -> None:
        super().__init__(client)
        self._identity = identity
        self._first_start = client.register_script(script("first_start"))
        self._confirm = client.register_script(script("confirm_reconciled"))
        self._trip = client.register_script(script("trip", needs=["failures_from", "notice"]))
        self._switch = client.register_script(script("switch", needs=["notice"]))

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
    def data_generation(self) -> str:
        """Name the data as they are: this run of the master (a restart or failover may lose a second), this filling."""
        self._redis.set(keys.DATA_GENERATION, secrets.token_hex(8), nx=True)
        return f"{run_of(self._redis)} {self._get(keys.DATA_GENERATION)}"

    @guarded
    def confirm_reconciled(self, ttl_s: int, mark: str, stopped: Mapping[str, str]) -> bool:
        """Say that a complete poll has just ended, unless the data are not those that `mark` named at its start."""
        value = f"{mark} {iso(self._now())}"
        names = [keys.DATA_GENERATION, keys.RECONCILED, keys.MARKETS_STOPPED]
        why = [text for pair in list(stopped.items())[:_MOST_STOPPED] for text in pair]
        if not self._confirm(keys=names, args=[mark, value, ttl_s, *why]):
            return False
        self._redis.set(keys.ACTIVE_COUNT, 0, nx=True)  # documented for people to read, so it is there from the start
        return True

    @guarded
    def waiting_since(self, signal_id: str) -> int:
        """Return since when a signal waits for orders to be reconciled: since the first time that this was asked."""
        key = keys.waiting(signal_id)
        self._redis.set(key, self._now(), nx=True, ex=_WAITING_S)
        held = self._get(key) or ""
        return whole(held)

    @guarded
    def report_storage(self, process: str, problem: str, ttl_s: int) -> None:
        """Say that a process cannot write its data folder: nothing new is placed until it can; "" when it can."""
        if not problem:
            self._redis.hdel(keys.STORAGE, process)
            return
        report = json.dumps({"problem": problem, "until": self._now() + ttl_s * 1000})
        pipe = self._redis.pipeline(transaction=True)
        pipe.hset(keys.STORAGE, process, report)
        pipe.delete(keys.RECONCILED)  # no poll sets it while the report stands
        pipe.execute()

    @guarded
    def storage_problems(self) -> dict[str, str]:
        """Return the processes that cannot write their data folder, and why; a report lapses with its process."""
        now = self._now()
        found: dict[str, str] = {}
        try:
            reports = cast("dict[str, str]", self._redis.hgetall(keys.STORAGE))
        except ResponseError:  # somebody put something else there: whose disk is full says so again in seconds
            self._redis.delete(keys.STORAGE)
            return {}
        for process, text in reports.items():
            try:
                report = json.loads(text)
                stands = int(report["until"]) > now
                problem = str(report["problem"])
            except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
                stands, problem = False, ""
            if stands:
                found[process] = problem
            else:
                self._redis.hdel(keys.STORAGE, process)
        return found

    @guarded
    def trading_value(self) -> str | None:
        """Return the kill switch as it is written."""
        return self._get(keys.TRADING_ENABLED)

    @guarded
    def set_trading(self, *, enabled: bool, reason: str, by: str = "") -> bool:
        """Throw the kill switch, or release it and close the breaker; tells whether a failover would keep that.

        `by`: who.
        """
        now = self._now()
        told = f"{reason} ({by})" if by else reason
        message = {"event": "trading_enabled" if enabled else "trading_disabled", "reason": told}
        body = json.dumps({**message, "identity": self._identity, "at": iso(now)})
        kind, what = (Kind.RESUME, "trading is on") if enabled else (Kind.HALT, "trading is OFF")
        notice = Notice(kind=kind, level=Level.WARNING, text=f"{what}: {told}", at=now)
        names = [keys.TRADING_ENABLED, keys.BREAKER, keys.BREAKER_SINCE, keys.HALTED, keys.NOTICES]
        who = [iso(now), *(text[:_LONGEST_REASON] for text in (reason, by))]
        to_tell = [str(MOST), *notice_args(notice, self._identity)]
        args = ["true" if enabled else "false", keys.KILL_SWITCH, body, *who, *to_tell]
        if has_replicas(self._redis):
            return run_durably(self._redis, self._switch, names, args, _SWITCH_MS)[1]
        self._switch(keys=names, args=args)
        return True

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
            if told := [f"{field} {old} -> {new}" for field, (old, new) in changed.items() if old not in {None, new}]:
                text = f"changed by the settings at a start: {', '.join(told)}"
                notice = Notice(kind=Kind.LIMITS, level=Level.WARNING, text=text, at=self._now())
                add_notice(pipe, notice, self._identity)
            pipe.execute()
        return {field: values for field, values in changed.items() if values[0] != values[1]}

    @guarded
    def full_read_due(self, every_s: int, mark: str) -> bool:
        """Tell whether the last complete read of all orders is older, of other data than `mark` names, or unknown."""
        if not (self._get(keys.FULL_READ) or "").startswith(f"{mark} "):
            return True
        return int(self._redis.ttl(keys.FULL_READ)) < keys.FULL_READ_S - every_s

    @guarded
    def require_full_read(self) -> None:
        """Let the next poll read every order, however lately that was done."""
        self._redis.delete(keys.FULL_READ)

    @guarded
    def full_read_done(self, mark: str) -> None:
        """Remember that all orders have just been read into the data that `mark` names."""
        self._redis.set(keys.FULL_READ, f"{mark} {iso(self._now())}", ex=keys.FULL_READ_S)

    @guarded
    def trip_breaker(self, threshold: int, window_s: int) -> str:
        """Trip the breaker if its condition holds and it is closed; returns why, or nothing."""
        now = self._now()
        at = iso(now)
        message = {"event": "circuit_breaker_tripped", "reason": "found by the watchdog", "at": at}
        names = [keys.BREAKER, keys.BREAKER_SINCE, keys.TRADING_ENABLED, keys.FAILED_ORDERS]
        names += [keys.HALTED, keys.NOTICES]
        body = json.dumps({**message, "identity": self._identity})
        why = f"{threshold} or more failed order calls within {window_s} s, found by the watchdog"
        notice = Notice(kind=Kind.BREAKER, level=Level.CRITICAL, text=why, at=now, key=BREAKER_KEY)
        args = [
            str(threshold),
            str(window_s),
            body,
            at,
            keys.KILL_SWITCH,
            str(MOST),
            *notice_args(notice, self._identity),
        ]
        count = self._trip(keys=names, args=args)
        return f"{count} failed order calls within {window_s} s" if count else ""

    @guarded
    def alert(self, event: str, fields: Mapping[str, str]) -> None:
        """Publish an alert on the kill-switch channel, and write it as a notice where it has none of its own."""
        now = self._now()
        message = {"event": event, **fields, "identity": self._identity, "at": iso(now)}
        pipe = self._redis.pipeline(transaction=True)
        pipe.publish(keys.KILL_SWITCH, json.dumps(message))
        if event not in _TOLD_ELSEWHERE:
            level = Level.CRITICAL if event in _CRITICAL else Level.WARNING
            said = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in fields.items())
            text = f"{event.replace('_', ' ')}: {said}"
            add_notice(pipe, Notice(kind=Kind.ALERT, level=level, text=text, at=now), self._identity)
        pipe.execute()

    def _hashes(self, *names: str) -> list[Any]:
        pipe = self._redis.pipeline(transaction=True)
        for name in names:
            pipe.hgetall(name)
        return pipe.execute()
