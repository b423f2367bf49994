"""What the ports beside the store promise, the same for the one in memory and the one on Redis."""

import threading
import time
from decimal import Decimal

import pytest
import redis
from support.factories import LIMITS, make_order
from support.redis_ports import RedisPorts
from support.sandbox_client import wait_for
from support.store_worlds import IDENTITY, World, memory_world, redis_world

from executor import keys
from executor.adapters.redis.client import run_of
from executor.domain.ledger_entry import decode_entry
from executor.domain.risk import LIMIT_FIELDS
from executor.domain.times import day
from executor.ports import Funds

SETTINGS = {attribute: Decimal(LIMITS[name]) for name, attribute in LIMIT_FIELDS.items()}
DAY_MS = 86_400_000


@pytest.fixture(params=["memory", "redis"])
def world(request: pytest.FixtureRequest) -> World:
    if request.param == "memory":
        return memory_world()
    return redis_world(request.getfixturevalue("redis_client"))


def pnl(world: World) -> str | None:
    return world.store.view("1.1").daily_pnl


# --- whose db, and the first start ------------------------------------------------------------------------------------


def test_a_db_belongs_to_the_first_who_claims_it(world: World) -> None:
    assert world.controls.claim_identity() == IDENTITY
    world.put("identity", "live somebody")
    assert world.controls.claim_identity() == "live somebody"


@pytest.mark.parametrize(
    ("ours", "held", "enabled"), [(False, None, True), (True, None, False), (False, "false", False)]
)
def test_trading_is_enabled_on_a_first_start_only(world: World, held: str | None, *, ours: bool, enabled: bool) -> None:
    world.put("trading", held)
    assert not world.controls.is_started()
    assert world.controls.first_start(anything_of_ours=ours) is enabled
    assert world.trading() == ("true" if enabled else held)
    assert world.controls.is_started()


def test_a_kill_switch_that_got_lost_stays_off(world: World) -> None:
    assert world.controls.first_start(anything_of_ours=False)
    world.put("trading", None)
    assert not world.controls.first_start(anything_of_ours=False)
    assert world.trading() is None


# --- data folders -----------------------------------------------------------------------------------------------------


def test_a_full_disk_takes_the_reconciled_mark_away_and_lapses_with_its_process(world: World) -> None:
    world.ready()
    assert world.store.view("1.1").reconciled
    world.controls.report_storage("worker:a:1", "/data has 0 KB left", 60)
    world.controls.report_storage("worker:b:2", "/data has 1 KB left", 0)
    assert world.controls.storage_problems() == {"worker:a:1": "/data has 0 KB left"}
    assert not world.store.view("1.1").reconciled
    world.controls.report_storage("worker:a:1", "", 60)
    assert world.controls.storage_problems() == {}


def test_a_report_of_a_full_disk_that_is_none_stops_nothing(redis_client: "redis.Redis") -> None:
    world = redis_world(redis_client)
    redis_client.hset(keys.STORAGE, mapping={"a": "{", "b": "[]", "c": '{"until": "x"}', "d": '{"until": 1e400}'})
    assert world.controls.storage_problems() == {}
    redis_client.set(keys.STORAGE, "junk")
    assert world.controls.storage_problems() == {}


# --- limits -----------------------------------------------------------------------------------------------------------


def test_the_settings_fill_an_empty_hash_and_say_what_they_changed(world: World) -> None:
    changed = world.controls.apply_limits(SETTINGS, missing_only=False)
    assert changed == {name: (None, value) for name, value in LIMITS.items()}
    assert world.store.view("1.1").limits == LIMITS
    assert world.controls.apply_limits(SETTINGS, missing_only=False) == {}


def test_a_limit_that_a_person_set_outlives_a_restart(world: World) -> None:
    world.controls.apply_limits(SETTINGS, missing_only=False)
    world.put("limits", {**LIMITS, "MaxStakePerOrder": "7"})
    assert world.controls.apply_limits(SETTINGS, missing_only=False) == {}
    assert world.store.view("1.1").limits["MaxStakePerOrder"] == "7"


