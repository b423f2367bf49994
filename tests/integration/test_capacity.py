"""A thousand live orders: what a poll reads, and that every time-out fires in one tick."""

import time
from collections import Counter
from pathlib import Path
from typing import Final

import redis
from support.sandbox_client import RunningSandbox, limit
from support.trading_rig import trading

from executor.domain.order import CancelReason, OrderStatus
from executor.engine.cancellation import cancel_unmatched
from executor.engine.reconciliation import poll

MARKETS: Final = tuple(f"1.{500_000_000 + at}" for at in range(20))
EACH: Final = 50


def live_orders(sandbox: RunningSandbox) -> None:
    """Let a thousand bets of our strategy be live, which the poll adopts."""
    for market in MARKETS:
        sandbox.market(market)  # nobody offers anything
        bets = [limit(1, "BACK", 3, 2, f"{market}-{at}") for at in range(EACH)]
        assert sandbox.place(market, *bets, customerStrategyRef="aibetting")["status"] == "SUCCESS"


def calls_since(sandbox: RunningSandbox, before: int) -> Counter[str]:
    return Counter(call["method"] for call in sandbox.journal()[before:])


def test_a_thousand_live_orders(redis_client: "redis.Redis", sandbox: RunningSandbox, tmp_path: Path) -> None:
    with trading(redis_client, sandbox, tmp_path, unmatched_timeout_s=2) as rig:
        live_orders(sandbox)
        assert poll(rig.engine).adopted == len(MARKETS) * EACH
        before, started = len(sandbox.journal()), time.monotonic()
        report = poll(rig.engine)
        poll_s = time.monotonic() - started
        reads = calls_since(sandbox, before)
        assert (report.active, report.listed, report.changed) == (1000, 1000, 0)
        assert reads == {"listCurrentOrders": 1}
        newest = max(order.placed_at for order in rig.engine.store.active_orders())
        while rig.engine.store.now() < newest + 2000:
            time.sleep(0.05)
        before, started = len(sandbox.journal()), time.monotonic()
        assert cancel_unmatched(rig.engine) == 1000
        cancel_s = time.monotonic() - started
        calls = calls_since(sandbox, before)
        assert calls == {"cancelOrders": 20, "listCurrentOrders": 4}
        assert rig.engine.store.active_orders() == []
        ended = rig.engine.store.recent_orders(2000)
        assert {(order.status, order.cancel_reason) for order in ended} == {
            (OrderStatus.CANCELLED, CancelReason.UNMATCHED_TIMEOUT)
        }
        assert rig.state.read().total_exposure == 0
    print(f"poll of 1,000: {poll_s:.2f} s, {dict(reads)}; cancel of 1,000: {cancel_s:.2f} s, {dict(calls)}")  # noqa: T201
