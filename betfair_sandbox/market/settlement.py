"""Results: settling a market, settling it again, voiding a market or a runner.

Owns: what a result does to bets and balances. Invariants: before commission all profits of a market sum to zero, the
house's and the rounding of bets to pennies included; a market can be settled any number of times and the balances
depend on the last one only. Units: account currency, epoch milliseconds.
"""

from collections.abc import Collection, Iterable
from decimal import Decimal

from betfair_sandbox.market.accounts import HOUSE
from betfair_sandbox.market.exchange import Exchange
from betfair_sandbox.market.markets import Bet, Market, Result, Runner
from betfair_sandbox.market.money import ZERO, Side, to_money


def settle(exchange: Exchange, market: Market, winners: Collection[int]) -> None:
    """Close `market` with these winners; called again it corrects what the last call did."""
    _take_back(exchange, market)
    exchange.lapse(market, list(market.bets.values()), "MKT_INVALID")
    now_ms = exchange.now_ms()
    for runner in market.runners.values():
        exchange.liquidity.withdraw(runner)
        if runner.status != "REMOVED":
            runner.status = "WINNER" if runner.selection_id in winners else "LOSER"
    for bet in market.bets.values():
        if bet.size_matched:
            _settle_bet(exchange, market, bet, won=bet.selection_id in winners)
        bet.settled_ms = now_ms
        exchange.registers[bet.account].settle(bet)
    house = sum(
        (
            position.win if selection_id in winners else position.lose
            for selection_id, position in exchange.house.positions.get(market.market_id, {}).items()
        ),
        ZERO,
    )
    market.results[HOUSE] = Result(house)
    _pay(exchange, market)
    _close(exchange, market)


def void_market(exchange: Exchange, market: Market) -> None:
    """Close `market` with every bet void."""
    _take_back(exchange, market)
    exchange.lapse(market, list(market.bets.values()), "MKT_INVALID")
    now_ms = exchange.now_ms()
    for bet in market.bets.values():
        if bet.void():
            bet.voided_ms = now_ms
        bet.settled_ms, bet.outcome, bet.profit = now_ms, "", ZERO
        exchange.registers[bet.account].settle(bet)
    for runner in market.runners.values():
        exchange.liquidity.withdraw(runner)
    exchange.house.positions.pop(market.market_id, None)
    _close(exchange, market)


def void_runner(exchange: Exchange, market: Market, runner: Runner) -> None:
    """Remove `runner`: its bets are void, the others stand without a reduction of their prices."""
    was_settled = bool(market.results)
    winners = [other.selection_id for other in market.runners.values() if other.status == "WINNER" and other != runner]
    bets = [bet for bet in market.bets.values() if bet.selection_id == runner.selection_id]
    exchange.lapse(market, bets, "RNR_UNKNOWN")
    now_ms = exchange.now_ms()
    for bet in bets:
        if bet.void():
            bet.voided_ms, bet.outcome, bet.profit = now_ms, "", ZERO
            exchange.registers[bet.account].void(bet)
    for account in (*exchange.accounts.values(), exchange.house):
        account.positions.get(market.market_id, {}).pop(runner.selection_id, None)
    exchange.liquidity.withdraw(runner)
    runner.status, runner.removed_ms = "REMOVED", now_ms
    exchange.bump(market)
    if was_settled:
        settle(exchange, market, winners)
    else:
        exchange.refresh(market, {bet.account for bet in market.bets.values()})


def profit_of(bet: Bet, *, won: bool) -> Decimal:
    """Return the exact profit of the matched part if its selection won or lost."""
    backer = bet.matched_value - bet.size_matched if won else -bet.size_matched
    return backer if bet.side is Side.BACK else -backer


def commission_on(profit: Decimal, rate_percent: Decimal) -> Decimal:
    """Return the commission on one account's result of one market: a share of net winnings, nothing on a loss."""
    return to_money(max(profit, ZERO) * rate_percent / 100)


def _settle_bet(exchange: Exchange, market: Market, bet: Bet, *, won: bool) -> None:
    exact = profit_of(bet, won=won)
    bet.profit = to_money(exact)
    bet.outcome = "WON" if won is (bet.side is Side.BACK) else "LOST"
    result = market.results.setdefault(bet.account, Result())
    result.profit += bet.profit
    market.rounding += exact - bet.profit
    exchange.rounding += exact - bet.profit


def _pay(exchange: Exchange, market: Market) -> None:
    for name, result in market.results.items():
        account = exchange.accounts.get(name, exchange.house)
        if account is not exchange.house:
            result.commission = commission_on(result.profit, market.base_rate)
        account.balance += result.profit - result.commission
        account.commission_paid += result.commission


def _take_back(exchange: Exchange, market: Market) -> None:
    for name, result in market.results.items():
        account = exchange.accounts.get(name, exchange.house)
        account.balance -= result.profit - result.commission
        account.commission_paid -= result.commission
    exchange.rounding -= market.rounding
    market.results, market.rounding = {}, ZERO


def _close(exchange: Exchange, market: Market) -> None:
    market.status = "CLOSED"
    exchange.bump(market)
    _release(exchange, market, {bet.account for bet in market.bets.values()})


def _release(exchange: Exchange, market: Market, names: Iterable[str]) -> None:
    for name in names:
        exchange.accounts[name].positions.pop(market.market_id, None)
    exchange.refresh(market, names)
