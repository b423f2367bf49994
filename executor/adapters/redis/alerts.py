"""The watchdog's eyes and voice on Redis: one look at everything, and the alerts that stand.

Invariant: an alert is published, and written as a notice, when it begins and when it ends, by whoever changed the
hash. Times in milliseconds.
"""

import json
import re
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, cast

from redis import Redis
from redis.exceptions import ResponseError

from executor import keys
from executor.adapters.redis.adapter import RedisAdapter
from executor.adapters.redis.client import guarded, hash_of, script
from executor.adapters.redis.notices import MOST, add_notice, notice_args
from executor.adapters.redis.session import SESSION_TTL_S
from executor.adapters.redis.signal_stream import MISUSE
from executor.adapters.redis.snapshot import RedisSnapshot
from executor.domain.money import ZERO
from executor.domain.notice import Kind, Level, Notice
from executor.domain.risk import is_true
from executor.domain.times import iso, whole
from executor.ports import Alert, HealthSnapshot
from executor.ports.alerts import CRITICAL
from executor.ports.system_snapshot import SystemSnapshot, amount

_CODE: Final = re.compile(r'"code": "([A-Z0-9_]{1,64})"')
_TOLD_S: Final = 3 * 24 * 3600  # a day is summed up once; by then nobody tries again
_BRIDGE: Final = "bridge:"  # how a bridge's heartbeat begins
_HEARTBEAT, _WATCHDOG = "heartbeat", "watchdog"  # as tasks that succeeded
_SILENT_S: Final = 90  # three looks: after a pause of ours the silence is counted anew
_FIRED_S: Final = 24 * 3600  # longer than the watchdog tells of it


