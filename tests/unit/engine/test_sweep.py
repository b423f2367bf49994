"""sweep_signals: every recorded signal ends, whatever the message queue lost."""

from dataclasses import replace

import pytest
from support.engine_rig import MARKET, Rig, strategy_message

from executor.domain.order import OrderStatus
from executor.domain.signal_record import SignalRecord, SignalStatus
from executor.engine.sweeping import sweep
from executor.errors import OutcomeUnknown, StoreUnavailable

S = OrderStatus


class Dispatcher:
    """Remembers whose chain was started again."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.started: list[str] = []

    def __call__(self, record: SignalRecord) -> None:
        self.started.append(record.signal_id)

    def sweep(self) -> int:
        return sweep(self.rig.engine, self, "signals")


@pytest.fixture
def queue(rig: Rig) -> Dispatcher:
    return Dispatcher(rig)


@pytest.mark.parametrize("step", ["received", "accepted"])
def test_a_chain_that_got_lost_is_started_again_at_most_twice(rig: Rig, queue: Dispatcher, step: str) -> None:
    rig.received(validityWindow=100) if step == "received" else rig.accepted(validityWindow=100)
    for _ in range(16):
        rig.clock.tick(5)
        queue.sweep()
    assert queue.started == ["signal-1", "signal-1"]
    assert rig.signal().dispatches == 2


def test_a_signal_that_moves_is_left_alone(rig: Rig, queue: Dispatcher) -> None:
    rig.received()
    rig.clock.tick(9.9)
    assert queue.sweep() == 0
    rig.validate()
    rig.clock.tick(9.9)
    assert queue.sweep() == 0
    rig.clock.tick(0.1)
    assert queue.sweep() == 1


def test_a_crowded_queue_is_given_time(rig: Rig, queue: Dispatcher) -> None:
    rig.received()
    rig.clock.tick(10)
    rig.memory.queues["signals"] = 101
    assert queue.sweep() == 0
    rig.memory.queues["signals"] = 100
    assert queue.sweep() == 1


def test_past_its_deadline_a_signal_is_closed_even_into_a_crowded_queue(rig: Rig, queue: Dispatcher) -> None:
    rig.received()
    rig.clock.tick(60)
    rig.memory.queues["signals"] = 1000
    assert queue.sweep() == 1
    record = rig.signal()
    assert (record.status, record.reason, record.finished_at) == (SignalStatus.EXPIRED, "SIGNAL_EXPIRED", rig.clock.now)
    assert "before it was validated" in record.detail
    assert rig.telemetry.counts["rejected SIGNAL_EXPIRED"] == 1
    assert (queue.started, queue.sweep()) == ([], 0)


def test_past_its_deadline_what_was_reserved_is_given_back(rig: Rig, queue: Dispatcher) -> None:
    rig.accepted(legs=2)
    rig.clock.tick(60)
    queue.sweep()
    assert rig.statuses() == (SignalStatus.FAILED, [S.EXPIRED, S.EXPIRED])
    assert not any(order.counts for order in rig.orders())
    assert "before it was sent" in rig.signal().detail
    assert rig.place().verdict == "FAILED"
    assert rig.exchange.called("place") == []


def test_what_is_at_the_exchange_is_the_polls_matter(rig: Rig, queue: Dispatcher) -> None:
    rig.accepted()
    rig.exchange.script = [OutcomeUnknown("cut")]
    rig.place()
    for seconds in (20, 60):
        rig.clock.tick(seconds)
        assert queue.sweep() == 0
    assert (rig.order().status, rig.order().counts) == (S.SUBMITTED, True)
    assert queue.started == []


def test_a_signal_whose_orders_are_lost_ends(rig: Rig, queue: Dispatcher) -> None:
    rig.accepted()
    rig.memory.orders.clear()
    rig.clock.tick(60)
    queue.sweep()
    assert rig.signal().status is SignalStatus.FAILED


def test_a_signal_that_nobody_concluded_is_concluded(rig: Rig, queue: Dispatcher) -> None:
    record = rig.accepted()
    rig.place()
    rig.memory.signals["signal-1"] = record
    rig.clock.tick(60)
    assert queue.sweep() == 1
    assert rig.signal().status is SignalStatus.COMPLETED


def test_a_signal_that_just_moved_is_not_started_twice(rig: Rig, queue: Dispatcher) -> None:
    rig.received()
    rig.clock.tick(10)
    rig.store.before_commit = [lambda: rig.validate()]  # noqa: PLW0108 - its result is not wanted
    assert queue.sweep() == 0
    assert queue.started == []
    assert rig.signal().status is SignalStatus.ACCEPTED


def test_two_sweeps_start_a_chain_once(rig: Rig, queue: Dispatcher) -> None:
    rig.received()
    rig.clock.tick(10)
    rig.store.before_commit = [queue.sweep]
    queue.sweep()
    assert queue.started == ["signal-1"]


def test_a_signal_closed_by_somebody_else_is_closed_once(rig: Rig, queue: Dispatcher) -> None:
    rig.received()
    rig.clock.tick(60)
    rig.store.before_commit = [lambda: rig.validate()]  # noqa: PLW0108
    queue.sweep()
    assert rig.telemetry.counts["rejected SIGNAL_EXPIRED"] == 1


def test_a_reservation_sent_in_the_last_moment_is_not_released(rig: Rig, queue: Dispatcher) -> None:
    rig.accepted()
    rig.clock.tick(60)
    order = rig.order()

    def sent() -> None:
        rig.memory.orders[order.order_id] = replace(order, status=S.SUBMITTED)
        rig.touch_market()

    rig.store.before_commit = [sent]
    assert queue.sweep() == 0
    assert rig.order().status is S.SUBMITTED
    assert rig.signal().status is SignalStatus.ACCEPTED


def half_sent(rig: Rig) -> None:
    """Let Redis have lost the submit step of one leg of two: both go in one call."""
    rig.accepted(legs=2)
    first = rig.order()
    rig.memory.orders[first.order_id] = replace(first, status=S.PENDING, bet_id="bet1", placed_at=5)
    rig.clock.tick(60)


def test_a_leg_whose_submission_was_lost_is_asked_for_and_not_released(rig: Rig, queue: Dispatcher) -> None:
    half_sent(rig)
    assert queue.sweep() == 1
    assert rig.statuses() == (SignalStatus.ACCEPTED, [S.PENDING, S.SUBMITTED])
    assert rig.orders()[1].counts


def test_a_leg_that_moved_in_between_is_left_alone(rig: Rig, queue: Dispatcher) -> None:
    half_sent(rig)
    rig.store.before_commit = [rig.touch_market]
    assert queue.sweep() == 0
    assert rig.orders()[1].status is S.RESERVED


def test_a_retry_by_hand_with_a_new_deadline_is_not_closed(rig: Rig, queue: Dispatcher) -> None:
    """A person gave the signal a new deadline between the sweep's list and its look."""
    rig.received()
    rig.clock.tick(60)
    listed = rig.store.open_signals(rig.clock.now, 10)
    rig.memory.signals["signal-1"] = replace(rig.signal(), deadline=rig.clock.now + 60_000)
    vars(rig.store)["open_signals"] = lambda _before, _limit: listed
    queue.sweep()
    assert rig.signal().status is SignalStatus.RECEIVED


