"""Signals, published at a pace, and when each of them arrived at the exchange.

Invariant: a block counts only when each of its signals reached the exchange exactly once and was accepted there.
Times are epoch seconds of this machine's clock, which publisher and sandbox share.
"""

import itertools
import json
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from benchmarks import bare, floor, flumine
from benchmarks.figures import percentile
from benchmarks.machine import Others
from benchmarks.stack import ENGINE_QUEUES, BenchError, BenchStack, Side
from executor import keys
from executor.domain.order import order_ids

SELECTION: Final = 1
_STALLED_S: Final = 30.0  # without a single arrival
_LOOK_S: Final = 0.2
_VALID_S: Final = 300  # a burst waits for its turn
_SETTLE_S: Final = 120.0
_SETTLE_AGAIN_S: Final = 3.0
_CHANNELS: Final = {
    Side.OURS: keys.STRATEGY_SIGNALS,
    Side.FLOOR: floor.CHANNEL,
    Side.BARE: bare.CHANNEL,
    Side.FLUMINE: flumine.CHANNEL,
}


@dataclass(frozen=True, slots=True)
class Shot:
    """A published signal, and when the exchange received its bet."""

    signal_id: str
    market_id: str
    published_at: float
    received_at: float

    @property
    def took_ms(self) -> float:
        """Return PUBLISH -> request received."""
        return (self.received_at - self.published_at) * 1000


@dataclass(frozen=True, slots=True)
class Block:
    """The shots of one stretch, in the order of publishing."""

    side: Side
    shots: Sequence[Shot]
    markets: Sequence[str]

    @property
    def latencies_ms(self) -> list[float]:
        """Return what each signal took."""
        return [shot.took_ms for shot in self.shots]

    @property
    def throughput(self) -> float:
        """Return signals a second from the first PUBLISH to the last arrival."""
        last = max(shot.received_at for shot in self.shots)
        return len(self.shots) / (last - self.shots[0].published_at)


