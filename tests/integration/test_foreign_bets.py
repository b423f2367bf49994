"""Bets of kinds that our records cannot hold, at the real sandbox, with a real Redis: nothing stands still."""

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import redis
from support.sandbox_client import RunningSandbox, limit
from support.trading_rig import TradingRig, trading

from executor import keys
from executor.domain.order import OrderStatus
from executor.engine.cancellation import cancel_unmatched
from executor.engine.reconciliation import poll
from executor.engine.settlement import settle
from executor.engine.watchdog import watch

D = Decimal
OURS, THEIRS = "1.700000001", "1.700000002"


@pytest.fixture
def rig(redis_client: "redis.Redis", sandbox: RunningSandbox, tmp_path: Path) -> Iterator[TradingRig]:
    with trading(redis_client, sandbox, tmp_path, unmatched_timeout_s=0) as rig:
        yield rig


def full_poll(rig: TradingRig, client: "redis.Redis") -> Any:
    client.delete(keys.FULL_READ)
    return poll(rig.engine)


def open_market(sandbox: RunningSandbox, market_id: str, **fields: object) -> None:
    sandbox.market(market_id, to_back=[[3, 1000]], **fields)


BETS: dict[str, tuple[dict[str, Any], dict[str, Any], Decimal]] = {
    "market on close": (
        {"bspMarket": True},
        {"selectionId": 1, "handicap": 0, "side": "BACK", "orderType": "MARKET_ON_CLOSE",
         "marketOnCloseOrder": {"liability": 20}},
        D(20),
    ),
    "limit on close": (
        {"bspMarket": True},
        {"selectionId": 1, "handicap": 0, "side": "LAY", "orderType": "LIMIT_ON_CLOSE",
         "limitOnCloseOrder": {"liability": 20, "price": 5}},
        D(20),
    ),
    "each way": (
        {"marketType": "EACH_WAY", "eachWayDivisor": 4, "numberOfWinners": 2},
        limit(1, "BACK", 50, 10),
        D(20),
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", BETS)
def test_a_strangers_bet_is_kept_counted_and_left_alone(
    kind: str, rig: TradingRig, sandbox: RunningSandbox, redis_client: "redis.Redis"
) -> None:
    fields, instruction, worst = BETS[kind]
    open_market(sandbox, OURS)
    open_market(sandbox, THEIRS, **fields)
    placed = sandbox.place(THEIRS, instruction, customerStrategyRef="aibetting")
    assert placed["status"] == "SUCCESS", placed
    bet_id = placed["instructionReports"][0]["betId"]
    rig.trade("ours", OURS, primarySelection={"selectionId": "1", "recommendedOdds": 3, "stake": 10, "betType": "Back"})
    redis_client.delete(keys.RECONCILED)
    full_poll(rig, redis_client)
    assert redis_client.exists(keys.RECONCILED), "the rest was read: the poll counts"
    [bet] = rig.engine.store.foreign_bets()
    assert (bet.bet_id, bet.worst) == (bet_id, worst)
    assert redis_client.hgetall(keys.risk_exposure(THEIRS)) == {"1": f"{worst:.2f}"}
    assert "foreign_bets" in watch(rig.engine)
    assert [order.status for order in rig.engine.store.recent_orders(10)] == [OrderStatus.MATCHED]
    cancel_unmatched(rig.engine)
    settle(rig.engine)
    assert sandbox.order(bet_id)["status"] == "EXECUTABLE", "neither cancelled nor settled"
    assert rig.state.read().foreign
