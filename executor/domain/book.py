"""What a market's book offers, and how much of it an order would get that does not stand in it.

Invariant: never more than was on offer at one moment, less what others of ours have already taken there; never at a
better price than was asked or offered. Sizes in whole pennies.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Final

from executor.domain.money import ZERO, Side, to_size

_PLACES: Final = Decimal("0.0001")  # of an average price; rounded to our disadvantage


@dataclass(frozen=True, slots=True)
class Level:
    """A price, and how much is offered at it."""

    price: Decimal
    size: Decimal


@dataclass(frozen=True, slots=True)
class Offers:
    """What is offered on a runner: to those who back it, and to those who lay it."""

    to_back: Sequence[Level] = ()
    to_lay: Sequence[Level] = ()


@dataclass(frozen=True, slots=True)
class Book:
    """A market's active runners; `bet_delay` in seconds, above 0 in play."""

    status: str = ""
    bet_delay: int = 0
    runners: Mapping[int, Offers] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Fillable:
    """How much of an order would be matched, and at what price on average."""

    size: Decimal = ZERO
    price: Decimal = ZERO


def take(offers: Offers, side: Side, limit: Decimal, size: Decimal, taken: Decimal) -> Fillable:
    """Return what an order of this size gets at its limit or better, after `taken` of the best has gone to others."""
    levels = [
        level
        for level in sorted(offers.to_back if side is Side.BACK else offers.to_lay, key=lambda level: level.price)
        if (level.price >= limit if side is Side.BACK else level.price <= limit) and level.size > ZERO
    ]
    if side is Side.BACK:
        levels.reverse()  # a high price is the better one
    left, got, paid = size, ZERO, ZERO
    for level in levels:
        gone = min(taken, level.size)
        taken -= gone
        some = min(left, to_size(level.size - gone))
        left, got, paid = left - some, got + some, paid + some * level.price
    return Fillable(got, averaged(paid, got, side)) if got else Fillable()


def averaged(paid: Decimal, size: Decimal, side: Side) -> Decimal:
    """Return the average price of what was matched, rounded to our disadvantage."""
    return (paid / size).quantize(_PLACES, ROUND_FLOOR if side is Side.BACK else ROUND_CEILING)
