"""The ledger's writer, the session and the account."""

from decimal import Decimal

import pytest
from support.engine_rig import Rig, make_policy
from support.factories import NOW, make_order

from executor.domain.order import OrderStatus
from executor.engine.accounting import log_trades, write_ledger
from executor.engine.upkeep import keep_alive, reauthenticate, refresh_account
from executor.errors import StoreUnavailable
from executor.ports import Funds

S = OrderStatus


def with_a_fill(rig: Rig) -> None:
    rig.accepted()
    rig.exchange.script = [lambda market, legs: rig.exchange.take(market, legs, "1")]
    rig.place()


# --- the ledger -------------------------------------------------------------------------------------------------------


def test_the_feed_goes_into_the_ledger_once(rig: Rig) -> None:
    with_a_fill(rig)
    entries = len(rig.memory.feed)
    assert write_ledger(rig.engine) == entries
    assert write_ledger(rig.engine) == 0
    assert len(rig.ledger.trades) == 1


def test_a_burst_of_trades_is_written_a_few_times_a_second(rig: Rig) -> None:
    with_a_fill(rig)
    assert log_trades(rig.engine) == len(rig.memory.feed)
    (fill,) = rig.trades()
    for at in range(35):
        rig.memory.feed[f"{NOW + 1000 + at}-9"] = {**fill, "bet_id": f"b{at}"}
        rig.clock.tick(0.02)
        log_trades(rig.engine)
    assert rig.ledger.writes == 2
    assert write_ledger(rig.engine) > 0, "beat takes what the last ones left"
    assert len(rig.ledger.trades) == 36


def test_a_ledger_that_is_away_keeps_the_entries_and_fails_nothing(rig: Rig) -> None:
    with_a_fill(rig)
    rig.ledger.away = True
    assert write_ledger(rig.engine) == 0
    assert len(rig.trade_feed.read_trades(10)) == len(rig.memory.feed)
    rig.ledger.away = False
    assert write_ledger(rig.engine) == len(rig.memory.feed)


def test_entries_whose_receipt_is_lost_are_written_again_and_booked_once(rig: Rig) -> None:
    with_a_fill(rig)
    rig.memory.away = {"acknowledge_trades"}
    with pytest.raises(StoreUnavailable):
        write_ledger(rig.engine)
    rig.memory.away = set()
    write_ledger(rig.engine)
    assert len(rig.ledger.trades) == 1


def test_one_writes_at_a_time(rig: Rig) -> None:
    with_a_fill(rig)
    with rig.locks.single_flight("ledger"):
        assert write_ledger(rig.engine) == 0
    assert rig.ledger.trades == []


def test_a_long_feed_is_written_in_batches(rig: Rig) -> None:
    with_a_fill(rig)
    (fill,) = rig.trades()
    rig.memory.feed.update({f"{NOW + at}-9": {**fill, "bet_id": f"b{at}"} for at in range(1100)})
    assert write_ledger(rig.engine) == len(rig.memory.feed)
    assert len(rig.ledger.trades) == 1101


# --- session and account ----------------------------------------------------------------------------------------------


def test_a_session_is_kept_alive(rig: Rig) -> None:
    assert keep_alive(rig.engine)
    assert [name for name, _ in rig.exchange.calls] == ["keep_alive"]


@pytest.mark.parametrize("lost", ["unknown there", "none here"])
def test_a_lost_session_is_replaced_at_once(rig: Rig, lost: str) -> None:
    rig.exchange.known_session = lost != "unknown there"
    rig.exchange.age_s = None if lost == "none here" else 60
    assert keep_alive(rig.engine)
    assert rig.exchange.called("prepare") == [None]  # which logs in unless somebody else has meanwhile


@pytest.mark.parametrize(("age_s", "acts"), [(60, False), (21_600, True), (None, True)])
def test_an_old_session_is_replaced(rig: Rig, age_s: int | None, *, acts: bool) -> None:
    rig.exchange.age_s = age_s
    assert reauthenticate(rig.engine) is acts
    assert rig.exchange.called("reauthenticate") == [21_600]


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
