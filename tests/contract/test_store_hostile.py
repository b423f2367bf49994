"""What Redis holds is not always what we wrote: nothing of it raises but StoreUnavailable, or lets a bet through."""

import contextlib
import json
from dataclasses import replace
from decimal import Decimal

import pytest
import redis
from support.factories import LIMITS, make_order
from support.store_worlds import ALL_GATES, FILL, IDENTITY, MARKET, MATCHED, World, redis_world

from executor import keys
from executor.domain.order import Order
from executor.domain.signal_record import SignalStatus
from executor.errors import StoreUnavailable
from executor.ports import Change, Failure

DAY_S = 86_400


@pytest.fixture
def world(redis_client: "redis.Redis") -> World:
    return redis_world(redis_client)


def test_records_survive_the_way_through_redis(world: World) -> None:
    order = replace(
        MATCHED,
        order_id="full",
        reason="R",
        detail='"quoted" \\ and \u00e9\U0001f40e',
        profit=Decimal("-1.23"),
        commission=Decimal("0.05"),
        paper=True,
        selection_id=2**53 + 1,
    )
    world.save(order)
    assert world.store.orders(["full"]) == [order]


@pytest.mark.parametrize("text", ["", "not json", "[]", '"text"', "{}", '{"order_id": "o"}'])
def test_an_order_that_cannot_be_read_stops_its_market(world: World, redis_client: "redis.Redis", text: str) -> None:
    world.ready()
    other = make_order(order_id="other", market_id="1.9")
    world.save(MATCHED)
    world.save(other)
    redis_client.set(keys.order(MATCHED.order_id), text)
    with pytest.raises(StoreUnavailable):
        world.store.view(MARKET)
    # What looks at everything goes on with the rest.
    assert world.store.unsettled_orders() == [other]
    assert world.store.orders([MATCHED.order_id, other.order_id]) == [other]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("size", "NaN"),
        ("size", 10),
        ("size", None),
        ("size_matched", "Infinity"),
        ("size_cancelled", "-1"),
        ("price", "-3"),
        ("average_price_matched", "-0.01"),
        ("profit", "1e999999999"),
        ("selection_id", "7"),
        ("selection_id", 2**63),
        ("created_at", 1.5),
        ("matched_at", 10**30),
        ("settled_at", -1),
        ("leg", True),
        ("side", "MIDDLE"),
        ("status", "LOST"),
        ("status", ["RESERVED"]),
    ],
)
def test_a_record_with_one_impossible_value_stops_its_market(
    world: World, redis_client: "redis.Redis", name: str, value: object
) -> None:
    world.save(MATCHED)
    key = keys.order(MATCHED.order_id)
    redis_client.set(key, json.dumps(json.loads(str(redis_client.get(key))) | {name: value}))
    with pytest.raises(StoreUnavailable):
        world.store.view(MARKET)


def test_a_signal_that_cannot_be_read_holds_no_other_up(world: World, redis_client: "redis.Redis") -> None:
    world.signal("good")
    world.signal("bad")
    redis_client.set(keys.signal("bad"), "{broken")
    assert [record.signal_id for record in world.store.open_signals(world.store.now(), 10)] == ["good"]
    with pytest.raises(StoreUnavailable):
        world.store.signal("bad")


def spoil(client: "redis.Redis", key: str, kind: str) -> None:
    if kind == "string":
        client.set(key, "garbage \u2620")
    elif kind == "list":
        client.rpush(key, "garbage")
    else:
        client.hset(key, "garbage", "\u2620")


def _orders() -> tuple[Order, Order]:
    return make_order(), make_order(order_id="second", leg=2, selection_id=7)


_KEYS = [
    keys.TRADING_ENABLED,
    keys.IDENTITY,
    keys.RECONCILED,
    keys.LIMITS,
    keys.BREAKER,
    keys.BREAKER_SINCE,
    keys.FAILED_ORDERS,
    keys.SIGNALS_OPEN,
    keys.ORDERS_ACTIVE,
    keys.ORDERS_UNSETTLED,
    keys.ORDERS_RECENT,
    keys.MARKETS,
    keys.TRADES,
    keys.market_orders(MARKET),
    keys.market_revision(MARKET),
    keys.signal("signal-1"),
    keys.order("second"),
]


@pytest.mark.parametrize("key", _KEYS)
@pytest.mark.parametrize("kind", ["string", "list", "hash"])
def test_a_key_of_the_wrong_type_leaves_no_truth_half_written(
    world: World, redis_client: "redis.Redis", key: str, kind: str
) -> None:
    world.ready()
    world.signal()
    view = world.store.view(MARKET, signal_ids=("signal-1",))
    redis_client.delete(key)
    spoil(redis_client, key, kind)
    accepted = replace(view.signals["signal-1"], status=SignalStatus.ACCEPTED)
    failure = Failure("x", "CODE", view.now)
    change = Change(
        orders=_orders(), signals=(accepted,), trades=(FILL,), gates=ALL_GATES, failure=failure, success_at=view.now
    )
    try:
        done = bool(world.store.commit(view, change))
    except StoreUnavailable:
        done = False
    truth = (keys.order(_orders()[0].order_id), keys.order("second"))
    written = sum(redis_client.type(name) == "string" for name in truth) - (key == truth[1] and kind == "string")
    entries = redis_client.xlen(keys.TRADES) if redis_client.type(keys.TRADES) == "stream" else 0
    # A string where a string belongs is compared or overwritten; any other answer is all or nothing.
    assert (done, written, entries) in {(False, 0, 0), (True, 2, 1), (True, 1, 1)}
    assert not done or key not in {keys.TRADING_ENABLED, keys.IDENTITY, keys.RECONCILED, keys.LIMITS, keys.BREAKER}


@pytest.mark.parametrize("key", _KEYS)
@pytest.mark.parametrize("kind", ["string", "list"])
def test_a_view_of_nonsense_is_nothing_to_trade_on(
    world: World, redis_client: "redis.Redis", key: str, kind: str
) -> None:
    world.ready()
    world.signal()
    redis_client.delete(key)
    spoil(redis_client, key, kind)
    try:
        view = world.store.view(MARKET, signal_ids=("signal-1",), order_ids=("second",))
    except StoreUnavailable:
        return
    stops = {
        keys.TRADING_ENABLED: view.trading != "true",
        keys.IDENTITY: view.identity != IDENTITY,
        keys.RECONCILED: not view.reconciled,
        keys.LIMITS: view.limits != LIMITS,
    }
    assert stops.get(key, True)


@pytest.mark.parametrize("text", ["x", "1.5", "-", "9" * 40])
def test_a_count_of_transactions_that_is_none_lets_nothing_out(
    world: World, redis_client: "redis.Redis", text: str
) -> None:
    redis_client.set(world.store.view(MARKET).transactions_key, text)
    view = world.store.view(MARKET)
    assert view.transactions > 10**9
    with contextlib.suppress(StoreUnavailable):
        assert not world.store.commit(view, Change(orders=_orders(), transactions=2, transactions_max=10**6))
    assert world.store.orders([_orders()[0].order_id, "second"]) == []
    assert world.save(make_order(order_id="other")), "what sends nothing goes on"
