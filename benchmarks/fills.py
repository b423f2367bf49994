"""Match at the exchange -> PENDING or MATCHED in Redis, with a thousand live orders: by the stream, by the poll alone.

Each live order is matched once in a block, every other one in part. Measured from just before the exchange is told to
match (Betfair's own dates have whole seconds) to the time in the id of the fill's entry in `stream:trades`, which the
record's own commit writes; both are of one machine's clock.
"""

import itertools
import time
from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Any, Final, cast

from benchmarks.figures import Report, Setup, Table, kept, percentile, quantiles, shown
from benchmarks.machine import Others
from benchmarks.stack import BenchError, BenchStack, Side
from executor import keys
from executor.devstack.stack import Ports, Stack
from executor.devstack.supervisor import Supervisor
from executor.domain.order import TradeKind

_RATE: Final = 50  # issue: fills a second
_LIMIT_MS: Final = 100  # issue: p99 by the stream
_IN_MARKET: Final = 50  # live orders, each on a selection of its own: a match is of the one that is meant
_PRICE, _SIZE = 3, 2
_PAUSE_S: Final = 0.1  # the exchange takes 1,000 instructions a second
_HEARD_S: Final = 30.0  # polls are five seconds apart
_PATIENT: Final = {"EXECUTOR_ORDER_MANAGER__UNMATCHED_ORDER_TIMEOUT_SECONDS": "86400"}
_STREAM: Final = "stream"


class Fills:
    """Rests orders at the exchange, lets it match them at a pace, and says how long each fill took to be recorded."""

    def __init__(self, stack: BenchStack) -> None:
        self._stack = stack
        self._numbers = itertools.count(300_000_000)
        self._others: list[float] = []

    def block(self, active: int, count: int) -> list[float]:
        """Return ms from the match of `count` orders to their records, in the order of matching.

        Raises:
            BenchError: a fill is not recorded, or recorded twice.
        """
        orders = self._rest(active)
        since = self._last_entry()
        others = Others(self._stack.pids().values())
        start = time.perf_counter()
        matched: dict[str, float] = {}
        for at, (market, selection) in enumerate(orders[:count]):
            time.sleep(max(0.0, start + at / _RATE - time.perf_counter()))
            size = _SIZE if at % 2 else _SIZE / 2
            offer = {"marketId": market, "selectionId": selection, "availableToBack": [[_PRICE, size]]}
            matched[_reference(market, selection)] = time.time()
            self._stack.sandbox.control("prices", {**offer, "availableToLay": []})
        self._stack.until(lambda: len(self._recorded(since, matched)) >= len(matched), "fills to be recorded", _HEARD_S)
        self._others.append(others.share())
        recorded = self._recorded(since, matched)
        self._take_back({market for market, _ in orders})
        return [recorded[name] - moment * 1000 for name, moment in matched.items()]

    def busy(self) -> str:
        """Say what else the machine did."""
        return f"other programs took {100 * percentile(self._others, 0.5):.0f} % of the machine (median of the blocks)"

    def _rest(self, active: int) -> list[tuple[str, int]]:
        found: list[tuple[str, int]] = []
        for first in range(0, active, _IN_MARKET):
            market = f"1.{next(self._numbers)}"
            selections = range(1, min(_IN_MARKET, active - first) + 1)
            runners = [{"selectionId": one, "availableToBack": [], "availableToLay": []} for one in selections]
            self._stack.sandbox.control("markets", {"marketId": market, "runners": runners})
            time.sleep(_PAUSE_S)
            orders = [_back(market, one) for one in selections]
            strategy = self._stack.settings.betfair.strategy_ref
            given = {"marketId": market, "instructions": orders, "customerStrategyRef": strategy}
            report = self._stack.call("placeOrders", given)
            if report["status"] != "SUCCESS":
                raise BenchError(f"orders were refused: {report.get('errorCode')}")
            found += [(market, one) for one in selections]
        self._stack.until(lambda: self._active() >= len(found), "the adoption of live orders")
        return sorted(found, key=lambda order: order[1])  # one market after the other: fills are spread

    def _take_back(self, markets: set[str]) -> None:
        for market in sorted(markets):
            self._stack.call("cancelOrders", {"marketId": market})
            time.sleep(_PAUSE_S)
        self._stack.until(lambda: not self._active(), "the end of live orders")

    def _active(self) -> int:
        return int(self._stack.redis.zcard(keys.ORDERS_ACTIVE))

    def _last_entry(self) -> str:
        last: Any = self._stack.redis.xrevrange(keys.TRADES, count=1)
        return str(last[0][0]) if last else "0-0"

    def _recorded(self, since: str, wanted: Collection[str]) -> dict[str, int]:
        found: dict[str, int] = {}
        entries = cast("list[tuple[str, dict[str, str]]]", self._stack.redis.xrange(keys.TRADES, f"({since}"))
        for entry, fields in entries:
            name = fields.get("order_id", "")
            if fields.get("type") == TradeKind.FILL and name in wanted:
                if name in found:
                    raise BenchError(f"the fill of {name} was recorded twice")
                found[name] = int(entry.partition("-")[0])
        return found


