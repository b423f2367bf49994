"""What only Redis can show: what people read there, how long it stays, and what a lost reply does."""

import json
import random
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
import redis
from support.factories import NOW, make_order
from support.lossy_proxy import LossyProxy
from support.redis_ports import RedisPorts
from support.store_worlds import (
    ALL_GATES,
    FILL,
    IDENTITY,
    MARKET,
    MATCHED,
    RETENTION,
    World,
    make_record,
    read_json,
    record_one,
    redis_world,
)

from executor import keys
from executor.adapters.redis.client import connect
from executor.adapters.redis.records import position_fields
from executor.adapters.redis.snapshot import RedisSnapshot
from executor.adapters.redis.store import RedisStore
from executor.devstack.redis_server import PrivateRedis
from executor.domain.exposure import exposures, positions
from executor.domain.money import Side
from executor.domain.order import Order, OrderStatus
from executor.domain.signal_record import SignalStatus
from executor.ports import Change, Failure, Recorded

DAY_S = 86_400


@pytest.fixture
def world(redis_client: "redis.Redis") -> World:
    return redis_world(redis_client)


# --- projections, as contract section 4 has them ----------------------------------------------------------------------


def test_exposure_and_positions_are_read_with_redis_cli(world: World, redis_client: "redis.Redis") -> None:
    lay = replace(MATCHED, order_id="lay", side=Side.LAY, size_matched=Decimal("4.00"), size=Decimal("4.00"))
    waiting = make_order(order_id="open", selection_id=9, side=Side.LAY, status=OrderStatus.PENDING)
    world.save(MATCHED, lay, waiting)
    assert redis_client.hgetall(keys.risk_exposure(MARKET)) == {"123456": "6.00", "9": "20.00"}
    assert redis_client.hgetall(keys.matched_exposure(MARKET)) == {"123456": "6.00"}
    position = read_json(str(redis_client.hget(keys.positions(MARKET), "123456")))
    assert position == {
        "SelectionId": "123456",
        "Side": "Back",
        "Stake": Decimal(10),
        "Odds": Decimal(3),
        "Exposure": Decimal(6),
        "Timestamp": "2023-11-14T22:13:20.000Z",
        "Back": {"Stake": Decimal(10), "Odds": Decimal(3)},
        "Lay": {"Stake": Decimal(4), "Odds": Decimal(3)},
    }
    assert redis_client.ttl(keys.risk_exposure(MARKET)) == -1
    for key in (keys.matched_exposure(MARKET), keys.positions(MARKET)):
        assert DAY_S - 10 < redis_client.ttl(key) <= DAY_S
    assert redis_client.get(keys.ACTIVE_COUNT) == "1"


def test_the_larger_side_is_the_position(world: World, redis_client: "redis.Redis") -> None:
    world.save(replace(MATCHED, side=Side.LAY))
    position = read_json(str(redis_client.hget(keys.positions(MARKET), "123456")))
    assert (position["Side"], position["Exposure"], position["Back"]["Stake"]) == ("Lay", Decimal(20), Decimal(0))


def test_a_projection_that_was_lost_does_not_let_anybody_over_a_limit(
    world: World, redis_client: "redis.Redis"
) -> None:
    world.save(MATCHED)
    redis_client.delete(keys.risk_exposure(MARKET), keys.matched_exposure(MARKET), keys.positions(MARKET))
    assert list(world.store.view(MARKET).orders) == [MATCHED.order_id]
    world.save(make_order(order_id="other", selection_id=5))
    assert redis_client.hgetall(keys.risk_exposure(MARKET)) == {"123456": "10.00", "5": "10.00"}


