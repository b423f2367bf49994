"""The exchange: accounts, markets, placing and cancelling, and the clockwork that moves the house's liquidity.

Owns: all state of the sandbox and every change of it. Invariants: placeOrders is all or none; after each change every
touched account's exposure is derived anew; no placed bet leaves an account with less than nothing available; what is
forgotten is settled. Single-threaded: the server calls it from one event loop. Units: epoch milliseconds, account
currency.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable
from copy import copy
from dataclasses import dataclass
from decimal import Decimal
from itertools import count
from random import Random
from typing import Final

from executor.domain.money import ZERO, Side
from executor.sandbox.accounts import EXPOSURE_LIMIT, HOUSE, Account, Position, market_exposure
from executor.sandbox.markets import Bet, Market, Runner
from executor.sandbox.matching import Fill, Order, opposite
from executor.sandbox.prices import Liquidity
from executor.sandbox.register import Register
from executor.sandbox.rules import (
    DEDUPE_MS,
    MAX_PLACE_INSTRUCTIONS,
    Instruction,
    back_and_lay_cross,
    valid_market_id,
    valid_strategy_ref,
)
from executor.sandbox.wire import Json, format_date

# About 1 KB each: the history stays within a few hundred megabytes on a sandbox left running for weeks. When it is
# full the oldest settled bets are forgotten; when none is settled, placing answers SERVICE_UNAVAILABLE.
MAX_BETS: Final = 200_000
# About 10 KB each, the quotes included; the same rule.
MAX_MARKETS: Final = 20_000
_FIRST_BET_ID: Final = 300_000_000_001
_FIRST_VERSION: Final = 5_000_000_000
_FIRST_USE_START_MS: Final = 3_600_000  # a market that appears on first use starts an hour later


@dataclass(frozen=True, slots=True)
class PlaceRequest:
    """One placeOrders call as understood."""

    market_id: str
    instructions: list[Instruction]
    customer_ref: str = ""
    strategy_ref: str = ""
    version: int | None = None


class Exchange:
    """The state of the sandbox."""

    def __init__(self, accounts: Iterable[Account], seed: int, clock_ms: Callable[[], int]) -> None:
        self.accounts = {account.name: account for account in accounts}
        self.house = Account(HOUSE, "", "", "", ZERO)
        self.registers = {name: Register() for name in self.accounts}
        self.markets: dict[str, Market] = {}
        self.bets: dict[int, Bet] = {}
        self.liquidity = Liquidity(seed)
        self.rounding = ZERO  # what rounding bets' profits to pennies left with the exchange, settled markets only
        self._seed = seed
        self._clock_ms = clock_ms
        self._bet_ids = count(_FIRST_BET_ID)
        self._versions = count(_FIRST_VERSION)
        self._refs: OrderedDict[tuple[str, str], int] = OrderedDict()

    def now_ms(self) -> int:
        """Return the time in whole seconds, the resolution of the dates that Betfair gives bets."""
        return self._clock_ms() // 1000 * 1000

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
        return market

    def runner(self, market: Market, selection_id: int, name: str = "") -> Runner:
        """Return a runner of `market`, made when missing."""
        runner = market.runners.get(selection_id)
        if runner is None:
            rng = Random(f"{self._seed}/{market.market_id}/{selection_id}")  # noqa: S311 - a seeded process is the point
            priority = len(market.runners) + 1
            runner = Runner(selection_id, name or f"Selection {selection_id}", priority, rng)
            market.runners[selection_id] = runner
        return runner

    def bump(self, market: Market) -> None:
        """Raise the market's version after a material change."""
        market.version = next(self._versions)

    def lapse(self, market: Market, bets: Iterable[Bet], reason: str) -> None:
        """Let what remains of `bets` lapse."""
        now_ms = self.now_ms()
        for bet in bets:
            if not bet.size_remaining:
                continue
            runner = market.runners[bet.selection_id]
            self._open(bet, -bet.size_remaining)
            runner.book.lapse(bet)
            bet.lapsed_ms, bet.lapse_reason = now_ms, reason
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

    def tick(self) -> None:
        """Do what is due: the house comes back for resting orders, displayed prices move."""
        now_ms = self._clock_ms()
        for bet, size in self.liquidity.due(now_ms):
            market = self.markets.get(bet.market_id)
            if market is None or market.status != "OPEN":
                continue
            runner = market.runners[bet.selection_id]
            taker = self.liquidity.order(opposite(bet.side), bet.price, size)
            self._trade(market, runner, taker)
            runner.book.cancel(taker)
        self.liquidity.wander(now_ms)

    # -- placing -----------------------------------------------------------------------------------------------------

    def claim_ref(self, account: Account, customer_ref: str) -> bool:
        """Remember a customerRef for 60 s; False when it is remembered already."""
        now_ms = self._clock_ms()
        while self._refs and next(iter(self._refs.values())) <= now_ms - DEDUPE_MS:
            self._refs.popitem(last=False)
        key = (account.name, customer_ref)
        if not customer_ref:
            return True
        if key in self._refs:
            return False
        self._refs[key] = now_ms
        return True

    def release_ref(self, account: Account, customer_ref: str) -> None:
        """Forget the customerRef of a request that placed nothing."""
        self._refs.pop((account.name, customer_ref), None)

    def bet_delay_s(self, market_id: str) -> int:
        """Return how long an order waits before it reaches the market."""
        market = self.markets.get(market_id)
        return market.bet_delay_s if market is not None and market.inplay else 0

    def place(self, account: Account, request: PlaceRequest) -> Json:
        """Place all instructions or none; return the PlaceExecutionReport."""
        code, codes = self.judge(account, request)
        if code:
            return refusal(request, code, codes)
        market = self.markets[request.market_id]
        reports = [self._place_one(account, market, request, instruction) for instruction in request.instructions]
        return {**_head(request), "status": "SUCCESS", "instructionReports": reports}

    def judge(self, account: Account, request: PlaceRequest) -> tuple[str, list[str]]:
        """Return the ExecutionReportErrorCode the request earns and the instructions' own; ("", []) when it is fine."""
        if len(request.instructions) > MAX_PLACE_INSTRUCTIONS:
            return "TOO_MANY_INSTRUCTIONS", []
        if not self._room_for_bets(len(request.instructions)):
            return "SERVICE_UNAVAILABLE", []
        market = self.market(request.market_id)
        if market is None:
            return "INVALID_MARKET_ID", []
        if market.status == "SUSPENDED":
            return "MARKET_SUSPENDED", []
        if market.status != "OPEN":
            return "MARKET_NOT_OPEN_FOR_BETTING", []
        codes = [self._instruction_error(market, request, instruction) for instruction in request.instructions]
        crossing = back_and_lay_cross(request.instructions)
        for at, instruction in enumerate(request.instructions):
            if not codes[at] and instruction.selection_id in crossing:
                codes[at] = "INVALID_BACK_LAY_COMBINATION"
        if any(codes):
            return "BET_ACTION_ERROR", codes
        if not self._affordable(account, market, request.instructions):
            return "INSUFFICIENT_FUNDS", []
        return "", []

    def cancel(self, bet: Bet, size: Decimal | None) -> Decimal:
        """Cancel `size` (None: all) of what remains of a bet; return how much that was."""
        market = self.markets[bet.market_id]
        cancelled = market.runners[bet.selection_id].book.cancel(bet, size)
        self._open(bet, -cancelled)
        bet.cancelled_ms = self.now_ms()
        if not bet.size_remaining:
            self.registers[bet.account].complete(bet)
        self.refresh(market, {bet.account})
        return cancelled

    def refresh(self, market: Market, names: Iterable[str]) -> None:
        """Derive anew what the named accounts can lose on `market`."""
        for name in names:
            account = self.accounts[name]
            positions = list(account.positions.get(market.market_id, {}).values())
            amount = market_exposure(positions, market.winners, market.field_size) if positions else ZERO
            account.set_exposure(market.market_id, amount)

    # -- inside ------------------------------------------------------------------------------------------------------

    def _instruction_error(self, market: Market, request: PlaceRequest, instruction: Instruction) -> str:
        if instruction.error:
            return instruction.error
        if not valid_strategy_ref(request.strategy_ref):
            return "INVALID_CUSTOMER_STRATEGY_REF"
        runner = market.runners.get(instruction.selection_id)
        if (runner is None and not market.grows) or instruction.selection_id <= 0:
            return "INVALID_RUNNER"
        if runner is not None and runner.status == "REMOVED":
            return "RUNNER_REMOVED"
        if request.version is not None and request.version < market.version:
            return "BET_TAKEN_OR_LAPSED"
        return ""

    def _affordable(self, account: Account, market: Market, instructions: list[Instruction]) -> bool:
        positions = {key: copy(position) for key, position in account.positions.get(market.market_id, {}).items()}
        for instruction in instructions:
            position = positions.setdefault(instruction.selection_id, Position())
            position.open(instruction.side, instruction.price, instruction.size)
        after = market_exposure(list(positions.values()), market.winners, market.field_size)
        added = after - account.exposures.get(market.market_id, ZERO)
        return added <= min(account.available, EXPOSURE_LIMIT - account.exposure)

    def _place_one(self, account: Account, market: Market, request: PlaceRequest, instruction: Instruction) -> Json:
        runner = self.runner(market, instruction.selection_id)
        bet = Bet(
            next(self._bet_ids),
            account.name,
            instruction.side,
            instruction.price,
            instruction.size,
            market_id=market.market_id,
            selection_id=runner.selection_id,
            persistence=instruction.persistence,
            customer_order_ref=instruction.customer_order_ref,
            customer_strategy_ref=request.strategy_ref,
            placed_ms=self.now_ms(),
        )
        self.bets[bet.bet_id] = market.bets[bet.bet_id] = bet
        clock_ms = self._clock_ms()
        fate = self.liquidity.deal(runner, bet.side, bet.price, bet.size, clock_ms)
        self._open(bet, bet.size)
        self._trade(market, runner, bet, instruction.kill_below)
        self.registers[account.name].add(bet)
        if fate is not None:
            self.liquidity.follow(runner, bet, fate, clock_ms)
        killed = instruction.kill_below is not None and not bet.size_matched
        return {
            "status": "SUCCESS",
            "instruction": instruction.raw,
            "betId": str(bet.bet_id),
            "placedDate": format_date(bet.placed_ms),
            "averagePriceMatched": bet.average_price_matched,
            "sizeMatched": bet.size_matched,
            "orderStatus": "EXPIRED" if killed else bet.status,
        }

    def _trade(self, market: Market, runner: Runner, order: Order, kill_below: Decimal | None = None) -> None:
        """Send an order of a customer's or the house's to the book and account for what it meets."""
        book = runner.book
        fills = book.submit(order) if kill_below is None else book.fill_or_kill(order, kill_below)
        now_ms = self.now_ms()
        touched: set[str] = set()
        for fill in fills:
            for side in (fill.maker, fill.taker):
                self._account_for(market, runner, side, fill, now_ms)
                if isinstance(side, Bet):
                    touched.add(side.account)
            runner.last_price = fill.price
            runner.total_matched += fill.size
            market.last_match_ms = self._clock_ms()
        if isinstance(order, Bet):
            touched.add(order.account)
            if order.size_lapsed:
                self._open(order, -order.size_lapsed)
                order.lapsed_ms, order.lapse_reason = now_ms, "TIME_ELAPSED"
        self.refresh(market, touched)

    def _account_for(self, market: Market, runner: Runner, order: Order, fill: Fill, now_ms: int) -> None:
        account = self.accounts.get(order.account, self.house)
        position = account.position(market.market_id, runner.selection_id)
        position.match(order.side, fill.price * fill.size, fill.size)
        if isinstance(order, Bet):
            position.open(order.side, order.price, -fill.size)
            order.matched_ms = now_ms
            if order is fill.maker and not order.size_remaining:
                self.registers[order.account].complete(order)

    def _open(self, bet: Bet, size: Decimal) -> None:
        self.accounts[bet.account].position(bet.market_id, bet.selection_id).open(bet.side, bet.price, size)

    def _room_for_market(self) -> bool:
        if len(self.markets) >= MAX_MARKETS:
            self._forget(market for market in self.markets.values() if market.status == "CLOSED" or not market.bets)
        return len(self.markets) < MAX_MARKETS

    def _room_for_bets(self, needed: int) -> bool:
        if len(self.bets) + needed > MAX_BETS:
            self._forget(market for market in self.markets.values() if market.status == "CLOSED")
        return len(self.bets) + needed <= MAX_BETS

    def _forget(self, candidates: Iterable[Market]) -> None:
        for market in list(candidates):
            del self.markets[market.market_id]
            self.house.positions.pop(market.market_id, None)
            for bet in market.bets.values():
                del self.bets[bet.bet_id]
                self.registers[bet.account].forget(bet)


def refusal(request: PlaceRequest, code: str, codes: list[str] | None = None) -> Json:
    """Return the PlaceExecutionReport of a request of which nothing was placed."""
    reports = [
        {
            "status": "FAILURE",
            "errorCode": (codes[at] if codes else "") or "ERROR_IN_ORDER",
            "instruction": instruction.raw,
        }
        for at, instruction in enumerate(request.instructions)
    ]
    return {**_head(request), "status": "FAILURE", "errorCode": code, "instructionReports": reports}


def _head(request: PlaceRequest) -> Json:
    head: Json = {"marketId": request.market_id}
    if request.customer_ref:
        head["customerRef"] = request.customer_ref
    return head
