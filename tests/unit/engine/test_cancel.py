"""cancel_unmatched: ask, then look; an order ends only by the exchange's word."""

import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

import pytest
from support.engine_rig import MARKET, Rig, make_policy
from support.factories import NOW, make_bet, make_order

from executor.domain.order import CancelReason, OrderStatus
from executor.engine.cancel_until_clear import cancel_until_clear
from executor.engine.cancellation import cancel_orders, cancel_unmatched
from executor.engine.lookup import look_up
from executor.engine.watchdog import watch
from executor.errors import NotSent, OutcomeUnknown, Refused, StoreUnavailable
from executor.ports import Alert, CancelReport

S = OrderStatus


def live(rig: Rig, count: int, market_id: str = MARKET) -> None:
    """Let so many orders of ours be live in a market."""
    for at in range(count):
        order_id = f"{market_id}-{at}"
        order = make_order(
            order_id=order_id, market_id=market_id, status=S.PENDING, bet_id=f"b{order_id}", placed_at=NOW
        )
        rig.memory.orders[order_id] = order
        rig.exchange.bets[order.bet_id] = make_bet(order, bet_id=order.bet_id)


@pytest.mark.parametrize(("after_s", "asked"), [(29.999, 0), (30, 1)])
def test_what_has_been_live_for_its_time_is_cancelled(rig: Rig, after_s: float, asked: int) -> None:
    rig.placed()
    rig.clock.tick(after_s)
    assert cancel_unmatched(rig.engine) == asked
    assert rig.order().status is (S.CANCELLED if asked else S.PENDING)
    assert len(rig.exchange.called("cancel")) == asked


def test_time_runs_from_when_we_knew_of_the_bet(rig: Rig) -> None:
    """The exchange's clock is not ours; its placedDate decides nothing."""
    rig.placed()
    bet = rig.exchange.bets["bet1"]
    rig.exchange.bets["bet1"] = replace(bet, placed_at=NOW - 3_600_000)
    rig.clock.tick(29)
    assert cancel_unmatched(rig.engine) == 0


def test_a_signals_own_time_out_counts(rig: Rig) -> None:
    rig.placed(unmatchedTimeoutSeconds=5)
    rig.clock.tick(5)
    assert cancel_unmatched(rig.engine) == 1
    assert rig.order().cancel_reason == CancelReason.UNMATCHED_TIMEOUT
    assert rig.telemetry.counts["cancelled UNMATCHED_TIMEOUT"] == 1


def test_what_was_matched_before_its_cancel_stays_a_position_and_a_trade(rig: Rig) -> None:
    rig.placed()
    rig.exchange.match("bet1", "4")
    rig.clock.tick(30)
    cancel_unmatched(rig.engine)
    order = rig.order()
    assert (order.status, order.size_matched, order.size_cancelled) == (S.CANCELLED, Decimal(4), Decimal(6))
    assert order.counts
    assert len(rig.trades()) == 1


def test_bets_are_cancelled_market_by_market_in_sixties(rig: Rig) -> None:
    live(rig, 130)
    live(rig, 2, "1.9")
    rig.clock.tick(30)
    assert cancel_unmatched(rig.engine) == 132
    calls = [call for call in rig.exchange.called("cancel") if isinstance(call, tuple)]
    assert sorted((market, len(bets)) for market, bets in calls) == [
        (MARKET, 10),
        (MARKET, 60),
        (MARKET, 60),
        ("1.9", 2),
    ]
    assert {order.status for order in rig.memory.orders.values()} == {S.CANCELLED}


def test_an_empty_list_is_never_sent(rig: Rig) -> None:
    """It would cancel the whole market (Betfair: cancelOrders)."""
    cancel_unmatched(rig.engine)
    cancel_orders(rig.engine, [], CancelReason.MANUAL)
    for status in set(OrderStatus) - {S.PENDING}:
        cancel_orders(rig.engine, [make_order(status=status, bet_id="b")], CancelReason.HALT)
    cancel_orders(rig.engine, [make_order(status=S.PENDING, bet_id="")], CancelReason.HALT)
    assert rig.exchange.calls == []