def test_whatever_changes_the_projections_say_what_all_orders_say(world: World, redis_client: "redis.Redis") -> None:
    """They are written only by a change that alters them; each of these changes at most a thing or two."""
    chance = random.Random(7)  # noqa: S311 - nothing secret
    orders: dict[str, Order] = {}
    for _ in range(300):
        name = f"order-{chance.randrange(5)}"
        before = orders.get(name) or make_order(
            order_id=name, selection_id=chance.randrange(3), side=chance.choice([*Side])
        )
        field, values = chance.choice(
            [
                ("status", [*OrderStatus]),
                ("price", [Decimal(2), Decimal(3)]),
                ("size_matched", [Decimal(0), Decimal(4), Decimal(10)]),
                ("average_price_matched", [Decimal(2), Decimal(3)]),
                ("size_cancelled", [Decimal(0), Decimal(6)]),
                ("matched_at", [1_700_000_000_000, 1_700_000_001_000]),
                ("detail", ["", "nothing that counts"]),
            ]
        )
        orders[name] = replace(before, **{field: chance.choice(values)})
        assert world.save(orders[name])
        every = list(orders.values())
        for key, found in (
            (keys.risk_exposure(MARKET), exposures(every)),
            (keys.matched_exposure(MARKET), exposures(every, matched_only=True)),
        ):
            assert redis_client.hgetall(key) == {
                str(selection): f"{amount:f}" for selection, amount in found.items()
            }, orders[name]
        held = {str(selection): position_fields(position) for selection, position in positions(every).items()}
        assert redis_client.hgetall(keys.positions(MARKET)) == held, orders[name]
        assert bool(redis_client.sismember(keys.MARKETS, MARKET)) is bool(exposures(every))


def test_what_is_over_leaves_the_projections_and_expires(world: World, redis_client: "redis.Redis") -> None:
    world.save(MATCHED)
    assert redis_client.ttl(keys.order(MATCHED.order_id)) == -1
    world.save(replace(MATCHED, status=OrderStatus.SETTLED))
    assert not redis_client.exists(
        keys.risk_exposure(MARKET), keys.matched_exposure(MARKET), keys.positions(MARKET), keys.market_orders(MARKET)
    )
    assert not redis_client.sismember(keys.MARKETS, MARKET)
    assert 6 * DAY_S < redis_client.ttl(keys.order(MATCHED.order_id)) <= 7 * DAY_S


def test_a_signal_expires_when_it_is_over(world: World, redis_client: "redis.Redis") -> None:
    record = world.signal()
    assert redis_client.ttl(keys.signal("signal-1")) == -1
    assert 50 < redis_client.ttl(keys.seen("signal-1")) <= 60
    view = world.store.view(MARKET, signal_ids=("signal-1",))
    world.store.commit(view, Change(signals=(replace(record, status=SignalStatus.REJECTED),)))
    assert DAY_S - 10 < redis_client.ttl(keys.signal("signal-1")) <= DAY_S
    assert not redis_client.zcard(keys.SIGNALS_OPEN)


@pytest.mark.parametrize("renew", [True, False])
def test_a_repeat_renews_the_memory_of_a_surebet_only(
    world: World, redis_client: "redis.Redis", *, renew: bool
) -> None:
    record = make_record(world.store.now())
    record_one(world.store, record, dedup_id="one", dedup_s=100, renew=renew)
    redis_client.expire(keys.seen("one"), 50)
    record_one(world.store, replace(record, token="2"), dedup_id="one", dedup_s=100, renew=renew)
    assert (redis_client.ttl(keys.seen("one")) > 90) is renew


def test_an_index_entry_without_its_record_is_dropped(world: World, redis_client: "redis.Redis") -> None:
    world.signal()
    redis_client.delete(keys.signal("signal-1"))
    assert world.store.open_signals(world.store.now(), 10) == []
    assert not redis_client.zcard(keys.SIGNALS_OPEN)


# --- messages ---------------------------------------------------------------------------------------------------------


def test_changes_are_published_with_the_identity(world: World, redis_client: "redis.Redis") -> None:
    with redis_client.pubsub() as pubsub:  # type: ignore[no-untyped-call]
        channels = (keys.ORDER_UPDATES, keys.EXPOSURE_UPDATES, keys.TRADE_UPDATES, keys.KILL_SWITCH)
        pubsub.subscribe(*channels)
        for _ in channels:
            pubsub.get_message(timeout=2)
        world.save(MATCHED, trades=(FILL,), failure=Failure("x", "CODE", NOW), trip="why")
        heard: dict[str, dict[str, Any]] = {}
        for _ in channels:
            message = pubsub.get_message(timeout=2)
            heard[message["channel"]] = json.loads(message["data"])
    assert {message["identity"] for message in heard.values()} == {IDENTITY}
    assert heard[keys.KILL_SWITCH]["reason"] == "why"
    assert heard[keys.EXPOSURE_UPDATES]["exposure"] == {"123456": "10.00"}
    assert heard[keys.ORDER_UPDATES]["status"] == "MATCHED"
    assert heard[keys.TRADE_UPDATES]["trade_id"] == f"{MATCHED.order_id}:1"


