"""Voiding one bet, or a part of it, and taking that back: what an exchange does to a bet that should not have been.

Invariants: what is unmatched of the bet goes on; whoever it was matched with keeps his bet, the house stands in for the
void part, so that all profits of a market still sum to zero; a void that is taken back stands at the prices at which it
was matched; a market that is settled is settled again with the same results. Units: account currency.
"""

from decimal import Decimal

from betfair_sandbox.market.exchange import Exchange
from betfair_sandbox.market.markets import Bet, Market
from betfair_sandbox.market.matching import opposite
from betfair_sandbox.market.settlement import REMOVED, settle_with


def void_bet(exchange: Exchange, market: Market, bet: Bet, size: Decimal) -> None:
    """Void `size` of what is matched of a bet, what was matched last first."""
    account = exchange.accounts[bet.account]
    for price, part in bet.void_part(size):
        exchange.match_position(exchange.house, market, bet.runner_key, bet.side, price, part)
        if not market.results:
            exchange.match_position(account, market, bet.runner_key, bet.side, price, -part)
    bet.voided_ms = exchange.now_ms()
    exchange.registers[bet.account].void(bet)
    _announce(exchange, market, bet)


def unvoid_bet(exchange: Exchange, market: Market, bet: Bet) -> None:
    """Let everything of a bet that is void stand again.

    A runner that was removed is back, what was reduced for it stays; a market that is void as a whole is suspended.
    """
    account, runner = exchange.accounts[bet.account], market.runner_of(bet)
    if runner.status in REMOVED:
        runner.status, runner.removed_ms = "ACTIVE", 0
    if market.status == "CLOSED" and not market.results:
        market.status, market.settled_ms = "SUSPENDED", 0
        for other in market.bets.values():
            other.settled_ms = 0
            exchange.registers[other.account].unsettle(other)
    for price, part in bet.unvoid():
        exchange.match_position(exchange.house, market, bet.runner_key, opposite(bet.side), price, part)
        if not market.results:
            exchange.match_position(account, market, bet.runner_key, bet.side, price, part)
    exchange.registers[bet.account].unvoid(bet)
    _announce(exchange, market, bet)


def _announce(exchange: Exchange, market: Market, bet: Bet) -> None:
    exchange.changes.bet(bet)
    if market.results:
        line = market.runner_of(bet).outcome.line
        settle_with(exchange, market, {key: runner.outcome for key, runner in market.runners.items()}, line)
    else:
        exchange.bump(market)
        exchange.refresh(market, {bet.account})
