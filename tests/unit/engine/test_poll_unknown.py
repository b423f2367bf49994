"""poll_orders and what we do not know: calls without an answer, absence, bets that are not ours or are two."""

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.engine_rig import MARKET, Rig, killed, make_cleared, make_policy, unanswered
from support.factories import NOW, make_bet, make_order

from executor.domain.money import Side
from executor.domain.order import ADOPTED, BetState, Order, OrderStatus
from executor.domain.signal_record import SignalStatus
from executor.engine.lookup import is_due
from executor.engine.reconciliation import poll
from executor.ports import ClearedBet, ClearedKind, Instruction, LegReport, Listing

S = OrderStatus


def take(rig: Rig, order: Order) -> LegReport:
    """Let the exchange have an order after all."""
    instruction = Instruction(order.order_id, order.selection_id, order.side, order.price, order.size)
    return rig.exchange.take(order.market_id, [instruction])[0]


# --- a call without an answer -----------------------------------------------------------------------------------------


def test_an_unanswered_order_that_is_there_is_taken_in(rig: Rig) -> None:
    take(rig, unanswered(rig))
    poll(rig.engine)
    assert (rig.order().status, rig.order().bet_id) == (S.PENDING, "bet1")
    assert rig.signal().status is SignalStatus.COMPLETED
    assert rig.telemetry.counts["placed BACK"] == 1


@pytest.mark.parametrize(("after_s", "concluded"), [(0, False), (14.999, False), (15, True)])
def test_absence_counts_fifteen_seconds_after_the_calls_recorded_end(
    rig: Rig, after_s: float, *, concluded: bool
) -> None:
    unanswered(rig)
    rig.clock.tick(after_s)
    poll(rig.engine)
    assert rig.order().status is (S.FAILED if concluded else S.SUBMITTED)
    if concluded:
        assert (rig.order().reason, rig.order().counts) == ("NOT_PLACED", False)
        assert (rig.signal().status, rig.signal().reason) == (SignalStatus.FAILED, "NOT_PLACED")
        asked = set(rig.exchange.called("find_cleared"))
        assert asked == set(ClearedKind), "it may have left the current list"


@pytest.mark.parametrize(("after_s", "concluded"), [(15, False), (45, False), (45.999, False), (46, True)])
def test_without_a_recorded_end_the_calls_longest_life_is_added(rig: Rig, after_s: float, *, concluded: bool) -> None:
    killed(rig)
    rig.clock.tick(after_s)
    poll(rig.engine)
    assert rig.order().status is (S.FAILED if concluded else S.SUBMITTED)


@given(answered=st.booleans(), age_s=st.integers(0, 200), timeout_s=st.integers(1, 120))
def test_no_order_is_given_up_before_the_contract_allows(age_s: int, timeout_s: int, *, answered: bool) -> None:
    rig = Rig(policy=make_policy(api_timeout_s=timeout_s))
    order = make_order(status=S.SUBMITTED, submitted_at=NOW, answered_at=NOW if answered else 0)
    due = is_due(rig.engine, order, NOW + age_s * 1000)
    assert not (due and age_s < 15 + (0 if answered else timeout_s))
    assert due or age_s <= 16 + (0 if answered else rig.engine.policy.call_lasts_s)
    for status in set(OrderStatus) - {S.SUBMITTED}:
        assert not is_due(rig.engine, replace(order, status=status), NOW + 10**9)


def test_a_time_that_passed_before_the_question_was_asked_counts_only(rig: Rig) -> None:
    """The exchange is slow: what it said before the bet could appear proves nothing."""
    unanswered(rig)
    rig.clock.tick(14)
    slow = rig.exchange.find_current

    def find(order_ids: Sequence[str]) -> Listing[BetState]:
        found = slow(order_ids)
        rig.clock.tick(5)
        return found

    vars(rig.exchange)["find_current"] = find
    poll(rig.engine)
    assert rig.order().status is S.SUBMITTED


def test_an_order_that_moved_while_the_exchange_was_asked_is_left_alone(rig: Rig) -> None:
    order = unanswered(rig)
    rig.clock.tick(16)
    later = replace(order, status=S.RESERVED, attempt=2)
    rig.store.before_commit = [lambda: (rig.memory.orders.update({order.order_id: later}), rig.touch_market())]  # type: ignore[func-returns-value]
    poll(rig.engine)
    assert rig.order() == later


