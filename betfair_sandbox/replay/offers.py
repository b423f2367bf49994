"""Recorded offers and trades against customers' orders: queue positions and fills.

Owns: the house's orders that stand for a recording's offers. Invariants: the book is never crossed; only an open market
matches; every fill names the line that caused it and why. Units: backers' stakes.

The model (docs/sandbox.md, Replay): a customer's order queues behind what the recording shows at its price when it
arrives. Trades at its price first use up what is before it, trades through its price fill it at once, an offer that
comes to or through its price meets it. What others withdraw comes off the end of a queue, and off its front only when
nothing else is left. An offer that a customer took stays taken until the recording shows less there.
"""

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from betfair_sandbox.api.wire import Json
from betfair_sandbox.market.accounts import RunnerKey
from betfair_sandbox.market.exchange import Exchange
from betfair_sandbox.market.markets import Bet, Market, Runner
from betfair_sandbox.market.matching import Order, opposite
from betfair_sandbox.market.money import ZERO, Side, to_size
from betfair_sandbox.replay.files import Line
from betfair_sandbox.replay.ladders import RecordedRunner

# Each with what explains it: for tests, and for a person who wonders about a fill.
_FILLS_KEPT: Final = 10_000


@dataclass(slots=True)
class _Level:
    """The house's orders at one price of one side, first come first, and how much customers took there."""

    orders: list[Order] = field(default_factory=list)
    taken: Decimal = ZERO

    def look(self) -> Decimal:
        """Note what customers took since the last look; return what is still offered."""
        for order in self.orders:
            self.taken += order.size_matched
            order.size_matched = ZERO
        self.orders = [order for order in self.orders if order.size_remaining]
        return sum((order.size_remaining for order in self.orders), ZERO)


