"""Liquidity that moves: what the house offers on a market that nobody gave prices.

Owns: the house's quotes on such runners and when it comes back for an order that rests. Every order near the market is
dealt a fate from a shuffled deck: matched at once, matched within seconds, matched in part, or never; so ten orders on
ten selections show all four. Invariants: the same seed and the same calls give the same fates, and the same quotes so
many seconds after an order; a quote never crosses a resting order (only a dealt fate fills one), so price-time priority
always holds. Units: epoch milliseconds, rungs of the ladder.
"""

from bisect import bisect_left
from collections import OrderedDict
from decimal import Decimal
from enum import StrEnum
from heapq import heappop, heappush
from itertools import count
from random import Random
from typing import Final

from betfair_sandbox.market.accounts import HOUSE
from betfair_sandbox.market.markets import Bet, Runner
from betfair_sandbox.market.matching import Order, opposite
from betfair_sandbox.market.money import LADDER, PENNY, Side, to_size


class Fate(StrEnum):
    """What becomes of an order near the market."""

    NOW = "NOW"
    SOON = "SOON"
    PARTLY = "PARTLY"
    NEVER = "NEVER"


_DECK: Final = (Fate.NOW,) * 4 + (Fate.SOON,) * 3 + (Fate.PARTLY,) * 2 + (Fate.NEVER,)
# An order further than this from the market meets the quotes as they stand: 20 rungs around 2.00 are 1.80 to 2.40.
_REACH_RUNGS: Final = 20
# How far from the order's price the house's best quote is, in rungs that are worse for the customer.
_DISTANCE: Final = {Fate.NOW: 0, Fate.PARTLY: 0, Fate.SOON: 2, Fate.NEVER: 4}
_LEVELS: Final = 3
_SPREAD_RUNGS: Final = 2
# SOON: seen by a client that polls every 5 s and gives up after 30 s.
_SOON_FIRST_MS: Final = (500, 2_000)
_SOON_NEXT_MS: Final = (500, 1_500)
_SOON_PIECES: Final = 3
_PART_PERCENT: Final = (30, 70)
# The displayed market wanders this far around its anchor, one rung per step, while somebody uses it.
_WANDER_RUNGS: Final = 2
_WANDER_EVERY_MS: Final = 1_000
_WANDER_FOR_MS: Final = 30_000
_WANDERING: Final = 50  # the last ones used; requoting thousands of a storm every second would stall the server


