"""place_order: every outcome of the call is what it is, and only what was not sent is sent again."""

from typing import Any

import pytest
from support.engine_rig import MARKET, Answer, Rig, make_policy, script, sends

from executor.domain.order import CancelReason, OrderStatus
from executor.domain.signal_record import SignalStatus
from executor.errors import (
    LoginRefused,
    NotSent,
    NotYet,
    OutcomeUnknown,
    Refused,
    SessionExpired,
    Throttled,
)
from executor.ports import LegOutcome

S = OrderStatus


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


_OUTCOMES: list[tuple[Answer, list[S], SignalStatus, str, bool]] = [
    ((LegOutcome.REFUSED, LegOutcome.REFUSED), [S.FAILED, S.FAILED], SignalStatus.FAILED, "CODE", True),
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
        (LegOutcome.UNKNOWN, LegOutcome.UNKNOWN),
        [S.SUBMITTED, S.SUBMITTED],
        SignalStatus.ACCEPTED,
        "CODE",
        True,
    ),
    ((LegOutcome.REFUSED, LegOutcome.UNKNOWN), [S.FAILED, S.SUBMITTED], SignalStatus.ACCEPTED, "CODE", True),
    ((LegOutcome.NOT_SENT, LegOutcome.UNKNOWN), [S.FAILED, S.SUBMITTED], SignalStatus.ACCEPTED, "CODE", True),
    (
        (LegOutcome.PLACED, LegOutcome.UNKNOWN),
        [S.PENDING, S.SUBMITTED],
        SignalStatus.ACCEPTED,
        "",
        False,
    ),
]


@pytest.mark.parametrize(("answer", "statuses", "signal", "reason", "failure"), _OUTCOMES)
def test_each_outcome_is_what_it_is(
    rig: Rig, answer: Answer, statuses: list[S], signal: SignalStatus, reason: str, *, failure: bool
) -> None:
    rig.accepted(legs=2)
    rig.exchange.script = [script(rig, answer)]
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
    rig.exchange.script = [rig.exchange.answering(LegOutcome.PLACED, outcome)]
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
    rig.accepted(legs=2)
    rig.exchange.script = [rig.exchange.answering(LegOutcome.REFUSED, LegOutcome.PLACED)]
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
    rig.exchange.script = [rig.exchange.answering(LegOutcome.NOT_SENT, LegOutcome.NOT_SENT)]
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


def test_what_no_replica_knows_of_is_not_sent_until_one_does(rig: Rig) -> None:
    rig.accepted(legs=2)
    rig.memory.replicated = False
    for _ in range(3):
        with pytest.raises(NotYet):
            rig.place()
        assert [order.status for order in rig.orders()] == [S.RESERVED, S.RESERVED]
    assert sends(rig) == 0
    assert rig.memory.failures == {}, "the breaker counts what the exchange did"
    rig.memory.replicated = True
    assert rig.place().verdict == "COMPLETED"
    assert sends(rig) == 1


def test_what_no_replica_ever_knows_of_expires(rig: Rig) -> None:
    rig.accepted()
    rig.memory.replicated = False
    with pytest.raises(NotYet):
        rig.place()
    rig.clock.tick(61)
    assert rig.place().reason == "SIGNAL_EXPIRED"
    assert not rig.order().counts
