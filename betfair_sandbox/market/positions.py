"""Positions: what an account wins or loses on a runner, and what a market can cost it at worst.

Owns: the arithmetic of results per betting type (odds, each way, line) and of the worst of all results. Pure.
Invariant: an unmatched order counts only where it hurts. Units: account currency, `Decimal`.
"""

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, field
from decimal import Decimal
from heapq import nsmallest
from itertools import pairwise
from typing import NamedTuple

from betfair_sandbox.market.money import ONE, ZERO, Side, round_up


class Outcome(NamedTuple):
    """What a result does to the bets on one runner.

    `win` and `place` are the shares of a stake that win (below 1 in a dead heat or a half win), `void` the share that
    is returned; `line` is the number a LINE market ended at. Each is exact: a numerator over `parts`.
    """

    win: int = 0
    place: int = 0
    void: int = 0
    win_parts: int = 1
    place_parts: int = 1
    line: Decimal | None = None


WON = Outcome(win=1, place=1)
PLACED = Outcome(place=1)
LOST = Outcome()


def backer_profit(value: Decimal, size: Decimal, outcome: Outcome, divisor: Decimal | None) -> Decimal:
    """Return what a backer of `size`, whose price x size is `value`, makes of `outcome`; a layer makes the opposite.

    Betfair, dead heats: the stake is reduced by the share that wins; each way: a second stake of the same size is on
    the place, at the win odds over the divisor.
    """
    profit = (value * outcome.win + size * outcome.void) / outcome.win_parts - size
    if divisor is None:
        return profit
    place_value = size + (value - size) / divisor
    return profit + place_value * outcome.place / outcome.place_parts - size


@dataclass(slots=True)
class Position:
    """One account's stand on one runner: matched results, and what open orders can add to them at worst.

    `place` and `open_place` are for each-way markets (`divisor`): the runner is placed and does not win.
    """

    win: Decimal = ZERO
    lose: Decimal = ZERO
    place: Decimal = ZERO
    open_win: Decimal = ZERO
    open_place: Decimal = ZERO
    open_lose: Decimal = ZERO
    divisor: Decimal | None = None

    def open(self, side: Side, price: Decimal, size: Decimal) -> None:
        """Count an open order of `size` (negative: take it out) at its limit."""
        if self.divisor is None:
            self.risk(side, size if side is Side.BACK else (price - ONE) * size)
            return
        win, place, lose = self._unit(side, price * size, size)
        sign = 1 if size > 0 else -1
        self.open_win += sign * min(ZERO, sign * win)
        self.open_place += sign * min(ZERO, sign * place)
        self.open_lose += sign * min(ZERO, sign * lose)

    def risk(self, side: Side, liability: Decimal) -> None:
        """Count an open order that may lose `liability` (negative: take it out) at whatever price it gets."""
        if side is Side.BACK:
            self.open_lose -= liability
        else:
            self.open_win -= liability

    def match(self, side: Side, value: Decimal, size: Decimal) -> None:
        """Count a match of `size` whose price x size is `value` (negative: take it out)."""
        if self.divisor is None:
            sign = 1 if side is Side.BACK else -1
            self.win += sign * (value - size)
            self.lose -= sign * size
            return
        win, place, lose = self._unit(side, value, size)
        self.win += win
        self.place += place
        self.lose += lose

    def profit(self, outcome: Outcome) -> Decimal:
        """Return what is matched makes of a result."""
        stakes = ONE if self.divisor is None else Decimal(2)
        size = -self.lose / stakes
        gain = self.win if self.divisor is None else self.win * self.divisor / (self.divisor + ONE)
        return backer_profit(gain + size, size, outcome, self.divisor)

    @property
    def worst_win(self) -> Decimal:
        """The result if the selection wins and every open order that hurts is matched."""
        return self.win + self.open_win

    @property
    def worst_place(self) -> Decimal:
        """The same if it is placed and does not win."""
        return self.place + self.open_place

    @property
    def worst_lose(self) -> Decimal:
        """The result if the selection loses and every open order that hurts is matched."""
        return self.lose + self.open_lose

    def copy(self) -> "Position":
        """Return a copy that can be tried on."""
        return copy(self)

    def _unit(self, side: Side, value: Decimal, size: Decimal) -> tuple[Decimal, Decimal, Decimal]:
        """Return what an each-way bet makes when its runner wins, is placed, loses."""
        divisor = self.divisor or ONE
        gain = value - size
        place = gain / divisor
        results = (gain + place, place - size, -2 * size)
        return results if side is Side.BACK else (-results[0], -results[1], -results[2])


