"""validate_risk: every reason end to end, once, and never a rejection for losing a race."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from support.engine_rig import MARKET, Rig, make_policy, strategy_message
from support.factories import LIMITS, SUREBET, make_rules

from executor.domain.order import OrderStatus
from executor.domain.signal import SignalKind
from executor.domain.signal_record import SignalStatus
from executor.engine.validation import validate
from executor.errors import Contended, StoreUnavailable


def test_a_signal_is_accepted_and_its_exposure_reserved(rig: Rig) -> None:
    record = rig.received(legs=2)
    rig.clock.tick(2)
    step = rig.validate()
    assert (step.verdict, len(step.orders)) == ("ACCEPTED", 2)
    first, second = rig.orders()
    assert (first.status, second.status) == (OrderStatus.RESERVED, OrderStatus.RESERVED)
    assert (first.order_id, second.order_id) == rig.signal().order_ids == step.orders
    assert {first.customer_ref} == {second.customer_ref}
    assert (first.received_at, first.created_at) == (record.received_at, rig.clock.now)
    assert rig.telemetry.counts["validated"] == rig.telemetry.counts["age"] == 1


def test_a_decision_is_made_once(rig: Rig) -> None:
    accepted = rig.accepted()
    commits = len(rig.store.commits)
    rig.memory.trading = "false"
    for _ in range(3):
        assert rig.validate().verdict == "ACCEPTED"
    assert (len(rig.store.commits), rig.signal()) == (commits, accepted)
    rig.received("signal-2")
    assert rig.validate("signal-2").verdict == "REJECTED"
    rig.memory.trading = "true"
    assert rig.validate("signal-2").verdict == "REJECTED"
    assert rig.telemetry.counts["rejected TRADING_DISABLED"] == 1


_BIG = {name: "100000" for name in LIMITS if name.startswith("Max") and name != "MaxRiskPerTradePercent"}


def limits(**changed: str) -> Callable[[Rig], object]:
    return lambda rig: rig.memory.limits.update(_BIG | {"MaxRiskPerTradePercent": "1"} | changed)


def put(**fields: Any) -> Callable[[Rig], object]:
    return lambda rig: vars(rig.memory).update(fields)


def loss(rig: Rig) -> None:
    limits(MaxDailyLoss="500")(rig)
    rig.memory.pnl["2023-11-14"] = "-500.00"


_REASONS: list[tuple[str, Callable[[Rig], object], dict[str, Any], str]] = [
    ("SIGNAL_EXPIRED", lambda rig: rig.clock.tick(60), {}, "Signal expired 0 ms ago"),
    ("NOT_RECONCILED", put(reconciled_until=0), {}, "not reconciled"),
    ("NOT_RECONCILED", put(identity="live somebody"), {}, "not reconciled"),
    ("INVALID_LIMITS", put(limits={}), {}, "Bankroll is missing"),
    ("INVALID_LIMITS", limits(MaxDailyLoss="-1"), {}, "MaxDailyLoss must be from 0"),
    ("INVALID_LIMITS", put(pnl={"2023-11-14": "NaN"}), {}, "P&L in Redis is not a number"),
    ("ODDS_OUT_OF_RANGE", limits(), {"recommendedOdds": 1.001}, "Odds 1.001 outside 1.01 to 1000"),
    ("STAKE_BELOW_MINIMUM", limits(), {"stake": 1.999}, "Stake 1.99 below minimum 2"),
    ("MAX_STAKE_PER_ORDER", limits(MaxStakePerOrder="9.99"), {}, "Stake 10 exceeds max per order 9.99"),
    ("MAX_RISK_PER_TRADE", limits(Bankroll="9"), {}, "Risk 10 exceeds max per trade 9"),
    (
        "MAX_EXPOSURE_PER_SELECTION",
        limits(MaxExposurePerSelection="9"),
        {},
        "Selection exposure 10 exceeds max per selection 9",
    ),
    ("MAX_EXPOSURE_PER_MARKET", limits(MaxExposurePerMarket="9"), {}, "Market exposure 10 exceeds max per market 9"),
    ("MAX_DAILY_LOSS", loss, {}, "Daily P&L -500 has reached max daily loss 500"),
    ("CIRCUIT_BREAKER_OPEN", put(breaker={"time": "x"}, trading="false"), {}, "Circuit breaker is open"),
    ("TRADING_DISABLED", put(trading="false"), {}, "Trading is disabled"),
    ("TRADING_DISABLED", put(trading=None), {}, "Trading is disabled"),
    ("TRADING_DISABLED", put(trading="yes"), {}, "Trading is disabled"),
]


@pytest.mark.parametrize(("reason", "scene", "message", "detail"), _REASONS)
def test_each_reason_ends_the_signal(
    rig: Rig, reason: str, scene: Callable[[Rig], object], message: dict[str, Any], detail: str
) -> None:
    rig.received(**message)
    scene(rig)
    step = rig.validate()
    record = rig.signal()
    assert (step.reason, record.reason) == (reason, reason)
    assert record.status is (SignalStatus.EXPIRED if reason == "SIGNAL_EXPIRED" else SignalStatus.REJECTED)
    assert detail in record.detail
    assert (record.finished_at, rig.memory.orders) == (rig.clock.now, {})
    assert rig.telemetry.counts[f"rejected {reason}"] == 1


def test_the_detail_names_the_second_leg(rig: Rig) -> None:
    limits(MaxRiskPerTradePercent="0.0015")(rig)  # of 10,000: a back of 10 at 3 risks 10, a lay 20
    rig.received(legs=2)
    assert rig.validate().detail == "Risk 20 exceeds max per trade 15 (leg 2)"
    assert not rig.memory.orders, "both legs or none"


def test_switched_off_rules_leave_the_switches(rig: Rig) -> None:
    rig = Rig(policy=make_policy(rules=make_rules(enabled=False)))
    limits(MaxStakePerOrder="1")(rig)
    rig.accepted()
    rig.memory.trading = "0"
    rig.received("signal-2")
    assert rig.validate("signal-2").reason == "TRADING_DISABLED"


def test_a_reused_id_whose_bets_live_is_a_duplicate(rig: Rig) -> None:
    rig.placed()
    rig.memory.signals.clear()
    rig.memory.seen.clear()
    rig.received()
    assert rig.validate().reason == "DUPLICATE_SIGNAL"
    assert [order.status for order in rig.orders()] == [OrderStatus.PENDING]


@pytest.mark.parametrize("status", [OrderStatus.FAILED, OrderStatus.EXPIRED])
def test_a_reused_id_whose_bets_never_were_starts_anew(rig: Rig, status: OrderStatus) -> None:
    rig.accepted()
    order = rig.order()
    rig.memory.orders[order.order_id] = replace(order, status=status)
    rig.memory.signals.clear()
    rig.memory.seen.clear()
    rig.received()
    assert rig.validate().verdict == "ACCEPTED"


# --- races ------------------------------------------------------------------------------------------------------------


def test_a_lost_race_is_read_again(rig: Rig) -> None:
    rig.received()
    rig.store.before_commit = [rig.touch_market, rig.touch_market]
    assert rig.validate().verdict == "ACCEPTED"
    assert len(rig.clock.slept) == 2


def test_too_many_lost_races_are_no_rejection(rig: Rig) -> None:
    rig.received()
    rig.store.before_commit = [rig.touch_market] * 100
    with pytest.raises(Contended):
        rig.validate()
    assert rig.signal().status is SignalStatus.RECEIVED
    assert not any(name.startswith("rejected") for name in rig.telemetry.counts)
    rig.store.before_commit = []
    assert rig.validate().verdict == "ACCEPTED"


@pytest.mark.parametrize(
    ("scene", "reason"),
    [
        (put(trading="false"), "TRADING_DISABLED"),
        (put(reconciled_until=0), "NOT_RECONCILED"),
        (put(limits={**LIMITS, "MaxStakePerOrder": "1"}), "MAX_STAKE_PER_ORDER"),
        (put(pnl={"2023-11-14": "-500"}), "MAX_DAILY_LOSS"),
        (lambda rig: rig.clock.tick(60), "SIGNAL_EXPIRED"),
        (put(breaker={"time": "x"}, trading="false"), "CIRCUIT_BREAKER_OPEN"),
    ],
)
def test_what_changes_between_reading_and_writing_counts(rig: Rig, scene: Callable[[Rig], object], reason: str) -> None:
    rig.received()
    rig.store.before_commit = [lambda: scene(rig)]
    assert rig.validate().reason == reason
    assert not rig.memory.orders


def test_two_workers_decide_once(rig: Rig) -> None:
    rig.received()
    rig.store.before_commit = [lambda: validate(rig.engine, "signal-1", MARKET)]
    assert rig.validate().verdict == "ACCEPTED"
    assert len(rig.memory.orders) == 1
    assert rig.telemetry.counts["validated"] == 1


def test_two_signals_cannot_take_the_last_unit(rig: Rig) -> None:
    limits(MaxExposurePerMarket="15")(rig)
    rig.received()
    rig.received("signal-2")
    rig.store.before_commit = [lambda: rig.validate("signal-2")]
    assert rig.validate().reason == "MAX_EXPOSURE_PER_MARKET"
    assert rig.signal("signal-2").status is SignalStatus.ACCEPTED


# --- what cannot be decided -------------------------------------------------------------------------------------------


def test_a_signal_without_a_record_is_left_alone(rig: Rig) -> None:
    assert rig.validate("nobody").verdict == "UNKNOWN_SIGNAL"
    assert rig.store.commits == []


def test_the_record_knows_the_market_better_than_the_message(rig: Rig) -> None:
    rig.received()
    assert rig.validate(market_id="1.999").verdict == "ACCEPTED"
    assert rig.order().market_id == MARKET


@pytest.mark.parametrize("method", ["view", "commit"])
def test_a_store_that_is_away_decides_nothing(rig: Rig, method: str) -> None:
    rig.received()
    rig.memory.away = {method}
    with pytest.raises(StoreUnavailable):
        rig.validate()
    assert rig.signal().status is SignalStatus.RECEIVED


@pytest.mark.parametrize("change", [{"kind": "gossip"}, {"payload": "{}"}, {"payload": "\ud800"}, {"kind": "surebet"}])
def test_a_record_that_somebody_spoilt_is_refused(rig: Rig, change: dict[str, Any]) -> None:
    rig.memory.signals["signal-1"] = replace(rig.received(), **change)
    assert rig.validate().reason == "MALFORMED_SIGNAL"
    assert not rig.memory.orders


# --- the breaker ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verdict", ["ACCEPTED", "REJECTED"])
def test_enabling_trading_resets_the_breaker_at_the_first_step(rig: Rig, verdict: str) -> None:
    rig.memory.breaker = {"time": "x"}
    rig.received(stake=10 if verdict == "ACCEPTED" else 500)
    assert rig.validate().verdict == verdict
    assert rig.memory.breaker == {}


def test_a_trip_that_was_ended_between_reading_and_writing_is_reset_by_this_step(rig: Rig) -> None:
    rig.received()
    rig.store.before_commit = [lambda: put(breaker={"time": "x"})(rig)]  # trading is on again, as it was read
    assert rig.validate().verdict == "ACCEPTED"
    assert rig.memory.breaker == {}


@pytest.mark.parametrize("counts", [True, False])
def test_rejections_by_limits_trip_the_breaker_only_where_the_settings_say_so(rig: Rig, *, counts: bool) -> None:
    rig = Rig(policy=make_policy(breaker_counts_rejections=counts))
    for at in range(5):
        rig.received(f"signal-{at}", stake=500)
        rig.validate(f"signal-{at}")
        rig.clock.tick(1)
    assert bool(rig.memory.breaker) is counts
    assert rig.memory.trading == ("false" if counts else "true")
    assert len(rig.memory.failures) == 5 * counts


def test_other_rejections_never_count(rig: Rig) -> None:
    rig = Rig(policy=make_policy(breaker_counts_rejections=True))
    for at in range(6):
        rig.received(f"signal-{at}", stake=1)
        rig.validate(f"signal-{at}")
    assert (rig.memory.failures, rig.memory.breaker) == ({}, {})


def test_a_surebet_goes_the_same_way(rig: Rig) -> None:
    record = rig.receive(SUREBET.encode(), SignalKind.SUREBET)
    assert record is not None
    step = validate(rig.engine, record.signal_id, record.market_id)
    assert (step.verdict, len(step.orders)) == ("ACCEPTED", 2)
    assert rig.receive(strategy_message("signal-2")) is not None