def test_a_cancel_that_came_too_late_finds_the_match(rig: Rig) -> None:
    rig.placed()
    rig.clock.tick(30)
    rig.exchange.match("bet1", "10")
    cancel_unmatched(rig.engine)
    assert rig.order().status is S.MATCHED
    assert "cancelled UNMATCHED_TIMEOUT" not in rig.telemetry.counts


def test_a_refused_cancel_of_a_live_bet_changes_nothing(rig: Rig) -> None:
    rig.placed()
    rig.clock.tick(30)
    rig.exchange.cancel_script = [Refused("PERMISSION_DENIED")]
    cancel_unmatched(rig.engine)
    assert rig.order().status is S.PENDING


@pytest.mark.parametrize("error", [OutcomeUnknown("cut"), NotSent("refused")])
def test_a_cancel_without_an_answer_is_repeated_until_it_has_one(rig: Rig, error: Exception) -> None:
    rig.placed()
    rig.clock.tick(30)
    rig.exchange.cancel_script = [error, error]
    for _ in range(3):
        assert cancel_unmatched(rig.engine) == 1
        rig.clock.tick(5)
    assert rig.order().status is S.CANCELLED
    assert len(rig.exchange.called("cancel")) == 3
    assert cancel_unmatched(rig.engine) == 0


def test_a_cancel_by_hand_is_repeated_before_any_time_out(rig: Rig) -> None:
    order = rig.placed()
    rig.exchange.cancel_script = [OutcomeUnknown("cut")]
    cancel_orders(rig.engine, [order], CancelReason.MANUAL)
    assert rig.order().cancel_reason == CancelReason.MANUAL
    assert cancel_unmatched(rig.engine) == 1
    assert (rig.order().status, rig.order().cancel_reason) == (S.CANCELLED, CancelReason.MANUAL)


def test_one_market_without_an_answer_holds_up_no_other(rig: Rig) -> None:
    live(rig, 1)
    live(rig, 1, "1.9")
    rig.clock.tick(30)
    rig.exchange.cancel_script = [OutcomeUnknown("cut")]
    cancel_unmatched(rig.engine)
    assert sorted(order.status for order in rig.memory.orders.values()) == [S.CANCELLED, S.PENDING]


def test_a_look_without_an_answer_leaves_the_order_to_the_next(rig: Rig) -> None:
    rig.placed()
    rig.clock.tick(30)
    rig.exchange.reads_fail = OutcomeUnknown("cut")
    cancel_unmatched(rig.engine)
    assert rig.order().status is S.PENDING
    rig.exchange.reads_fail = None
    cancel_unmatched(rig.engine)
    assert rig.order().status is S.CANCELLED


@pytest.mark.parametrize("change", [{"trading": "false"}, {"reconciled_until": 0}, {"breaker": {"time": "x"}}])
def test_no_control_blocks_a_cancel(rig: Rig, change: dict[str, object]) -> None:
    rig.placed()
    rig.clock.tick(30)
    vars(rig.memory).update(change)
    cancel_unmatched(rig.engine)
    assert rig.order().status is S.CANCELLED


def test_a_mark_that_loses_its_race_against_the_end_changes_nothing(rig: Rig) -> None:
    order = rig.placed()
    ended = replace(order, status=S.LAPSED, size_lapsed=Decimal(10), finished_at=NOW)

    def end() -> None:
        rig.memory.orders[order.order_id] = ended
        rig.touch_market()

    rig.store.before_commit = [end]
    rig.exchange.bets["bet1"] = replace(rig.exchange.bets["bet1"], executable=False, size_lapsed=Decimal(10))
    cancel_orders(rig.engine, [order], CancelReason.MANUAL)
    assert rig.order() == ended


def test_a_store_that_is_away_is_said(rig: Rig) -> None:
    rig.placed()
    rig.clock.tick(30)
    rig.memory.away = {"commit"}
    with pytest.raises(StoreUnavailable):
        cancel_unmatched(rig.engine)
    assert rig.exchange.called("cancel") == []


