"""Polling a thousand live orders: what a poll takes, and what it costs the orders that are placed meanwhile."""

import time
from collections.abc import Sequence
from typing import Final

from benchmarks.decision import run_in_process
from benchmarks.figures import Report, Setup, Table, kept, percentile, quantiles, ratio, shown, shown_ratio
from benchmarks.load import SELECTION, Load
from benchmarks.stack import BenchStack, Side
from executor import keys

_RATE: Final = 20
_IN_MARKET: Final = 50  # live orders
_LIMIT: Final = 1.2  # issue: placement p99 with 1,000 active orders at most 1.2 x that without
_PROMISED: Final = 100  # reference: active orders
_POLLS: Final = 10
_ENOUGH_S: Final = 15.0  # three polls and more
_PAUSE_S: Final = 0.1  # the exchange takes 1,000 instructions a second
# Nothing of ours takes them back while they are measured.
_PATIENT: Final = {"EXECUTOR_ORDER_MANAGER__UNMATCHED_ORDER_TIMEOUT_SECONDS": "86400"}


def polling(setup: Setup) -> Report:
    """Fire without and with live orders, in turns; then time polls by themselves."""
    plan = setup.plan
    count = int(_RATE * max(_ENOUGH_S, plan.block_s))
    taken: dict[bool, list[list[float]]] = {False: [], True: []}
    polls: dict[str, list[float]] = {}
    with BenchStack(setup.folder, setup.tell, sides=(Side.OURS,), settings=_PATIENT) as stack:
        load = Load(stack)
        load.warm_up()
        for number in range(plan.rounds):
            for live in (False, True):
                held = _rest(stack, load, plan.active) if live else []
                block = load.fire(Side.OURS, count, _RATE)
                taken[live].append(block.latencies_ms)
                load.settle(block)
                _cancel_all(stack, held)
            found = {live: quantiles(blocks[-1])["p99"] for live, blocks in taken.items()}
            setup.tell(f"round {number + 1} of {plan.rounds}: p99 {found[False]:.1f}, polled {found[True]:.1f} ms")
        for active in sorted({10, _PROMISED, plan.active}):
            for finished in (0, plan.grown[-1]) if active == plan.active else (0,):
                held = _rest(stack, load, active)
                words = ("poll", str(finished), str(_POLLS))
                polls[f"{active:,} active, {finished:,} finished"] = run_in_process(words, stack.environ, setup.folder)[
                    "poll"
                ]
                _cancel_all(stack, held)
        load.check()
    return _report(taken, polls, plan.active)


def _rest(stack: BenchStack, load: Load, number: int) -> list[str]:
    """Let bets of our strategy rest at the exchange and wait until the engine has adopted them; returns the markets."""
    size = min(number, _IN_MARKET)
    markets = load.open_markets(-(-number // size), size=0)
    for market in markets:
        orders = [
            {
                "orderType": "LIMIT",
                "selectionId": SELECTION,
                "side": "BACK",
                "limitOrder": {"size": 2, "price": 3, "persistenceType": "LAPSE"},
                "customerOrderRef": f"{market}-{at}",
            }
            for at in range(size)
        ]
        strategy = stack.settings.betfair.strategy_ref
        time.sleep(_PAUSE_S)
        stack.call("placeOrders", {"marketId": market, "instructions": orders, "customerStrategyRef": strategy})
    stack.until(lambda: stack.redis.zcard(keys.ORDERS_ACTIVE) >= len(markets) * size, "the adoption of live orders")
    return markets


def _cancel_all(stack: BenchStack, markets: Sequence[str]) -> None:
    for market in markets:
        stack.call("cancelOrders", {"marketId": market})
    stack.until(lambda: not stack.redis.zcard(keys.ORDERS_ACTIVE), "the end of live orders")


def _report(taken: dict[bool, list[list[float]]], polls: dict[str, list[float]], active: int) -> Report:
    pooled = {live: quantiles([value for block in blocks for value in block]) for live, blocks in taken.items()}
    rows = []
    for name in pooled[False]:
        each = [[quantiles(block)[name] for block in taken[live]] for live in (True, False)]
        found = ratio(*each)
        target = f"<= {_LIMIT}: {kept(found[0], _LIMIT)}" if name == "p99" else ""
        rows.append((name, shown(pooled[False][name]), shown(pooled[True][name]), shown_ratio(found), target))
    costs = [(name, shown(percentile(values, 0.5)), shown(max(values))) for name, values in polls.items()]
    tables = [
        Table(
            f"PUBLISH -> request received, ms, at {_RATE}/s while live orders are polled",
            ("", "none", f"{active:,} active", "ratio (range)", "target"),
            rows,
            f"{len(taken[True])} rounds of alternating blocks",
        ),
        Table("One poll, ms, in a process of its own", ("what is kept", "p50 ms", "max ms"), costs),
        Table(
            "The reference's promise",
            ("promise", "limit", "found", ""),
            [
                (
                    "active orders, polled while signals come",
                    f"{_PROMISED}+",
                    f"{active:,}",
                    kept(active, _PROMISED, at_least=True),
                )
            ],
        ),
    ]
    return Report(tables, {"without": taken[False], "with": taken[True], "polls": polls})