def test_an_order_that_was_deleted_while_the_exchange_was_asked_stays_deleted(rig: Rig) -> None:
    order = unanswered(rig)
    rig.clock.tick(16)
    ask = rig.exchange.find_cleared

    def find(order_ids: Sequence[str], kind: ClearedKind) -> Listing[ClearedBet]:
        rig.memory.orders.clear()
        return ask(order_ids, kind)

    vars(rig.exchange)["find_cleared"] = find
    poll(rig.engine)
    assert order.order_id not in rig.memory.orders


def test_a_bet_that_turns_up_after_all_is_taken_back(rig: Rig) -> None:
    order = unanswered(rig)
    rig.clock.tick(16)
    poll(rig.engine)
    assert (rig.order().status, rig.signal().status) == (S.FAILED, SignalStatus.FAILED)
    take(rig, order)
    poll(rig.engine)
    assert (rig.order().status, rig.order().counts, rig.order().reason) == (S.PENDING, True, "")
    assert rig.signal().status is SignalStatus.COMPLETED
    assert rig.telemetry.counts["placed BACK"] == 1


def test_an_old_bet_with_the_same_reference_is_not_this_one(rig: Rig) -> None:
    """A reference may be used again after a day; what was cleared long before this order was made is another bet."""
    order = unanswered(rig)
    rig.exchange.cleared = [make_cleared(order, ClearedKind.LAPSED, placed_at=NOW - 3_600_000)]
    rig.clock.tick(16)
    poll(rig.engine)
    assert (rig.order().status, rig.order().reason) == (S.FAILED, "NOT_PLACED")


def test_a_second_leg_concludes_its_signal(rig: Rig) -> None:
    unanswered(rig, legs=2)
    first, second = rig.orders()
    take(rig, first)
    poll(rig.engine)
    assert rig.statuses() == (SignalStatus.ACCEPTED, [S.PENDING, S.SUBMITTED])
    rig.clock.tick(16)
    poll(rig.engine)
    assert rig.statuses() == (SignalStatus.COMPLETED, [S.PENDING, S.FAILED])
    assert second.order_id != first.order_id
    assert rig.order().cancel_reason == "HALF_PLACED"


# --- bets that we do not know -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("reference", ["", "somebodys-ref"])
def test_a_bet_that_we_do_not_know_is_adopted_and_followed(rig: Rig, reference: str) -> None:
    stranger = make_bet(make_order(order_id=reference), bet_id="77", side=Side.LAY)
    rig.exchange.bets["77"] = stranger
    assert poll(rig.engine).adopted == 1
    order = rig.memory.orders[reference or "bet-77"]
    assert (order.strategy, order.status, order.bet_id, order.signal_id) == (ADOPTED, S.PENDING, "77", "")
    assert order.counts
    rig.exchange.match("77", "10", "3")
    assert poll(rig.engine).adopted == 0
    poll(rig.engine)
    assert rig.memory.orders[order.order_id].status is S.MATCHED or reference == ""


def test_an_adopted_bet_without_a_reference_is_followed_to_its_end(rig: Rig) -> None:
    rig.exchange.bets["77"] = make_bet(make_order(order_id=""), bet_id="77")
    poll(rig.engine)
    rig.exchange.match("77", "10", "3")
    rig.memory.full_read_at = None
    poll(rig.engine)
    assert rig.memory.orders["bet-77"].status is S.MATCHED


def test_a_matched_bet_is_adopted_by_the_full_read(rig: Rig) -> None:
    bet = make_bet(
        make_order(order_id="x"), executable=False, size_matched=Decimal(10), average_price_matched=Decimal(3)
    )
    rig.exchange.bets["77"] = replace(bet, bet_id="77")
    poll(rig.engine)
    assert rig.memory.orders == {}
    rig.memory.full_read_at = None
    poll(rig.engine)
    assert rig.memory.orders["x"].status is S.MATCHED
    assert [entry["type"] for entry in rig.memory.trades] == ["fill"]


def test_many_strangers_are_adopted_in_batches(rig: Rig) -> None:
    for at in range(250):
        order = make_order(order_id=f"x{at}", market_id=f"1.{at % 2}")
        rig.exchange.bets[f"{at}"] = make_bet(order, bet_id=f"{at}")
    assert poll(rig.engine).adopted == 250
    assert len(rig.memory.orders) == 250
    assert max(len(change.orders) for change in rig.store.commits) == 100


