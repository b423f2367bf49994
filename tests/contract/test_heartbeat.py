"""The exchange's dead-man's switch against the sandbox: who is not heard of for ten seconds is cancelled, and told."""

from pathlib import Path

import pytest
import redis
from support.sandbox_client import RunningSandbox, wait_for
from support.trading_rig import trading

from executor.domain.order import OrderStatus
from executor.engine.dead_mans_switch import renew_switch, unregister
from executor.engine.reconciliation import poll
from executor.ports import HeartbeatAction

pytest_plugins = ["support.sandbox_fixtures"]

MARKET = "1.555"
_SELECTION = {"selectionId": "1", "recommendedOdds": 10.0, "stake": 10, "betType": "Back"}


@pytest.mark.slow
def test_orders_of_who_is_dead_are_cancelled_by_the_exchange(
    redis_client: "redis.Redis", sandbox: RunningSandbox, tmp_path: Path
) -> None:
    sandbox.market(MARKET, [[2.0, 100]], [])
    with trading(redis_client, sandbox, tmp_path, heartbeat_s=10) as rig:
        assert renew_switch(rig.engine).action is HeartbeatAction.NONE
        rig.trade("s-1", MARKET, primarySelection=_SELECTION)
        record = rig.engine.store.signal("s-1")
        assert record is not None
        (order,) = rig.engine.store.orders(record.order_ids)
        wait_for(lambda: sandbox.order(order.bet_id)["sizeCancelled"] == 10, 30)
        assert renew_switch(rig.engine).action is HeartbeatAction.ALL_BETS_CANCELLED
        poll(rig.engine)
        (order,) = rig.engine.store.orders(record.order_ids)
        assert (order.status, order.cancel_reason) == (OrderStatus.CANCELLED, "EXCHANGE")


def test_a_clean_stop_takes_the_registration_back(
    redis_client: "redis.Redis", sandbox: RunningSandbox, tmp_path: Path
) -> None:
    with trading(redis_client, sandbox, tmp_path, heartbeat_s=10) as rig:
        assert renew_switch(rig.engine).timeout_s == 10
        unregister(rig.engine)
        assert rig.engine.exchange.heartbeat(0).timeout_s == 0
