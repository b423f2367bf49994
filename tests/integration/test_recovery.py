"""What Redis loses comes back from the exchange, and nothing is placed before it has: restarts, lost seconds, races."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from support.engine_rig import MARKET
from support.factories import SUREBET
from support.recovery_rig import RecoveryRig, statuses

from executor import keys
from executor.engine.placement import place
from executor.engine.reconciliation import poll
from executor.engine.validation import validate
from executor.errors import NotSent, OutcomeUnknown, Refused
from executor.ports import Instruction, LegReport


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[RecoveryRig]:
    with RecoveryRig.running(tmp_path) as rig:
        yield rig


def test_after_a_restart_nothing_is_placed_until_the_exchange_was_read(rig: RecoveryRig) -> None:
    rig.accepted()
    rig.restart()
    step = rig.place()
    assert (step.verdict, step.reason, rig.calls()) == ("FAILED", "NOT_RECONCILED", 0)
    rig.poll()
    rig.accepted("signal-2")
    rig.place("signal-2")
    assert rig.calls() == 1


def test_a_step_that_has_read_before_a_restart_does_not_submit_after_it(rig: RecoveryRig) -> None:
    rig.accepted()
    step = rig.place(engine=rig.interrupted_worker(rig.restart))
    assert (step.reason, rig.calls()) == ("NOT_RECONCILED", 0)


def test_a_step_that_has_read_before_a_restart_does_not_reserve_after_it(rig: RecoveryRig) -> None:
    rig.received()
    step = validate(rig.interrupted_worker(rig.restart), "signal-1", MARKET)
    assert (step.reason, rig.exposure()) == ("NOT_RECONCILED", {})


def test_a_poll_that_has_read_before_a_restart_does_not_count(rig: RecoveryRig) -> None:
    """Its list of orders is older than what the restart may have lost."""
    rig.exchange.after_read = rig.restart
    rig.poll()
    assert not rig.view().reconciled
    rig.poll()
    assert rig.view().reconciled
    assert len(rig.exchange.called("current_orders")) == 2  # the first start's, and the one after the restart


def test_a_poll_that_has_read_before_a_flushall_does_not_count(rig: RecoveryRig) -> None:
    rig.exchange.after_read = rig.flush
    poll(rig.worker())
    assert not rig.view().reconciled
    assert rig.client().get(keys.TRADING_ENABLED) is None
    rig.poll()
    assert rig.view().reconciled


def test_an_order_whose_submission_was_lost_is_adopted_and_not_sent_again(rig: RecoveryRig) -> None:
    rig.accepted()
    saved = rig.saved()
    rig.place()
    assert rig.calls() == 1
    rig.cut_power(saved)
    assert statuses(rig.orders()) == ["RESERVED"]
    rig.poll()
    assert statuses(rig.orders()) == ["PENDING"]
    assert rig.place().verdict == "COMPLETED"  # the message that came back with the lost second
    assert rig.calls() == 1


def test_an_order_that_was_lost_with_its_signal_is_adopted_and_its_signal_takes_it_over(rig: RecoveryRig) -> None:
    saved = rig.saved()
    rig.accepted()
    rig.place()
    rig.cut_power(saved)
    assert rig.orders() == []
    rig.poll()
    adopted = rig.orders()
    assert [(order.strategy, str(order.status)) for order in adopted] == [("adopted", "PENDING")]
    assert rig.exposure() == {"123456": 10}
    rig.received()  # said again by its sender
    step = validate(rig.worker(), "signal-1", MARKET)
    assert (step.verdict, rig.calls()) == ("COMPLETED", 1)
    assert [(order.signal_id, str(order.status)) for order in rig.orders()] == [("signal-1", "PENDING")]


def test_a_signal_refused_again_while_its_call_was_under_way_leaves_nothing_reserved(rig: RecoveryRig) -> None:
    """As below, and the new record was decided on before the call ended: nothing would take a reservation back."""
    saved = rig.saved()
    rig.accepted()

    def lose_and_fail(_market_id: str, _instructions: Sequence[Instruction]) -> list[LegReport]:
        rig.cut_power(saved)
        rig.received()
        assert validate(rig.worker(), "signal-1", MARKET).reason == "NOT_RECONCILED"
        raise NotSent("no connection")

    rig.exchange.script = [lose_and_fail]
    rig.place()
    rig.poll()
    assert (statuses(rig.orders()), rig.exposure()) == (["FAILED"], {})


@pytest.mark.parametrize("outcome", [NotSent("no connection"), OutcomeUnknown("no answer"), Refused("INVALID_ODDS")])
def test_a_signal_recorded_again_while_its_call_was_under_way_leaves_nothing_reserved(
    rig: RecoveryRig, outcome: Exception
) -> None:
    """Redis lost everything of it, a bridge has recorded it once more, and then the call ends without a bet."""
    saved = rig.saved()
    rig.accepted()

    def lose_and_fail(_market_id: str, _instructions: Sequence[Instruction]) -> list[LegReport]:
        rig.cut_power(saved)
        rig.received()
        raise outcome

    rig.exchange.script = [lose_and_fail]
    rig.place()
    rig.poll()
    validate(rig.worker(), "signal-1", MARKET)
    unknown = isinstance(outcome, OutcomeUnknown)
    assert statuses(rig.orders()) == (["SUBMITTED"] if unknown else ["FAILED"])
    assert rig.exposure() == ({"123456": 10} if unknown else {})
    record = rig.worker().store.signal("signal-1")
    assert record is not None
    assert (record.status, rig.calls()) == ("ACCEPTED" if unknown else "FAILED", 1)


@pytest.mark.parametrize("placed", [True, False])
def test_a_surebet_whose_record_was_lost_in_its_call_is_not_bet_on_under_another_arrival(
    rig: RecoveryRig, placed: bool
) -> None:
    """The other bridge heard it a moment later and records it in the new Redis: with an id, and orders, of its own."""
    saved = rig.saved()
    first = rig.heard(SUREBET.encode())
    assert validate(rig.worker(), first.signal_id, MARKET).verdict == "ACCEPTED"

    def lose(market_id: str, instructions: Sequence[Instruction]) -> list[LegReport]:
        rig.cut_power(saved)
        if placed:
            return rig.exchange.take(market_id, instructions)
        raise OutcomeUnknown("no answer")

    rig.exchange.script = [lose]
    place(rig.worker(), first.signal_id, MARKET)
    rig.poll()
    second = rig.heard(SUREBET.encode())
    assert second.signal_id != first.signal_id
    assert validate(rig.worker(), second.signal_id, MARKET).reason == "DUPLICATE_SIGNAL"
    assert rig.calls() == 1


def test_a_surebet_that_was_lost_with_its_orders_meets_the_adopted_ones(rig: RecoveryRig) -> None:
    saved = rig.saved()
    first = rig.heard(SUREBET.encode())
    validate(rig.worker(), first.signal_id, MARKET)
    place(rig.worker(), first.signal_id, MARKET)
    rig.cut_power(saved)
    rig.poll()
    second = rig.heard(SUREBET.encode())
    assert validate(rig.worker(), second.signal_id, MARKET).reason == "DUPLICATE_SIGNAL"
    assert rig.calls() == 1


def test_an_answer_whose_records_were_lost_meanwhile_is_written_again(rig: RecoveryRig) -> None:
    rig.accepted()
    saved = rig.saved()

    def lose_and_take(market_id: str, instructions: Sequence[Instruction]) -> list[LegReport]:
        rig.cut_power(saved)
        return rig.exchange.take(market_id, instructions)

    rig.exchange.script = [lose_and_take]
    assert rig.place().verdict == "COMPLETED"
    assert statuses(rig.orders()) == ["PENDING"]
    rig.poll()
    assert (rig.place().verdict, rig.calls()) == ("COMPLETED", 1)
