"""place_order: only the winner sends, at most once; every outcome of the call is what it is and nothing else."""

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from engine_rig import MARKET, Rig, make_policy
from fakes import Script

from executor.domain.order import CancelReason, Order, OrderStatus
from executor.engine.placement import place
from executor.errors import (
    Contended,
    LoginRefused,
    NotSent,
    OutcomeUnknown,
    Refused,
    SessionExpired,
    StoreUnavailable,
    Throttled,
)
from executor.ports import Instruction, LegOutcome, LegReport, SignalStatus

S = OrderStatus


def answering(*outcomes: LegOutcome, code: str = "CODE", matched: str = "0") -> Script:
    """Return a step that answers leg by leg; PLACED legs are taken."""

    def answer(market_id: str, instructions: Sequence[Instruction]) -> list[LegReport]:
        reports = []
        for one, outcome in zip(instructions, outcomes, strict=False):
            if outcome is LegOutcome.PLACED:
                reports += RIGS[-1].exchange.take(market_id, [one], matched)
            else:
                reports.append(LegReport(one.order_id, outcome, code, "why"))
        return reports

    return answer


RIGS: list[Rig] = []


@pytest.fixture(autouse=True)
def _current(rig: Rig) -> None:
    RIGS[:] = [rig]


def sends(rig: Rig) -> int:
    return len(rig.exchange.called("place"))


# --- every outcome ----------------------------------------------------------------------------------------------------


def test_an_accepted_signal_is_sent_in_one_call(rig: Rig) -> None:
    record = rig.accepted(legs=2)
    rig.clock.tick(0.4)
    step = rig.place()
    assert step.verdict == "COMPLETED"
    first, second = rig.orders()
    assert rig.exchange.called("place") == [(MARKET, record.order_ids, first.customer_ref)]
    assert (first.status, second.status) == (S.PENDING, S.PENDING)
    assert (first.bet_id, second.bet_id) == ("bet1", "bet2")
    assert first.submitted_at == first.answered_at == first.placed_at == rig.clock.now
    counts = rig.telemetry.counts
    assert (counts["placed BACK"], counts["placed LAY"], counts["latency"]) == (1, 1, 1)


def test_what_is_matched_at_once_is_a_trade(rig: Rig) -> None:
    rig.accepted()
    rig.exchange.script = [lambda market, legs: rig.exchange.take(market, legs, "1")]
    rig.place()
    assert rig.order().status is S.MATCHED
    (entry,) = rig.memory.trades
    assert (entry["type"], entry["size"], entry["size_matched"]) == ("fill", "10.00", "10.00")
    assert rig.telemetry.counts["matched BACK"] == 1


_OUTCOMES: list[tuple[Script, list[S], SignalStatus, str, bool]] = [
    (answering(LegOutcome.REFUSED, LegOutcome.REFUSED), [S.FAILED, S.FAILED], SignalStatus.FAILED, "CODE", True),
    (Refused("INSUFFICIENT_FUNDS"), [S.FAILED, S.FAILED], SignalStatus.FAILED, "INSUFFICIENT_FUNDS", True),
    (
        LoginRefused("ACCOUNT_LOCKED", retryable=False),
        [S.FAILED, S.FAILED],
        SignalStatus.FAILED,
        "LOGIN_REFUSED",
        True,
    ),
    (OutcomeUnknown("cut off"), [S.SUBMITTED, S.SUBMITTED], SignalStatus.ACCEPTED, "OUTCOME_UNKNOWN", True),
    (RuntimeError("a defect"), [S.SUBMITTED, S.SUBMITTED], SignalStatus.ACCEPTED, "OUTCOME_UNKNOWN", True),
    (lambda _market, _legs: [], [S.SUBMITTED, S.SUBMITTED], SignalStatus.ACCEPTED, "NO_REPORT", True),
    (
        answering(LegOutcome.UNKNOWN, LegOutcome.UNKNOWN),
        [S.SUBMITTED, S.SUBMITTED],
        SignalStatus.ACCEPTED,
        "CODE",
        True,
    ),
    (answering(LegOutcome.REFUSED, LegOutcome.UNKNOWN), [S.FAILED, S.SUBMITTED], SignalStatus.ACCEPTED, "CODE", True),
    (answering(LegOutcome.NOT_SENT, LegOutcome.UNKNOWN), [S.FAILED, S.SUBMITTED], SignalStatus.ACCEPTED, "CODE", True),
    (
        answering(LegOutcome.PLACED, LegOutcome.UNKNOWN),
        [S.PENDING, S.SUBMITTED],
        SignalStatus.ACCEPTED,
        "",
        False,
    ),
]