def test_a_setting_that_changed_overwrites_its_limit_and_no_other(world: World) -> None:
    world.controls.apply_limits(SETTINGS, missing_only=False)
    world.put("limits", {**LIMITS, "MaxStakePerOrder": "7", "Bankroll": "1"})
    changed = world.controls.apply_limits({**SETTINGS, "max_stake_per_order": Decimal(8)}, missing_only=False)
    assert changed == {"MaxStakePerOrder": ("7", "8")}
    assert world.store.view("1.1").limits == {**LIMITS, "MaxStakePerOrder": "8", "Bankroll": "1"}


@pytest.mark.parametrize("missing_only", [True, False])
def test_a_limit_that_is_missing_comes_back_from_the_settings(world: World, *, missing_only: bool) -> None:
    world.controls.apply_limits(SETTINGS, missing_only=False)
    world.put("limits", {name: value for name, value in LIMITS.items() if name != "Bankroll"})
    assert world.controls.apply_limits(SETTINGS, missing_only=missing_only) == {"Bankroll": (None, "10000")}


def test_two_workers_with_other_settings_do_not_take_turns(world: World) -> None:
    world.controls.apply_limits(SETTINGS, missing_only=False)
    newer = {**SETTINGS, "max_stake_per_order": Decimal(8)}
    assert world.controls.apply_limits(newer, missing_only=False) == {"MaxStakePerOrder": ("100", "8")}
    for settings in (SETTINGS, newer, SETTINGS):  # each poll is by another worker
        assert world.controls.apply_limits(settings, missing_only=True) == {}
    assert world.store.view("1.1").limits == {**LIMITS, "MaxStakePerOrder": "8"}


# --- P&L --------------------------------------------------------------------------------------------------------------


def test_a_profit_booked_again_is_booked_once(world: World) -> None:
    now = world.store.now()
    today = day(now)
    assert (pnl(world), world.accounts.settled_at()) == (None, None)
    for bets in ({"a": Decimal("5.00")}, {"a": Decimal("5.00")}, {"b": Decimal("-7.50")}):
        world.accounts.book_profits({today: bets}, settled_at=now)
    assert (pnl(world), world.accounts.settled_at()) == ("-2.50", now)


def test_a_bet_settled_again_on_another_day_counts_there_only(world: World) -> None:
    now = world.store.now()
    world.accounts.book_profits({day(now): {"a": Decimal("5.00")}}, settled_at=now)
    world.accounts.book_profits({day(now): {"a": Decimal(0)}, day(now - DAY_MS): {"a": Decimal(-5)}}, settled_at=now)
    assert Decimal(pnl(world) or "1") == 0


def test_a_day_without_bets_is_summed_anew(world: World) -> None:
    now = world.store.now()
    today = day(now)
    world.accounts.book_profits({today: {"a": Decimal("5.00")}})
    world.put("pnl", "7.00")
    world.accounts.book_profits({today: {}})
    assert pnl(world) == "5.00"


def test_what_is_not_held_or_not_so_is_unbooked(world: World) -> None:
    now = world.store.now()
    today, yesterday = day(now), day(now - DAY_MS)
    profits = {"a": Decimal("5.00"), "b": Decimal("-7.50")}
    assert world.accounts.unbooked({today: profits}) == {today: profits}
    world.accounts.book_profits({today: profits})
    assert world.accounts.unbooked({today: profits}) == {}
    other = {"b": Decimal("7.50"), "c": Decimal("0.00")}
    assert world.accounts.unbooked({today: {"a": Decimal("5.00"), **other}, yesterday: {}}) == {today: other}