def test_a_market_that_keeps_changing_is_left_for_the_next_tick(rig: Rig) -> None:
    rig = Rig(policy=make_policy())
    rig.placed()
    rig.clock.tick(30)
    rig.store.before_commit = [rig.touch_market] * 100
    cancel_unmatched(rig.engine)
    assert (rig.order().status, rig.exchange.called("cancel")) == (S.PENDING, [])


@pytest.mark.parametrize("cancels", [False, True])
def test_a_trip_takes_everything_back_where_the_settings_say_so(cancels: bool) -> None:
    rig = Rig(policy=make_policy(breaker_cancels=cancels))
    live(rig, 70)
    live(rig, 1, "1.300000000")
    assert cancel_unmatched(rig.engine) == 0
    rig.memory.breaker, rig.memory.trading = {"time": "x"}, "false"
    assert cancel_unmatched(rig.engine) == (71 if cancels else 0)
    ended = [order for order in rig.memory.orders.values() if order.status is S.CANCELLED]
    assert len(ended) == (71 if cancels else 0)
    assert {order.cancel_reason for order in ended} == ({CancelReason.CIRCUIT_BREAKER} if cancels else set())


def test_a_trips_cancels_go_on_after_a_crash_and_a_late_answer(rig: Rig) -> None:
    rig = Rig(policy=make_policy(breaker_cancels=True))
    rig.accepted("late")
    rig.exchange.script = [OutcomeUnknown("cut off")]
    rig.place("late")
    live(rig, 2)
    rig.memory.breaker, rig.memory.trading = {"time": "x"}, "false"
    rig.memory.away = {"commit"}
    with pytest.raises(StoreUnavailable):
        cancel_unmatched(rig.engine)
    rig.memory.away = set()
    rig.exchange.cancel_script = [OutcomeUnknown("cut off")]
    cancel_unmatched(rig.engine)
    order = rig.order("late")
    rig.exchange.bets["bet9"] = make_bet(order, bet_id="bet9")
    look_up(rig.engine, [order], rig.clock.now)
    assert cancel_unmatched(rig.engine) == 3
    assert {order.status for order in rig.memory.orders.values()} == {S.CANCELLED}


def test_what_a_trip_marked_is_taken_back_though_a_person_has_resumed(rig: Rig) -> None:
    rig = Rig(policy=make_policy(breaker_cancels=True))
    live(rig, 1)
    rig.memory.breaker, rig.memory.trading = {"time": "x"}, "false"
    rig.exchange.cancel_script = [OutcomeUnknown("cut off")]
    cancel_unmatched(rig.engine)
    rig.memory.trading = "true"
    live(rig, 1, "1.300000000")
    assert cancel_unmatched(rig.engine) == 1
    assert [order.status for order in rig.memory.orders.values()] == [S.CANCELLED, S.PENDING]


# --- refused, again and again -----------------------------------------------------------------------------------------


