"""Every step that a person must hear of writes its notice in the same step, and none is stopped by a notice."""

from dataclasses import replace
from decimal import Decimal

import pytest
import redis
from support.redis_ports import RedisPorts
from support.store_worlds import IDENTITY, WINDOW_S, redis_world

from executor import keys
from executor.adapters.redis.alerts import RedisAlerts
from executor.adapters.redis.console import set_limits
from executor.adapters.redis.failed import FailedTasks
from executor.adapters.redis.notice_store import RedisNotices
from executor.adapters.redis.snapshot import RedisSnapshot
from executor.domain.mailbox import Mailbox, begin, take
from executor.domain.notice import Kind, Level, Notice
from executor.domain.process_watch import Seen
from executor.ports import Address, Alert

SERVICE = Address("0011", "json", "json://127.0.0.1", 30_000)


@pytest.fixture
def notices(redis_client: "redis.Redis") -> RedisNotices:
    return RedisNotices(redis_client, redis_client, IDENTITY)


@pytest.fixture
def ports(redis_client: "redis.Redis") -> RedisPorts:
    return RedisPorts.on(redis_client, redis_client, IDENTITY)


def told(notices: RedisNotices) -> list[tuple[Kind, Level, str, str, bool]]:
    found = [notice for _, notice in notices.read("0-0", 100, 0) if notice is not None]
    return [(one.kind, one.level, one.key, one.text, one.over) for one in found]


def watch(client: "redis.Redis") -> RedisAlerts:
    return RedisAlerts(client, RedisSnapshot(client, client, breaker_window_s=WINDOW_S), IDENTITY)


def test_an_alert_begins_and_ends(redis_client: "redis.Redis", notices: RedisNotices) -> None:
    alerts = watch(redis_client)
    for _ in range(3):
        alerts.raise_alerts({Alert.BRIDGE_DEAD: "no bridge is alive", Alert.LEDGER_LAG: "90 entries wait"})
    alerts.raise_alerts({})
    assert told(notices) == [
        (Kind.ALERT, Level.CRITICAL, "alert:bridge_dead", "no bridge is alive", False),
        (Kind.ALERT, Level.WARNING, "alert:ledger_lag", "90 entries wait", False),
        (Kind.ALERT, Level.CRITICAL, "alert:bridge_dead", "over", True),
        (Kind.ALERT, Level.WARNING, "alert:ledger_lag", "over", True),
    ]


def test_a_halt_and_a_resume_say_who(ports: RedisPorts, notices: RedisNotices) -> None:
    ports.controls.set_trading(enabled=False, reason="prices look wrong (anna (console))")
    ports.controls.set_trading(enabled=True, reason="resumed by anna")
    assert told(notices) == [
        (Kind.HALT, Level.WARNING, "", "trading is OFF: prices look wrong (anna (console))", False),
        (Kind.RESUME, Level.WARNING, "", "trading is on: resumed by anna", False),
    ]


def test_a_trip_by_an_order_is_told_once_with_its_alert(redis_client: "redis.Redis", notices: RedisNotices) -> None:
    world = redis_world(redis_client)
    world.ready()
    assert world.fail("o-1", world.store.now(), trip="5 failed order calls")
    watch(redis_client).raise_alerts({Alert.CIRCUIT_BREAKER: "the circuit breaker has tripped"})
    trip, alert = told(notices)
    assert trip == (Kind.BREAKER, Level.CRITICAL, "alert:circuit_breaker", "5 failed order calls", False)
    assert alert[2] == trip[2], "one thing under one key"
    redis_client.delete(keys.BREAKER)
    redis_client.set(keys.NOTICES, "somebody's text")
    assert world.fail("o-2", world.store.now(), trip="again"), "a notice that cannot be written stops no trip"


def test_a_trip_that_the_watchdog_finds(redis_client: "redis.Redis", ports: RedisPorts, notices: RedisNotices) -> None:
    now = int(redis_client.time()[0])
    redis_client.zadd(keys.FAILED_ORDERS, {"a": now, "b": now})
    assert ports.controls.trip_breaker(2, 600)
    assert not ports.controls.trip_breaker(2, 600)
    ((kind, level, key, text, _),) = told(notices)
    assert (kind, level, key) == (Kind.BREAKER, Level.CRITICAL, "alert:circuit_breaker")
    assert "2 or more failed order calls" in text


def test_changed_limits_say_who_and_from_what_to_what(redis_client: "redis.Redis", notices: RedisNotices) -> None:
    set_limits(redis_client, {"Bankroll": Decimal(50)}, None, "anna", IDENTITY)
    change = {"Bankroll": Decimal(60), "MaxDailyLoss": Decimal("7.5")}
    assert set_limits(redis_client, change, {"Bankroll": "50"}, "bob (console)", IDENTITY) is not None
    assert set_limits(redis_client, change, {"Bankroll": "50"}, "carol", IDENTITY) is None
    assert [text for *_, text, _ in told(notices)] == [
        "changed by anna: Bankroll missing -> 50",
        "changed by bob (console): Bankroll 50 -> 60, MaxDailyLoss missing -> 7.5",
    ]


