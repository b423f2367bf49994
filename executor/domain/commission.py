"""The commission of a market: what of the account's is ours, and how our bets share it.

Commission is the account's, on what it won in a market with all its bets, whoever placed them. Ours is the part of it
that our own bets won: never more than they alone would owe, nor more than the account pays. Account currency.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from executor.domain.money import ZERO, round_up, to_money


@dataclass(frozen=True, slots=True)
class MarketCharge:
    """What the account paid in a market, and what all its bets there won (or lost), before commission."""

    commission: Decimal
    profit: Decimal


def commission_due(net: Decimal, charge: MarketCharge | None, rate: Decimal) -> Decimal:
    """Return our commission in a market where our bets won `net`; where the exchange says nothing, at this rate.

    Where the account's other bets lost, it pays less than our bets alone would owe, and that is ours. Where they won,
    ours is the share of what our bets won; the exchange's own rate and discount are in its figure.
    """
    if net <= ZERO:
        return ZERO
    if charge is None:
        return round_up(net * rate)
    return charge.commission if charge.profit <= net else to_money(charge.commission * net / charge.profit)


def share_commission(profits: Mapping[str, Decimal], commission: Decimal) -> dict[str, Decimal]:
    """Share a market's commission among its winning bets by profit; none is a penny off, the sum is exact."""
    winners = {name: profit for name, profit in sorted(profits.items()) if profit > ZERO}
    won = sum(winners.values(), ZERO)
    shares = dict.fromkeys(profits, ZERO)
    reached, taken = ZERO, ZERO
    for name, profit in winners.items():
        reached += profit
        up_to_here = commission if reached == won else to_money(commission * reached / won)
        shares[name] = up_to_here - taken
        taken = up_to_here
    return shares
