"""Results: settling a market, settling it again, taking a result back, voiding a market or a runner.

Owns: what a result does to bets and balances. Invariants: before commission all profits of a market sum to zero, the
house's and the rounding of bets to pennies included; a market can be settled any number of times and the balances
depend on the last one only. Units: account currency, epoch milliseconds.
"""

from collections.abc import Collection, Iterable, Mapping
from decimal import Decimal
from typing import Final

from betfair_sandbox.market.accounts import HOUSE, Account, RunnerKey
from betfair_sandbox.market.exchange import Exchange
from betfair_sandbox.market.markets import LINE_PRICE, Bet, Market, Result, Runner
from betfair_sandbox.market.money import ZERO, Side, to_money
from betfair_sandbox.market.positions import LOST, WON, Outcome, backer_profit
from betfair_sandbox.market.removal import reduce, reduced_price, reduces, remove, void_bets

REMOVED: Final = ("REMOVED", "REMOVED_VACANT")


def settle(exchange: Exchange, market: Market, winners: Collection[RunnerKey]) -> None:
    """Close `market` with these outright winners, the others lose; called again it corrects what the last call did."""
    settle_with(exchange, market, dict.fromkeys(winners, WON))


def settle_with(
    exchange: Exchange, market: Market, outcomes: Mapping[RunnerKey, Outcome], line: Decimal | None = None
) -> None:
    """Close `market` with these outcomes, the other runners lose; `line` is the number a LINE market ended at."""
    _reverse_results(exchange, market)
    exchange.lapse(market, list(market.bets.values()), "MKT_INVALID")
    now_ms = exchange.now_ms()
    for key, runner in market.runners.items():
        exchange.liquidity.withdraw(runner)
        runner.outcome = Outcome(line=line) if market.is_line else outcomes.get(key, LOST)
        if runner.status not in REMOVED:
            runner.status = _status_of(runner.outcome, market)
    for bet in market.bets.values():
        if bet.size_matched:
            _settle_bet(market, bet)
        bet.settled_ms = now_ms
        exchange.registers[bet.account].settle(bet)
        exchange.changes.bet(bet)
    positions = exchange.house.positions.get(market.market_id, {})
    house = sum((position.profit(market.runners[key].outcome) for key, position in positions.items()), ZERO)
    paid = sum((result.profit for result in market.results.values()), ZERO)
    market.results[HOUSE] = Result(house)
    market.rounding = -(house + paid)
    exchange.rounding += market.rounding
    _pay(exchange, market)
    market.settled_ms = now_ms
    _close(exchange, market)


def unsettle(exchange: Exchange, market: Market) -> None:
    """Take a result back: the market is suspended with its matched bets standing as before it (Betfair: reversal)."""
    _reverse_results(exchange, market)
    market.status, market.settled_ms = "SUSPENDED", 0
    for runner in market.runners.values():
        runner.outcome = LOST
        if runner.status not in REMOVED:
            runner.status = "ACTIVE"
    for bet in market.bets.values():
        bet.settled_ms, bet.outcome, bet.profit = 0, "", ZERO
        exchange.registers[bet.account].unsettle(bet)
        exchange.changes.bet(bet)
        if bet.size_matched:
            exchange.restore(market, bet)
    exchange.bump(market)
    exchange.refresh(market, {bet.account for bet in market.bets.values()})


def void_market(exchange: Exchange, market: Market) -> None:
    """Close `market` with every bet void."""
    _reverse_results(exchange, market)
    exchange.lapse(market, list(market.bets.values()), "MKT_INVALID")
    now_ms = exchange.now_ms()
    for bet in market.bets.values():
        if bet.void():
            bet.voided_ms = now_ms
        bet.settled_ms, bet.outcome, bet.profit = now_ms, "", ZERO
        exchange.registers[bet.account].settle(bet)
        exchange.changes.bet(bet)
    for runner in market.runners.values():
        exchange.liquidity.withdraw(runner)
    exchange.house.positions.pop(market.market_id, None)
    market.settled_ms = now_ms
    _close(exchange, market)


def void_runner(exchange: Exchange, market: Market, runner: Runner, factor: Decimal | None = None) -> None:
    """Remove `runner`: its bets are void, the others' prices are reduced by `factor` per cent (None: not at all).

    A market that is settled is settled again with the results of the other runners.
    """
    if not market.results:
        remove(exchange, market, runner, factor)
        return
    outcomes = {key: other.outcome for key, other in market.runners.items() if other is not runner}
    line = runner.outcome.line
    void_bets(exchange, market, runner)
    runner.status, runner.removed_ms = "REMOVED", exchange.now_ms()
    if factor is not None and reduces(market, factor):
        reduce(exchange, market, list(market.bets.values()), lambda price: reduced_price(market, price, factor))
    settle_with(exchange, market, outcomes, line)


def profit_of(bet: Bet, outcome: Outcome, divisor: Decimal | None = None) -> Decimal:
    """Return the exact profit of the matched part of a bet that is not on a LINE market."""
    backer = backer_profit(bet.matched_value, bet.size_matched, outcome, divisor)
    return backer if bet.side is Side.BACK else -backer


def commission_on(profit: Decimal, rate_percent: Decimal, discount_percent: Decimal = ZERO) -> Decimal:
    """Return the commission on one account's result of one market: a share of net winnings, nothing on a loss.

    Betfair: net winnings x market base rate x (1 - discount rate).
    """
    return to_money(max(profit, ZERO) * rate_percent / 100 * (100 - discount_percent) / 100)


def discount(account: Account, market: Market) -> Decimal:
    """Return the discount on an account's commission on this market, in per cent."""
    return account.discount_rate if market.discount_allowed else ZERO


def _status_of(outcome: Outcome, market: Market) -> str:
    if outcome.win or (outcome.line is not None):
        return "WINNER"
    return "PLACED" if outcome.place and market.each_way_divisor is not None else "LOSER"


def _settle_bet(market: Market, bet: Bet) -> None:
    outcome = market.runner_of(bet).outcome
    if market.is_line:
        exact = _line_profit(bet, outcome.line)
        won = exact > 0
    else:
        exact = profit_of(bet, outcome, market.each_way_divisor)
        won = bool(outcome.win) is (bet.side is Side.BACK)
    bet.profit = to_money(exact)
    bet.outcome = "WON" if won else "LOST"
    if outcome.place and not outcome.win and market.each_way_divisor is not None:
        bet.outcome = "PLACE"
    result = market.results.setdefault(bet.account, Result())
    result.profit += bet.profit


def _line_profit(bet: Bet, line: Decimal | None) -> Decimal:
    """Betfair: a back sells the line and wins below it, a lay buys it and wins above; both at even money."""
    if line is None:
        return ZERO
    gain = LINE_PRICE - 1
    sold = sum((size * gain * ((line < price) - (line > price)) for price, size in bet.fragments), ZERO)
    return sold if bet.side is Side.BACK else -sold


def _pay(exchange: Exchange, market: Market) -> None:
    for name, result in market.results.items():
        account = exchange.accounts.get(name, exchange.house)
        if account is not exchange.house:
            result.commission = commission_on(result.profit, market.base_rate, discount(account, market))
        account.balance += result.profit - result.commission
        account.commission_paid += result.commission


def _reverse_results(exchange: Exchange, market: Market) -> None:
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