def test_what_the_ledger_knows_comes_back_and_overwrites_nothing(world: World) -> None:
    now = world.store.now()
    today, yesterday = day(now), day(now - DAY_MS)
    world.accounts.restore_pnl({today: {"a": Decimal("3.00")}, yesterday: {"b": Decimal("4.00")}})
    assert (pnl(world), world.accounts.settled_at()) == ("3.00", None)
    world.accounts.book_profits({today: {"a": Decimal("1.00")}}, settled_at=now)
    world.accounts.restore_pnl({today: {"a": Decimal("9.00")}})
    assert pnl(world) == "1.00"


# --- the rest ---------------------------------------------------------------------------------------------------------


def test_a_complete_read_is_due_until_it_is_done(world: World) -> None:
    assert world.controls.full_read_due(60, world.controls.data_generation())
    world.controls.full_read_done(world.controls.data_generation())
    assert not world.controls.full_read_due(60, world.controls.data_generation())


def test_market_types_are_asked_for_once(world: World) -> None:
    assert world.market_facts.unknown_markets() == []
    world.save(make_order(market_id="1.7"), market_id="1.7")
    world.save(make_order(order_id="o", market_id="1.8"), market_id="1.8")
    assert world.market_facts.unknown_markets() == ["1.7", "1.8"]
    world.market_facts.save_market_types({"1.7": "WIN"})
    world.market_facts.save_market_types({})
    assert world.market_facts.unknown_markets() == ["1.8"]


def test_a_lock_is_held_by_one_until_it_is_given_back(world: World) -> None:
    with world.locks.single_flight("poll") as first, world.locks.single_flight("poll") as second:
        assert (bool(first), bool(second)) == (True, False)
        with world.locks.single_flight("other") as other:
            assert other
    with world.locks.single_flight("poll") as again:
        assert again


def test_a_task_that_fails_gives_its_lock_back(world: World) -> None:
    with pytest.raises(KeyError), world.locks.single_flight("poll"):
        raise KeyError
    with world.locks.single_flight("poll") as ours:
        assert ours


def test_since_when_a_signal_waits_is_the_first_time_that_was_asked(world: World) -> None:
    first = world.controls.waiting_since("signal-1")
    assert first == pytest.approx(world.store.now(), abs=5000)
    time.sleep(0.01)
    assert world.controls.waiting_since("signal-1") == first


# --- on Redis only: time really passes --------------------------------------------------------------------------------


def test_a_long_task_keeps_its_lock_and_a_killed_one_loses_it(redis_client: "redis.Redis") -> None:
    ports, other = (RedisPorts.on(redis_client, redis_client, IDENTITY, lock_s=1) for _ in range(2))
    with ports.locks.single_flight("poll"):
        ends = time.monotonic() + 1.5
        while time.monotonic() < ends:
            with other.locks.single_flight("poll") as ours:
                assert not ours
            time.sleep(0.1)
    redis_client.set(keys.task_lock("poll"), f"{run_of(redis_client)} somebody who was killed", ex=1)
    with other.locks.single_flight("poll") as ours:
        assert not ours

    def free() -> bool:
        with other.locks.single_flight("poll") as ours:
            return bool(ours)

    wait_for(free, 3)


def test_a_lock_that_somebody_else_took_over_is_left_alone(redis_client: "redis.Redis") -> None:
    ports = RedisPorts.on(redis_client, redis_client, IDENTITY, lock_s=1)
    theirs = f"{run_of(redis_client)} theirs"
    with ports.locks.single_flight("poll") as hold:
        assert not hold.lost
        redis_client.set(keys.task_lock("poll"), theirs, ex=60)
        wait_for(lambda: hold.lost)  # a renewal is due after a third of a second
        assert redis_client.ttl(keys.task_lock("poll")) > 50
    assert redis_client.get(keys.task_lock("poll")) == theirs


def test_a_lock_of_another_run_of_the_master_is_nobodys(redis_client: "redis.Redis") -> None:
    ports = RedisPorts.on(redis_client, redis_client, IDENTITY, lock_s=1)
    redis_client.set(keys.task_lock("poll"), f"{'0' * 40} a poll that the failover interrupted", ex=60)
    with ports.locks.single_flight("poll") as ours:
        assert ours


