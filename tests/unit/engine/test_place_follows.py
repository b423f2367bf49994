"""place_order behind the decision in one process: the decision's commit marks its orders as sent, for it to send."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, cast

import pytest
from support.engine_rig import Rig, make_policy, sends
from support.memory_redis import MemoryStore

from executor.domain.order import OrderStatus
from executor.engine.placement import put_back
from executor.errors import NotSent, StoreUnavailable
from executor.ports import Instruction, LegReport

S = OrderStatus


def _trips(rig: Rig) -> list[str]:
    """Note what the engine asks of the store from now on."""
    made: list[str] = []

    class Noting:
        def __getattr__(self, name: str) -> Any:
            made.append(name)
            return getattr(rig.store, name)

    rig.engine = replace(rig.engine, store=cast("MemoryStore", Noting()))
    return made


def test_an_order_is_sent_after_one_read_one_commit_and_the_last_look(rig: Rig) -> None:
    trips = _trips(rig)
    rig.accepted(submit=True, legs=2)
    asked: list[list[str]] = []

    def take(market_id: str, instructions: Sequence[Instruction]) -> list[LegReport]:
        asked.append(list(trips))
        return rig.exchange.take(market_id, instructions)

    rig.exchange.script.append(take)
    assert rig.follow().verdict == "COMPLETED"
    assert (asked, sends(rig)) == ([["view", "commit", "send_state"]], 1)


def test_the_decision_marks_its_orders_as_sent_and_counts_them(rig: Rig) -> None:
    rig.accepted(submit=True, legs=2)
    assert [order.status for order in rig.orders()] == [S.SUBMITTED] * 2
    assert {order.submitted_at for order in rig.orders()} == {rig.clock.now}
    assert rig.view().transactions == 2


def halt(rig: Rig) -> None:
    rig.memory.trading = "false"


def lose_the_mark(rig: Rig) -> None:
    rig.memory.reconciled_until = 0


def pass_the_deadline(rig: Rig) -> None:
    rig.clock.tick(1.001)


@pytest.mark.parametrize("happens", [halt, lose_the_mark, pass_the_deadline])
def test_what_happens_between_the_look_and_the_commit_keeps_the_order_here(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, happens: Callable[[Rig], None]
) -> None:
    rig.received(validityWindow=1)
    commit, first = rig.store.commit, [True]

    def late(*args: Any) -> Any:
        if first.pop() if first else False:
            happens(rig)
        return commit(*args)

    monkeypatch.setattr(rig.store, "commit", late)
    step = rig.validate(submit=True)
    assert (step.verdict in {"REJECTED", "EXPIRED"}, rig.submission, rig.orders()) == (True, None, [])


@pytest.mark.parametrize("happens", [halt, lose_the_mark, pass_the_deadline])
def test_what_happens_behind_the_decision_is_met_by_the_last_look(rig: Rig, happens: Callable[[Rig], None]) -> None:
    rig.accepted(submit=True, validityWindow=1)
    happens(rig)
    assert (rig.follow().verdict, sends(rig), rig.order().counts) == ("FAILED", 0, False)


def test_a_decision_that_the_hours_transactions_do_not_cover_reserves_and_no_more() -> None:
    rig = Rig(make_policy(max_transactions_per_hour=0))
    rig.accepted(submit=True)
    assert (rig.submission, rig.order().status) == (None, S.RESERVED)
    rig.place()
    assert (rig.order().reason, sends(rig)) == ("TRANSACTION_LIMIT", 0)


def test_a_step_that_stood_still_is_not_sent_but_tried_anew(rig: Rig) -> None:
    rig.accepted(submit=True)
    rig.clock.tick(1.5)
    assert (rig.follow().verdict, sends(rig)) == ("COMPLETED", 1)
    assert rig.view().transactions == 2, "the try before is not given back"


def test_decisions_that_accept_nothing_hand_on_nothing(rig: Rig) -> None:
    rig.accepted(submit=True)
    assert rig.validate(submit=True).submission is None, "a repeat"
    rig.received("signal-2", stake=500)
    assert rig.validate("signal-2", submit=True).submission is None


def test_what_no_step_sends_is_reserved_again_and_sent_by_the_next_that_comes(rig: Rig) -> None:
    rig.accepted(submit=True)
    assert rig.submission is not None
    assert rig.place().verdict == "ACCEPTED", "another one's to send"
    put_back(rig.engine, rig.submission)
    assert (rig.order().status, sends(rig), rig.memory.failures) == (S.RESERVED, 0, {})
    assert rig.telemetry.counts["validated"] == 1
    assert (rig.place().verdict, sends(rig)) == ("COMPLETED", 1)


def test_what_is_put_back_after_a_poll_has_decided_stays_decided(rig: Rig) -> None:
    rig.accepted(submit=True)
    assert rig.submission is not None
    rig.memory.orders[rig.order().order_id] = replace(rig.order(), status=S.FAILED, reason="NOT_PLACED")
    rig.touch_market()
    put_back(rig.engine, rig.submission)
    assert (rig.order().status, rig.order().reason) == (S.FAILED, "NOT_PLACED")


def _accepted_unsaid(rig: Rig) -> None:
    rig.accepted(submit=True)
    assert rig.telemetry.counts["validated"] == 0


def test_what_is_said_of_the_decision_waits_until_the_request_has_left(rig: Rig) -> None:
    _accepted_unsaid(rig)
    said: list[int] = []

    def take(market_id: str, instructions: Sequence[Instruction]) -> list[LegReport]:
        said.append(rig.telemetry.counts["validated"])
        rig.exchange.permits[-1].sent()
        said.append(rig.telemetry.counts["validated"])
        return rig.exchange.take(market_id, instructions)

    rig.exchange.script.append(take)
    assert rig.follow().verdict == "COMPLETED"
    assert said == [0, 1]
    assert rig.telemetry.counts["validated"] == 1, "once, though the call has ended, too"


@pytest.mark.parametrize("trouble", ["an exchange that says nothing of it", "not sent", "switched off", "Redis away"])
def test_it_is_said_once_whatever_becomes_of_the_order(rig: Rig, trouble: str) -> None:
    _accepted_unsaid(rig)
    if trouble == "not sent":
        rig.exchange.script += [NotSent("no line")] * 3
    elif trouble == "switched off":
        rig.memory.trading = "false"
    elif trouble == "Redis away":
        rig.exchange.script.append(NotSent("no line"))
        rig.engine = replace(rig.engine, store=cast("MemoryStore", _Away()))
        rig.engine = replace(rig.engine, clock=_Impatient(rig.clock))
    with suppress(StoreUnavailable):
        rig.follow()
    assert rig.telemetry.counts["validated"] == 1


def test_a_refusal_is_said_at_once(rig: Rig) -> None:
    rig.received(stake=500)
    assert rig.validate(submit=True).verdict == "REJECTED"
    assert rig.telemetry.counts["validated"] == 1


class _Impatient:
    """A clock on which waiting for a Redis that is away soon takes too long."""

    def __init__(self, clock: Any) -> None:
        self._clock = clock

    def monotonic(self) -> float:
        return float(self._clock.monotonic())

    def sleep(self, seconds: float) -> None:
        self._clock.tick(seconds * 20)


class _Away:
    def __getattr__(self, name: str) -> Any:
        def away(*_: object, **__: object) -> None:
            raise StoreUnavailable(name)

        return away
