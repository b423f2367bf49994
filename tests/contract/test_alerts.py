"""The watchdog's eyes and voice on a real Redis: what `look` sees, what stands, what is published, what is gauged."""

import json
from decimal import Decimal
from typing import Any

import pytest
import redis
from support.factories import LIMITS, make_order
from support.sandbox_client import wait_for
from support.store_worlds import IDENTITY, WINDOW_S, redis_world, settled_entry

from executor import keys
from executor.adapters.redis.alerts import RedisAlerts
from executor.adapters.redis.session import SESSION_TTL_S, RedisTokenStore
from executor.adapters.redis.snapshot import RedisSnapshot
from executor.adapters.redis.stream_status import RedisStreamStatus
from executor.domain.order import OrderStatus
from executor.domain.times import day, hour
from executor.observability.counters import PREFIX, StateCollector
from executor.ports import Alert, Funds


class Wall:
    """This machine's clock; tests set it."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def wall(redis_client: "redis.Redis") -> Wall:
    clock = Wall()
    clock.now = float(redis_client.time()[0])
    return clock


@pytest.fixture
def watch(redis_client: "redis.Redis", wall: Wall) -> RedisAlerts:
    state = RedisSnapshot(redis_client, redis_client, breaker_window_s=WINDOW_S)
    return RedisAlerts(redis_client, state, IDENTITY, wall)


def test_an_empty_redis_is_seen_as_it_is(watch: RedisAlerts) -> None:
    seen = watch.snapshot()
    assert (seen.trading, seen.tripped, seen.failures, seen.bridges) == (False, False, 0, 0)
    assert (seen.ledger_lag, seen.ledger_age, seen.session_age) == (0, 0, None)
    assert (seen.exposure, seen.daily_pnl, seen.transactions) == (Decimal(0), Decimal(0), 0)
    assert (seen.difference, seen.difference_age) == (Decimal(0), 0)


def test_everything_that_the_watchdog_judges_is_seen(redis_client: "redis.Redis", watch: RedisAlerts) -> None:
    world = redis_world(redis_client)
    world.ready()
    now = world.store.now()
    world.save(make_order(status=OrderStatus.MATCHED, size_matched=Decimal(10), average_price_matched=Decimal(3)))
    redis_client.set(keys.pnl_daily(day(now)), "-12.50")
    redis_client.set(keys.transactions(hour(now)), "7")
    redis_client.zadd(keys.FAILED_ORDERS, {"a": now / 1000, "b": now / 1000 - WINDOW_S - 1})
    redis_client.hset(keys.BREAKER, "time", "now")
    world.accounts.save_account(Funds(Decimal(900), Decimal(25)), Decimal(15))
    for process in ("bridge:a:1", "bridge:b:2", "worker:a:3"):
        redis_client.set(keys.heartbeat(process), "now", ex=30)
    seen = watch.snapshot()
    assert (seen.trading, seen.tripped, seen.failures, seen.bridges) == (True, True, 1, 2)
    assert (seen.exposure, seen.daily_pnl, seen.transactions) == (Decimal(10), Decimal("-12.50"), 7)
    assert seen.limits["Bankroll"] == Decimal(LIMITS["Bankroll"])
    assert seen.difference == Decimal(15)
    assert 0 <= seen.difference_age < 5000


def test_a_silent_stream_is_counted_from_the_first_look(redis_client: "redis.Redis", watch: RedisAlerts) -> None:
    status = RedisStreamStatus(redis_client, "test")
    status.connected("c-1", behind=False)
    assert watch.snapshot().stream_silent == 0
    status.disconnected()
    watch.snapshot()
    wait_for(lambda: watch.snapshot().stream_silent > 0)
    status.connected("c-2", behind=True)
    seen = watch.snapshot()
    assert seen.stream_behind
    assert seen.stream_silent > 0, "late is as good as silent"
    status.connected("c-2", behind=False)
    assert watch.snapshot().stream_silent == 0
    status.disconnected()
    watch.snapshot()
    assert 0 < redis_client.ttl(keys.STREAM_SILENT) <= 90, "who pauses counts anew"


def test_what_the_exchange_did_and_when_it_was_heard_of_is_seen(
    redis_client: "redis.Redis", watch: RedisAlerts
) -> None:
    seen = watch.snapshot()
    assert (seen.heartbeat_age, seen.watched, seen.switch_fired) == (None, False, "")
    world = redis_world(redis_client)
    for task in ("heartbeat", "watchdog"):
        world.locks.succeeded(task)
    watch.keep_switch_fired("ALL_BETS_CANCELLED")
    seen = watch.snapshot()
    assert seen.heartbeat_age is not None
    assert 0 <= seen.heartbeat_age < 5000
    assert (seen.watched, seen.switch_fired) == (True, "ALL_BETS_CANCELLED")
    assert 0 <= seen.switch_fired_age < 5000
    redis_client.delete(keys.SWITCH_FIRED)
    redis_client.set(keys.SWITCH_FIRED, "junk")
    redis_client.set(keys.STREAM_SILENT, "junk")
    seen = watch.snapshot()
    assert (seen.switch_fired, seen.stream_silent) == ("", 0)


def test_a_difference_lasts_from_when_it_was_first_seen(redis_client: "redis.Redis") -> None:
    world = redis_world(redis_client)
    world.accounts.save_account(Funds(Decimal(900), Decimal(25)), Decimal(15))
    since = redis_client.hget(keys.ACCOUNT, "difference_since")
    world.accounts.save_account(Funds(Decimal(900), Decimal(24)), Decimal(14))
    assert redis_client.hget(keys.ACCOUNT, "difference_since") == since
    world.accounts.save_account(Funds(Decimal(900), Decimal(10)), Decimal(0))
    assert redis_client.hget(keys.ACCOUNT, "difference_since") is None


@pytest.mark.parametrize("ahead_s", [0, 30, -30])
def test_this_machines_clock_is_compared_with_rediss(watch: RedisAlerts, wall: Wall, ahead_s: int) -> None:
    wall.now += ahead_s
    assert abs(watch.snapshot().clock_ahead - ahead_s * 1000) < 3000


def test_a_session_ages_until_it_is_kept_alive(redis_client: "redis.Redis", watch: RedisAlerts) -> None:
    tokens = RedisTokenStore(redis_client, IDENTITY)
    tokens.put("token", tokens.now())
    redis_client.expire(keys.session(IDENTITY), SESSION_TTL_S - 2700)
    assert 2_700_000 <= (watch.snapshot().session_age or 0) < 2_705_000
    tokens.touch()
    assert (watch.snapshot().session_age or 0) < 5000


def test_the_ledgers_lag_is_the_age_of_the_oldest_entry_that_it_has_not_got(
    redis_client: "redis.Redis", watch: RedisAlerts
) -> None:
    world = redis_world(redis_client)
    now = world.store.now()
    for ago in (90_000, 80_000, 10_000):
        entry: dict[Any, Any] = dict(settled_entry("2026-11-20", f"b{ago}", "1"))
        redis_client.xadd(keys.TRADES, entry, id=f"{now - ago}-0")
    assert 90_000 <= watch.snapshot().ledger_age < 95_000  # no group yet: nobody has read any
    first = world.trade_feed.read_trades(1)
    assert 90_000 <= watch.snapshot().ledger_age < 95_000  # read and not acknowledged
    world.trade_feed.acknowledge_trades([first[0][0]])
    assert 80_000 <= watch.snapshot().ledger_age < 85_000
    rest = world.trade_feed.read_trades(10)
    world.trade_feed.acknowledge_trades([entry for entry, _ in rest])
    assert (watch.snapshot().ledger_age, watch.snapshot().ledger_lag) == (0, 0)


@pytest.mark.parametrize(("trading", "tripped"), [("false", True), ("TRUE", False), (None, True)])
def test_a_breaker_is_open_until_a_person_enables_trading(
    redis_client: "redis.Redis", watch: RedisAlerts, trading: str | None, tripped: bool
) -> None:
    assert not watch.is_tripped()
    redis_client.hset(keys.BREAKER, "time", "now")
    if trading:
        redis_client.set(keys.TRADING_ENABLED, trading)
    assert watch.is_tripped() is tripped


def test_an_alert_is_kept_and_published_when_it_begins_and_ends(
    redis_client: "redis.Redis", watch: RedisAlerts
) -> None:
    state = RedisSnapshot(redis_client, redis_client, breaker_window_s=WINDOW_S)
    with redis_client.pubsub(ignore_subscribe_messages=True) as pubsub:  # type: ignore[no-untyped-call]
        pubsub.subscribe(keys.ALERT_UPDATES)
        pubsub.get_message(timeout=2)
        both = {Alert.BRIDGE_DEAD: "no bridge is alive", Alert.CLOCK_SKEW: "9 s"}
        assert watch.raise_alerts(both) == ([Alert.BRIDGE_DEAD, Alert.CLOCK_SKEW], [])
        assert watch.raise_alerts(both) == ([], [])
        assert list(state.read().alerts) == ["bridge_dead", "clock_skew"]
        assert watch.raise_alerts({Alert.CLOCK_SKEW: "9 s"}) == ([], [Alert.BRIDGE_DEAD])
        assert list(state.read().alerts) == ["clock_skew"]
        heard = [json.loads(pubsub.get_message(timeout=2)["data"]) for _ in range(3)]
        assert pubsub.get_message(timeout=0.1) is None
    assert [(message["event"], message["alert"]) for message in heard] == [
        ("alert_started", "bridge_dead"),
        ("alert_started", "clock_skew"),
        ("alert_cleared", "bridge_dead"),
    ]
    assert all(message["identity"] == IDENTITY for message in heard)


def test_what_stands_is_a_gauge_and_what_does_not_is_zero(redis_client: "redis.Redis", watch: RedisAlerts) -> None:
    state = RedisSnapshot(redis_client, redis_client, breaker_window_s=WINDOW_S)
    redis_world(redis_client).accounts.save_account(Funds(Decimal(900), Decimal(25)), Decimal(15))
    watch.raise_alerts({Alert.CLOCK_SKEW: "9 s"})
    collector = StateCollector(state.read, paper=False, settled_limits={}, certificate_expiry=lambda: None)
    samples = [sample for metric in collector.collect() for sample in metric.samples]
    alerts = {sample.labels["alert"]: sample.value for sample in samples if sample.name == f"{PREFIX}alert"}
    assert alerts == {str(alert): float(alert is Alert.CLOCK_SKEW) for alert in Alert}
    assert [sample.value for sample in samples if sample.name == f"{PREFIX}exposure_difference"] == [15]


def test_what_waits_in_the_durable_door_is_seen_and_who_misuses_it(
    redis_client: "redis.Redis", watch: RedisAlerts
) -> None:
    seen = watch.snapshot()
    assert (seen.signals_waiting, seen.signals_age, seen.misuse_age) == (0, 0, None)
    now = redis_client.time()[0] * 1000
    for ago in (9000, 8000, 7000):
        redis_client.xadd(keys.SIGNALS, {"kind": "strategy"}, id=f"{now - ago}-1")
    redis_client.hset(keys.SIGNALS_FACTS, mapping={"removed_at": now - 2000, "own_id_at": now - 5000, "ahead_at": "x"})
    seen = watch.snapshot()
    assert seen.signals_waiting == 3
    assert 9000 <= seen.signals_age < 19_000
    assert seen.misuse_age is not None
    assert 2000 <= seen.misuse_age < 12_000
    redis_client.xgroup_create(keys.SIGNALS, keys.SIGNALS_GROUP, id="0")
    redis_client.xreadgroup(keys.SIGNALS_GROUP, "one", {keys.SIGNALS: ">"}, count=2)
    assert watch.snapshot().signals_age >= 9000
    redis_client.xack(keys.SIGNALS, keys.SIGNALS_GROUP, f"{now - 9000}-1")
    assert 8000 <= watch.snapshot().signals_age < 18_000