def test_a_lock_that_an_outage_lost_is_taken_anew(redis_client: "redis.Redis") -> None:
    ports = RedisPorts.on(redis_client, redis_client, IDENTITY, lock_s=1)
    with ports.locks.single_flight("poll") as hold:
        redis_client.delete(keys.task_lock("poll"))
        wait_for(lambda: redis_client.exists(keys.task_lock("poll")))
        assert not hold.lost
    assert not redis_client.exists(keys.task_lock("poll"))


def test_no_thread_is_left_behind(redis_client: "redis.Redis") -> None:
    ports = RedisPorts.on(redis_client, redis_client, IDENTITY)
    before = threading.active_count()
    for _ in range(20):
        with ports.locks.single_flight("poll"):
            pass
    wait_for(lambda: threading.active_count() <= before)


def test_profits_are_seen_with_redis_cli(redis_client: "redis.Redis") -> None:
    world = redis_world(redis_client)
    now = world.store.now()
    days = {day(now): {"a": Decimal("5.00"), "b": Decimal("-1.50")}, day(now - DAY_MS): {"c": Decimal("2.00")}}
    world.accounts.book_profits(days, settled_at=now)
    assert redis_client.get(keys.pnl_daily(day(now))) == "3.50"
    assert redis_client.get(keys.PNL_TOTAL) == "5.50"
    assert 47 * 3600 < redis_client.ttl(keys.pnl_daily(day(now))) <= 48 * 3600


def test_a_day_that_is_corrected_late_keeps_its_other_bets(redis_client: "redis.Redis") -> None:
    world = redis_world(redis_client)
    now = world.store.now()
    days = {day(now): {"a": Decimal("5.00"), "b": Decimal("-1.50")}}
    world.accounts.book_profits(days, settled_at=now)
    assert redis_client.ttl(keys.settlements(day(now))) > 60 * 86_400, "the exchange settles again, and we may be down"


@pytest.mark.parametrize("text", ["soon", "", "-5", "1e3", "9" * 30, "٣"])
def test_a_settlement_time_that_is_none_is_unknown(redis_client: "redis.Redis", text: str) -> None:
    redis_client.set(keys.SETTLED_AT, text)
    assert redis_world(redis_client).accounts.settled_at() is None


def test_settlements_are_not_read_from_the_future(redis_client: "redis.Redis") -> None:
    world = redis_world(redis_client)
    redis_client.set(keys.SETTLED_AT, world.store.now() + 2 * DAY_MS)
    assert world.accounts.settled_at() is None


def test_a_feed_that_is_not_there_yet_is_empty(redis_client: "redis.Redis") -> None:
    ports = RedisPorts.on(redis_client, redis_client, IDENTITY)
    ports.trade_feed.trim_trades()
    assert ports.trade_feed.read_trades(5) == []
    redis_client.xadd(keys.TRADES, {"type": "fill"})
    [(_, entry)] = ports.trade_feed.read_trades(5)
    assert entry == decode_entry({"type": "fill"}), "it is none, and says so"


def test_the_feed_keeps_a_week_and_whatever_the_ledger_has_not_got(redis_client: "redis.Redis") -> None:
    ports = RedisPorts.on(redis_client, redis_client, IDENTITY)
    old = int(time.time() * 1000) - 8 * DAY_MS
    # Approximate trimming works by nodes of 100 entries.
    for at in range(600):
        redis_client.xadd(keys.TRADES, {"type": "fill", "n": at}, id=f"{old + at}-1")
    first = ports.trade_feed.read_trades(400)
    assert len(first) == 400
    ports.trade_feed.acknowledge_trades([entry_id for entry_id, _ in first[250:]])
    ports.trade_feed.trim_trades()
    assert redis_client.xlen(keys.TRADES) == 600, "the oldest 250 are not acknowledged"
    assert ports.trade_feed.read_trades(400)[0][0] == first[0][0]
    ports.trade_feed.acknowledge_trades([entry_id for entry_id, _ in first[:250]])
    ports.trade_feed.trim_trades()
    kept = redis_client.xlen(keys.TRADES)
    assert 200 <= kept < 600, "those that nobody has read stay, most others go"
    assert len(ports.trade_feed.read_trades(400)) == 200


