"""Redis lost the submit step of two legs, and the exchange took only one of them: the other one's fate is found out."""

import pytest
from support.engine_rig import Rig

from executor.domain.order import CancelReason, OrderStatus
from executor.domain.signal_record import SignalStatus
from executor.engine.reconciliation import poll
from executor.engine.sweeping import sweep


@pytest.mark.parametrize("waits_s", [11, 61])  # the sweep looks before, or only after the deadline
def test_a_leg_whose_sibling_is_at_the_exchange_is_asked_for_not_forgotten(rig: Rig, waits_s: int) -> None:
    rig.accepted(legs=2, validityWindow=60)
    reserved, revision = dict(rig.memory.orders), dict(rig.memory.revisions)
    accepted = rig.signal()
    rig.place()
    rig.memory.orders |= reserved
    rig.memory.revisions = revision
    rig.memory.signals["signal-1"] = accepted
    second = rig.orders()[1]
    rig.exchange.bets = {bet_id: bet for bet_id, bet in rig.exchange.bets.items() if bet.order_id == second.order_id}
    poll(rig.engine)
    assert [order.status for order in rig.orders()] == [OrderStatus.RESERVED, OrderStatus.PENDING]
    rig.clock.tick(waits_s)
    sweep(rig.engine, lambda _: pytest.fail("it was sent already"), "signals")
    rig.clock.tick(50)  # the API timeout, 15 s, the second before sending
    poll(rig.engine)
    sweep(rig.engine, lambda _: pytest.fail("it was sent already"), "signals")
    assert [order.status for order in rig.orders()] == [OrderStatus.FAILED, OrderStatus.PENDING]
    assert rig.orders()[1].cancel_reason == CancelReason.HALF_PLACED
    assert rig.signal().status is SignalStatus.COMPLETED
    assert len(rig.exchange.called("place")) == 1
