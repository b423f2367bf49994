"""Prices, sizes and money: the only file that rounds.

Money is `Decimal` in the account's currency with two decimals; a price is decimal odds on Betfair's CLASSIC ladder
(1.01 .. 1000).
"""

from bisect import bisect_left, bisect_right
from decimal import ROUND_CEILING, ROUND_DOWN, ROUND_HALF_UP, Decimal
from enum import StrEnum
from typing import Final

PENNY: Final = Decimal("0.01")
ZERO: Final = Decimal(0)
ONE: Final = Decimal(1)

# (from, step): Betfair "Additional Information", price increments of the CLASSIC ladder.
_STEPS: Final = (
    ("1.01", "0.01"),
    ("2", "0.02"),
    ("3", "0.05"),
    ("4", "0.1"),
    ("6", "0.2"),
    ("10", "0.5"),
    ("20", "1"),
    ("30", "2"),
    ("50", "5"),
    ("100", "10"),
)
_TOP: Final = Decimal(1000)


def _ladder() -> tuple[Decimal, ...]:
    rungs: list[Decimal] = []
    bounds = [Decimal(start) for start, _ in _STEPS] + [_TOP]
    for (start, step), end in zip(_STEPS, bounds[1:], strict=True):
        price = Decimal(start)
        while price < end:
            rungs.append(price.quantize(PENNY))
            price += Decimal(step)
    return (*rungs, _TOP.quantize(PENNY))


LADDER: Final = _ladder()


class Side(StrEnum):
    """Which side of the bet is the customer's, in Betfair's words."""

    BACK = "BACK"
    LAY = "LAY"


def is_on_ladder(price: Decimal) -> bool:
    """Tell whether `price` is a rung of the CLASSIC ladder."""
    at = bisect_left(LADDER, price)
    return at < len(LADDER) and LADDER[at] == price


def is_on_finest(price: Decimal) -> bool:
    """Tell whether `price` is a rung of the FINEST ladder: every penny from 1.01 to 1000."""
    return LADDER[0] <= price <= _TOP and price == price.quantize(PENNY)


def rung_at_or_below(price: Decimal) -> Decimal:
    """Return the highest rung of the CLASSIC ladder that is not above `price`, the lowest rung when there is none."""
    return LADDER[max(0, bisect_right(LADDER, price) - 1)]


def to_size(amount: Decimal) -> Decimal:
    """Round a stake down to whole pennies."""
    return amount.quantize(PENNY, rounding=ROUND_DOWN)


def to_money(amount: Decimal) -> Decimal:
    """Round an amount that the exchange reported (it travels as a binary float) to the nearest penny."""
    return amount.quantize(PENNY, rounding=ROUND_HALF_UP)


def round_up(amount: Decimal) -> Decimal:
    """Round a risk up to whole pennies."""
    return amount.quantize(PENNY, rounding=ROUND_CEILING)