@pytest.mark.parametrize(("script", "statuses", "signal", "reason", "failure"), _OUTCOMES)
def test_each_outcome_is_what_it_is(
    rig: Rig, script: Script, statuses: list[S], signal: SignalStatus, reason: str, *, failure: bool
) -> None:
    rig.accepted(legs=2)
    rig.exchange.script = [script]
    rig.place()
    assert rig.statuses() == (signal, statuses)
    assert rig.order().reason == reason
    assert sends(rig) == 1
    assert len(rig.memory.failures) == failure, "one call is one failure, whatever its legs"
    for order in rig.orders():
        assert order.answered_at == rig.clock.now
        assert order.counts is (order.status is not S.FAILED), "exposure is held until it is certain"
    for _ in range(2):
        rig.place()
    assert sends(rig) == 1


@pytest.mark.parametrize("outcome", [LegOutcome.REFUSED, LegOutcome.NOT_SENT])
def test_the_healthy_leg_of_a_half_placed_signal_is_taken_back(rig: Rig, outcome: LegOutcome) -> None:
    rig.accepted(legs=2)
    rig.exchange.script = [answering(LegOutcome.PLACED, outcome)]
    rig.place()
    first, second = rig.orders()
    assert (first.status, first.cancel_reason) == (S.CANCELLED, CancelReason.HALF_PLACED)
    assert (second.status, second.counts) == (S.FAILED, False)
    assert rig.exchange.called("cancel") == [(MARKET, ("bet1",))]
    assert rig.signal().status is SignalStatus.COMPLETED
    assert rig.telemetry.counts["half placed"] == 1
    assert rig.memory.failures == {}, "a report with a leg placed is a success"


def test_a_half_placed_leg_is_kept_where_the_settings_say_so() -> None:
    rig = Rig(policy=make_policy(cancel_half_placed=False))
    RIGS[:] = [rig]
    rig.accepted(legs=2)
    rig.exchange.script = [answering(LegOutcome.REFUSED, LegOutcome.PLACED)]
    rig.place()
    assert [order.status for order in rig.orders()] == [S.FAILED, S.PENDING]
    assert rig.exchange.called("cancel") == []


# --- what may be sent again -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error", [NotSent("refused"), Throttled("TOO_MANY_REQUESTS", 0.2), SessionExpired("logged in anew")]
)
@pytest.mark.parametrize("times", [1, 2])
def test_what_was_not_sent_is_sent_again(rig: Rig, error: Exception, times: int) -> None:
    rig.accepted(legs=2)
    rig.exchange.script = [error] * times
    assert rig.place().verdict == "COMPLETED"
    assert sends(rig) == times + 1
    assert [order.status for order in rig.orders()] == [S.PENDING, S.PENDING]
    assert rig.memory.failures == {}
    references = {call[2] for call in rig.exchange.called("place") if isinstance(call, tuple)}
    assert len(references) == 1, "the exchange de-duplicates on it"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (NotSent("refused"), "NOT_SENT"),
        (Throttled("TOO_MANY_REQUESTS", 0.2), "TOO_MANY_REQUESTS"),
        (SessionExpired("again"), "SESSION_EXPIRED"),
    ],
)
def test_three_times_not_sent_is_a_failure(rig: Rig, error: Exception, code: str) -> None:
    rig.accepted()
    rig.exchange.script = [error] * 3
    assert rig.place().verdict == "FAILED"
    assert (sends(rig), rig.order().status, rig.order().reason) == (3, S.FAILED, code)
    assert len(rig.memory.failures) == 1
    assert rig.telemetry.counts[f"failed {code}"] == 1
    assert rig.order().counts is False


def test_an_answer_that_says_not_sent_is_sent_again(rig: Rig) -> None:
    rig.accepted(legs=2)
    rig.exchange.script = [answering(LegOutcome.NOT_SENT, LegOutcome.NOT_SENT)]
    assert rig.place().verdict == "COMPLETED"
    assert sends(rig) == 2


def test_a_wait_that_outlasts_the_price_is_not_waited_for(rig: Rig) -> None:
    """A login ban lasts twenty minutes; a worker must not sleep through it holding exposure."""
    rig.accepted()
    rig.exchange.script = [Throttled("TEMPORARY_BAN_TOO_MANY_REQUESTS", 1200.0)]
    before = rig.clock.now
    assert rig.place().verdict == "FAILED"
    assert (rig.order().status, rig.order().reason) == (S.FAILED, "TEMPORARY_BAN_TOO_MANY_REQUESTS")
    assert rig.clock.now - before < 1000
    assert sends(rig) == 1