def fills(setup: Setup) -> Report:
    """Match orders with and without the stream's process, in turns."""
    plan = setup.plan
    count = int(_RATE * plan.block_s)
    taken: dict[bool, list[list[float]]] = {True: [], False: []}
    with BenchStack(setup.folder, setup.tell, sides=(Side.OURS,), with_stream=False, settings=_PATIENT) as stack:
        measured = Fills(stack)
        for number in range(plan.rounds):
            for listening in (True, False):
                with _Stream(stack, setup.tell, wanted=listening):
                    taken[listening].append(measured.block(plan.active, count))
            found = {side: quantiles(blocks[-1])["p99"] for side, blocks in taken.items()}
            setup.tell(f"round {number + 1} of {plan.rounds}: p99 {found[True]:.0f}, by the poll {found[False]:.0f} ms")
        busy = measured.busy()
    return _report(taken, plan.active, busy)


class _Stream:
    """The order stream's process, where it is wanted."""

    def __init__(self, stack: BenchStack, tell: Callable[[str], None], *, wanted: bool) -> None:
        self._stack = stack
        self._wanted = wanted
        self._supervisor = Supervisor(stack.folder / "logs", tell)

    def __enter__(self) -> None:
        if self._wanted:
            ports = replace(self._stack.ports, stream=Ports.free(bridges=1).stream)
            programs = Stack(self._stack.environ, self._stack.folder, ports).trading()
            self._supervisor.start(next(one for one in programs if one.name == _STREAM))
            self._stack.until(lambda: self._stack.redis.exists(keys.ORDER_STREAM), "the order stream")

    def __exit__(self, *_: object) -> None:
        self._supervisor.stop()


def _report(taken: dict[bool, list[list[float]]], active: int, busy: str) -> Report:
    pooled = {side: quantiles([one for block in blocks for one in block]) for side, blocks in taken.items()}
    rows = [
        (
            name,
            shown(pooled[True][name]),
            shown(pooled[False][name]),
            f"1/{pooled[False][name] / max(pooled[True][name], 1):.0f}",
            f"<= {_LIMIT_MS}: {kept(pooled[True][name], _LIMIT_MS)}" if name == "p99" else "",
        )
        for name in pooled[True]
    ]
    count = sum(len(block) for block in taken[True])
    table = Table(
        f"Match at the exchange -> recorded, ms, at {_RATE} fills/s with {active:,} live orders",
        ("", "by the stream", "by the poll alone", "ratio", "target"),
        rows,
        f"{count:,} fills each way in {len(taken[True])} rounds of alternating blocks, each recorded once; {busy}",
    )
    return Report([table], {"stream": taken[True], "poll": taken[False]})


def _back(market: str, selection: int) -> dict[str, Any]:
    return {
        "orderType": "LIMIT",
        "selectionId": selection,
        "side": "BACK",
        "limitOrder": {"size": _SIZE, "price": _PRICE, "persistenceType": "LAPSE"},
        "customerOrderRef": _reference(market, selection),
    }


def _reference(market: str, selection: int) -> str:
    return f"{market}-{selection}"
