"""place_order under accidents: two at once, killed in mid-call, answered late or not at all; and the breaker."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from support.engine_rig import MARKET, Answer, Rig, make_policy, script, sends

from executor.domain.order import Order, OrderStatus
from executor.domain.signal_record import SignalStatus
from executor.engine.placement import place
from executor.errors import (
    Contended,
    NotSent,
    OutcomeUnknown,
    Refused,
    StoreUnavailable,
)
from executor.ports import Instruction, LegOutcome, LegReport

S = OrderStatus


# --- only the winner sends --------------------------------------------------------------------------------------------


def test_two_workers_with_one_message_send_once(rig: Rig) -> None:
    rig.accepted()
    rig.store.before_commit = [lambda: place(rig.engine, "signal-1", MARKET)]
    rig.place()
    assert sends(rig) == 1


def test_a_market_that_keeps_changing_sends_nothing(rig: Rig) -> None:
    rig.accepted()
    rig.store.before_commit = [rig.touch_market] * 100
    with pytest.raises(Contended):
        rig.place()
    assert (sends(rig), rig.order().status) == (0, S.RESERVED)


@pytest.mark.parametrize("spoil", ["received", "rejected", "one leg lost", "all legs lost"])
def test_what_is_not_completely_reserved_is_not_sent(rig: Rig, spoil: str) -> None:
    if spoil == "received":
        rig.received()
    elif spoil == "rejected":
        rig.received(stake=1)
        rig.validate()
    else:
        lost = rig.accepted(legs=2).order_ids[: 1 if spoil == "one leg lost" else 2]
        for order in lost:
            del rig.memory.orders[order]
    rig.place()
    assert sends(rig) == 0


def test_a_signal_without_a_record_is_not_sent(rig: Rig) -> None:
    assert rig.place("nobody").verdict == "UNKNOWN_SIGNAL"
    rig.accepted()
    assert rig.place(market_id="1.999").verdict == "COMPLETED", "the record knows its market"


@pytest.mark.parametrize("error", [SystemExit(), KeyboardInterrupt(), GeneratorExit()])
def test_a_process_that_ends_in_mid_call_leaves_the_intent(rig: Rig, error: BaseException) -> None:
    rig.accepted()
    rig.exchange.script = [error]
    with pytest.raises(type(error)):
        rig.place()
    order = rig.order()
    assert (order.status, order.answered_at, order.counts) == (S.SUBMITTED, 0, True)
    assert rig.place().verdict == "ACCEPTED"
    assert sends(rig) == 1


# --- answers that come late, or cannot be written ---------------------------------------------------------------------


def late(rig: Rig, change: dict[str, Any], given: Answer) -> Order:
    """Place; while the call is under way somebody changes the order; then the call is answered."""

    def meanwhile(market_id: str, legs: Sequence[Instruction]) -> list[LegReport]:
        order = rig.order()
        rig.memory.orders[order.order_id] = replace(order, **change)
        rig.touch_market()
        answer = script(rig, given)
        if isinstance(answer, BaseException):
            raise answer
        return answer(market_id, legs)

    rig.accepted()
    rig.exchange.script = [meanwhile]
    rig.place()
    return rig.order()


_DECIDED = {"status": S.FAILED, "reason": "NOT_PLACED", "finished_at": 5}
_RETRIED = {"status": S.SUBMITTED, "attempt": 2, "submitted_at": 77}
_AGAIN = {"status": S.RESERVED, "attempt": 2, "submitted_at": 0}
_LIVE = {"status": S.PENDING, "bet_id": "bet1", "placed_at": 5}


@pytest.mark.parametrize("change", [_DECIDED, _RETRIED, _AGAIN, _LIVE])
@pytest.mark.parametrize(
    "answer", [Refused("CODE"), OutcomeUnknown("cut"), (LegOutcome.REFUSED,), (LegOutcome.UNKNOWN,)]
)
def test_a_late_answer_without_a_bet_changes_nothing(rig: Rig, change: dict[str, Any], answer: Answer) -> None:
    order = late(rig, change, answer)
    assert {name: getattr(order, name) for name in change} == change


@pytest.mark.parametrize("change", [_DECIDED, _RETRIED, _AGAIN])
def test_a_late_bet_is_a_bet(rig: Rig, change: dict[str, Any]) -> None:
    order = late(rig, change, (LegOutcome.PLACED,))
    assert (order.status, order.bet_id, order.reason) == (S.PENDING, "bet1", "")


def test_a_late_refusal_to_send_is_not_sent_again_behind_the_polls_back(rig: Rig) -> None:
    order = late(rig, _DECIDED, NotSent("refused"))
    assert (order.status, order.reason, sends(rig)) == (S.FAILED, "NOT_PLACED", 1)


def test_an_answer_is_written_as_soon_as_redis_is_back(rig: Rig) -> None:
    rig.accepted()

    def outage(market_id: str, legs: Sequence[Instruction]) -> list[LegReport]:
        rig.memory.away = {"*"}
        return rig.exchange.take(market_id, legs)

    def back() -> None:
        if len(rig.clock.slept) > 20:
            rig.memory.away = set()

    rig.exchange.script, rig.clock.on_sleep = [outage], back
    assert rig.place().verdict == "COMPLETED"
    assert (rig.order().status, sends(rig)) == (S.PENDING, 1)


def test_an_answer_that_cannot_be_written_is_left_to_the_poll(rig: Rig) -> None:
    rig.accepted()

    def outage(market_id: str, legs: Sequence[Instruction]) -> list[LegReport]:
        rig.memory.away = {"*"}
        return rig.exchange.take(market_id, legs)

    rig.exchange.script = [outage]
    with pytest.raises(StoreUnavailable):
        rig.place()
    assert 30 <= sum(rig.clock.slept) < 40
    rig.memory.away = set()
    assert rig.order().status is S.SUBMITTED
    rig.place()
    assert sends(rig) == 1


def test_an_answer_outlasts_any_contention(rig: Rig) -> None:
    rig.accepted()
    rig.store.before_commit = [lambda: None, *[rig.touch_market] * 50]
    assert rig.place().verdict == "COMPLETED"


def test_a_record_that_was_deleted_in_mid_call_is_written_again(rig: Rig) -> None:
    rig.accepted()

    def wipe(market_id: str, legs: Sequence[Instruction]) -> list[LegReport]:
        rig.memory.orders.clear()
        rig.memory.signals.clear()
        return rig.exchange.take(market_id, legs)

    rig.exchange.script = [wipe]
    rig.place()
    assert (rig.order().status, rig.order().bet_id) == (S.PENDING, "bet1")
    assert rig.signal().status is SignalStatus.COMPLETED


# --- the breaker ------------------------------------------------------------------------------------------------------


def fail_calls(rig: Rig, times: int, error: Exception, *, start: int = 0) -> None:
    for at in range(start, start + times):
        rig.accepted(f"signal-{at}")
        rig.exchange.script = [error]
        rig.place(f"signal-{at}")
        rig.clock.tick(1)


def test_five_failed_calls_trip_the_breaker_in_the_same_step(rig: Rig) -> None:
    fail_calls(rig, 4, OutcomeUnknown("cut"))
    assert (rig.memory.breaker, rig.memory.trading) == ({}, "true")
    fail_calls(rig, 1, Refused("CODE"), start=4)
    assert rig.memory.trading == "false"
    assert "5 failed order calls within 600 s, the last: CODE" in rig.memory.breaker["reason"]
    assert rig.memory.messages[-1]["event"] == "circuit_breaker_tripped"


def test_a_success_forgives_and_time_forgets(rig: Rig) -> None:
    fail_calls(rig, 4, Refused("CODE"))
    rig.placed("good")
    fail_calls(rig, 4, Refused("CODE"), start=4)
    assert rig.memory.breaker == {}
    rig.clock.tick(601)
    fail_calls(rig, 4, Refused("CODE"), start=8)
    assert rig.memory.breaker == {}
    fail_calls(rig, 1, Refused("CODE"), start=12)
    assert rig.memory.breaker


@pytest.mark.parametrize("code", ["MARKET_SUSPENDED", "BET_TAKEN_OR_LAPSED"])
def test_ignored_codes_do_not_count(rig: Rig, code: str) -> None:
    fail_calls(rig, 6, Refused(code))
    assert (rig.memory.failures, rig.memory.breaker) == ({}, {})


def legs_refused(*codes: str) -> Callable[[str, Sequence[Instruction]], list[LegReport]]:
    """Return a step in which each leg is refused with its own code."""

    def answer(_market_id: str, instructions: Sequence[Instruction]) -> list[LegReport]:
        return [
            LegReport(instruction.order_id, LegOutcome.REFUSED, code)
            for instruction, code in zip(instructions, codes, strict=True)
        ]

    return answer


@pytest.mark.parametrize("ignored", ["MARKET_SUSPENDED", "BET_TAKEN_OR_LAPSED"])  # after and before it by name
@pytest.mark.parametrize("first", [True, False])
def test_a_code_that_is_ignored_hides_none_that_counts_whichever_leg_has_it(
    rig: Rig, ignored: str, *, first: bool
) -> None:
    codes = (ignored, "INVALID_ODDS") if first else ("INVALID_ODDS", ignored)
    for at in range(5):
        rig.accepted(f"signal-{at}", legs=2)
        rig.exchange.script = [legs_refused(*codes)]
        rig.place(f"signal-{at}")
    assert [json.loads(name)[1] for name in rig.memory.failures] == ["INVALID_ODDS"] * 5
    assert rig.memory.breaker


def test_legs_that_are_all_ignored_do_not_count(rig: Rig) -> None:
    for at in range(6):
        rig.accepted(f"signal-{at}", legs=2)
        rig.exchange.script = [legs_refused("MARKET_SUSPENDED", "BET_TAKEN_OR_LAPSED")]
        rig.place(f"signal-{at}")
    assert (rig.memory.failures, rig.memory.breaker) == ({}, {})


def test_a_breaker_that_is_switched_off_does_not_trip() -> None:
    rig = Rig(policy=make_policy(breaker_enabled=False))
    fail_calls(rig, 6, Refused("CODE"))
    assert (rig.memory.failures, rig.memory.breaker) == ({}, {})


def test_enabling_trading_resets_the_breaker_before_sending(rig: Rig) -> None:
    rig.accepted()
    rig.memory.breaker = {"time": "x"}
    rig.place()
    assert (rig.memory.breaker, sends(rig)) == ({}, 1)


def test_an_exposure_is_what_the_order_may_lose(rig: Rig) -> None:
    assert rig.placed().size_open == Decimal("10.00")
