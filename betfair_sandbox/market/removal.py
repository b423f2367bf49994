"""Removing a runner: its bets are void, the others' prices are reduced, offers to lay lapse.

Owns: Betfair's non-runner rule. Invariants: a reduction moves the same price x size from the backers to the layers,
the house included; only what was matched before the removal is reduced. Units: an adjustment factor is the reduction in
per cent.

Betfair, Rules & Regulations (non-runner rule): in a win or each-way market the traded price is reduced, in a place
market the winnings; nothing happens below 2.5 % (win, each way) or 4 % (place). Offers to lay the others are cancelled;
those to be kept in-play stay at a price reduced alike. Prices keep two decimals and never fall below 1.01.
"""

from collections.abc import Callable
from decimal import Decimal
from typing import Final

from betfair_sandbox.market.exchange import Exchange
from betfair_sandbox.market.markets import LIMIT, Bet, Market, Runner
from betfair_sandbox.market.money import LADDER, ONE, Side, rung_at_or_below, to_money
from betfair_sandbox.market.positions import LinePosition

_LEAST_PERCENT: Final = Decimal("2.5")
_LEAST_PERCENT_PLACE: Final = Decimal(4)
_PLACE_TYPES: Final = ("PLACE", "OTHER_PLACE")


def reduces(market: Market, factor: Decimal | None) -> bool:
    """Tell whether the removal of a runner with this adjustment factor changes the other runners' bets."""
    least = _LEAST_PERCENT_PLACE if market.market_type in _PLACE_TYPES else _LEAST_PERCENT
    return factor is not None and factor >= least and market.betting_type == "ODDS"


def reduced_price(market: Market, price: Decimal, factor: Decimal) -> Decimal:
    """Return what a matched price becomes."""
    left = ONE - factor / 100
    reduced = ONE + (price - ONE) * left if market.market_type in _PLACE_TYPES else price * left
    return max(to_money(reduced), LADDER[0])


def remove(exchange: Exchange, market: Market, runner: Runner, factor: Decimal | None) -> None:
    """Take `runner` out of a market that is not settled; `factor` None: without a reduction."""
    void_bets(exchange, market, runner)
    exchange.liquidity.withdraw(runner)
    runner.status, runner.removed_ms = "REMOVED", exchange.now_ms()
    runner.sp_near = runner.sp_far = None
    others = [bet for bet in market.bets.values() if bet.runner_key != runner.key]
    if factor is not None and reduces(market, factor):
        reduce(exchange, market, others, lambda price: reduced_price(market, price, factor))
        _sweep_lays(exchange, market, others, lambda price: reduced_price(market, price, factor))
    exchange.bump(market)
    exchange.refresh(market, {bet.account for bet in market.bets.values()})


def void_bets(exchange: Exchange, market: Market, runner: Runner) -> None:
    """Let what is unmatched on `runner` lapse and what is matched be void."""
    bets = [bet for bet in market.bets.values() if bet.runner_key == runner.key]
    exchange.lapse(market, bets, "RNR_UNKNOWN")
    now_ms = exchange.now_ms()
    for bet in bets:
        if bet.void():
            bet.voided_ms, bet.outcome, bet.profit = now_ms, "", Decimal(0)
            exchange.registers[bet.account].void(bet)
            exchange.changes.bet(bet)
    for account in (*exchange.accounts.values(), exchange.house):
        account.positions.get(market.market_id, {}).pop(runner.key, None)


def reduce(exchange: Exchange, market: Market, bets: list[Bet], new_price: Callable[[Decimal], Decimal]) -> None:
    """Reprice what is matched of `bets`, in the bets and in every position, the house's included."""
    for bet in bets:
        change = bet.reprice(new_price)
        if not change:
            continue
        bet.price_reduced = True
        exchange.changes.bet(bet)
        account = exchange.accounts[bet.account]
        if bet.runner_key in account.positions.get(market.market_id, {}):
            exchange.position(account, market, bet.runner_key).match(bet.side, change, Decimal(0))
        house = exchange.position(exchange.house, market, bet.runner_key)
        if not isinstance(house, LinePosition):
            # What one customer wins of another cancels out here: the two bets of a match change by the same amount.
            house.match(bet.side, -change, Decimal(0))


def _sweep_lays(exchange: Exchange, market: Market, bets: list[Bet], new_price: Callable[[Decimal], Decimal]) -> None:
    lays = [bet for bet in bets if bet.side is Side.LAY and bet.order_type == LIMIT and bet.size_remaining]
    exchange.lapse(market, [bet for bet in lays if bet.persistence != "PERSIST"], "MKT_VERSION")
    for bet in lays:
        if bet.persistence == "PERSIST":
            exchange.move(market, bet, rung_at_or_below(new_price(bet.price)))
    if market.recorded:
        return  # the recording says what becomes of its offers
    for other in market.runners.values():
        exchange.liquidity.withdraw_lays(other)