class Offers:
    """The offers of every recorded market."""

    def __init__(self, exchange: Exchange) -> None:
        self.fills: deque[Json] = deque(maxlen=_FILLS_KEPT)
        self._exchange = exchange
        self._levels: dict[Runner, dict[tuple[Side, Decimal], _Level]] = {}

    def play(self, market: Market, recorded: Mapping[RunnerKey, RecordedRunner], line: Line) -> None:
        """Let a line's trades fill what rests, then show its offers."""
        for key, news in recorded.items():
            runner = market.runners.get(key)
            if runner is None:
                continue  # no definition has named it yet; its offers wait
            if market.status == "OPEN" and news.fresh_trades:
                self._fill_from_trades(market, runner, news.fresh_trades, line)
            self._show_offers(market, runner, news, line)
            runner.traded, runner.total_matched = dict(news.traded), news.total
            runner.sp_backed, runner.sp_laid = dict(news.sp_backed), dict(news.sp_laid)
            runner.sp_near, runner.sp_far = news.near, news.far
            if runner.last_price != news.last_price or news.fresh_trades:
                runner.last_price = news.last_price
                market.last_match_ms = self._exchange.clock_ms()

    # -- trades -------------------------------------------------------------------------------------------------------

    def _fill_from_trades(self, market: Market, runner: Runner, trades: dict[Decimal, Decimal], line: Line) -> None:
        left = dict(trades)
        for side in Side:
            resting = runner.book.resting(side)
            for bet in [order for order in resting if isinstance(order, Bet)]:
                for price in _through(side, bet.price, left):
                    self._fill(market, runner, bet, left, price, line, f"traded through it at {price}")
                self._use_up_queue(runner, resting, bet, left)
                self._fill(market, runner, bet, left, bet.price, line, f"traded at {bet.price}, its turn")

    def _use_up_queue(self, runner: Runner, resting: list[Order], bet: Bet, left: dict[Decimal, Decimal]) -> None:
        """Let trades at a bet's price first take what the recording had there before it."""
        for order in resting:
            if order is bet or not left.get(bet.price):
                return
            if order.price == bet.price and not isinstance(order, Bet):
                left[bet.price] -= runner.book.cancel(order, min(left[bet.price], order.size_remaining))

    def _fill(
        self,
        market: Market,
        runner: Runner,
        bet: Bet,
        left: dict[Decimal, Decimal],
        price: Decimal,
        line: Line,
        why: str,
    ) -> None:
        size = min(bet.size_remaining, to_size(left.get(price, ZERO)))
        if size > 0:
            left[price] -= size
            self._meet(market, runner, bet, self._exchange.liquidity.order(opposite(bet.side), price, size), line, why)

    def _meet(self, market: Market, runner: Runner, bet: Bet, taker: Order, line: Line, why: str) -> None:
        size = min(bet.size_remaining, taker.size_remaining)
        self._exchange.meet(market, runner, bet, taker, size)
        self.fills.append(
            {
                "source": line.source,
                "line": line.number,
                "pt": line.pt,
                "marketId": market.market_id,
                "selectionId": runner.selection_id,
                "betId": str(bet.bet_id),
                "price": bet.price,
                "size": size,
                "why": why,
            }
        )

    # -- offers -------------------------------------------------------------------------------------------------------

    def _show_offers(self, market: Market, runner: Runner, news: RecordedRunner, line: Line) -> None:
        if not news.changed:
            return
        levels = self._levels.setdefault(runner, {})
        if runner.status != "ACTIVE":
            news.changed.clear()
            levels.clear()
            self._exchange.liquidity.withdraw(runner)
            return
        wanted: list[tuple[Side, Decimal, Decimal]] = []
        for side, price in news.changed:
            level = levels.setdefault((side, price), _Level())
            have = level.look()
            size = news.offers[side].get(price, ZERO)
            level.taken = min(level.taken, size)
            change = size - level.taken - have
            if change < 0:
                self._withdraw(runner, level, -change)
            elif change > 0:
                wanted.append((side, price, change))
            if not size:
                del levels[side, price]
        news.changed.clear()
        # After all withdrawals, or what a line moves would cross what the same line takes away; the best offers first.
        for side, price, size in sorted(wanted, key=_best_first):
            if not self._add(market, runner, side, price, size, line):
                news.changed.add((side, price))
        runner.quotes = [order for level in levels.values() for order in level.orders]

    def _withdraw(self, runner: Runner, level: _Level, size: Decimal) -> None:
        for order in reversed(level.orders):
            size -= runner.book.cancel(order, min(size, order.size_remaining))
            if not size:
                return

    def _add(self, market: Market, runner: Runner, side: Side, price: Decimal, size: Decimal, line: Line) -> bool:
        """Offer more at a price; False when that would cross and may not match: it waits."""
        level = self._levels[runner][side, price]
        quote = self._exchange.liquidity.order(side, price, size)
        if market.status == "OPEN":
            for bet in _met_by(runner, quote):
                self._meet(market, runner, bet, quote, line, f"{size} offered at {price} met it")
        level.orders.append(quote)
        if not quote.size_remaining:
            return True
        if runner.book.crosses(side, price):
            level.look()
            level.orders.remove(quote)
            return False
        runner.book.submit(quote)
        return True


def _through(side: Side, limit: Decimal, left: Mapping[Decimal, Decimal]) -> list[Decimal]:
    """Return the prices through a limit at which something is left, the nearest first."""
    if side is Side.BACK:
        return sorted(price for price, size in left.items() if price > limit and size)
    return sorted((price for price, size in left.items() if price < limit and size), reverse=True)


def _best_first(wanted: tuple[Side, Decimal, Decimal]) -> tuple[Side, Decimal]:
    side, price, _ = wanted
    return side, -price if side is Side.LAY else price


def _met_by(runner: Runner, quote: Order) -> Iterator[Bet]:
    """Yield the customers' orders that an offer meets, as long as it lasts."""
    while quote.size_remaining and runner.book.crosses(quote.side, quote.price):
        maker = runner.book.best(opposite(quote.side))
        if not isinstance(maker, Bet):
            return  # the recording crosses itself
        yield maker
