"""Netting: the most that a market can cost, over all results that its number of winners and its runners allow.

Owns what rule 4 counts. Invariants: never below the truth for the facts at hand, equal to it where they are known;
where they are not, or do not describe plain odds, the sum over the selections. A result makes exactly `winners` runners
win, all where fewer are left (a dead heat lies between such results); bets on a removed runner are void; a market that
is not complete may be won by runners that it does not show yet. Each unmatched bet counts where it hurts, whatever it
is matched at. Money in account currency, rounded up to pennies once.
"""

from collections.abc import Iterable, Mapping
from decimal import Decimal

from executor.domain.exposure import Results, results, worst
from executor.domain.market import ODDS, Market, is_each_way
from executor.domain.money import ZERO, round_up
from executor.domain.order import Order


def can_net(market: Market | None) -> bool:
    """Tell whether a market's facts say which results it allows: plain odds, none of its runners decided yet."""
    return (
        market is not None
        and market.betting_type == ODDS
        and not is_each_way(market)
        and market.winners > 0
        and bool(market.runners)
        and not market.others
    )


def sum_of(found: Results, foreign: Mapping[int, Decimal]) -> Decimal:
    """Return the sum over the selections: it holds for any market, whatever is known of it."""
    return sum((worst(*result) for result in found.values()), ZERO) + sum(foreign.values(), ZERO)


def net_of(found: Results, foreign: Mapping[int, Decimal], market: Market | None) -> Decimal:
    """Return the worst of all results; the sum where the facts do not allow to say. Foreign bets net with nothing."""
    if market is None or not can_net(market):
        return sum_of(found, foreign)
    lost, swings = ZERO, list[Decimal]()
    for selection, (wins, loses) in found.items():
        if selection in market.removed:
            continue
        if selection not in market.runners:  # the facts are of another market than the orders
            return sum_of(found, foreign)
        lost += loses
        swings.append(wins - loses)
    # A winner turns its "loses" into its "wins": the worst result has the winners that change it least for the better.
    unbet = len(market.runners) - len(swings) if market.complete else market.winners
    swings += [ZERO] * min(unbet, market.winners)
    result = lost + sum(sorted(swings)[: market.winners], ZERO)
    return round_up(max(ZERO, -result)) + sum(foreign.values(), ZERO)


def counted(found: Results, foreign: Mapping[int, Decimal], market: Market | None, *, netting: bool) -> Decimal:
    """Return what rule 4 counts for a market."""
    return net_of(found, foreign, market) if netting else sum_of(found, foreign)


def counted_exposure(
    orders: Iterable[Order], foreign: Mapping[int, Decimal], market: Market | None, *, netting: bool
) -> Decimal:
    """Return what rule 4 counts for a market's orders."""
    return counted(results(orders), foreign, market, netting=netting)
