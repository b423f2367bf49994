"""The starting price of one runner: what its orders for the close balance at.

Owns: the price at which the stakes of the back orders meet the liabilities of the lay orders, the fallbacks when one
side is missing, what is shown of these orders. Pure. Units: a back order's stake, a lay order's liability.

Betfair reconciles so that stakes and liabilities balance, using unmatched offers of the exchange as well. Here the
orders for the close alone make the price and the house takes what does not balance; without one of the two sides the
price is the middle of the best offers, else the last traded price.
"""

from collections.abc import Iterable
from decimal import Decimal
from itertools import pairwise

from betfair_sandbox.market.markets import LIMIT, Bet, Runner
from betfair_sandbox.market.money import LADDER, ONE, ZERO, Side, to_money

_Order = tuple[Decimal, Decimal]  # limit, stake or liability


def project(runner: Runner, bets: Iterable[Bet]) -> None:
    """Show on `runner` what waits for the close, and which price it would make now."""
    runner.sp_backed, runner.sp_laid = {}, {}
    for bet in bets:
        if bet.order_type != LIMIT and bet.runner_key == runner.key and bet.size_remaining:
            shown = runner.sp_backed if bet.side is Side.BACK else runner.sp_laid
            shown[bet.price] = shown.get(bet.price, ZERO) + bet.size_remaining
    runner.sp_far = balanced(list(runner.sp_backed.items()), list(runner.sp_laid.items()))
    runner.sp_near = runner.sp_far or market_price(runner)


def balanced(backs: list[_Order], lays: list[_Order]) -> Decimal | None:
    """Return the price at which back stakes equal lay liabilities over (price - 1); None when one side is missing."""
    if not backs or not lays:
        return None
    limits = sorted({LADDER[0], LADDER[-1], *(limit for limit, _ in (*backs, *lays))})
    for low, high in pairwise(limits):
        # Between two limits the same orders take part.
        stakes = sum((stake for limit, stake in backs if limit <= low), ZERO)
        liabilities = sum((liability for limit, liability in lays if limit >= high), ZERO)
        if not stakes:
            continue
        price = ONE + liabilities / stakes
        if price <= high:
            return bounded(max(price, low))
    return bounded(limits[-1])


def market_price(runner: Runner) -> Decimal | None:
    """Return what the exchange itself says a runner is worth; None when nothing does."""
    to_back, to_lay = runner.book.best(Side.LAY), runner.book.best(Side.BACK)
    if to_back is not None and to_lay is not None:
        return bounded((to_back.price + to_lay.price) / 2)
    return runner.last_price


def bounded(price: Decimal) -> Decimal:
    """Return a starting price: two decimals, within the ladder."""
    return min(max(to_money(price), LADDER[0]), LADDER[-1])