class RedisAlerts(RedisAdapter):
    """`Alerts` on one Redis db; `wall` is this machine's clock, in seconds."""

    def __init__(
        self, client: "Redis", state: RedisSnapshot, identity: str, wall: Callable[[], float] = time.time
    ) -> None:
        super().__init__(client)
        self._state = state
        self._identity = identity
        self._wall = wall
        self._tell_once = client.register_script(script("tell_once", needs=["notice"]))

    @guarded
    def snapshot(self) -> HealthSnapshot:
        """Take one look."""
        state = self._state.read()
        now = int(state.now * 1000)
        ahead = int(self._wall() * 1000) - self._now()
        oldest = self._oldest(keys.TRADES, keys.TRADES_GROUP)
        first, misused = self._oldest(keys.SIGNALS, keys.SIGNALS_GROUP), self._misused()
        ttl_ms = int(self._redis.pttl(keys.session(self._identity)))
        difference = amount(state.account.get("difference")) or ZERO
        since = amount(state.account.get("difference_since"))
        return HealthSnapshot(
            trading=state.trading_enabled,
            tripped=bool(state.breaker),
            failures=state.recent_failures,
            limits=state.limits,
            daily_pnl=state.daily_pnl,
            exposure=state.total_exposure,
            market_exposure=state.market_exposure,
            transactions=state.transactions,
            bridges=sum(name.startswith(_BRIDGE) for name in state.processes),
            ledger_lag=state.ledger_lag,
            ledger_age=0 if oldest is None else max(now - oldest, 0),
            signals_waiting=state.signals_waiting,
            signals_age=0 if first is None else max(now - first, 0),
            misuse_age=None if misused is None else now - misused,
            session_age=SESSION_TTL_S * 1000 - ttl_ms if ttl_ms > 0 else None,
            clock_ahead=ahead,
            difference=difference,
            login_refused=self._login_refused(),
            difference_age=now - int(since) if difference and since is not None else 0,
            stream_silent=self._silent(state, now),
            stream_behind=_is_behind(state),
            heartbeat_age=_age(state, _HEARTBEAT),
            watched=_WATCHDOG in state.last_success,
            **self._fired(now),
        )

    def _silent(self, state: SystemSnapshot, now: int) -> int:
        """Count from the first look of several in a row that found the order stream silent."""
        if state.stream and not _is_behind(state):
            self._redis.delete(keys.STREAM_SILENT)
            return 0
        self._redis.set(keys.STREAM_SILENT, now, nx=True, ex=_SILENT_S)
        self._redis.expire(keys.STREAM_SILENT, _SILENT_S)
        since = amount(self._get(keys.STREAM_SILENT))
        return max(now - int(since), 0) if since is not None else 0

    def _fired(self, now: int) -> dict[str, Any]:
        try:
            fired = cast("dict[str, str]", self._redis.hgetall(keys.SWITCH_FIRED))
        except ResponseError:
            return {}
        at = amount(fired.get("at"))
        return {} if at is None else {"switch_fired": fired.get("action", ""), "switch_fired_age": now - int(at)}

    @guarded
    def keep_switch_fired(self, action: str) -> None:
        """Keep what the exchange did for want of heartbeats."""
        pipe = self._redis.pipeline(transaction=True)
        pipe.hset(keys.SWITCH_FIRED, mapping=hash_of({"action": action, "at": str(self._now())}))
        pipe.expire(keys.SWITCH_FIRED, _FIRED_S)
        pipe.execute()

    def _login_refused(self) -> str:
        try:
            held = cast("list[str]", self._redis.hvals(keys.login_refusals(self._identity)))
        except ResponseError:
            return ""
        codes = [found[1] for text in held if (found := _CODE.search(text))]
        return ", ".join(sorted(set(codes)))

    def _oldest(self, stream: str, group_name: str) -> int | None:
        """Return when a stream's oldest entry was made that its group has not acknowledged."""
        try:
            groups = {group["name"]: group for group in self._redis.xinfo_groups(stream)}
        except ResponseError:  # no stream yet
            return None
        group = groups.get(group_name)
        if group is not None and group["pending"]:
            entry = str(self._redis.xpending(stream, group_name)["min"])
        else:
            start = "-" if group is None else f"({group['last-delivered-id']}"
            waiting = cast("list[tuple[str, Any]]", self._redis.xrange(stream, start, "+", count=1))
            if not waiting:
                return None
            entry = waiting[0][0]
        return int(entry.partition("-")[0])

    def _misused(self) -> int | None:
        """Return when somebody last dropped entries of the durable door, or made ids of his own."""
        try:
            facts = cast("dict[str, str]", self._redis.hgetall(keys.SIGNALS_FACTS))
        except ResponseError:
            return None
        moments = [facts[name] for name in MISUSE if name in facts]
        return max((whole(moment, unread=-1) for moment in moments), default=None)

    @guarded
    def is_tripped(self) -> bool:
        """Tell whether the breaker is open: tripped, and not reset by a person since."""
        tripped = bool(self._redis.exists(keys.BREAKER))
        return tripped and not is_true(cast("str | None", self._redis.get(keys.TRADING_ENABLED)))

    @guarded
    def raise_alerts(self, alerts: Mapping[Alert, str]) -> tuple[list[Alert], list[Alert]]:
        """Replace the alerts that stand, and publish what changed; returns those that are new, and gone."""
        held = cast("list[str]", self._redis.hkeys(keys.ALERTS))
        started = [alert for alert in alerts if alert not in held]
        cleared = [alert for alert in Alert if alert in held and alert not in alerts]
        if not (started or cleared):
            return [], []
        now = self._now()
        at = iso(now)
        pipe = self._redis.pipeline(transaction=True)
        for alert in started:
            message = {"event": "alert_started", "alert": alert, "detail": alerts[alert]}
            pipe.hset(keys.ALERTS, alert, json.dumps({"since": at, "detail": alerts[alert]}))
            pipe.publish(keys.ALERT_UPDATES, json.dumps({**message, "identity": self._identity, "at": at}))
            add_notice(pipe, _notice(alert, alerts[alert], now), self._identity)
        for alert in cleared:
            pipe.hdel(keys.ALERTS, alert)
            message = {"event": "alert_cleared", "alert": alert, "identity": self._identity, "at": at}
            pipe.publish(keys.ALERT_UPDATES, json.dumps(message))
            add_notice(pipe, _notice(alert, "over", now, over=True), self._identity)
        pipe.execute()
        return started, cleared

    @guarded
    def tell_day(self, day: str, text: str) -> bool:
        """Write a UTC day's summary as a notice, unless that was done; tells whether it was now."""
        notice = Notice(kind=Kind.SUMMARY, level=Level.INFO, text=text, at=self._now())
        names = [keys.summary(day), keys.NOTICES]
        return bool(self._tell_once(keys=names, args=[_TOLD_S, MOST, *notice_args(notice, self._identity)]))


def _notice(alert: Alert, text: str, at: int, *, over: bool = False) -> Notice:
    level = Level.CRITICAL if alert in CRITICAL else Level.WARNING
    return Notice(kind=Kind.ALERT, level=level, text=text, at=at, key=f"alert:{alert}", over=over)


def _is_behind(state: SystemSnapshot) -> bool:
    return state.stream.get("behind") == "1"


def _age(state: SystemSnapshot, task: str) -> int | None:
    at = state.last_success.get(task)
    return None if at is None else max(int((state.now - at) * 1000), 0)
