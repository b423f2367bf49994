"""What Redis says of the whole system at one glance, for status and metrics. Reads only.

Unreadable values come out as None or are left out: a look must work best when something is wrong. Money is Decimal.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Final, cast

from redis import Redis
from redis.exceptions import ResponseError

from executor import keys
from executor.adapters.redis.adapter import redis_time
from executor.adapters.redis.client import guarded, run_of, script
from executor.adapters.redis.notices import shown_addresses
from executor.adapters.redis.records import decode_foreign, decode_order
from executor.adapters.redis.set_aside import standing
from executor.domain.foreign import ForeignBet
from executor.domain.money import ZERO
from executor.domain.order import Order
from executor.domain.risk import LIMIT_FIELDS, InvalidLimits, is_true, parse_limit
from executor.domain.times import day, hour
from executor.errors import StoreUnavailable
from executor.ports.system_snapshot import SystemSnapshot, amount

# Redis 7: INFO stats, attempts that its users (deploy/redis) do not allow.
_DENIED: Final = {kind: f"acl_access_denied_{kind}" for kind in ("auth", "cmd", "key", "channel")}
QUEUES: Final = ("signals", "orders", "trades", "maintenance")


def _limits(held: Mapping[str, str]) -> tuple[dict[str, Decimal], dict[str, str]]:
    good: dict[str, Decimal] = {}
    bad: dict[str, str] = {}
    for limit in LIMIT_FIELDS:
        try:
            good[limit] = parse_limit(limit, held.get(limit))
        except InvalidLimits as error:
            bad[limit] = str(error)
    return good, bad


class RedisSnapshot:
    """Looks at one Redis db and the db of its queues."""

    def __init__(self, client: "Redis", broker: "Redis", *, breaker_window_s: int) -> None:
        self._redis = client
        self._broker = broker
        self._window_s = breaker_window_s
        self._recent_failures = client.register_script(script("recent_failures", needs=["failures_from"]))

    @guarded
    def owner(self) -> str | None:
        """Return the identity whose db this is, or None while it is nobody's."""
        return _text(self._redis.get(keys.IDENTITY))

    @guarded
    def read(self) -> SystemSnapshot:
        """Take one look."""
        now = redis_time(self._redis) / 1000
        raw = self._read_all(now)
        identity, trading, started, reconciled, total, daily = map(_text, raw[:6])
        breaker, limits, account, success = map(_hash, raw[6:10])
        good, bad = _limits(limits)
        info = self._redis.info("stats")
        unsettled = list(raw[11] or ())
        orders = self._orders(unsettled)
        return SystemSnapshot(
            now=now,
            identity=identity,
            trading=trading,
            started=started is not None,
            reconciled=(reconciled or "").partition(" ")[0] == run_of(self._redis),
            breaker=breaker,
            halted={} if is_true(trading) else _hash(raw[20]),
            recent_failures=self._failures(),
            limits=good,
            limit_problems=bad,
            daily_pnl=ZERO if daily is None else amount(daily),
            total_pnl=ZERO if total is None else amount(total),
            exposure=self._exposure(sorted(raw[10] or ())),
            orders=orders,
            account=account,
            session=identity is not None and bool(self._redis.exists(keys.session(identity))),
            queues={name: int(self._length(name)) for name in QUEUES},
            processes=self._processes(),
            last_success={task: float(found) for task, at in success.items() if (found := amount(at)) is not None},
            failed_tasks=int(raw[12] or 0),
            ledger_lag=self._ledger_lag(),
            signals_waiting=self._signals_waiting(),
            open_signals=int(raw[13] or 0),
            transactions=int(amount(_text(raw[14])) or 0),
            denied={kind: float(info[name]) for kind, name in _DENIED.items() if name in info},
            alerts=sorted(raw[15] or ()),
            stream=_hash(raw[16]),
            stopped_markets=_hash(raw[17]),
            foreign=self._foreign(sorted(raw[21] or ())),
            set_aside=standing(_hash(raw[18]), int(now * 1000)),
            counted=_amounts(raw[19]),
            notify=shown_addresses(raw[22]),
            unreadable=sorted(set(unsettled) - {order.order_id for order in orders}),
        )

    def _read_all(self, now: float) -> list[Any]:
        pipe = self._redis.pipeline(transaction=False)
        for key in (keys.IDENTITY, keys.TRADING_ENABLED, keys.STARTED, keys.RECONCILED, keys.PNL_TOTAL):
            pipe.get(key)
        pipe.get(keys.pnl_daily(day(int(now * 1000))))
        for key in (keys.BREAKER, keys.LIMITS, keys.ACCOUNT, keys.LAST_SUCCESS):
            pipe.hgetall(key)
        pipe.smembers(keys.MARKETS)
        pipe.zrange(keys.ORDERS_UNSETTLED, 0, -1)
        pipe.hlen(keys.FAILED_TASKS)
        pipe.zcard(keys.SIGNALS_OPEN)
        pipe.get(keys.transactions(hour(int(now * 1000))))
        pipe.hkeys(keys.ALERTS)
        for key in (keys.ORDER_STREAM, keys.MARKETS_STOPPED, keys.SET_ASIDE, keys.MARKET_EXPOSURE, keys.HALTED):
            pipe.hgetall(key)
        pipe.smembers(keys.FOREIGN_MARKETS)
        pipe.hvals(keys.NOTIFY_ADDRESSES)
        return _values(pipe.execute(raise_on_error=False))

    def _failures(self) -> int:
        names = [keys.BREAKER_SINCE, keys.FAILED_ORDERS]
        try:
            return int(cast("int", self._recent_failures(keys=names, args=[str(self._window_s)])))
        except ResponseError:
            return 0

    def _exposure(self, markets: Sequence[str]) -> dict[str, dict[str, Decimal]]:
        pipe = self._redis.pipeline(transaction=False)
        for market in markets:
            pipe.hgetall(keys.risk_exposure(market))
        found = [_hash(reply) for reply in _values(pipe.execute(raise_on_error=False))]
        return {market: _amounts(held) for market, held in zip(markets, found, strict=True)}

    def _foreign(self, markets: Sequence[str]) -> list[ForeignBet]:
        pipe = self._redis.pipeline(transaction=False)
        for market in markets:
            pipe.hvals(keys.foreign(market))
        texts = [text for held in _values(pipe.execute(raise_on_error=False)) for text in held or ()]
        found: list[ForeignBet] = []
        for text in texts:
            try:
                found.append(decode_foreign(text))
            except StoreUnavailable:
                continue
        return found

    def _orders(self, ids: Sequence[str]) -> list[Order]:
        found: list[Order] = []
        for at in range(0, len(ids), 500):  # keeps one reply small
            for text in cast(
                "list[str | None]", self._redis.mget([keys.order(order_id) for order_id in ids[at : at + 500]])
            ):
                try:
                    found += [decode_order(text)] if text else []
                except StoreUnavailable:
                    continue
        return found

    def _length(self, queue: str) -> int:
        try:
            return int(self._broker.llen(queue))
        except ResponseError:
            return 0

    def _processes(self) -> list[str]:
        prefix = keys.heartbeat("")
        return sorted(name.removeprefix(prefix) for name in self._redis.scan_iter(keys.HEARTBEATS, count=1000))

    def _signals_waiting(self) -> int:
        try:
            return int(self._redis.xlen(keys.SIGNALS))
        except ResponseError:
            return 0

    def _ledger_lag(self) -> int:
        try:
            groups = self._redis.xinfo_groups(keys.TRADES)
        except ResponseError:  # no stream yet
            return 0
        for group in groups:
            if group["name"] == keys.TRADES_GROUP:
                return int(group["pending"]) + int(group.get("lag") or 0)
        return int(self._redis.xlen(keys.TRADES))


def _values(answers: Sequence[Any]) -> list[Any]:
    return [None if isinstance(reply, ResponseError) else reply for reply in answers]


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _hash(value: object) -> dict[str, str]:
    return dict(value) if isinstance(value, Mapping) else {}


def _amounts(value: object) -> dict[str, Decimal]:
    return {name: found for name, text in _hash(value).items() if (found := amount(text)) is not None}