class Load:
    """Fires at one stack; names every signal and market once."""

    def __init__(self, stack: BenchStack, *, markets: int = 50) -> None:
        self._stack = stack
        self._market_count = markets
        self._numbers = itertools.count(1)
        self._market_numbers = itertools.count(200_000_000)
        self._others: list[float] = []  # of each block, the share of the machine that other programs took
        self._fired: dict[str, str] = {}  # reference at the exchange -> signal

    def warm_up(self) -> None:
        """Let all sides open their connections: every process's first call pays for a TLS handshake."""
        for side in self._stack.sides:
            self.settle(self.fire(side, 60, rate=30))
            self.settle(self.fire(side, 100))

    def fire(
        self,
        side: Side,
        count: int,
        rate: float | None = None,
        *,
        markets: Sequence[str] = (),
        durable: Callable[[int], bool] = lambda _: False,
    ) -> Block:
        """Publish `count` signals, evenly at `rate` a second or all at once, and wait until all have arrived.

        Those of which `durable` says so are added to `stream:signals` instead.

        Raises:
            BenchError: some did not arrive, or more than once, or were refused.
        """
        markets = markets or self.open_markets(self._market_count)
        messages = [self._message(at, markets) for at in range(count)]
        channel = _CHANNELS[side]
        others = Others(self._stack.pids().values())
        begun = time.time()
        published: dict[str, tuple[str, str, float]] = {}
        start = time.perf_counter()
        for at, (signal_id, market_id, raw) in enumerate(messages):
            if rate is not None:
                time.sleep(max(0.0, start + at / rate - time.perf_counter()))
            moment = time.time()
            if durable(at):
                self._stack.redis.xadd(keys.SIGNALS, {"kind": "strategy", "payload": raw})
            elif not self._stack.redis.publish(channel, raw):
                raise BenchError(f"nobody listens on {channel}")
            published[_reference(side, signal_id)] = signal_id, market_id, moment
        self._fired |= {ref: sent[0] for ref, sent in published.items()}
        arrived = self._wait(side, set(published), begun)
        shots = [Shot(*sent, arrived[ref]) for ref, sent in published.items()]
        self._others.append(others.share())
        return Block(side, shots, markets)

    def open_markets(self, count: int, *, size: int = 1_000_000) -> list[str]:
        """Open markets where whatever we bet is matched at once; with `size` 0 nobody offers anything."""
        markets = [f"1.{next(self._market_numbers)}" for _ in range(count)]
        offers = [[3.0, size]] if size else []
        for market in markets:
            runner = {"selectionId": SELECTION, "availableToBack": offers}
            self._stack.sandbox.control("markets", {"marketId": market, "runners": [runner]})
        return markets

    def settle(self, block: Block) -> None:
        """End the block's markets, so that the next block meets the same state as this one did.

        Raises:
            BenchError: the engine did not settle its orders in time.
        """
        for market in block.markets:
            self._stack.sandbox.control("settle", {"marketId": market, "winners": [SELECTION]})
        if block.side is not Side.OURS:
            return
        asked = -_SETTLE_AGAIN_S

        def settled() -> bool:
            nonlocal asked
            held = {str(market) for market in self._stack.redis.smembers(keys.MARKETS)}
            if held.isdisjoint(block.markets):
                return True
            if time.monotonic() - asked > _SETTLE_AGAIN_S:
                self._stack.tick("settle_orders")
                asked = time.monotonic()
            return False

        self._stack.until(settled, "the settlement of a block's orders", _SETTLE_S)

    def check(self) -> str:
        """Say how many signals were fired, all of which were placed exactly once, and in what conditions.

        Raises:
            BenchError: they were not.
        """
        placed = Counter(str(order["customerOrderRef"]) for order in self._stack.sandbox.orders())
        wrong = [signal_id for ref, signal_id in self._fired.items() if placed[ref] != 1]
        if wrong:
            raise BenchError(f"{len(wrong)} of {len(self._fired)} signals were not placed exactly once: {wrong[:5]}")
        middle, worst = (100 * percentile(self._others, share) for share in (0.5, 1.0))
        return (
            f"{len(self._fired):,} signals, each placed exactly once; other programs took {middle:.0f} % of the "
            f"machine (median of the blocks; at most {worst:.0f} %)"
        )

    def _message(self, at: int, markets: Sequence[str]) -> tuple[str, str, str]:
        signal_id, market_id = f"bench-{next(self._numbers)}", markets[at % len(markets)]
        bet = {"selectionId": str(SELECTION), "recommendedOdds": 3, "stake": 2, "betType": "Back"}
        body = {
            "signalId": signal_id,
            "marketId": market_id,
            "strategy": "bench",
            "validityWindow": _VALID_S,
            "primarySelection": bet,
            "reference": flumine.number(signal_id),  # read by flumine's peer alone
        }
        return signal_id, market_id, json.dumps(body)

    def _wait(self, side: Side, wanted: set[str], since: float) -> dict[str, float]:
        arrived: dict[str, float] = {}
        progress = time.monotonic()
        while len(arrived) < len(wanted):
            if time.monotonic() - progress > _STALLED_S:
                raise BenchError(f"{side}: {len(wanted) - len(arrived)} of {len(wanted)} signals did not arrive")
            time.sleep(_LOOK_S)
            self._stack.supervisor.tick()
            if self._waiting(side):  # a look at the exchange takes its time from what is measured
                progress = time.monotonic()
                continue
            known = len(arrived)
            arrived = _arrivals(self._stack.sandbox.journal("placeOrders", since), wanted)
            if len(arrived) > known:
                progress = time.monotonic()
        return arrived

    def _waiting(self, side: Side) -> int:
        if side in {Side.BARE, Side.FLUMINE}:
            return 0  # what waits does so in its socket, or its threads' queue
        broker, queues = (
            (self._stack.broker, ENGINE_QUEUES) if side is Side.OURS else (self._stack.floor_broker, floor.QUEUES)
        )
        return sum(int(broker.llen(name)) for name in queues)


def _reference(side: Side, signal_id: str) -> str:
    if side is Side.FLUMINE:
        return flumine.reference(signal_id)
    return order_ids(signal_id, 1)[0] if side is Side.OURS else floor.reference(signal_id)


def _arrivals(calls: Sequence[Mapping[str, Any]], wanted: set[str]) -> dict[str, float]:
    """Return when each reference was received.

    Raises:
        BenchError: one came twice, or was refused.
    """
    found: dict[str, float] = {}
    for call in calls:
        for instruction in call["params"]["instructions"]:
            ref = str(instruction["customerOrderRef"])
            if ref not in wanted:
                continue
            if ref in found:
                raise BenchError(f"order {ref} was sent twice")
            if call["status"] not in {None, "SUCCESS"}:
                raise BenchError(f"order {ref} was refused: {call['status']} {call['error']}")
            found[ref] = float(call["received_at"])
    return found