def test_failed_orders_are_what_the_reference_shows(world: World, redis_client: "redis.Redis") -> None:
    now = world.store.now()
    redis_client.zadd(keys.FAILED_ORDERS, {"ancient": now / 1000 - 2 * DAY_S})
    world.fail("order-1", now - 1000)
    members = redis_client.zrange(keys.FAILED_ORDERS, 0, -1)
    assert [set(json.loads(str(member))) for member in members] == [{"OrderId", "Reason", "Timestamp"}]
    assert redis_client.zscore(keys.FAILED_ORDERS, str(members[0])) == pytest.approx(now / 1000 - 1, abs=0.001)


def test_failed_orders_hold_a_thousand(world: World, redis_client: "redis.Redis") -> None:
    now = world.store.now()
    redis_client.zadd(keys.FAILED_ORDERS, {f"m{at}": now / 1000 - at for at in range(1005)})
    world.fail("order-1", now)
    assert redis_client.zcard(keys.FAILED_ORDERS) == 1000
    assert redis_client.zscore(keys.FAILED_ORDERS, "m0") is not None


def test_deleting_the_failures_empties_the_count(world: World, redis_client: "redis.Redis") -> None:
    world.fail("a", world.store.now())
    redis_client.delete(keys.FAILED_ORDERS)
    assert world.store.view(MARKET).failures == 0


@pytest.mark.parametrize("since", ["inf", "nan", "9999999999", "soon", ""])
def test_nonsense_about_the_last_success_hides_no_failure(
    world: World, redis_client: "redis.Redis", since: str
) -> None:
    world.ready()
    world.fail("a", world.store.now() - 1000)
    redis_client.set(keys.BREAKER_SINCE, since)
    assert world.store.view(MARKET).failures == 1
    assert world.controls.trip_breaker(1, 600)


def test_decision_watchdog_and_status_count_the_same_failures(world: World, redis_client: "redis.Redis") -> None:
    """The window's edges are one rule: what the decision counts, the watchdog trips for and the status shows."""
    state = RedisSnapshot(redis_client, redis_client, breaker_window_s=RETENTION.breaker_window_s)
    chance = random.Random(5)  # noqa: S311 - the same moments each time
    now = world.store.now() / 1000
    for _ in range(40):
        redis_client.delete(keys.FAILED_ORDERS, keys.BREAKER)
        moments = [now - 10 * chance.randrange(70) for _ in range(8)]
        redis_client.zadd(keys.FAILED_ORDERS, {str(at): round(moment, 3) for at, moment in enumerate(moments)})
        since = chance.choice([*moments, now + 0.2, now + 500, now - 700])
        redis_client.set(keys.BREAKER_SINCE, f"{since:.3f}")
        counted = world.store.view(MARKET).failures
        assert state.read().recent_failures == counted
        assert not world.controls.trip_breaker(counted + 1, RETENTION.breaker_window_s)
        assert bool(world.controls.trip_breaker(max(counted, 1), RETENTION.breaker_window_s)) is (counted > 0)


# --- a lost reply -----------------------------------------------------------------------------------------------------


@pytest.fixture
def lossy(private_redis: PrivateRedis, redis_client: "redis.Redis") -> Iterator[LossyProxy]:
    redis_client.ping()
    with LossyProxy(private_redis.port) as proxy:
        yield proxy