@pytest.mark.parametrize(
    ("change", "status", "reason"),
    [
        ({"trading": "false"}, S.FAILED, "TRADING_DISABLED"),
        ({"trading": "false", "breaker": {"time": "x"}}, S.FAILED, "CIRCUIT_BREAKER_OPEN"),
        ({"reconciled_until": 0}, S.FAILED, "NOT_RECONCILED"),
        ({"identity": "live other"}, S.FAILED, "NOT_RECONCILED"),
    ],
)
@pytest.mark.parametrize("when", ["before", "between", "after a try", "in the step"])
def test_a_control_that_says_no_before_sending_gives_the_exposure_back(
    rig: Rig, change: dict[str, Any], status: S, reason: str, when: str
) -> None:
    rig.accepted(legs=2)
    if when == "before":
        vars(rig.memory).update(change)
    elif when == "between":
        rig.store.before_commit = [lambda: vars(rig.memory).update(change)]
    elif when == "after a try":
        rig.exchange.script = [NotSent("refused")]
        rig.clock.on_sleep = lambda: vars(rig.memory).update(change)
    else:
        rig.store.before_commit = [lambda: vars(rig.memory).update(change | {"revisions": {MARKET: 99}})]
    step = rig.place()
    assert (step.verdict, step.reason) == ("FAILED", reason)
    assert sends(rig) == (when == "after a try")
    for order in rig.orders():
        assert (order.status, order.reason, order.counts) == (status, reason, False)


def test_a_release_that_loses_its_race_is_made_again(rig: Rig) -> None:
    rig.accepted()
    rig.memory.trading = "false"
    rig.store.before_commit = [rig.touch_market]
    assert rig.place().reason == "TRADING_DISABLED"
    assert rig.order().counts is False


def test_a_step_is_told_in_one_line(rig: Rig) -> None:
    rig.accepted()
    order_id = rig.order().order_id
    assert str(rig.place()) == f"COMPLETED ({order_id})"
    rig.received("signal-2", stake=500)
    assert str(rig.validate("signal-2")) == "REJECTED MAX_STAKE_PER_ORDER: Stake 500 exceeds max per order 100"


def test_the_deadline_is_looked_at_before_every_attempt(rig: Rig) -> None:
    rig.accepted(validityWindow=1)
    rig.exchange.script = [Throttled("TOO_MANY_REQUESTS", 0.9)] * 3
    rig.clock.tick(0.3)
    assert rig.place().reason == "SIGNAL_EXPIRED"
    assert (sends(rig), rig.order().status) == (1, S.EXPIRED)


def test_an_expired_signal_is_not_sent(rig: Rig) -> None:
    rig.accepted()
    rig.clock.tick(60)
    assert rig.place().reason == "SIGNAL_EXPIRED"
    assert (sends(rig), rig.order().status, rig.order().finished_at) == (0, S.EXPIRED, rig.clock.now)


def test_a_deadline_that_passes_in_the_last_moment_counts(rig: Rig) -> None:
    rig.accepted()
    rig.clock.tick(59.6)
    rig.store.before_commit = [lambda: rig.clock.tick(0.5)]  # less than what counts as having stood still
    assert rig.place().reason == "SIGNAL_EXPIRED"
    assert sends(rig) == 0


@pytest.mark.parametrize(("most", "sent"), [(2, 1), (1, 0)])
def test_an_hours_transactions_are_capped(most: int, sent: int) -> None:
    rig = Rig(policy=make_policy(max_transactions_per_hour=most))
    rig.accepted(legs=2)
    step = rig.place()
    assert sends(rig) == sent
    assert step.reason == ("" if sent else "TRANSACTION_LIMIT")


def test_a_process_that_stood_still_does_not_send(rig: Rig) -> None:
    rig.accepted()
    rig.store.before_commit = [lambda: rig.clock.tick(1.1)]
    assert rig.place().verdict == "COMPLETED"
    assert sends(rig) == 1, "the next attempt looks again and sends"
    assert rig.memory.failures == {}


def test_a_process_that_always_stands_still_gives_up_without_blame(rig: Rig) -> None:
    rig.accepted()
    stops: list[Any] = [lambda: rig.clock.tick(1.1), lambda: None] * 3
    rig.store.before_commit = stops
    assert rig.place().verdict == "FAILED"
    assert (sends(rig), rig.order().reason, rig.memory.failures) == (0, "PROCESS_PAUSED", {})


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
        for one in lost:
            del rig.memory.orders[one]
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


def late(rig: Rig, change: dict[str, Any], answer: Script) -> Order:
    """Place; while the call is under way somebody changes the order; then the call is answered."""

    def meanwhile(market_id: str, legs: Sequence[Instruction]) -> list[LegReport]:
        order = rig.order()
        rig.memory.orders[order.order_id] = replace(order, **change)
        rig.touch_market()
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
    "answer", [Refused("CODE"), OutcomeUnknown("cut"), answering(LegOutcome.REFUSED), answering(LegOutcome.UNKNOWN)]
)
def test_a_late_answer_without_a_bet_changes_nothing(rig: Rig, change: dict[str, Any], answer: Script) -> None:
    order = late(rig, change, answer)
    assert {name: getattr(order, name) for name in change} == change


@pytest.mark.parametrize("change", [_DECIDED, _RETRIED, _AGAIN])
def test_a_late_bet_is_a_bet(rig: Rig, change: dict[str, Any]) -> None:
    order = late(rig, change, answering(LegOutcome.PLACED))
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
