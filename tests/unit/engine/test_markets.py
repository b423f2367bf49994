"""What markets are: read off the order path at their first signal, and the second one is judged by it."""

from dataclasses import replace
from decimal import Decimal

import pytest
from support.engine_rig import MARKET, Rig, make_policy

from executor.domain.market import FRESH_MS, Market, unsupported
from executor.domain.money import conversion_slack, minimum_size
from executor.domain.signal_record import SignalStatus
from executor.engine.account import refresh_account
from executor.engine.markets import learn
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