def behind(proxy: LossyProxy) -> RedisStore:
    store = RedisStore(connect(proxy.url), IDENTITY, RETENTION)
    # Scripts are loaded at their first use: what is lost below is the reply to a commit.
    view = store.view("9.9")
    store.commit(view, Change(orders=(make_order(order_id="first", market_id="9.9"),)))
    record_one(store, make_record(1, signal_id="first"), dedup_id="first", dedup_s=60, renew=False)
    return store


def test_a_commit_whose_reply_is_lost_succeeds_and_writes_once(
    world: World, lossy: LossyProxy, redis_client: "redis.Redis"
) -> None:
    store = behind(lossy)
    world.ready()
    world.signal()
    view = store.view(MARKET, signal_ids=("signal-1",))
    accepted = replace(view.signals["signal-1"], status=SignalStatus.ACCEPTED)
    lossy.lose(b"EVALSHA")
    change = Change(orders=(MATCHED,), signals=(accepted,), trades=(FILL,), gates=ALL_GATES, transactions=1)
    assert store.commit(view, change)
    assert lossy.lost == 1
    assert redis_client.xlen(keys.TRADES) == 1
    assert world.store.view(MARKET).transactions == 1
    assert not store.commit(view, change), "a new commit on the old view has lost its race"


def test_a_rejection_whose_reply_is_lost_succeeds(world: World, lossy: LossyProxy) -> None:
    store = behind(lossy)
    world.signal()
    view = store.view(MARKET, signal_ids=("signal-1",))
    rejected = replace(view.signals["signal-1"], status=SignalStatus.REJECTED)
    lossy.lose(b"EVALSHA")
    assert store.commit(view, Change(signals=(rejected,)))
    assert lossy.lost == 1
    assert not store.commit(view, Change(signals=(rejected,)))


def test_a_commit_repeated_after_somebody_elses_writes_nothing_more(
    world: World, lossy: LossyProxy, redis_client: "redis.Redis"
) -> None:
    store = behind(lossy)
    view = store.view(MARKET)
    assert store.commit(view, Change(orders=(MATCHED,), trades=(FILL,)))
    assert world.save(make_order(order_id="theirs"))
    assert not store.commit(view, Change(orders=(MATCHED,), trades=(FILL,)))
    assert redis_client.xlen(keys.TRADES) == 1


def test_a_record_whose_reply_is_lost_is_new(lossy: LossyProxy) -> None:
    store = behind(lossy)
    lossy.lose(b"EVALSHA")
    record = make_record(store.now())
    assert record_one(store, record, dedup_id="one", dedup_s=60, renew=False)[0] is Recorded.NEW
    assert lossy.lost == 1


def test_a_first_start_whose_reply_is_lost_happened_once(lossy: LossyProxy, redis_client: "redis.Redis") -> None:
    ports = RedisPorts.on(connect(lossy.url), redis_client, IDENTITY)
    lossy.lose(b"EVAL")
    ports.controls.first_start(anything_of_ours=False)
    assert lossy.lost == 1
    assert redis_client.get(keys.TRADING_ENABLED) == "true"
    redis_client.set(keys.TRADING_ENABLED, "false")
    assert not ports.controls.first_start(anything_of_ours=False)
    assert redis_client.get(keys.TRADING_ENABLED) == "false"


@pytest.mark.parametrize("junk", ["text", "list"])
def test_junk_where_signals_are_counted_stops_no_signal(redis_client: "redis.Redis", junk: str) -> None:
    world = redis_world(redis_client)
    redis_client.rpush(keys.SIGNALS_RECORDED, "x") if junk == "list" else redis_client.set(keys.SIGNALS_RECORDED, "x")
    record = make_record(world.store.now())
    assert record_one(world.store, record, dedup_id="one", dedup_s=60, renew=False)[0] is Recorded.NEW


def test_a_repeat_never_shortens_how_long_a_message_is_remembered(redis_client: "redis.Redis") -> None:
    world = redis_world(redis_client)
    now = world.store.now()
    record_one(world.store, make_record(now, signal_id="sure-1"), dedup_id="content", dedup_s=300, renew=True)
    record_one(world.store, make_record(now, signal_id="sure-2"), dedup_id="content", dedup_s=60, renew=True)
    assert int(redis_client.ttl(keys.seen("content"))) > 200
