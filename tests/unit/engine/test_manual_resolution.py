"""A person's verdicts: unknown orders resolved, signals tried again, and what neither may do."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from support.engine_rig import MARKET, Rig, make_policy

from executor.domain.order import CancelReason, OrderStatus
from executor.domain.signal_record import SignalRecord, SignalStatus
from executor.engine.manual_resolution import resolve_not_placed, resolve_placed, retry_signal
from executor.engine.placement import place
from executor.engine.reconciliation import poll
from executor.errors import NotAllowed, OutcomeUnknown, Refused
from executor.ports import Instruction, LegOutcome, LegReport

S, Is = SignalStatus, OrderStatus


def unknown(rig: Rig, *, taken: bool) -> str:
    """Send a signal whose call gets no answer; returns its order id."""
    record = rig.accepted()

    def lose(market_id: str, instructions: Sequence[Instruction]) -> list[LegReport]:
        if taken:
            rig.exchange.take(market_id, instructions)
        raise OutcomeUnknown("no answer")

    rig.exchange.script.append(lose)
    rig.place()
    assert rig.statuses() == (S.ACCEPTED, [Is.SUBMITTED])
    return record.order_ids[0]


def test_not_placed_frees_the_exposure_and_ends_the_signal() -> None:
    rig = Rig()
    order_id = unknown(rig, taken=False)
    assert resolve_not_placed(rig.engine, order_id, "ann").status is Is.FAILED
    assert rig.statuses() == (S.FAILED, [Is.FAILED])
    assert rig.order().reason == "NOT_PLACED"
    assert "ann" in rig.order().detail
    assert not rig.order().counts


def test_nobody_can_say_not_placed_of_a_bet_that_the_exchange_shows() -> None:
    rig = Rig()
    order_id = unknown(rig, taken=True)
    with pytest.raises(NotAllowed, match="PENDING"):
        resolve_not_placed(rig.engine, order_id, "ann")
    assert rig.statuses() == (S.COMPLETED, [Is.PENDING])


def test_a_bet_of_ours_without_its_reference_can_be_named() -> None:
    rig = Rig()
    order_id = unknown(rig, taken=True)
    bet = rig.exchange.bets.popitem()[1]
    rig.exchange.bets[bet.bet_id] = replace(bet, order_id="")
    assert resolve_placed(rig.engine, order_id, bet.bet_id, "ann").status is Is.PENDING
    assert rig.order().bet_id == bet.bet_id


@pytest.mark.parametrize(
    ("verdict", "said"),
    [
        (lambda rig: resolve_not_placed(rig.engine, "nothing", "ann"), "there is no order nothing"),
        (lambda rig: resolve_placed(rig.engine, unknown(rig, taken=False), "77", "ann"), "shows no bet 77"),
        (lambda rig: resolve_not_placed(rig.engine, rig.placed().order_id, "ann"), "is PENDING"),
    ],
)
def test_a_verdict_that_makes_no_sense_changes_nothing(verdict: Callable[[Rig], object], said: str) -> None:
    with pytest.raises(NotAllowed, match=said):
        verdict(Rig())


def refused(rig: Rig) -> SignalRecord:
    record = rig.accepted()
    rig.exchange.script.append(Refused("INVALID_MARKET_ID"))
    rig.place()
    assert rig.statuses() == (S.FAILED, [Is.FAILED])
    return record


def test_a_failed_signal_is_tried_again_under_the_same_order_ids_and_a_new_request() -> None:
    rig = Rig()
    first = refused(rig)
    reference = rig.order().customer_ref
    again = retry_signal(rig.engine, "signal-1", force=False, who="ann")
    assert (again.status, again.attempt) == (S.RECEIVED, 2)
    assert rig.validate().verdict == "ACCEPTED"
    rig.place()
    assert rig.statuses() == (S.COMPLETED, [Is.PENDING])
    assert rig.signal().order_ids == first.order_ids
    assert rig.order().customer_ref != reference


def test_a_stale_signal_needs_force_and_then_gets_a_new_deadline() -> None:
    rig = Rig()
    record = refused(rig)
    rig.clock.tick(120)
    with pytest.raises(NotAllowed, match="stale"):
        retry_signal(rig.engine, "signal-1", force=False, who="ann")
    again = retry_signal(rig.engine, "signal-1", force=True, who="ann")
    assert again.deadline == rig.clock.now + 60_000 > record.deadline


def test_what_is_or_may_be_at_the_exchange_is_not_tried_again() -> None:
    for prepare in (lambda rig: rig.placed(), lambda rig: unknown(rig, taken=False)):
        rig = Rig()
        prepare(rig)
        with pytest.raises(NotAllowed, match="cannot be tried again"):
            retry_signal(rig.engine, "signal-1", force=True, who="ann")


def test_an_open_signal_keeps_its_record() -> None:
    rig = Rig()
    record = rig.accepted()
    assert retry_signal(rig.engine, "signal-1", force=False, who="ann") == record


def test_an_unknown_signal_cannot_be_tried_again() -> None:
    with pytest.raises(NotAllowed, match="there is no signal"):
        retry_signal(Rig().engine, "nothing", force=False, who="ann")


def half(rig: Rig) -> None:
    """Send two legs of which the exchange takes the first only."""
    rig.accepted(legs=2)

    def take_first(market_id: str, instructions: Sequence[Instruction]) -> list[LegReport]:
        reports = rig.exchange.take(market_id, instructions[:1])
        return [*reports, LegReport(instructions[1].order_id, LegOutcome.REFUSED, "INVALID_ODDS")]

    rig.exchange.script.append(take_first)
    place(rig.engine, "signal-1", MARKET)


def test_the_healthy_leg_of_a_half_placed_signal_is_taken_back_at_once() -> None:
    rig = Rig()
    half(rig)
    assert rig.statuses() == (S.COMPLETED, [Is.CANCELLED, Is.FAILED])
    assert rig.order().cancel_reason == CancelReason.HALF_PLACED
    assert rig.telemetry.counts["half placed"] == 1


def test_or_kept_where_the_settings_say_so() -> None:
    rig = Rig(make_policy(cancel_half_placed=False))
    half(rig)
    assert rig.statuses() == (S.COMPLETED, [Is.PENDING, Is.FAILED])
    assert rig.telemetry.counts["half placed"] == 1


def test_the_hours_transactions_are_capped_and_polls_go_on() -> None:
    rig = Rig(make_policy(max_transactions_per_hour=2))
    for number in range(3):
        rig.accepted(f"signal-{number}", stake=2)
        rig.place(f"signal-{number}")
    ends = [rig.order(f"signal-{number}") for number in range(3)]
    assert [order.status for order in ends] == [Is.PENDING, Is.PENDING, Is.FAILED]
    assert ends[2].reason == "TRANSACTION_LIMIT"
    assert poll(rig.engine).active == 2
