"""Odd rows and foreign bets in the poll: nothing else is held up, what cannot be read counts as exposure."""

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from structlog.testing import capture_logs
from support.engine_rig import MARKET, Rig, make_cleared, unanswered
from support.factories import make_bet, make_order

from executor.domain.market import Market
from executor.domain.money import Side
from executor.domain.order import CancelReason, OrderStatus
from executor.engine.cancel_until_clear import cancel_until_clear
from executor.engine.cancellation import cancel_unmatched
from executor.engine.reconciliation import poll
from executor.engine.settlement import settle
from executor.ports import ClearedKind, OddRow

S = OrderStatus
D = Decimal
OTHER = "1.300000000"


def odd(bet_id: str = "f1", **overrides: Any) -> OddRow:
    row = OddRow("orderType 'MARKET_ON_CLOSE'", bet_id=bet_id, market_id=MARKET, selection_id=123456, side="LAY")
    return replace(row, **{"worst": D("60.00"), **overrides})


def reasons(rig: Rig, *markets: str) -> Iterator[str]:
    """Send a signal to each market; yield why it was not accepted."""
    for market_id in markets:
        signal_id = f"asks-{len(rig.memory.signals)}"
        rig.received(signal_id, marketId=market_id)
        rig.validate(signal_id, market_id)
        yield rig.signal(signal_id).reason


def full_poll(rig: Rig) -> Any:
    rig.memory.full_read_at = None
    return poll(rig.engine)


def test_an_odd_row_costs_no_other_bet_anything(rig: Rig) -> None:
    rig.placed()
    rig.exchange.match("bet1", "10")
    rig.exchange.odd = [odd(market_id=OTHER), odd("", worst=None, market_id=""), odd("", order_id="", market_id="1.4")]
    rig.memory.reconciled_until = 0
    with capture_logs() as logs:
        for _ in range(3):
            full_poll(rig)
            rig.clock.tick(60)
    assert rig.order().status is S.MATCHED
    assert rig.memory.reconciled_until > rig.clock.now - 60_000
    assert [entry["event"] for entry in logs].count("row_set_aside") == 3, "each once"
    assert rig.telemetry.counts["set aside listCurrentOrders"] == 3
    assert len(rig.engine.set_aside.standing()) == 3


def test_a_foreign_bet_is_kept_counted_and_left_alone(rig: Rig) -> None:
    rig.exchange.odd = [odd()]
    poll(rig.engine)
    [bet] = rig.engine.store.foreign_bets()
    assert (bet.bet_id, bet.worst, bet.worst_known) == ("f1", D(60), True)
    rig.clock.tick(3600)
    rig.memory.full_read_at = rig.clock.now
    cancel_unmatched(rig.engine)
    assert rig.exchange.called("cancel") == []
    assert rig.memory.orders == {}
    rig.memory.limits["MaxExposurePerSelection"] = "70"
    rig.memory.reconciled_until = rig.clock.now + 60_000
    rig.received("more")
    assert rig.validate("more").verdict == "ACCEPTED", "10 beside 60"
    rig.received("too-much", stake=1)
    rig.memory.limits["MaxExposurePerSelection"] = "69"
    rig.received("too-much-2", stake=2)
    assert rig.validate("too-much-2").reason == "MAX_EXPOSURE_PER_SELECTION"


def test_a_market_stops_where_the_worst_case_cannot_be_told_and_no_other(rig: Rig) -> None:
    rig.exchange.odd = [odd(worst=None)]
    poll(rig.engine)
    assert list(reasons(rig, MARKET, OTHER)) == ["NOT_RECONCILED", ""]
    rig.exchange.odd = []
    full_poll(rig)
    assert list(reasons(rig, MARKET, OTHER)) == ["", ""]


def test_what_is_reserved_is_not_sent_into_a_market_that_stops(rig: Rig) -> None:
    rig.accepted()
    rig.exchange.odd = [odd(worst=None)]
    poll(rig.engine)
    assert rig.place().reason == "NOT_RECONCILED"
    assert rig.exchange.called("place") == []


def test_a_row_without_a_bet_id_stops_its_market_only(rig: Rig) -> None:
    rig.exchange.odd = [odd("", order_id="")]
    poll(rig.engine)
    assert list(reasons(rig, MARKET, OTHER)) == ["NOT_RECONCILED", ""]


def test_a_foreign_bet_is_forgotten_only_by_a_read_of_every_bet(rig: Rig) -> None:
    rig.exchange.odd = [odd()]
    poll(rig.engine)
    rig.exchange.odd = []
    rig.memory.full_read_at = rig.clock.now
    poll(rig.engine)
    assert len(rig.engine.store.foreign_bets()) == 1, "an EXECUTABLE list leaves out what is matched"
    full_poll(rig)
    assert rig.engine.store.foreign_bets() == []