def asks(rig: Rig, seconds: int) -> list[int]:
    """Run the ticks of so many seconds; return at which of them the exchange was asked."""
    start, times = rig.clock.now, []
    for _ in range(0, seconds, 5):
        before = len(rig.exchange.called("cancel"))
        cancel_unmatched(rig.engine)
        if len(rig.exchange.called("cancel")) > before:
            times.append((rig.clock.now - start) // 1000)
        rig.clock.tick(5)
    return times


@pytest.mark.parametrize("how", ["refused", "whole call refused", "still listed"])
def test_a_cancel_that_changes_nothing_waits_twice_as_long_each_time(rig: Rig, how: str) -> None:
    rig.placed()
    rig.clock.tick(30)
    if how == "refused":
        rig.exchange.refuses = {"bet1": "ERROR_IN_MATCHER"}
    elif how == "whole call refused":
        rig.exchange.cancel_script = [Refused("PERMISSION_DENIED") for _ in range(99)]
    else:

        def agree(market_id: str, bets: Sequence[str]) -> list[CancelReport]:
            rig.exchange.calls.append(("cancel", (market_id, tuple(bets))))
            return [CancelReport(bet_id, done=True) for bet_id in bets]

        vars(rig.exchange)["cancel"] = agree
    assert asks(rig, 1500) == [0, 5, 15, 35, 75, 155, 315, 615, 915, 1215]
    assert rig.order().status is S.PENDING
    counted = 10 if how == "refused" else 0
    assert sum(rig.memory.sent.values()) == 1 + counted, "failed instructions count among the hour's transactions"


def test_a_refusal_of_one_bet_holds_up_no_other(rig: Rig) -> None:
    live(rig, 3)
    rig.exchange.refuses = {f"b{MARKET}-1": "ERROR_IN_MATCHER"}
    rig.clock.tick(30)
    cancel_unmatched(rig.engine)
    assert [order.status for order in rig.memory.orders.values()] == [S.CANCELLED, S.PENDING, S.CANCELLED]
    assert set(rig.memory.refused) == {f"b{MARKET}-1"}


def test_the_wait_outlives_the_process_and_ends_with_the_bet(rig: Rig) -> None:
    rig.placed()
    rig.clock.tick(30)
    rig.exchange.refuses = {"bet1": "ERROR_IN_MATCHER"}
    assert asks(rig, 20) == [0, 5, 15]
    again = Rig(clock=rig.clock)
    again.memory.__dict__.update(vars(rig.memory))
    again.exchange.bets, again.exchange.refuses = rig.exchange.bets, rig.exchange.refuses
    assert asks(again, 20) == [15]
    again.exchange.match("bet1", "10")
    cancel_orders(again.engine, [again.order()], CancelReason.MANUAL)
    assert again.order().status is S.MATCHED
    assert again.memory.refused == {}


def test_what_ended_by_itself_is_waited_for_no_more(rig: Rig) -> None:
    order = rig.placed()
    rig.clock.tick(30)
    rig.exchange.refuses = {"bet1": "ERROR_IN_MATCHER"}
    cancel_unmatched(rig.engine)
    rig.exchange.match("bet1", "10")
    look_up(rig.engine, [order], rig.clock.now)
    cancel_unmatched(rig.engine)
    assert rig.memory.refused == {}


def test_a_person_does_not_wait(rig: Rig) -> None:
    rig.placed()
    rig.clock.tick(30)
    rig.exchange.refuses = {"bet1": "ERROR_IN_MATCHER"}
    asks(rig, 60)
    rig.exchange.refuses = {}
    cancel_until_clear(rig.engine, CancelReason.HALT, who="somebody", patience_s=5)
    assert rig.order().status is S.CANCELLED
    assert rig.memory.refused == {}


def test_refusals_that_go_on_are_alerted(rig: Rig) -> None:
    rig.placed()
    rig.clock.tick(30)
    rig.exchange.refuses = {"bet1": "ERROR_IN_MATCHER"}
    asks(rig, 10)
    assert Alert.CANCELS_REFUSED not in watch(rig.engine)
    asks(rig, 10)
    assert Alert.CANCELS_REFUSED in watch(rig.engine)
    rig.exchange.refuses = {}
    asks(rig, 60)
    assert Alert.CANCELS_REFUSED not in watch(rig.engine)


# --- many markets -----------------------------------------------------------------------------------------------------


def test_markets_are_asked_side_by_side_and_within_a_thousand_instructions_a_second(rig: Rig) -> None:
    """A slow exchange: the waits of a hundred markets must not add up."""
    for number in range(100):
        live(rig, 20, f"1.{number}")
    rig.clock.tick(30)
    cancel, under_way, most = rig.exchange.cancel, [0], [0]
    guard = threading.Lock()

    def slow(market_id: str, bets: Sequence[str]) -> list[CancelReport]:
        with guard:
            under_way[0] += 1
            most[0] = max(most[0], under_way[0])
        time.sleep(0.01)
        with guard:
            under_way[0] -= 1
            return cancel(market_id, bets)

    vars(rig.exchange)["cancel"] = slow
    assert cancel_unmatched(rig.engine) == 2000
    assert {order.status for order in rig.memory.orders.values()} == {S.CANCELLED}
    assert 1 < most[0] <= 10
    assert sum(rig.clock.slept) >= 2, "2,000 instructions take three seconds"