def second_bet(rig: Rig, **overrides: Any) -> Order:
    """Place an order, and let a second bet with its reference be at the exchange."""
    order = rig.placed()
    rig.exchange.bets["other"] = replace(rig.exchange.bets["bet1"], bet_id="other", **overrides)
    return order


def test_a_second_bet_for_one_reference_is_counted_as_a_bet_of_its_own(
    rig: Rig, capsys: pytest.CaptureFixture[str]
) -> None:
    order = second_bet(rig)
    for _ in range(2):
        poll(rig.engine)
    assert rig.memory.orders[order.order_id].bet_id == "bet1"
    assert rig.memory.orders["bet-other"].counts
    assert "second_bet_for_order" in capsys.readouterr().out
    rig.exchange.match("other", "10")
    rig.exchange.match("bet1", "4")
    rig.memory.full_read_at = None
    poll(rig.engine)
    assert rig.memory.orders["bet-other"].status is S.MATCHED
    assert rig.memory.orders[order.order_id].size_matched == Decimal(4)


def test_a_second_bet_does_not_hide_the_end_of_the_first(rig: Rig) -> None:
    order = second_bet(rig)
    poll(rig.engine)
    rig.exchange.match("bet1", "10")
    poll(rig.engine)
    assert rig.memory.orders[order.order_id].status is S.MATCHED


def test_a_second_bets_end_is_not_the_firsts(rig: Rig) -> None:
    order = second_bet(rig)
    poll(rig.engine)
    del rig.exchange.bets["bet1"]
    rig.exchange.match("other", "10")
    rig.exchange.cleared = [
        make_cleared(order, ClearedKind.CANCELLED, bet_id="other"),
        make_cleared(order, ClearedKind.SETTLED),
    ]
    poll(rig.engine)
    first = rig.memory.orders[order.order_id]
    assert (first.status, first.size_matched, first.size_cancelled) == (S.MATCHED, Decimal(10), Decimal(0))


# --- bounds -----------------------------------------------------------------------------------------------------------


def test_lookups_are_made_in_calls_of_250_and_at_most_so_many(rig: Rig) -> None:
    rig = Rig(policy=make_policy(max_lookups=2))
    for at in range(600):
        signal_id = make_order(order_id=f"o{at:03}", status=S.PENDING, bet_id=f"b{at}", created_at=NOW + at)
        rig.memory.orders[signal_id.order_id] = signal_id
    poll(rig.engine)
    asked = [call for call in rig.exchange.called("find_bets") if isinstance(call, tuple)]
    assert [len(call) for call in asked] == [250, 250]
    assert asked[0][0] == "b0", "the oldest first"


def test_a_market_that_keeps_changing_is_held_and_the_others_are_reconciled(rig: Rig) -> None:
    rig.placed()
    rig.placed("signal-2", marketId="1.300000000")
    rig.memory.reconciled_until = 0
    for bet_id in ("bet1", "bet2"):
        rig.exchange.match(bet_id, "10")
    rig.store.before_commit = [rig.touch_market] * 9  # one of them may meet the other market
    assert poll(rig.engine).stopped == 1
    assert [rig.order(signal_id).status for signal_id in ("signal-1", "signal-2")] == [S.PENDING, S.MATCHED]
    assert rig.memory.reconciled_until > rig.clock.now
    assert set(rig.memory.stopped_markets) == {MARKET}
    for signal_id, market_id in (("more-1", MARKET), ("more-2", "1.300000000")):
        rig.received(signal_id, marketId=market_id)
        rig.validate(signal_id, market_id)
    assert [rig.signal(signal_id).reason for signal_id in ("more-1", "more-2")] == ["NOT_RECONCILED", ""]
    poll(rig.engine)
    assert (rig.order().status, rig.memory.stopped_markets) == (S.MATCHED, {})


def test_a_poll_takes_its_turn_on_a_market_that_others_change_all_the_time(rig: Rig) -> None:
    rig.placed()
    rig.exchange.match("bet1", "10")

    def commit_as_others_do() -> None:
        if MARKET not in rig.memory.market_locks:
            rig.touch_market()

    rig.store.before_commit = [commit_as_others_do] * 100
    assert poll(rig.engine).stopped == 0
    assert (rig.order().status, rig.memory.market_locks) == (S.MATCHED, {})
