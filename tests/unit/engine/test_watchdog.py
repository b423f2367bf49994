"""The watchdog on fakes: each alert begins when it should, is told once, and ends."""

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal

import pytest
from support.engine_rig import Rig, make_policy
from support.factories import NOW, make_order

from executor.domain.account import RATES_LAST_MS, Account
from executor.domain.foreign import ForeignBet
from executor.domain.hedge import HedgePolicy
from executor.domain.money import Side
from executor.domain.order import OrderStatus
from executor.domain.times import day, hour
from executor.engine import hedging
from executor.engine.watchdog import watch
from executor.errors import StoreUnavailable
from executor.ports import Alert, HedgeNote, RefusedCancel

S = OrderStatus
TODAY = day(NOW)
Scene = Callable[[Rig], object]


def fail(times: int) -> Scene:
    return lambda rig: rig.memory.failures.update({f"f{at}": rig.clock.now / 1000 for at in range(times)})


def hold(size: str) -> Scene:
    amount = Decimal(size)
    order = make_order(status=S.MATCHED, size=amount, size_matched=amount, average_price_matched=Decimal(3))
    return lambda rig: rig.memory.orders.update({order.order_id: order})


def leave_unknown(seconds: int) -> Scene:
    at = NOW - seconds * 1000
    order = make_order(status=S.SUBMITTED, submitted_at=at, answered_at=at)
    return lambda rig: rig.memory.orders.update({order.order_id: order})


def put(**values: object) -> Scene:
    def change(rig: Rig) -> None:
        for name, value in values.items():
            setattr(rig.memory, name, value)

    return change


def limit_in_pounds(rig: Rig) -> None:
    policy = make_policy()
    rig.engine = replace(rig.engine, policy=replace(policy, rules=replace(policy.rules, currency="GBP")))


def rate(read_at: int, of: str = "GBP") -> Scene:
    return put(currency="EUR", money=Account(rate_from=of, rate=Decimal("1.15"), rates_at=read_at))


def several(*scenes: Scene) -> Scene:
    return lambda rig: [scene(rig) for scene in scenes]


def spend(instructions: int) -> Scene:
    return lambda rig: rig.memory.sent.update({hour(NOW): instructions - rig.memory.sent[hour(NOW)]})


def unwritten(seconds: int) -> Scene:
    return put(feed={f"{NOW - seconds * 1000}-0": {"type": "fill"}})


def differ(seconds: int) -> Scene:
    return put(difference=Decimal(15), difference_since=NOW - seconds * 1000)


def refuse(times: int) -> Scene:
    return put(refused={"b1": RefusedCancel("b1", "ERROR_IN_MATCHER", times, NOW)})


