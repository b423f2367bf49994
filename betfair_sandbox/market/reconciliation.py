"""Reconciling a market's starting prices: orders for the close become bets, or lapse.

Owns: that step. Invariants: it happens once per market; every order of the account's that waits for the close ends
matched at the starting price or lapsed; the house is the other side of each, and of the offers of the exchange that
the price was made with: these are matched at the starting price, too, best first, as far as the orders for the close do
not balance among themselves. Units: account currency.

Betfair: LIMIT_ON_CLOSE, MARKET_ON_CLOSE; what is unmatched of a LIMIT order with persistence MARKET_ON_CLOSE takes part
with its stake (back) or its liability (lay).
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Final

from betfair_sandbox.market.accounts import RunnerKey
from betfair_sandbox.market.exchange import Exchange
from betfair_sandbox.market.markets import LIMIT, LIMIT_ON_CLOSE, MARKET_ON_CLOSE, Bet, Market, Runner
from betfair_sandbox.market.matching import Order
from betfair_sandbox.market.money import ONE, ZERO, Side, to_size
from betfair_sandbox.market.starting_price import closing_price, offers

_LAPSED: Final = "SP_IN_PLAY"


def reconcile(exchange: Exchange, market: Market, prices: Mapping[RunnerKey, Decimal]) -> None:
    """Give each runner its starting price (from `prices`, else from its orders) and match what waits for it."""
    market.bsp_reconciled = True
    for runner in market.runners.values():
        if runner.status != "ACTIVE":
            continue
        waiting = [bet for bet in market.bets.values() if bet.runner_key == runner.key and waits(bet)]
        given = prices.get(runner.key)
        runner.bsp = given or closing_price(runner, waiting)
        runner.sp_near = runner.sp_far = None
        runner.sp_backed, runner.sp_laid = {}, {}
        offered = {side: offers(runner, side, waiting) for side in Side}
        surplus = sum((_close(exchange, market, runner, bet) for bet in waiting), ZERO)
        if given is None and runner.bsp is not None:  # at a price from elsewhere nobody here balanced anything
            _take_offers(exchange, market, runner, offered[Side.LAY if surplus > 0 else Side.BACK], abs(surplus))
    exchange.refresh(market, {bet.account for bet in market.bets.values()})
    exchange.bump(market)


def waits(bet: Bet) -> bool:
    """Tell whether something of this bet is for the starting price."""
    return bool(bet.size_remaining) and (bet.order_type != LIMIT or bet.persistence == MARKET_ON_CLOSE)


def _close(exchange: Exchange, market: Market, runner: Runner, bet: Bet) -> Decimal:
    """Match or lapse an order for the close; return the stake that it backed with, negative for one that it laid."""
    price = runner.bsp
    if price is None or _beyond(bet, price):
        exchange.lapse(market, [bet], _LAPSED)
        return ZERO
    liability = bet.size_remaining
    if bet.order_type == LIMIT and bet.side is Side.LAY:
        liability *= bet.price - ONE
    size = to_size(liability if bet.side is Side.BACK else liability / (price - ONE))
    if not size:
        exchange.lapse(market, [bet], _LAPSED)
        return ZERO
    shown = runner.sp_backed if bet.side is Side.BACK else runner.sp_laid
    shown[price] = shown.get(price, ZERO) + liability
    exchange.match_at_close(market, runner, bet, price, size)
    return size if bet.side is Side.BACK else -size


def _take_offers(exchange: Exchange, market: Market, runner: Runner, resting: list[Order], size: Decimal) -> None:
    """Let the offers that take part in the balance give what the other side lacks; the best come first."""
    price = runner.bsp
    for order in resting:
        if price is None or not size or (order.price < price if order.side is Side.LAY else order.price > price):
            return
        taken = min(size, order.size_remaining)
        size -= taken
        if isinstance(order, Bet):
            exchange.match_at_close(market, runner, order, price, taken, rests=True)
        else:
            runner.book.cancel(order, taken)


def _beyond(bet: Bet, price: Decimal) -> bool:
    if bet.order_type != LIMIT_ON_CLOSE:
        return False
    return price < bet.price if bet.side is Side.BACK else price > bet.price
