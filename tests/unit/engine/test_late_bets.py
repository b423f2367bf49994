"""Bets that turn up after somebody concluded that they are not there: by a person, or by the half-placed policy."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from support.engine_rig import MARKET, Rig, killed, make_cleared, make_policy, sends, unanswered

from executor.domain.order import CancelReason, Order, OrderStatus
from executor.domain.signal_record import SignalStatus
from executor.engine.manual_resolution import resolve_not_placed, retry_signal
from executor.engine.merging import merge_bets
from executor.engine.reconciliation import poll
from executor.errors import NotAllowed, OutcomeUnknown
from executor.ports import ClearedKind, Instruction

S = OrderStatus


def turn_up(rig: Rig, order: Order, matched: str = "0") -> None:
    """Let the bet of an order be at the exchange."""
    instruction = Instruction(order.order_id, order.selection_id, order.side, order.price, order.size)
    rig.exchange.take(order.market_id, [instruction], matched)


# --- resolve --not-placed ---------------------------------------------------------------------------------------------


def test_nobody_releases_what_may_still_be_under_way(rig: Rig) -> None:
    order = killed(rig)
    for passed_s in (0, 5, 25):
        rig.clock.tick(passed_s)
        with pytest.raises(NotAllowed, match="may still be under way"):
            resolve_not_placed(rig.engine, order.order_id, "ann")
        assert (rig.order().status, rig.order().counts) == (S.SUBMITTED, True)
    rig.clock.tick(1.001)
    assert resolve_not_placed(rig.engine, order.order_id, "ann").status is S.FAILED
    assert not rig.order().counts


def test_a_call_that_may_leave_late_or_behind_a_proxy_counts_longer() -> None:
    for policy, under_way_s, end in (
        (make_policy(api_timeout_s=2), 2 + 5, killed),
        (make_policy(late_arrival_s=315), 300, unanswered),
    ):
        rig = Rig(policy)
        order = end(rig)
        rig.clock.tick(under_way_s - 0.001)
        with pytest.raises(NotAllowed, match="may still be under way"):
            resolve_not_placed(rig.engine, order.order_id, "ann")
        rig.clock.tick(1.001)
        assert resolve_not_placed(rig.engine, order.order_id, "ann").status is S.FAILED


def test_absence_is_not_concluded_before_nothing_can_arrive(rig: Rig) -> None:
    for policy, end, shows_s in (
        (make_policy(), killed, 30 + 15 + 1),
        (make_policy(api_timeout_s=2), killed, 2 + 5 + 15 + 1),
        (make_policy(), unanswered, 15),
        (make_policy(late_arrival_s=315), unanswered, 315),
    ):
        rig = Rig(policy)
        end(rig)
        rig.clock.tick(shows_s - 0.001)
        poll(rig.engine)
        assert rig.order().status is S.SUBMITTED
        rig.clock.tick(0.001)
        poll(rig.engine)
        assert (rig.order().status, rig.order().reason) == (S.FAILED, "NOT_PLACED")


def test_the_exchanges_own_word_is_a_persons_too(rig: Rig) -> None:
    order = unanswered(rig)
    rig.clock.tick(20)
    assert resolve_not_placed(rig.engine, order.order_id, "ann").status is S.FAILED
    with pytest.raises(NotAllowed, match="is FAILED"):
        resolve_not_placed(rig.engine, order.order_id, "ann")


# --- failed retry -----------------------------------------------------------------------------------------------------


def refused_retry(rig: Rig, said: str) -> None:
    before = rig.signal()
    with pytest.raises(NotAllowed, match=said):
        retry_signal(rig.engine, "signal-1", force=True, who="ann")
    assert rig.signal().attempt == before.attempt
    assert sends(rig) == 1


@pytest.mark.parametrize("matched", ["0", "1"])
def test_a_bet_that_turned_up_late_is_not_placed_a_second_time(rig: Rig, matched: str) -> None:
    order = unanswered(rig)
    rig.clock.tick(20)
    poll(rig.engine)
    assert rig.order().reason == "NOT_PLACED"
    turn_up(rig, order, matched)
    refused_retry(rig, "is MATCHED" if matched == "1" else "is PENDING")
    assert rig.order().bet_id == "bet1"
    assert rig.signal().status is SignalStatus.COMPLETED


@pytest.mark.parametrize("kind", list(ClearedKind))
def test_nor_one_that_is_over_by_now(rig: Rig, kind: ClearedKind) -> None:
    order = unanswered(rig)
    rig.clock.tick(20)
    poll(rig.engine)
    rig.exchange.cleared.append(make_cleared(order, kind, bet_id="bet9"))
    refused_retry(rig, "cannot be tried again")
    assert rig.order().bet_id == "bet9"


def test_what_a_person_concluded_early_waits_until_the_exchange_must_show_it(rig: Rig) -> None:
    order = unanswered(rig)
    resolve_not_placed(rig.engine, order.order_id, "ann")
    rig.clock.tick(14.9)
    refused_retry(rig, "cannot be tried again yet")
    rig.clock.tick(0.1)
    assert retry_signal(rig.engine, "signal-1", force=True, who="ann").attempt == 2


def test_nobody_tries_again_without_asking(rig: Rig) -> None:
    unanswered(rig)
    rig.clock.tick(20)
    poll(rig.engine)
    rig.exchange.reads_fail = OutcomeUnknown("no answer")
    refused_retry(rig, "the exchange cannot be asked")


def test_a_bet_whose_record_is_lost_is_asked_for_by_its_name(rig: Rig) -> None:
    order = unanswered(rig)
    rig.clock.tick(20)
    poll(rig.engine)
    turn_up(rig, order)
    del rig.memory.orders[order.order_id]
    refused_retry(rig, "the exchange has bet bet1")


# --- the second leg of a half-placed signal ---------------------------------------------------------------------------


def half_placed(rig: Rig) -> tuple[Order, Order]:
    """Send two legs; the exchange shows the first one, the second is taken as not placed."""
    unanswered(rig, legs=2)
    turn_up(rig, rig.orders()[0])
    rig.clock.tick(16)
    poll(rig.engine)
    first, second = rig.orders()
    assert (second.status, rig.telemetry.counts["half placed"]) == (S.FAILED, 1)
    return first, second


def cancel_first(rig: Rig) -> None:
    rig.exchange.cancel(MARKET, ["bet1"])
    rig.exchange.calls.clear()
    poll(rig.engine)


def match_first(rig: Rig) -> None:
    rig.exchange.match("bet1", "10")
    poll(rig.engine)


def nothing(rig: Rig) -> None:
    """The first leg is live, and marked to be taken back."""


@pytest.mark.parametrize(("meanwhile", "alone"), [(cancel_first, True), (nothing, True), (match_first, False)])
def test_a_leg_that_turns_up_late_is_taken_back_at_once_unless_the_other_is_matched(
    rig: Rig, meanwhile: Callable[[Rig], None], alone: bool
) -> None:
    _, second = half_placed(rig)
    meanwhile(rig)
    turn_up(rig, second)
    poll(rig.engine)
    late = rig.orders()[1]
    assert late.bet_id == "bet2"
    assert (late.status, late.cancel_reason) == ((S.CANCELLED, CancelReason.HALF_PLACED) if alone else (S.PENDING, ""))
    assert ((MARKET, ("bet2",)) in rig.exchange.called("cancel")) is alone
    assert rig.telemetry.counts["half placed"] == 2, "told again"
    told = [message for message in rig.memory.messages if message["event"] == "late_leg"]
    assert [(message["order_id"], message["cancelling"]) for message in told] == [(second.order_id, str(alone).lower())]
    poll(rig.engine)
    assert rig.telemetry.counts["half placed"] == 2, "once"


def test_a_late_leg_that_the_stream_hears_of_first_is_taken_back_at_once(rig: Rig) -> None:
    _, second = half_placed(rig)
    turn_up(rig, second)
    rig.exchange.calls.clear()
    merge_bets(rig.engine, [rig.exchange.bets["bet2"]])
    assert rig.exchange.called("cancel") == [(MARKET, ("bet2",))]
    assert (rig.orders()[1].status, rig.orders()[1].cancel_reason) == (S.CANCELLED, CancelReason.HALF_PLACED)
    merge_bets(rig.engine, [rig.exchange.bets["bet2"]])
    assert len(rig.exchange.called("cancel")) == 1, "a repeat asks nothing"


def test_a_late_leg_stays_where_the_settings_keep_half_placed_ones() -> None:
    rig = Rig(make_policy(cancel_half_placed=False))
    _, second = half_placed(rig)
    cancel_first(rig)
    turn_up(rig, second)
    poll(rig.engine)
    assert (rig.orders()[1].status, rig.orders()[1].cancel_reason) == (S.PENDING, "")
    assert rig.telemetry.counts["half placed"] == 2


def test_a_late_leg_that_is_marked_by_a_person_stays_marked(rig: Rig) -> None:
    first, second = half_placed(rig)
    rig.memory.orders[first.order_id] = replace(first, cancel_reason=CancelReason.MANUAL)
    turn_up(rig, second)
    poll(rig.engine)
    assert rig.orders()[1].cancel_reason == CancelReason.HALF_PLACED