FOREIGN = ForeignBet("b1", "1.2", 0, "orderType 'MARKET_ON_CLOSE' is none that we place")
# What is just not enough, what is, and what ends it.
CASES: dict[Alert, tuple[Scene, Scene, Scene]] = {
    Alert.CIRCUIT_BREAKER: (put(breaker={}), put(breaker={"time": "x"}, trading="false"), put(trading="TRUE")),
    Alert.BRIDGE_DEAD: (put(bridges=1), put(bridges=0), put(bridges=2)),
    Alert.SESSION_EXPIRING: (
        put(session_at=NOW - 2_700_000),
        put(session_at=NOW - 2_700_001),
        put(session_at=NOW),
    ),
    Alert.UNKNOWN_ORDERS: (leave_unknown(44), leave_unknown(45), lambda rig: rig.memory.orders.clear()),
    Alert.RATES_UNKNOWN: (
        several(limit_in_pounds, rate(NOW - RATES_LAST_MS)),
        rate(NOW - RATES_LAST_MS - 1),
        rate(NOW),
    ),
    Alert.EXPOSURE_HIGH: (
        lambda rig: (rig.memory.limits.update(MaxExposurePerMarket="9999"), hold("5000")(rig)),
        hold("5000.01"),
        lambda rig: rig.memory.limits.update(Bankroll="20000"),
    ),
    Alert.HEDGE_WAITING: (
        lambda rig: setattr(rig, "engine", replace(rig.engine, policy=make_policy(hedge=HedgePolicy("trade")))),
        put(hedges={"p": HedgeNote(1, "no price", waits=True, at=NOW)}),
        lambda rig: rig.clock.tick(91),
    ),
    Alert.MARKET_ABOVE_LIMIT: (
        hold("500"),
        hold("500.01"),
        lambda rig: rig.memory.limits.update(MaxExposurePerMarket="501"),
    ),
    Alert.DAILY_LOSS_NEAR_LIMIT: (
        put(pnl={TODAY: "-400"}),
        put(pnl={TODAY: "-400.01"}),
        put(pnl={TODAY: "-399"}),
    ),
    Alert.FAILURES_NEAR_BREAKER: (fail(3), fail(4), put(since=NOW / 1000)),
    Alert.TRANSACTIONS_NEAR_CAP: (spend(4000), spend(4001), lambda rig: rig.clock.tick(3600)),
    Alert.SIGNALS_WAITING: (
        put(signals_age=30_000, signals_waiting=10_000),
        put(signals_age=30_001),
        put(signals_age=0),
    ),
    Alert.SIGNAL_STREAM_MISUSED: (put(misuse_age=3_600_000), put(misuse_age=3_599_999), put(misuse_age=None)),
    Alert.LEDGER_LAG: (
        unwritten(60),
        unwritten(61),
        lambda rig: rig.memory.acknowledged.update(rig.memory.feed),
    ),
    Alert.DISK_FULL: (
        lambda rig: rig.memory.storage.clear(),
        lambda rig: rig.engine.controls.report_storage("worker:a:1", "/data has 0 KB left", 30),
        lambda rig: rig.clock.tick(30),
    ),
    Alert.CLOCK_SKEW: (put(clock_ahead=5000), put(clock_ahead=-5001), put(clock_ahead=3)),
    Alert.SET_ASIDE: (
        put(set_aside={"a row": ("odd", NOW - 180_000)}),
        put(set_aside={"a row": ("odd", NOW)}),
        lambda rig: rig.clock.tick(180),
    ),
    Alert.FOREIGN_BETS: (put(foreign={}), put(foreign={"b1": FOREIGN}), put(foreign={})),
    Alert.CANCELS_REFUSED: (refuse(2), refuse(3), put(refused={})),
    Alert.STREAM_SILENT: (put(stream_silent=59_999), put(stream_silent=60_000), put(stream_silent=0)),
    Alert.HEARTBEAT_MISSING: (put(heartbeat_age=30_000), put(heartbeat_age=30_001), put(heartbeat_age=0)),
    Alert.CANCELLED_BY_EXCHANGE: (
        put(switch_fired=""),
        put(switch_fired="ALL_BETS_CANCELLED", switch_fired_age=3_599_999),
        put(switch_fired_age=3_600_000),
    ),
    Alert.EXPOSURE_DIFFERENCE: (differ(179), differ(180), put(difference=Decimal(0))),
}


@pytest.mark.parametrize(
    ("scene", "said"),
    [
        (put(currency="", money=Account()), "the account's currency has not been read"),
        (put(currency="EUR", money=Account()), "no rate from GBP to EUR was ever read"),
        (rate(NOW, of="USD"), "no rate from GBP to EUR was ever read"),
        (rate(NOW - 30 * 3_600_000), "was last read 30 h ago, and holds for 24"),
    ],
)
def test_limits_that_cannot_be_converted_are_told_with_their_reason(rig: Rig, scene: Scene, said: str) -> None:
    limit_in_pounds(rig)
    scene(rig)
    assert "rates_unknown" in watch(rig.engine)
    assert said in rig.memory.alerts[Alert.RATES_UNKNOWN]
    assert "nothing is placed" in rig.memory.alerts[Alert.RATES_UNKNOWN]
    rate(NOW)(rig)
    assert "rates_unknown" not in watch(rig.engine)


def test_every_alert_has_its_case() -> None:
    assert set(CASES) == set(Alert)


@pytest.mark.parametrize("alert", Alert)
def test_an_alert_begins_is_told_once_and_ends(alert: Alert, capsys: pytest.CaptureFixture[str]) -> None:
    rig = Rig(policy=replace(make_policy(), heartbeat_s=30))
    not_enough, enough, over = CASES[alert]
    not_enough(rig)
    assert watch(rig.engine) == []
    enough(rig)
    assert [watch(rig.engine) for _ in range(3)] == [[alert]] * 3
    over(rig)
    assert [watch(rig.engine) for _ in range(2)] == [[], []]
    assert [(message["event"], message["alert"]) for message in rig.memory.messages] == [
        ("alert_started", alert),
        ("alert_cleared", alert),
    ]
    log = capsys.readouterr().out
    assert [log.count("alert_started"), log.count("alert_cleared")] == [1, 1]


def test_a_healthy_system_raises_no_alarm(rig: Rig) -> None:
    rig.placed()
    assert watch(rig.engine) == []
    assert rig.memory.messages == []


def test_the_watchdog_trips_a_breaker_that_nobody_tripped(rig: Rig) -> None:
    fail(5)(rig)
    assert watch(rig.engine) == [Alert.CIRCUIT_BREAKER]
    assert rig.memory.trading == "false"
    assert watch(rig.engine) == [Alert.CIRCUIT_BREAKER]


