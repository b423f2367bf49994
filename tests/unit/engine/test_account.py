"""The account's money, and what its markets are."""

from decimal import Decimal

import pytest
from support.engine_rig import Rig, make_policy
from support.factories import make_order

from executor.engine.account import refresh_account
from executor.errors import OutcomeUnknown
from executor.ports import Funds


def test_the_account_is_read_and_new_markets_are_asked_for(rig: Rig) -> None:
    refresh_account(rig.engine)
    assert rig.memory.account is not None
    assert rig.memory.account.available == Decimal(900)
    assert rig.exchange.called("market_info") == []
    rig.placed()
    refresh_account(rig.engine)
    refresh_account(rig.engine)
    assert rig.exchange.called("market_info") == [(rig.order().market_id,)]
    assert rig.memory.market_types == {rig.order().market_id: "WIN"}


@pytest.mark.parametrize("broken", ["funds", "currency", "market_info"])
def test_one_reply_that_cannot_be_read_costs_no_other(rig: Rig, broken: str) -> None:
    def fail(*_: object) -> object:
        raise OutcomeUnknown(broken)

    rig.placed()
    rig.exchange.account_currency = "EUR"
    vars(rig.exchange)[broken] = fail
    with pytest.raises(OutcomeUnknown, match=broken):
        refresh_account(rig.engine)
    assert (rig.memory.account is None) == (broken == "funds")
    assert (rig.memory.currency == "") == (broken == "currency")
    assert (rig.memory.market_types == {}) == (broken == "market_info")


def test_markets_are_asked_for_in_fifties(rig: Rig) -> None:
    for at in range(70):
        order = make_order(order_id=f"o{at}", market_id=f"1.{at}")
        rig.memory.orders[order.order_id] = order
    refresh_account(rig.engine)
    refresh_account(rig.engine)
    asked = [call for call in rig.exchange.called("market_info") if isinstance(call, tuple)]
    assert [len(call) for call in asked] == [50, 20]


@pytest.mark.parametrize(
    ("held", "difference"),
    [("0", "-10"), ("8.99", "-1.01"), ("9", "0"), ("10.50", "0"), ("11", "0"), ("11.01", "1.01"), ("25", "15")],
)
def test_exposure_that_our_orders_do_not_explain_is_noted_with_its_beginning(
    rig: Rig, held: str, difference: str
) -> None:
    rig.placed()  # a back of 10, unmatched
    rig.exchange.money = Funds(Decimal(900), Decimal(held))
    refresh_account(rig.engine)
    begun = rig.clock.now
    rig.clock.tick(60)
    refresh_account(rig.engine)
    assert rig.memory.difference == Decimal(difference)
    assert rig.memory.difference_since == (begun if difference != "0" else None)
    rig.exchange.money = Funds(Decimal(900), Decimal(10))
    refresh_account(rig.engine)
    assert rig.memory.difference_since is None


def test_a_paper_account_has_nothing_to_compare() -> None:
    rig = Rig(policy=make_policy(paper=True))
    rig.placed()
    refresh_account(rig.engine)
    assert rig.memory.difference == 0