def test_limits_that_the_settings_change_at_a_start(ports: RedisPorts, notices: RedisNotices) -> None:
    limits = {
        "bankroll": Decimal(1000), "max_exposure_per_market": Decimal(5), "max_exposure_per_selection": Decimal(5),
        "max_stake_per_order": Decimal(5), "max_daily_loss": Decimal(5), "max_risk_per_trade_percent": Decimal("0.02"),
    }  # fmt: skip
    ports.controls.apply_limits(limits, missing_only=False)
    assert told(notices) == [], "a first start changes nothing"
    ports.controls.apply_limits({**limits, "bankroll": Decimal(900)}, missing_only=False)
    assert [text for *_, text, _ in told(notices)] == ["changed by the settings at a start: Bankroll 1000 -> 900"]


def test_a_failed_task_and_what_a_person_decided(
    redis_client: "redis.Redis", ports: RedisPorts, notices: RedisNotices
) -> None:
    fields = {"task": "executor.place_order", "signal_id": "s-1", "error": "KeyError: x"}
    FailedTasks(redis_client, IDENTITY).keep("place-s-1", fields)
    ports.controls.alert("order_resolved", {"order_id": "o-1", "by": "anna"})
    ports.controls.alert("limits_changed", {"Bankroll": "told by the script"})
    ports.controls.alert("orders_cancelled_by_exchange", {"action": "ALL_CANCELLED"})
    assert [(kind, level, text) for kind, level, _, text, _ in told(notices)] == [
        (Kind.FAILED_TASK, Level.WARNING, "executor.place_order of signal s-1: KeyError: x"),
        (Kind.ALERT, Level.WARNING, "order resolved: order id o-1, by anna"),
        (Kind.ALERT, Level.CRITICAL, "orders cancelled by exchange: action ALL_CANCELLED"),
    ]


def test_a_day_is_summed_up_once(redis_client: "redis.Redis", notices: RedisNotices) -> None:
    alerts = watch(redis_client)
    assert [alerts.tell_day("2026-11-29", "net +1.00"), alerts.tell_day("2026-11-29", "again")] == [True, False]
    assert told(notices) == [(Kind.SUMMARY, Level.INFO, "", "net +1.00", False)]
    assert redis_client.ttl(keys.summary("2026-11-29")) > 0


def test_a_stream_of_another_type_stops_no_halt_and_no_trip(redis_client: "redis.Redis", ports: RedisPorts) -> None:
    redis_client.set(keys.NOTICES, "somebody's text")
    redis_client.set(keys.TRADING_ENABLED, "true")
    ports.controls.set_trading(enabled=False, reason="now")
    assert redis_client.get(keys.TRADING_ENABLED) == "false"
    redis_client.set(keys.TRADING_ENABLED, "true")
    redis_client.zadd(keys.FAILED_ORDERS, {"a": int(redis_client.time()[0])})
    assert ports.controls.trip_breaker(1, 600)
    assert redis_client.get(keys.TRADING_ENABLED) == "false"
    assert set_limits(redis_client, {"Bankroll": Decimal(50)}, None, "anna", IDENTITY) is not None
    assert redis_world(redis_client).store.repair_keys() == [keys.NOTICES]
    ports.controls.set_trading(enabled=True, reason="again")
    assert redis_client.xlen(keys.NOTICES) == 1


def test_the_stream_is_bounded(redis_client: "redis.Redis", notices: RedisNotices) -> None:
    notice = Notice(kind=Kind.TEST, level=Level.INFO, text="x", at=1)
    for _ in range(21):
        notices.add([notice] * 1000, {})
    assert 10_000 <= redis_client.xlen(keys.NOTICES) < 11_000


def test_what_is_remembered_is_read_back(redis_client: "redis.Redis", notices: RedisNotices) -> None:
    notice = Notice(kind=Kind.ALERT, level=Level.CRITICAL, text="why", at=5, key="alert:x")
    box = begin(take(take(Mailbox(), "1-0", notice, 5), "2-0", replace(notice, key=""), 5), 6, "[test]", 3000)
    notices.save({"0011": (SERVICE, box)}, "2-0")
    assert (notices.mailboxes(), notices.position()) == ({"0011": box}, "2-0")
    seen = {"worker": Seen(steady=2, names=("a:1", "b:2"), told_at=7)}
    notices.add([], seen)
    assert notices.processes() == seen
    notices.forget(["0011"])
    assert (notices.mailboxes(), redis_client.hlen(keys.NOTIFY_ADDRESSES)) == ({}, 0)


@pytest.mark.parametrize("junk", ["", "null", "[]", '{"items": 5}', "\x00", '{"told": {"a": null}}'])
def test_what_is_no_mailbox_begins_anew(redis_client: "redis.Redis", notices: RedisNotices, junk: str) -> None:
    redis_client.hset(keys.NOTIFY_MAILBOXES, "0011", junk)
    redis_client.set(keys.NOTIFY_PROCESSES, junk)
    redis_client.set(keys.NOTIFY_POSITION, junk)
    assert notices.mailboxes() == {"0011": Mailbox()}
    assert (notices.processes() in ({}, {"told": Seen()}), notices.position()) == (True, "")
    redis_client.xadd(keys.NOTICES, {"kind": junk or "x", "at": junk or "x"})
    assert [notice for _, notice in notices.read("0-0", 10, 0)] == [None]