class Liquidity:
    """The house's dealer."""

    def __init__(self, seed: int) -> None:
        self._rng = Random(seed)  # noqa: S311 - a seeded process is the point
        self._deck: list[Fate] = []
        self._due: list[tuple[int, int, Bet, Decimal]] = []
        self._sequence = count(1)
        self._used: OrderedDict[Runner, tuple[int, int]] = OrderedDict()  # its last order in ms, steps since

    def deal(self, runner: Runner, side: Side, price: Decimal, size: Decimal, now_ms: int) -> Fate | None:
        """Move the house's quotes for an order that is about to arrive; None when the order is left to the book."""
        if runner.fixed or runner.status != "ACTIVE":
            return None
        rung = bisect_left(LADDER, price)
        if runner.mid is not None and abs(rung - runner.mid) > _REACH_RUNGS:
            return None
        if not self._deck:
            self._deck = list(_DECK)
            self._rng.shuffle(self._deck)
        fate = self._deck.pop()
        improvement = runner.rng.randint(0, 1) if fate is Fate.NOW else -_DISTANCE[fate]
        best = rung + improvement if side is Side.BACK else rung - improvement
        depth = self._depth(runner, fate, size)
        runner.mid = best
        away = -1 if side is Side.BACK else 1
        near = [(best + away * step, depth if step == 0 else _amount(runner.rng)) for step in range(_LEVELS)]
        spread = max(_SPREAD_RUNGS, _DISTANCE[fate] + 1)  # the other side starts behind the order that arrives
        far = [(best - away * (spread + step), _amount(runner.rng)) for step in range(_LEVELS)]
        self.withdraw(runner)
        self._offer(runner, opposite(side), near)
        self._offer(runner, side, far)
        self._used[runner] = now_ms, 0
        self._used.move_to_end(runner)
        if len(self._used) > _WANDERING:
            self._used.popitem(last=False)
        return fate

    def follow(self, runner: Runner, bet: Bet, fate: Fate, now_ms: int) -> None:
        """Schedule what is still to come for a bet that was dealt SOON."""
        if fate is not Fate.SOON or not bet.size_remaining:
            return
        pieces = runner.rng.randint(1, _SOON_PIECES)
        at = now_ms + runner.rng.randint(*_SOON_FIRST_MS)
        left = bet.size_remaining
        for piece in range(pieces, 0, -1):
            size = left if piece == 1 else to_size(left / piece)
            if size:
                heappush(self._due, (at, next(self._sequence), bet, size))
            left -= size
            at += runner.rng.randint(*_SOON_NEXT_MS)

    def due(self, now_ms: int) -> list[tuple[Bet, Decimal]]:
        """Take the bets for which the house comes back now, with how much it wants."""
        found: list[tuple[Bet, Decimal]] = []
        while self._due and self._due[0][0] <= now_ms:
            _, _, bet, size = heappop(self._due)
            if bet.size_remaining:
                found.append((bet, min(size, bet.size_remaining)))
        return found

    def wander(self, now_ms: int) -> None:
        """Let the displayed markets that somebody uses move by at most one rung."""
        for runner, (used_ms, done) in list(self._used.items()):
            if now_ms - used_ms > _WANDER_FOR_MS or runner.fixed or runner.mid is None:
                del self._used[runner]
                continue
            # By the seconds since its last order, so that a step more or less for a busy machine changes nothing later.
            steps = (now_ms - used_ms) // _WANDER_EVERY_MS
            if steps == done:
                continue
            self._used[runner] = used_ms, steps
            rng = Random(f"{runner.seed}/{steps}")  # noqa: S311 - the same
            best = runner.mid + rng.randint(-_WANDER_RUNGS, _WANDER_RUNGS)
            self.withdraw(runner)
            self._offer(runner, Side.LAY, [(best - step, _amount(rng)) for step in range(_LEVELS)])
            self._offer(runner, Side.BACK, [(best + _SPREAD_RUNGS + step, _amount(rng)) for step in range(_LEVELS)])

    def order(self, side: Side, price: Decimal, size: Decimal) -> Order:
        """Return an order of the house's; its ids are negative, customers' are positive."""
        return Order(-next(self._sequence), HOUSE, side, price, size)

    def withdraw(self, runner: Runner) -> None:
        """Take all the house's quotes off a runner."""
        for quote in runner.quotes:
            runner.book.cancel(quote)
        runner.quotes.clear()

    def withdraw_lays(self, runner: Runner) -> None:
        """Take the house's offers to lay off a runner: what customers could back."""
        for quote in [quote for quote in runner.quotes if quote.side is Side.LAY]:
            runner.book.cancel(quote)
            runner.quotes.remove(quote)

    def _offer(self, runner: Runner, side: Side, rungs: list[tuple[int, Decimal]]) -> None:
        for rung, size in rungs:
            if 0 <= rung < len(LADDER) and not runner.book.crosses(side, LADDER[rung]):
                quote = self.order(side, LADDER[rung], size)
                runner.book.submit(quote)
                runner.quotes.append(quote)

    def _depth(self, runner: Runner, fate: Fate, size: Decimal) -> Decimal:
        if fate is Fate.PARTLY:
            part = to_size(size * runner.rng.randint(*_PART_PERCENT) / 100)
            return max(part, PENNY)
        return _amount(runner.rng) + (size if fate is Fate.NOW else 0)


def _amount(rng: Random) -> Decimal:
    return Decimal(rng.randint(20, 400))