def test_a_record_that_vanished_in_between_is_passed_over(rig: Rig, queue: Dispatcher) -> None:
    rig.received()
    listed = [rig.signal(), replace(rig.signal(), signal_id="late", deadline=0)]
    rig.memory.signals.clear()
    vars(rig.store)["open_signals"] = lambda _before, _limit: listed
    rig.clock.tick(10)
    assert queue.sweep() == 0


def test_the_oldest_come_first_and_all_of_them(rig: Rig, queue: Dispatcher) -> None:
    for at in range(30):
        rig.received(f"signal-{at}")
        rig.clock.tick(0.01)
    rig.clock.tick(10)
    assert queue.sweep() == 30
    assert queue.started == [f"signal-{at}" for at in range(30)]


def test_a_store_that_is_away_is_said(rig: Rig, queue: Dispatcher) -> None:
    rig.received()
    rig.clock.tick(10)
    rig.memory.away = {"commit"}
    with pytest.raises(StoreUnavailable):
        queue.sweep()
    assert (queue.started, rig.signal().market_id) == ([], MARKET)


def test_a_backlog_is_closed_in_its_order_and_taken_off_the_queue(rig: Rig) -> None:
    names = [f"old-{at}" for at in range(1200)]
    for name in names:
        rig.receive(strategy_message(name))
    rig.clock.tick(45)
    rig.receive(strategy_message("valid"))
    rig.memory.queues["signals"] = 1201
    rig.clock.tick(20)
    sweep(rig.engine, dispatch=lambda _: None, queue="signals")
    closed = [entry["signal_id"] for entry in rig.memory.feed.values()]
    assert closed == names
    assert {rig.memory.signals[name].reason for name in names} == {"SIGNAL_EXPIRED"}
    assert rig.memory.signals["valid"].status is SignalStatus.RECEIVED
    assert rig.telemetry.counts["rejected SIGNAL_EXPIRED"] == 1200
    assert rig.memory.queues["signals"] == 0
