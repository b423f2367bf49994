"""A person names the bet of an order whose reference was lost, on the real things: Redis, the sandbox, the ledger."""

from decimal import Decimal
from pathlib import Path

import redis
from support.sandbox_client import RunningSandbox, limit
from support.trading_rig import IDENTITY, TradingRig, trading

from executor import keys
from executor.domain.order import OrderStatus, order_ids
from executor.domain.signal_record import SignalStatus
from executor.engine.accounting import write_ledger
from executor.engine.manual_resolution import resolve_placed
from executor.engine.reconciliation import poll

MARKET = "1.512345678"


def full_poll(rig: TradingRig, client: "redis.Redis") -> None:
    client.delete(keys.FULL_READ)
    poll(rig.engine)


def test_the_bet_is_one_orders_for_good(redis_client: "redis.Redis", sandbox: RunningSandbox, tmp_path: Path) -> None:
    with trading(redis_client, sandbox, tmp_path) as rig:
        sandbox.control("faults", method="placeOrders", kind="http_503", count=1)
        rig.trade("signal-1", MARKET, stake=4)
        [order_id] = order_ids("signal-1", 1)
        [order] = rig.engine.store.orders([order_id])
        assert order.status is OrderStatus.SUBMITTED
        nameless = limit(order.selection_id, "BACK", 3, 4)
        report = sandbox.place(MARKET, nameless, customerStrategyRef="aibetting")
        bet_id = report["instructionReports"][0]["betId"]
        full_poll(rig, redis_client)
        assert rig.engine.store.owners([bet_id]) == {bet_id: f"bet-{bet_id}"}
        write_ledger(rig.engine)
        booked = rig.ledger.count()

        taken = resolve_placed(rig.engine, order_id, bet_id, "ann")
        for _ in range(2):
            full_poll(rig, redis_client)
            write_ledger(rig.engine)
        [order] = rig.engine.store.orders([order_id])
        assert (order.bet_id, order.status, order.size_matched) == (bet_id, taken.status, taken.size_matched)
        assert rig.engine.store.owners([bet_id]) == {bet_id: order_id}
        record = rig.engine.store.signal("signal-1")
        assert record is not None
        assert record.status is SignalStatus.COMPLETED
        assert [held.order_id for held in rig.engine.store.unsettled_orders()] == [order_id]
        assert sum(map(Decimal, redis_client.hvals(keys.risk_exposure(MARKET)))) == 4  # type: ignore[arg-type]
        assert rig.ledger.count() == booked, f"nothing is booked twice under {IDENTITY}"