def test_a_foreign_bet_that_can_be_read_after_all_is_adopted(rig: Rig) -> None:
    rig.exchange.odd = [odd()]
    poll(rig.engine)
    rig.exchange.odd = []
    rig.exchange.bets["f1"] = make_bet(make_order(order_id=""), bet_id="f1")
    full_poll(rig)
    assert rig.engine.store.foreign_bets() == []
    assert rig.memory.orders["bet-f1"].status is S.PENDING


def test_a_foreign_bet_is_not_settled_by_us(rig: Rig) -> None:
    rig.exchange.odd = [odd()]
    poll(rig.engine)
    stranger = make_order(order_id="", bet_id="f1")
    starting_price = make_order(order_id="", bet_id="f2")
    rig.exchange.odd = []
    rig.exchange.cleared = [
        make_cleared(stranger, ClearedKind.SETTLED, profit=D(-60)),
        make_cleared(starting_price, ClearedKind.SETTLED, profit=D(-7), foreign="orderType"),
    ]
    full_poll(rig)
    assert settle(rig.engine) == 0
    assert rig.memory.orders == {}
    assert not any(D(net) for net in rig.memory.pnl.values())


# --- odd rows of our own orders ---------------------------------------------------------------------------------------


def test_an_odd_row_of_our_order_leaves_it_as_it_was(rig: Rig) -> None:
    order = rig.placed()
    [bet] = rig.exchange.bets.values()
    rig.exchange.bets.clear()
    rig.exchange.odd = [odd("bet1", order_id=order.order_id, worst=None)]
    full_poll(rig)
    assert rig.order() == order
    assert rig.exchange.called("find_bets") == [("bet1",)], "asked for by its bet"
    assert rig.engine.store.foreign_bets() == []
    assert list(reasons(rig, MARKET)) == [""], "the order's record tells the worst case"
    assert any("bet1" in name for name in rig.engine.set_aside.standing())
    rig.exchange.odd = []
    rig.exchange.bets["bet1"] = bet
    rig.exchange.match("bet1", "10")
    full_poll(rig)
    assert rig.order().status is S.MATCHED


@pytest.mark.parametrize(
    "row",
    [odd("b9", order_id="@"), odd("", order_id="@"), odd("", order_id=""), odd("", order_id="", market_id="")],
    ids=["named", "reference only", "market only", "nothing"],
)
def test_an_unanswered_order_is_not_concluded_absent_beside_a_row_that_may_be_its_bet(rig: Rig, row: OddRow) -> None:
    order = unanswered(rig)
    rig.exchange.odd = [replace(row, order_id=row.order_id.replace("@", order.order_id))]
    rig.clock.tick(3600)
    for _ in range(2):
        full_poll(rig)
    assert rig.order().status is S.SUBMITTED
    rig.exchange.odd = []
    full_poll(rig)
    assert rig.order().status is S.FAILED


def test_a_row_in_another_market_does_not_keep_an_order_unanswered(rig: Rig) -> None:
    unanswered(rig)
    rig.exchange.odd = [odd("", order_id="", market_id=OTHER)]
    rig.clock.tick(3600)
    poll(rig.engine)
    assert rig.order().status is S.FAILED


def test_a_second_bet_under_our_reference_that_is_odd_is_foreign(rig: Rig) -> None:
    order = rig.placed()
    rig.exchange.odd = [odd("b9", order_id=order.order_id)]
    poll(rig.engine)
    assert [bet.bet_id for bet in rig.engine.store.foreign_bets()] == ["b9"]


# --- what lost its reference ------------------------------------------------------------------------------------------


def test_a_bet_without_a_reference_that_ends_unmatched_ends(rig: Rig) -> None:
    rig.exchange.bets["b1"] = make_bet(make_order(order_id=""), bet_id="b1")
    poll(rig.engine)
    order = rig.memory.orders["bet-b1"]
    assert order.status is S.PENDING
    rig.exchange.bets.clear()
    rig.exchange.cleared = [make_cleared(replace(order, order_id=""), ClearedKind.LAPSED)]
    poll(rig.engine)
    assert rig.memory.orders["bet-b1"].status is S.LAPSED


def test_a_second_bet_under_one_reference_ends_by_itself(rig: Rig) -> None:
    order = rig.placed()
    rig.exchange.bets["b2"] = make_bet(order, bet_id="b2")
    poll(rig.engine)
    assert rig.memory.orders["bet-b2"].status is S.PENDING
    rig.exchange.bets["b2"] = replace(rig.exchange.bets["b2"], executable=False, size_cancelled=order.size)
    poll(rig.engine)
    assert (rig.memory.orders["bet-b2"].status, rig.order().status) == (S.CANCELLED, S.PENDING)


def test_a_bet_that_lost_its_reference_is_still_our_orders(rig: Rig) -> None:
    order = rig.placed()
    rig.exchange.bets["bet1"] = replace(rig.exchange.bets["bet1"], order_id="")
    rig.exchange.match("bet1", "4")
    assert poll(rig.engine).adopted == 0
    assert (list(rig.memory.orders), rig.order().size_matched) == ([order.order_id], D(4))
    rig.exchange.match("bet1", "10")
    assert full_poll(rig).adopted == 0
    assert (list(rig.memory.orders), rig.order().status) == ([order.order_id], S.MATCHED)


