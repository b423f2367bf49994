"""The starting price of one runner: what the orders for its close balance at, with the exchange's own offers.

Owns: the price at which the back stakes meet what the lay orders take, the fallbacks when one side is missing, what is
shown of these orders. Pure. Units: a back order's stake, a lay order's liability; offers have stakes on both sides.

Betfair: the far price balances the orders for the close alone, the near price takes in what rests on the exchange, as
reconciliation does. What does not balance even so is taken by the house, at no worse than the last offer that takes
part; where there is nothing to balance with, the price is the middle of the best offers, else the last traded price.
"""

from collections.abc import Collection, Iterable, Sequence
from decimal import Decimal
from itertools import pairwise

from betfair_sandbox.market.markets import LIMIT, Bet, Runner, sp_price
from betfair_sandbox.market.matching import Order
from betfair_sandbox.market.money import LADDER, ONE, ZERO, Side, to_money

_Order = tuple[Decimal, Decimal]  # limit, stake or liability


def project(runner: Runner, bets: Iterable[Bet]) -> None:
    """Show on `runner` what waits for the close, and which price it would make now."""
    waiting = [bet for bet in bets if bet.runner_key == runner.key and bet.order_type != LIMIT and bet.size_remaining]
    runner.sp_backed, runner.sp_laid = {}, {}
    for bet in waiting:
        shown = runner.sp_backed if bet.side is Side.BACK else runner.sp_laid
        shown[bet.price] = shown.get(bet.price, ZERO) + bet.size_remaining
    runner.sp_far = balanced(list(runner.sp_backed.items()), list(runner.sp_laid.items()))
    runner.sp_near = closing_price(runner, waiting)


def closing_price(runner: Runner, waiting: Collection[Bet]) -> Decimal | None:
    """Return the price that these orders for the close and what else rests on the runner balance at."""
    sides: dict[Side, list[_Order]] = {side: [] for side in Side}
    for bet in waiting:
        stake = bet.size_remaining
        if bet.order_type != LIMIT:
            sides[bet.side].append((bet.price, stake))
        else:  # what is left of it takes part at any price
            amount = stake if bet.side is Side.BACK else stake * (bet.price - ONE)
            sides[bet.side].append((sp_price(bet.side), amount))
    backs, lays = sides[Side.BACK], sides[Side.LAY]
    if not backs and not lays:
        return market_price(runner)
    rests = {side: [(order.price, order.size_remaining) for order in offers(runner, side, waiting)] for side in Side}
    return balanced(backs, lays, rests[Side.BACK], rests[Side.LAY]) or market_price(runner)


def offers(runner: Runner, side: Side, waiting: Collection[Bet]) -> list[Order]:
    """Return what rests on one side of the exchange, best first, without what itself waits for the close."""
    own = {bet.bet_id for bet in waiting}
    return [order for order in runner.book.resting(side) if order.bet_id not in own]


def balanced(
    backs: list[_Order], lays: list[_Order], resting_backs: Sequence[_Order] = (), resting_lays: Sequence[_Order] = ()
) -> Decimal | None:
    """Return the price at which what is backed equals what is laid; None when one side is missing.

    An order for the close lays its liability over (price - 1), an offer that rests its stake.
    """
    backing, laying = [*backs, *resting_backs], [*lays, *resting_lays]
    if not backing or not laying:
        return None
    limits = sorted({LADDER[0], LADDER[-1], *(limit for limit, _ in (*backing, *laying))})
    for low, high in pairwise(limits):
        # Between two limits the same orders take part.
        stakes = _sum(stake for limit, stake in backing if limit <= low)
        stakes -= _sum(stake for limit, stake in resting_lays if limit >= high)
        if stakes <= 0:
            continue
        liabilities = _sum(liability for limit, liability in lays if limit >= high)
        price = max(ONE + liabilities / stakes, low)
        if price <= high:
            return bounded(price if liabilities or not resting_lays else max(price, min(resting_lays)[0]))
    return bounded(limits[-1])


def market_price(runner: Runner) -> Decimal | None:
    """Return what the exchange itself says a runner is worth; None when nothing does."""
    to_back, to_lay = runner.book.best(Side.LAY), runner.book.best(Side.BACK)
    if to_back is not None and to_lay is not None:
        return bounded((to_back.price + to_lay.price) / 2)
    return runner.last_price


def _sum(amounts: Iterable[Decimal]) -> Decimal:
    return sum(amounts, ZERO)


def bounded(price: Decimal) -> Decimal:
    """Return a starting price: two decimals, within the ladder."""
    return min(max(to_money(price), LADDER[0]), LADDER[-1])
