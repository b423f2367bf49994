"""Signals whose bets were adopted before their records were there again: they get them back, once, and only theirs."""

from dataclasses import replace
from decimal import Decimal

import pytest
from support.engine_rig import Rig, sends

from executor.domain.order import ADOPTED, OrderStatus
from executor.domain.signal_record import SignalStatus
from executor.engine.reconciliation import poll

S = OrderStatus


def lose_everything(rig: Rig) -> None:
    """Lose what a failover may: the signal's record, that its message is known, its orders."""
    for held in (rig.memory.signals, rig.memory.seen, rig.memory.orders):
        held.clear()
    rig.memory.full_read_at = None


def adopted(rig: Rig, legs: int = 1) -> None:
    rig.accepted(legs=legs)
    rig.place()
    lose_everything(rig)
    poll(rig.engine)
    assert {order.strategy for order in rig.memory.orders.values()} == {ADOPTED}


@pytest.mark.parametrize("legs", [1, 2])
def test_a_signal_that_is_recorded_again_gets_its_adopted_bets_back(rig: Rig, legs: int) -> None:
    adopted(rig, legs)
    rig.received(legs=legs)
    assert rig.validate().verdict == "COMPLETED"
    orders = rig.orders()
    assert [(order.leg, order.strategy, order.status) for order in orders] == [
        (leg, "test", S.PENDING) for leg in range(1, legs + 1)
    ]
    assert rig.signal().order_ids == tuple(order.order_id for order in orders)
    assert rig.place().verdict == "COMPLETED", "there is nothing left to send"
    assert sends(rig) == 1
    poll(rig.engine)
    assert [order.strategy for order in rig.orders()] == ["test"] * legs


def test_it_needs_no_permission_as_nothing_is_placed(rig: Rig) -> None:
    adopted(rig)
    rig.received()
    rig.memory.trading = "false"
    rig.memory.reconciled_until = 0
    rig.clock.tick(61)  # past its deadline
    assert rig.validate().verdict == "COMPLETED"


def test_a_leg_that_is_not_seen_yet_is_asked_for_and_the_healthy_one_taken_back(rig: Rig) -> None:
    adopted(rig, legs=2)
    missing = next(bet_id for bet_id, bet in rig.exchange.bets.items() if bet.order_id.endswith("-2"))
    del rig.exchange.bets[missing]
    rig.memory.orders = {name: order for name, order in rig.memory.orders.items() if not name.endswith("-2")}
    rig.received(legs=2)
    assert rig.validate().verdict == "ACCEPTED"
    assert [order.status for order in rig.orders()] == [S.PENDING, S.SUBMITTED]
    rig.place()
    assert sends(rig) == 1, "it is never placed again by itself"
    rig.clock.tick(60)
    poll(rig.engine)
    first, second = rig.orders()
    assert second.status is S.FAILED
    assert first.cancel_reason == "HALF_PLACED"
    assert rig.signal().status is SignalStatus.COMPLETED


@pytest.mark.parametrize(
    "change", [{"size": Decimal(11)}, {"price": Decimal(4)}, {"strategy": "other"}, {"signal_id": "another"}]
)
def test_bets_of_another_content_or_owner_are_not_taken(rig: Rig, change: dict[str, object]) -> None:
    adopted(rig)
    for name, order in rig.memory.orders.items():
        rig.memory.orders[name] = replace(order, **change)  # type: ignore[arg-type]
    rig.received()
    assert rig.validate().reason == "DUPLICATE_SIGNAL"
    assert rig.signal().order_ids == ()