def test_an_entry_that_somebody_deleted_does_not_hold_the_feed_up(redis_client: "redis.Redis") -> None:
    ports = RedisPorts.on(redis_client, redis_client, IDENTITY)
    ids = [redis_client.xadd(keys.TRADES, {"type": "fill"}) for _ in range(3)]
    assert len(ports.trade_feed.read_trades(2)) == 2
    redis_client.xdel(keys.TRADES, ids[0])
    entries = ports.trade_feed.read_trades(2)
    assert [entry_id for entry_id, _ in entries] == [ids[1]]
    ports.trade_feed.acknowledge_trades([entry_id for entry_id, _ in entries])
    assert [entry_id for entry_id, _ in ports.trade_feed.read_trades(2)] == [ids[2]]
    ports.trade_feed.acknowledge_trades([str(ids[2])])
    assert redis_client.xpending(keys.TRADES, keys.TRADES_GROUP)["pending"] == 0


def test_turns_are_a_pause_apart(world: World) -> None:
    assert world.locks.acquire_cooldown("log_trade", 60_000)
    assert not world.locks.acquire_cooldown("log_trade", 60_000)
    assert world.locks.acquire_cooldown("another", 1)


def test_controls_are_announced(redis_client: "redis.Redis") -> None:
    world = redis_world(redis_client)
    with redis_client.pubsub() as pubsub:  # type: ignore[no-untyped-call]
        pubsub.subscribe(keys.KILL_SWITCH)
        pubsub.get_message(timeout=2)
        world.controls.first_start(anything_of_ours=False)
        world.controls.alert("unknown_orders", {"count": "1"})
        heard = [pubsub.get_message(timeout=2) for _ in range(2)]
    assert ["first start" in str(heard[0]), "unknown_orders" in str(heard[1])] == [True, True]


def test_the_account_is_seen_with_redis_cli(redis_client: "redis.Redis") -> None:
    world = redis_world(redis_client)
    world.accounts.save_account(Funds(Decimal("900.00"), Decimal("100.00")), Decimal("0.00"))
    held = redis_client.hgetall(keys.ACCOUNT)
    assert (held["available"], held["exposure"], held["balance"]) == ("900.00", "100.00", "1000.00")


def test_a_queue_is_as_long_as_its_list(redis_client: "redis.Redis") -> None:
    ports = RedisPorts.on(redis_client, redis_client, IDENTITY)
    assert ports.locks.queue_length("signals") == 0
    redis_client.lpush("signals", "a", "b")
    assert ports.locks.queue_length("signals") == 2


def test_the_currency_is_the_last_one_that_was_told(world: World) -> None:
    assert world.accounts.currency() == ""
    world.accounts.save_currency("AUD")
    world.accounts.save_currency("")
    assert world.accounts.currency() == "AUD"


def test_when_a_task_did_its_job_is_known_and_junk_says_nothing(world: World, request: pytest.FixtureRequest) -> None:
    assert world.locks.last_success("poll_orders") == 0
    world.locks.succeeded("poll_orders")
    assert abs(world.locks.last_success("poll_orders") - world.store.now()) < 10_000
    if "redis" in request.node.name:
        client: redis.Redis = request.getfixturevalue("redis_client")
        client.hset(keys.LAST_SUCCESS, "poll_orders", "yesterday")
        assert world.locks.last_success("poll_orders") == 0
        client.delete(keys.LAST_SUCCESS)
        client.set(keys.LAST_SUCCESS, "x")
        assert world.locks.last_success("poll_orders") == 0


def test_how_far_the_feeds_were_read_is_known(world: World) -> None:
    feed = world.trade_feed
    assert (feed.delivered_trades(), feed.delivered_acts()) == ("", "")