@dataclass(slots=True)
class LinePosition(Position):
    """A stand on a LINE market: bets at even money on where a number ends; a back sells the line, a lay buys it."""

    sold: dict[Decimal, Decimal] = field(default_factory=dict)  # line -> stake backed less stake laid
    waiting: dict[tuple[Side, Decimal], Decimal] = field(default_factory=dict)

    def open(self, side: Side, price: Decimal, size: Decimal) -> None:
        """Count an open order of `size` (negative: take it out) at its line."""
        self.waiting[side, price] = self.waiting.get((side, price), ZERO) + size

    def match_at(self, side: Side, line: Decimal, size: Decimal) -> None:
        """Count a match of `size` at `line`."""
        self.sold[line] = self.sold.get(line, ZERO) + (size if side is Side.BACK else -size)

    def profit(self, outcome: Outcome) -> Decimal:
        """Return what is matched makes of a result; without a number every stake is returned."""
        if outcome.line is None:
            return ZERO
        return sum((size * _sold_result(line, outcome.line) for line, size in self.sold.items()), ZERO)

    def worst(self) -> Decimal:
        """Return the worst result over all numbers."""
        lines = sorted({*self.sold, *(line for _, line in self.waiting)})
        half = Decimal("0.5")
        tried = [end for line in lines for end in (line - half, line, line + half)]
        between = [(low + high) / 2 for low, high in pairwise(lines)]
        return min((self._at(end) for end in (*tried, *between)), default=ZERO)

    def copy(self) -> "LinePosition":
        """Return a copy that can be tried on."""
        return LinePosition(sold=dict(self.sold), waiting=dict(self.waiting))

    def _at(self, end: Decimal) -> Decimal:
        total = self.profit(Outcome(line=end))
        for (side, line), size in self.waiting.items():
            result = size * _sold_result(line, end)
            total += min(ZERO, result if side is Side.BACK else -result)
        return total


def _sold_result(line: Decimal, end: Decimal) -> int:
    """Tell whether a sold line wins (1), loses (-1) or is returned (0)."""
    return (end < line) - (end > line)


def market_exposure(positions: Sequence[Position], winners: int, runners: int | None) -> Decimal:
    """Return the greatest loss over all results with `winners` winners among `runners` (None: more may appear).

    Betfair: opposing bets release exposure, unmatched bets are included.
    """
    total = sum((position.worst_lose for position in positions), ZERO)
    swings = [position.worst_win - position.worst_lose for position in positions]
    swings += [ZERO] * _unbet(positions, winners, runners)
    return _loss(total + sum(nsmallest(winners, swings), ZERO))


def each_way_exposure(positions: Sequence[Position], places: int, runners: int | None) -> Decimal:
    """Return the greatest loss over all results with one winner and `places` runners placed, the winner included."""
    total = sum((position.worst_lose for position in positions), ZERO)
    swings = [
        (position.worst_win - position.worst_lose, position.worst_place - position.worst_lose) for position in positions
    ]
    swings += [(ZERO, ZERO)] * _unbet(positions, places, runners)
    worst = min(
        (
            win + sum(nsmallest(places - 1, (place for other, (_, place) in enumerate(swings) if other != at)), ZERO)
            for at, (win, _) in enumerate(swings)
        ),
        default=ZERO,
    )
    return _loss(total + worst)


def separate_exposure(positions: Sequence[Position]) -> Decimal:
    """Return the greatest loss where each runner is settled on its own (handicaps: any number of lines may win)."""
    worst = [min(position.worst_win, position.worst_lose, ZERO) for position in positions]
    return _loss(sum(worst, ZERO))


def line_exposure(positions: Sequence[Position]) -> Decimal:
    """Return the greatest loss of a LINE market."""
    return _loss(sum((min(_worst_line(position), ZERO) for position in positions), ZERO))


def _worst_line(position: Position) -> Decimal:
    return position.worst() if isinstance(position, LinePosition) else ZERO


def _unbet(positions: Sequence[Position], winners: int, runners: int | None) -> int:
    return winners if runners is None else max(0, min(winners, runners - len(positions)))


def _loss(worst: Decimal) -> Decimal:
    return round_up(-worst) if worst < 0 else ZERO