def test_a_breaker_that_is_switched_off_is_not_tripped_nor_neared() -> None:
    rig = Rig(policy=make_policy(breaker_enabled=False))
    fail(9)(rig)
    assert watch(rig.engine) == []


@pytest.mark.parametrize("paper", [False, True])
def test_without_a_session_there_is_an_alarm_when_live_only(paper: bool) -> None:
    rig = Rig(policy=replace(make_policy(), paper=paper))
    rig.memory.session_at = None
    assert watch(rig.engine) == ([] if paper else [Alert.SESSION_EXPIRING])


def test_a_limit_that_cannot_be_read_is_nobodys_alarm(rig: Rig) -> None:
    rig.memory.limits.clear()
    hold("9000")(rig)
    assert watch(rig.engine) == []


def test_what_is_switched_off_is_nobodys_alarm() -> None:
    rig = Rig(policy=replace(make_policy(), order_stream=False))
    put(stream_silent=10**9, heartbeat_age=10**9, switch_fired="ALL_BETS_CANCELLED")(rig)
    assert watch(rig.engine) == []


def test_a_switch_that_was_never_set_is_told_of() -> None:
    rig = Rig(policy=replace(make_policy(), heartbeat_s=30))
    rig.memory.heartbeat_age = None
    assert watch(rig.engine) == [Alert.HEARTBEAT_MISSING]


@pytest.mark.parametrize("away", ["snapshot", "raise_alerts"])
def test_a_look_that_fails_changes_no_alert(rig: Rig, away: str) -> None:
    rig.memory.bridges = 0
    watch(rig.engine)
    rig.memory.bridges = 1
    rig.memory.away = {away}
    with pytest.raises(StoreUnavailable):
        watch(rig.engine)
    rig.memory.away = set()
    assert rig.memory.alerts.keys() == {Alert.BRIDGE_DEAD}
    assert watch(rig.engine) == []


# --- limits in another currency than the account's ---

EUROS = {"rate_from": "GBP", "rate": Decimal("1.15"), "rates_at": NOW}


def in_pounds(**account: object) -> Rig:
    """Return a rig with limits in pounds, of an account in euros unless something else is known of it."""
    rules = replace(make_policy().rules, currency="GBP")
    rig = Rig(policy=make_policy(rules=rules, hedge=HedgePolicy("alert")))
    rig.memory.currency = "EUR"
    rig.memory.money = replace(Account(), **(EUROS | account))  # type: ignore[arg-type]
    rig.memory.limits["Bankroll"] = "1000"
    return rig


def standing_in(rig: Rig) -> dict[str, str]:
    watch(rig.engine)
    return {str(message["alert"]): str(message["detail"]) for message in rig.memory.messages if "detail" in message}


def test_amounts_are_compared_and_told_in_the_currency_of_the_limits() -> None:
    rig = in_pounds()
    hold("575")(rig)  # euros: 500 pounds, half of the bankroll and all that a market may cost
    put(pnl={TODAY: "-460"}, difference=Decimal("-11.5"), difference_since=NOW - 180_000)(rig)
    assert standing_in(rig) == {
        "exposure_difference": "the exchange holds 10.00 GBP less than our orders explain, for 180 s"
    }
    hold("580.75")(rig)
    put(pnl={TODAY: "-461.15"})(rig)
    told = standing_in(rig)
    assert told["exposure_high"] == "505.00 GBP at risk, above half of the bankroll of 1000 GBP"
    assert told["market_above_limit"] == "1.200000000 505.00 GBP: above 500 GBP"
    assert told["daily_loss_near_limit"] == "-401.00 GBP today, the limit is -500 GBP"


def test_an_old_rate_tells_and_without_any_nothing_is_compared() -> None:
    rig = in_pounds(rates_at=NOW - 90 * 86_400_000)
    hold("580.75")(rig)
    assert "505.00 GBP" in standing_in(rig)["market_above_limit"]
    rig = in_pounds(rate=None)
    hold("9999")(rig)
    assert set(standing_in(rig)) == {"rates_unknown"}


def test_a_hedge_is_explained_in_the_currency_of_the_limits() -> None:
    rig = in_pounds()
    hold("218.5")(rig)  # 190 pounds
    hedging.hedge(rig.engine, lambda _: None)
    [said] = hedging.standing(rig.engine)
    assert "holds 190.00 GBP of at most 200.00 GBP; it waits" in said
    [found] = hedging.plans_now(rig.engine)
    assert "back 20 EUR at 3" in str(replace(found, problem="", side=Side.BACK, size=Decimal(20), price=Decimal(3)))
