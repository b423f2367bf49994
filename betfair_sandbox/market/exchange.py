"""The exchange: accounts, markets, bets, and the clockwork that moves the house's liquidity.

Owns: all state of the sandbox and every change of it. Invariants: after each change every touched account's exposure
is derived anew; a bet that is forgotten is settled. Single-threaded: the server calls it from one event loop. Units:
epoch milliseconds, account currency.
"""

from collections.abc import Callable, Iterable
from decimal import Decimal
from itertools import count
from typing import Final

from betfair_sandbox.market.accounts import HOUSE, Account, RunnerKey
from betfair_sandbox.market.changes import Changes
from betfair_sandbox.market.markets import LIMIT, Bet, Market, Runner, runner_key
from betfair_sandbox.market.matching import Fill, Order, opposite
from betfair_sandbox.market.money import ZERO, Side
from betfair_sandbox.market.positions import LinePosition, Position
from betfair_sandbox.market.prices import Liquidity
from betfair_sandbox.market.register import Register
from betfair_sandbox.market.rules import valid_market_id
from betfair_sandbox.market.starting_price import project

# About 1 KB each: the history stays within a few hundred megabytes on a sandbox left running for weeks. When it is
# full the oldest settled bets are forgotten; when none is settled, placing answers SERVICE_UNAVAILABLE.
MAX_BETS: Final = 200_000
# About 10 KB each, the quotes included; the same rule.
MAX_MARKETS: Final = 20_000
FIRST_BET_ID: Final = 300_000_000_001
_FIRST_VERSION: Final = 5_000_000_000
_FIRST_USE_START_MS: Final = 3_600_000  # a market that appears on first use starts an hour later