def test_a_settled_row_without_a_reference_finds_its_order_by_its_bet(rig: Rig) -> None:
    order = rig.placed()
    rig.exchange.match("bet1", "10")
    poll(rig.engine)
    rig.exchange.bets.clear()
    rig.exchange.cleared = [make_cleared(replace(order, order_id=""), ClearedKind.SETTLED, profit=D(20))]
    assert settle(rig.engine) == 1
    assert (list(rig.memory.orders), rig.order().status, rig.order().profit) == ([order.order_id], S.SETTLED, D(20))


# --- rows of the cleared lists ----------------------------------------------------------------------------------------


def test_a_settled_row_that_cannot_be_read_holds_up_no_other(rig: Rig) -> None:
    rig.placed()
    rig.exchange.match("bet1", "10")
    poll(rig.engine)
    rig.exchange.cleared = [make_cleared(rig.order(), ClearedKind.SETTLED, profit=D(20))]
    rig.exchange.odd_cleared = [OddRow("profit is missing or no number", bet_id="b7", market_id=OTHER)]
    with capture_logs() as logs:
        assert settle(rig.engine) == 1
        settle(rig.engine)
    assert rig.order().status is S.SETTLED
    assert [entry["event"] for entry in logs].count("row_set_aside") == 2, "settled and void, once each"


def test_what_nobody_settled_in_its_day_is_asked_for_by_its_bet(rig: Rig) -> None:
    rig.placed()
    rig.exchange.match("bet1", "10")
    poll(rig.engine)
    rig.clock.tick(3 * 86_400)
    rig.memory.settled_at = rig.clock.now  # two days of reads have passed over it
    rig.exchange.bets.clear()
    settled_at = rig.clock.now - 2 * 86_400_000
    rig.exchange.cleared = [make_cleared(rig.order(), ClearedKind.SETTLED, profit=D(20), settled_at=settled_at)]
    for expected in (1, 0, 0):
        assert settle(rig.engine) == expected
        rig.clock.tick(1200)
        rig.memory.settled_at = rig.clock.now
    assert (rig.order().status, rig.order().profit) == (S.SETTLED, D(20))
    assert sum(D(net) for net in rig.memory.pnl.values()) == D(19)


# --- markets where our rules do not hold ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("info", "side", "worst"),
    [
        (Market(MARKET, "EACH_WAY", "ODDS"), Side.BACK, "20.00"),
        (Market(MARKET, "EACH_WAY", "ODDS"), Side.LAY, "40.00"),
        (Market(MARKET, "TOTAL_POINTS", "LINE"), Side.LAY, "10.00"),
        (Market(MARKET, "ASIAN_HANDICAP", "ASIAN_HANDICAP_DOUBLE_LINE"), Side.BACK, "10.00"),
    ],
)
def test_a_bet_of_somebody_in_such_a_market_is_foreign_by_its_market(
    rig: Rig, info: Market, side: Side, worst: str
) -> None:
    rig.exchange.markets = {MARKET: info}
    rig.exchange.bets["f1"] = make_bet(make_order(order_id="", side=side), bet_id="f1")
    for _ in range(2):
        full_poll(rig)
    assert rig.memory.orders == {}
    assert [(bet.bet_id, bet.worst) for bet in rig.engine.store.foreign_bets()] == [("f1", D(worst))]
    rig.exchange.bets.clear()
    full_poll(rig)
    assert rig.engine.store.foreign_bets() == []


def test_a_cancel_of_everything_leaves_a_foreign_bet_alone(rig: Rig) -> None:
    rig.exchange.markets = {MARKET: Market(MARKET, "EACH_WAY", "ODDS")}
    rig.exchange.bets["f1"] = make_bet(make_order(order_id=""), bet_id="f1")
    full_poll(rig)
    left = cancel_until_clear(rig.engine, CancelReason.HALT, who="me", patience_s=5)
    assert (bool(left), rig.exchange.called("cancel")) == (False, [])


def test_refused_cancels_of_bets_without_an_order_count_as_transactions(rig: Rig) -> None:
    rig.exchange.bets["x1"] = make_bet(make_order(order_id=""), bet_id="x1")
    rig.exchange.refuses = {"x1": "BET_IN_PROGRESS"}
    cancel_until_clear(rig.engine, CancelReason.HALT, who="me", patience_s=2)
    assert sum(rig.memory.sent.values()) == len(rig.exchange.called("cancel")) > 0


def test_our_own_orders_there_stay_ours(rig: Rig) -> None:
    rig.placed()
    rig.exchange.markets = {MARKET: Market(MARKET, "EACH_WAY", "ODDS")}
    rig.exchange.match("bet1", "10")
    full_poll(rig)
    assert rig.order().status is S.MATCHED
