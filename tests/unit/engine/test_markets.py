"""What markets are: read off the order path at their first signal, and the second one is judged by it."""

from dataclasses import replace
from decimal import Decimal

import pytest
from support.engine_rig import MARKET, Rig, make_policy
from support.factories import make_order, make_rules

from executor.domain.market import FRESH_MS, Market, unsupported
from executor.domain.money import Side, conversion_slack, minimum_size
from executor.domain.order import OrderStatus
from executor.domain.signal_record import SignalStatus
from executor.engine.account import refresh_account
from executor.engine.markets import learn, learn_at_once
from executor.engine.watchdog import watch
from executor.errors import NotSent

PLAIN = Market(MARKET, "WIN", "ODDS", "CLASSIC", winners=1, runners=(1, 2), status="OPEN")
ODD = {
    "each way by type": replace(PLAIN, market_type="EACH_WAY"),
    "each way by divisor": replace(PLAIN, each_way_divisor=Decimal(4)),
    "line": replace(PLAIN, betting_type="LINE", ladder="LINE_RANGE"),
    "asian": replace(PLAIN, betting_type="ASIAN_HANDICAP_DOUBLE_LINE"),
    "finest": replace(PLAIN, ladder="FINEST"),
    "a ladder of tomorrow": replace(PLAIN, ladder="NEW"),
}


@pytest.mark.parametrize("kind", ODD)
def test_the_first_signal_asks_and_the_second_is_refused(rig: Rig, kind: str) -> None:
    rig.exchange.markets[MARKET] = replace(ODD[kind], read_at=rig.clock.now)
    rig.accepted("first")
    assert rig.exchange.called("market_facts") == []
    assert learn(rig.engine) == 1
    rig.received("second")
    rig.validate("second")
    assert (rig.signal("second").status, rig.signal("second").reason) == (SignalStatus.REJECTED, "UNSUPPORTED_MARKET")
    assert learn(rig.engine) == 0
    assert len(rig.exchange.called("market_facts")) == 1


def test_a_plain_market_goes_on_and_is_read_again_when_its_facts_are_old(rig: Rig) -> None:
    rig.exchange.markets[MARKET] = replace(PLAIN, read_at=rig.clock.now)
    for at in range(3):
        rig.accepted(f"signal-{at}")
        learn(rig.engine)
    assert len(rig.exchange.called("market_facts")) == 1
    rig.clock.tick(FRESH_MS / 1000)
    rig.memory.reconciled_until = rig.clock.now + 60_000
    rig.accepted("later")
    learn(rig.engine)
    assert len(rig.exchange.called("market_facts")) == 2


def test_an_exchange_that_does_not_answer_or_know_costs_the_facts_only(rig: Rig) -> None:
    rig.accepted("first")
    rig.exchange.reads_fail = NotSent("away")
    assert learn(rig.engine) == 0
    rig.exchange.reads_fail = None
    assert learn(rig.engine) == 0  # asked again, and not known there
    rig.accepted("second")
    assert learn(rig.engine) == 0
    assert len(rig.exchange.called("market_facts")) == 2


@pytest.mark.parametrize(
    ("said", "refused"),
    [("EACH_WAY", True), ("each_way", True), ("LINE", True), ("ASIAN_HANDICAP", True), ("WIN", False), ("", False)],
)
def test_a_signal_may_say_what_its_market_is_until_the_exchange_does(rig: Rig, said: str, *, refused: bool) -> None:
    rig.received("first", marketType=said)
    rig.validate("first")
    assert (rig.signal("first").reason == "UNSUPPORTED_MARKET") is refused
    assert unsupported(PLAIN, said) == ""


# --- the account's currency -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("currency", "stake", "taken"),
    [("AUD", 4.99, False), ("AUD", 5, True), ("GBP", 2, True), ("GBP", 1.99, False), ("", 2, True), ("ZZZ", 2, True)],
)
def test_the_exchanges_minimum_holds_unless_one_is_set(currency: str, stake: float, *, taken: bool) -> None:
    rules = replace(make_policy().rules, min_stake_by_currency=True)
    rig = Rig(policy=make_policy(rules=rules))
    rig.exchange.account_currency = currency
    refresh_account(rig.engine)
    rig.received("first", stake=stake)
    rig.validate("first")
    assert (rig.signal("first").reason == "STAKE_BELOW_MINIMUM") is not taken
    own = Rig(policy=make_policy(rules=replace(rules, min_stake_by_currency=False)))
    own.memory.currency = currency
    own.received("first", stake=stake)
    own.validate("first")
    assert (own.signal("first").reason == "STAKE_BELOW_MINIMUM") is (stake < 2)


