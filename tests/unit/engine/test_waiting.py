"""Waiting for orders to be reconciled: for ten seconds, never past the deadline, with nothing decided or sent."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from support.engine_rig import MARKET, Rig, sends

from executor.domain.order import OrderStatus
from executor.domain.signal_record import SignalStatus
from executor.engine.placement import place
from executor.engine.validation import validate
from executor.engine.waiting import RECONCILED_MS
from executor.errors import NotYet

S = SignalStatus


def to_validate(rig: Rig) -> Callable[[], object]:
    rig.received()
    return lambda: validate(rig.engine, "signal-1", MARKET, patience_ms=RECONCILED_MS)


def to_place(rig: Rig) -> Callable[[], object]:
    rig.accepted()
    return lambda: place(rig.engine, "signal-1", MARKET, patience_ms=RECONCILED_MS)


Prepare = Callable[[Rig], Callable[[], object]]
BOTH = pytest.mark.parametrize("prepare", [to_validate, to_place])


def lose_the_mark(rig: Rig) -> None:
    rig.memory.reconciled_until = 0


@BOTH
def test_it_waits_ten_seconds_and_is_refused_then(rig: Rig, prepare: Prepare) -> None:
    step = prepare(rig)
    lose_the_mark(rig)
    for _ in range(10):
        before = rig.signal()
        with pytest.raises(NotYet):
            step()
        assert rig.signal() == before, "nothing is decided"
        rig.clock.tick(1)
    step()
    assert rig.signal().reason == "NOT_RECONCILED"
    assert rig.signal().status in {S.REJECTED, S.FAILED}
    assert not any(order.counts for order in rig.orders())
    assert sends(rig) == 0


@BOTH
def test_a_poll_in_time_lets_it_go_on(rig: Rig, prepare: Prepare) -> None:
    step = prepare(rig)
    until = rig.memory.reconciled_until
    lose_the_mark(rig)
    with pytest.raises(NotYet):
        step()
    rig.clock.tick(9)
    rig.memory.reconciled_until = until + 60_000
    step()
    assert rig.signal().status in {S.ACCEPTED, S.COMPLETED}


@BOTH
def test_it_waits_for_no_longer_than_it_is_valid(rig: Rig, prepare: Prepare) -> None:
    step = prepare(rig)
    lose_the_mark(rig)
    record = rig.signal()
    rig.memory.signals[record.signal_id] = replace(record, deadline=rig.clock.now + 2000)
    with pytest.raises(NotYet):
        step()
    rig.clock.tick(2)
    step()
    assert rig.signal().reason == "SIGNAL_EXPIRED"


@BOTH
def test_another_accounts_data_are_not_waited_for(rig: Rig, prepare: Prepare) -> None:
    step = prepare(rig)
    rig.memory.identity = "live somebody"
    step()
    assert rig.signal().reason == "NOT_RECONCILED"
    assert all(order.status is OrderStatus.FAILED for order in rig.orders())