class Exchange:
    """The state of the sandbox."""

    def __init__(
        self,
        accounts: Iterable[Account],
        seed: int,
        clock_ms: Callable[[], int],
        first_bet_id: int = FIRST_BET_ID,
    ) -> None:
        self.accounts: dict[str, Account] = {}
        self.registers: dict[str, Register] = {}
        for account in accounts:
            self.open_account(account)
        self.house = Account(HOUSE, "", "", "", ZERO)
        self.markets: dict[str, Market] = {}
        self.bets: dict[int, Bet] = {}
        self.liquidity = Liquidity(seed)
        self.changes = Changes()
        self.rounding = ZERO  # what rounding bets' profits to pennies left with the exchange, settled markets only
        self._seed = seed
        self.clock_ms = clock_ms
        self._bet_ids = count(first_bet_id)
        self._versions = count(_FIRST_VERSION)

    def now_ms(self) -> int:
        """Return the time in whole seconds, the resolution of the dates that Betfair gives bets."""
        return self.clock_ms() // 1000 * 1000

    def open_account(self, account: Account) -> None:
        """Let one more customer bet; its name is free."""
        self.accounts[account.name] = account
        self.registers[account.name] = Register()

    # -- markets -----------------------------------------------------------------------------------------------------

    def market(self, market_id: str) -> Market | None:
        """Return a market; an unknown one appears when its id looks like Betfair's."""
        market = self.markets.get(market_id)
        if market is None and valid_market_id(market_id) and self._room_for_market():
            market = self.open_market(market_id, "Match Odds", "MATCH_ODDS", "Home v Away")
            market.grows = True
        return market

    def open_market(self, market_id: str, name: str, market_type: str, event_name: str) -> Market:
        """Open a market under an id that is free."""
        start_ms = self.now_ms() + _FIRST_USE_START_MS
        market = Market(market_id, name, market_type, event_name, start_ms, next(self._versions))
        self.markets[market_id] = market
        self.changes.market(market_id)
        return market

    def bet_delay_s(self, market_id: str) -> int:
        """Return how long an order waits before it reaches the market."""
        market = self.markets.get(market_id)
        return market.bet_delay_s if market is not None and market.inplay else 0

    def runner(self, market: Market, selection_id: int, name: str = "", handicap: Decimal = ZERO) -> Runner:
        """Return a runner of `market`, made when missing."""
        key = runner_key(selection_id, handicap)
        runner = market.runners.get(key)
        if runner is None:
            line = f"/{handicap.normalize()}" if handicap else ""
            seed = f"{self._seed}/{market.market_id}/{selection_id}{line}"
            priority = len(market.runners) + 1
            runner = Runner(selection_id, name or f"Selection {selection_id}", priority, seed, handicap=handicap)
            market.runners[key] = runner
            self.changes.market(market.market_id)
        return runner

    def bump(self, market: Market) -> None:
        """Raise the market's version after a material change."""
        market.version = next(self._versions)
        self.changes.market(market.market_id)

    def lapse(self, market: Market, bets: Iterable[Bet], reason: str) -> None:
        """Let what remains of `bets` lapse."""
        now_ms = self.now_ms()
        for bet in bets:
            if not bet.size_remaining:
                continue
            self._open(bet, -bet.size_remaining)
            runner = market.runner_of(bet)
            runner.book.lapse(bet)
            if bet.order_type != LIMIT and not market.recorded:
                project(runner, market.bets.values())
            bet.lapsed_ms, bet.lapse_reason = now_ms, reason
            self.changes.bet(bet)
            self.registers[bet.account].complete(bet)
        self.refresh(market, {bet.account for bet in bets})

    def set_prices(
        self,
        market: Market,
        runner: Runner,
        to_back: list[tuple[Decimal, Decimal]],
        to_lay: list[tuple[Decimal, Decimal]],
    ) -> None:
        """Make the house offer exactly this on `runner`; resting orders that it meets are matched."""
        runner.fixed = True
        self.liquidity.withdraw(runner)
        for side, levels in ((Side.LAY, to_back), (Side.BACK, to_lay)):
            for price, size in levels:
                quote = self.liquidity.order(side, price, size)
                self._trade(market, runner, quote)
                if quote.size_remaining:
                    runner.quotes.append(quote)
        self.changes.market(market.market_id)

    def tick(self) -> None:
        """Do what is due: the house comes back for resting orders, displayed prices move."""
        now_ms = self.clock_ms()
        for bet, size in self.liquidity.due(now_ms):
            market = self.markets.get(bet.market_id)
            if market is None or market.status != "OPEN" or market.runner_of(bet).fixed:
                continue
            runner = market.runner_of(bet)
            self.liquidity.withdraw(runner)  # the house comes for the customer's order, not for its own
            taker = self.liquidity.order(opposite(bet.side), bet.price, size)
            self._trade(market, runner, taker)
            runner.book.cancel(taker)
            self.changes.market(market.market_id)
        self.liquidity.wander(now_ms)

    # -- bets -------------------------------------------------------------------------------------------------------

    def next_bet_id(self) -> int:
        """Return an id for a customer's bet; they grow in the order of placing."""
        return next(self._bet_ids)

    def enter(self, market: Market, runner: Runner, bet: Bet, kill_below: Decimal | None) -> None:
        """Send a new bet to the book; the house reacts first."""
        clock_ms = self.clock_ms()
        bet.placed_ms = self.now_ms()
        self.bets[bet.bet_id] = market.bets[bet.bet_id] = bet
        self._open(bet, bet.size)
        if bet.order_type != LIMIT:
            self.registers[bet.account].add(bet)
            if not market.recorded:
                project(runner, market.bets.values())
            self.changes.bet(bet)
            self.refresh(market, {bet.account})
            return
        fate = None if market.is_line else self.liquidity.deal(runner, bet.side, bet.price, bet.size, clock_ms)
        self._trade(market, runner, bet, kill_below)
        self.registers[bet.account].add(bet)
        self.changes.bet(bet)
        if fate is not None:
            self.liquidity.follow(runner, bet, fate, clock_ms)

    def room_for_bets(self, needed: int) -> bool:
        """Tell whether the history can take `needed` more bets, forgetting settled ones when it must."""
        if len(self.bets) + needed > MAX_BETS:
            self._forget(market for market in self.markets.values() if market.status == "CLOSED")
        return len(self.bets) + needed <= MAX_BETS

    def cancel(self, bet: Bet, size: Decimal | None) -> Decimal:
        """Cancel `size` (None: all) of what remains of a bet; return how much that was."""
        market = self.markets[bet.market_id]
        cancelled = market.runner_of(bet).book.cancel(bet, size)
        self._open(bet, -cancelled)
        bet.cancelled_ms = self.now_ms()
        self.changes.bet(bet)
        if not bet.size_remaining:
            self.registers[bet.account].complete(bet)
        if bet.order_type != LIMIT and not market.recorded:
            project(market.runner_of(bet), market.bets.values())
        self.refresh(market, {bet.account})
        return cancelled

    def match_at_close(
        self, market: Market, runner: Runner, bet: Bet, price: Decimal, size: Decimal, *, rests: bool = False
    ) -> None:
        """Match what remains of a bet with the house, `size` at the starting price; of what `rests`, `size` only."""
        self._open(bet, -(size if rests else bet.size_remaining))
        if not rests:
            bet.size += size - bet.size_remaining
            bet.size_remaining = size
        bet.fill(price, size)
        runner.book.settle(bet)
        bet.matched_ms = self.now_ms()
        account = self.accounts[bet.account]
        self.match_position(account, market, runner.key, bet.side, price, size)
        self.match_position(self.house, market, runner.key, opposite(bet.side), price, size)
        if not market.recorded and not rests:  # a trade has two sides
            runner.trade(price, size)
        if not bet.size_remaining:
            self.registers[bet.account].complete(bet)
        self.changes.bet(bet)

    def restore(self, market: Market, bet: Bet) -> None:
        """Count what is matched of a bet anew, after a result was taken back."""
        for price, size in bet.fragments:
            self.match_position(self.accounts[bet.account], market, bet.runner_key, bet.side, price, size)

    def move(self, market: Market, bet: Bet, price: Decimal) -> None:
        """Let what remains of a bet rest at another price, at which it crosses nothing."""
        self._open(bet, -bet.size_remaining)
        market.runner_of(bet).book.move(bet, price)
        self._open(bet, bet.size_remaining)
        self.changes.bet(bet)

    def refresh(self, market: Market, names: Iterable[str]) -> None:
        """Derive anew what the named accounts can lose on `market`."""
        for name in names:
            account = self.accounts[name]
            positions = list(account.positions.get(market.market_id, {}).values())
            account.set_exposure(market.market_id, market.exposure(positions) if positions else ZERO)
        self.changes.market(market.market_id)

    def position(self, account: Account, market: Market, key: RunnerKey) -> Position:
        """Return an account's position on a runner, made when missing."""
        positions = account.positions.setdefault(market.market_id, {})
        position = positions.get(key)
        if position is None:
            position = positions[key] = market.new_position()
        return position

    # -- inside -----------------------------------------------------------------------------------------------------

    def _trade(self, market: Market, runner: Runner, order: Order, kill_below: Decimal | None = None) -> None:
        """Send an order of a customer's or the house's to the book and account for what it meets."""
        book = runner.book
        fills = book.submit(order) if kill_below is None else book.fill_or_kill(order, kill_below)
        self._settle_fills(market, runner, order, fills)

    def meet(self, market: Market, runner: Runner, bet: Bet, taker: Order, size: Decimal) -> None:
        """Match `size` of a resting bet with an order of the house's, whoever waits before it."""
        self._settle_fills(market, runner, taker, [runner.book.meet(bet, taker, size)])

    def _settle_fills(self, market: Market, runner: Runner, order: Order, fills: list[Fill]) -> None:
        now_ms = self.now_ms()
        touched: set[str] = set()
        for fill in fills:
            for side in (fill.maker, fill.taker):
                self._account_for(market, runner, side, fill, now_ms)
                if isinstance(side, Bet):
                    touched.add(side.account)
            if not market.recorded:
                runner.trade(fill.price, fill.size)
                market.last_match_ms = self.clock_ms()
        if isinstance(order, Bet):
            touched.add(order.account)
            if order.size_lapsed:
                self._open(order, -order.size_lapsed)
                order.lapsed_ms, order.lapse_reason = now_ms, "TIME_ELAPSED"
        self.refresh(market, touched)

    def _account_for(self, market: Market, runner: Runner, order: Order, fill: Fill, now_ms: int) -> None:
        account = self.accounts.get(order.account, self.house)
        self.match_position(account, market, runner.key, order.side, fill.price, fill.size)
        if isinstance(order, Bet):
            self._open(order, -fill.size)
            order.matched_ms = now_ms
            self.changes.bet(order)
            if order is fill.maker and not order.size_remaining:
                self.registers[order.account].complete(order)

    def match_position(
        self, account: Account, market: Market, key: RunnerKey, side: Side, price: Decimal, size: Decimal
    ) -> None:
        """Count a match (negative: take it out) in an account's position on a runner."""
        position = self.position(account, market, key)
        if isinstance(position, LinePosition):
            position.match_at(side, price, size)
        else:
            position.match(side, price * size, size)

    def _open(self, bet: Bet, size: Decimal) -> None:
        position = self.position(self.accounts[bet.account], self.markets[bet.market_id], bet.runner_key)
        if bet.order_type == LIMIT:
            position.open(bet.side, bet.price, size)
        else:
            position.risk(bet.side, size)

    def _room_for_market(self) -> bool:
        if len(self.markets) >= MAX_MARKETS:
            self._forget(market for market in self.markets.values() if market.status == "CLOSED" or not market.bets)
        return len(self.markets) < MAX_MARKETS

    def _forget(self, candidates: Iterable[Market]) -> None:
        for market in list(candidates):
            del self.markets[market.market_id]
            self.house.positions.pop(market.market_id, None)
            for bet in market.bets.values():
                del self.bets[bet.bet_id]
                self.registers[bet.account].forget(bet)