def test_what_a_penny_of_the_exchange_is_in_other_currencies() -> None:
    found = {code: conversion_slack(code) for code in ("GBP", "AUD", "HUF", "")}
    assert found == {"GBP": Decimal("0.01"), "AUD": Decimal("0.05"), "HUF": Decimal("4.00"), "": Decimal("0.01")}
    assert minimum_size("HUF") == 400


NETTED = replace(PLAIN, runners=(1, 2, 3), complete=True)


@pytest.fixture
def netting(rig: Rig) -> Rig:
    """Return a rig that nets, in a market of three runners with matched lays on two of them."""
    rig.memory.netting = True
    rig.engine = replace(rig.engine, policy=make_policy(rules=make_rules(netting=True)))
    rig.exchange.markets[MARKET] = replace(NETTED, read_at=rig.clock.now)
    rig.memory.facts[MARKET] = rig.exchange.markets[MARKET]
    for selection in (1, 2):
        lay = make_order(
            order_id=f"lay-{selection}", selection_id=selection, side=Side.LAY, status=OrderStatus.MATCHED,
            size=Decimal(90), size_matched=Decimal(90), average_price_matched=Decimal(6), market_id=MARKET,
        )  # fmt: skip
        rig.memory.orders[lay.order_id] = lay
    return rig


def test_a_removal_recounts_and_alerts(netting: Rig, capsys: pytest.CaptureFixture[str]) -> None:
    rig = netting
    assert rig.alerts.snapshot().market_exposure == {MARKET: Decimal(360)}
    assert watch(rig.engine) == []
    rig.exchange.markets[MARKET] = replace(NETTED, runners=(1, 3), removed=(2,), read_at=rig.clock.now + 1)
    refresh_account(rig.engine)
    assert learn(rig.engine) == 1
    assert rig.alerts.snapshot().market_exposure == {MARKET: Decimal(450)}
    rig.exchange.markets[MARKET] = replace(NETTED, winners=2, read_at=rig.clock.now + 1)
    refresh_account(rig.engine)
    learn(rig.engine)
    assert [change.recount for change in rig.store.commits] == [True, True]
    assert watch(rig.engine) == ["market_above_limit"]
    said = capsys.readouterr().out
    assert said.count("market_exposure_changed") == 2
    assert "'450'" in said or "450" in said


def test_what_was_decided_by_facts_that_have_changed_is_decided_again(netting: Rig) -> None:
    rig = netting
    rig.memory.limits["MaxExposurePerMarket"] = "400"
    back = {"selectionId": "3", "recommendedOdds": 3, "stake": 40, "betType": "Back"}
    rig.accepted("first", primarySelection={**back, "stake": 10})  # 450 - 90 + 10
    rig.received("second", primarySelection={**back, "stake": 30})  # 400: not above the limit
    removed = replace(NETTED, runners=(1, 3), removed=(2,))
    rig.store.before_commit.append(lambda: rig.market_facts.save_facts([removed], []))
    assert rig.validate("second").reason == "MAX_EXPOSURE_PER_MARKET"
    assert rig.signal("second").detail == "Market exposure 490 exceeds max per market 400"


def test_facts_are_learnt_at_the_end_of_a_chain_so_that_the_second_signal_knows_them(rig: Rig) -> None:
    rig.exchange.markets[MARKET] = replace(NETTED, read_at=rig.clock.now)
    rig.accepted("first")
    learn_at_once(rig.engine)
    assert len(rig.exchange.called("market_facts")) == 1
    assert rig.market_facts.unknown_markets() == [], "its type is the label of the next order's metric"
    learn_at_once(rig.engine)
    assert len(rig.exchange.called("market_facts")) == 1
    rig.memory.away.add("wanted")
    learn_at_once(rig.engine)
