"""Prices, sizes and money: the only file that rounds.

Money is `Decimal` in the account's currency with two decimals; a price is decimal odds on Betfair's CLASSIC ladder
(1.01 .. 1000). Every rounding here is against us: a size never grows, a price never gets worse than asked, a liability
and an exposure are rounded up. It also owns how a number may be spelt by others.
"""

import re
from bisect import bisect_left, bisect_right
from decimal import ROUND_CEILING, ROUND_DOWN, ROUND_FLOOR, ROUND_HALF_UP, Decimal
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
# ASCII digits only, no NaN, Infinity or "1_000"; the bounds keep a slip like 1e-999999 from becoming a megabyte of
# zeros in a message.
_NUMBER: Final = re.compile(r"[+-]?(?:[0-9]{1,32}(?:\.[0-9]{0,32})?|\.[0-9]{1,32})(?:[eE][+-]?[0-9]{1,3})?", re.ASCII)


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
MIN_PRICE: Final = LADDER[0]
MAX_PRICE: Final = LADDER[-1]


class Side(StrEnum):
    """Which side of the bet is ours, in Betfair's words."""

    BACK = "BACK"
    LAY = "LAY"


def parse_number(text: str) -> Decimal:
    """Read a number that somebody else wrote.

    Raises:
        ValueError: it is not a plain decimal number.
    """
    if not _NUMBER.fullmatch(stripped := text.strip()):
        raise ValueError("a plain decimal number is expected")
    return Decimal(stripped)


def is_on_ladder(price: Decimal) -> bool:
    """Tell whether `price` is a rung of the CLASSIC ladder."""
    at = bisect_left(LADDER, price)
    return at < len(LADDER) and LADDER[at] == price


def to_rung(price: Decimal, side: Side) -> Decimal:
    """Move `price` to the nearest rung that is no worse for us: a back up, a lay down.

    Beyond the ladder's ends the price comes back unchanged: the odds range rule judges it.
    """
    if not MIN_PRICE <= price <= MAX_PRICE:
        return price
    if side is Side.BACK:
        return LADDER[bisect_left(LADDER, price)]
    return LADDER[bisect_right(LADDER, price) - 1]


_EXACT: Final = Decimal("0.00000001")  # contract section 3: what is beyond is a float's noise


def to_size(amount: Decimal) -> Decimal:
    """Round a stake down to whole pennies, once what a binary float added or lost is gone: 1.9999999999999998 is 2."""
    return amount.quantize(_EXACT, rounding=ROUND_HALF_UP).quantize(PENNY, rounding=ROUND_DOWN)


def to_money(amount: Decimal) -> Decimal:
    """Round an amount that the exchange reported (it travels as a binary float) to the nearest penny."""
    return amount.quantize(PENNY, rounding=ROUND_HALF_UP)


def round_up(amount: Decimal) -> Decimal:
    """Round a risk up to whole pennies, never understating it."""
    return amount.quantize(PENNY, rounding=ROUND_CEILING)


def round_down(amount: Decimal) -> Decimal:
    """Round an income down to whole pennies, never overstating it."""
    return amount.quantize(PENNY, rounding=ROUND_FLOOR)


# Betfair: Additional Information, Currency Parameters: the smallest size of a bet, in the account's currency.
_MINIMUMS: Final = {
    **dict.fromkeys(("GBP", "EUR", "USD"), 1),
    **dict.fromkeys(("CAD", "SGD", "NZD"), 2),
    **dict.fromkeys(("AUD", "RON", "BRL", "PEN"), 5),
    **dict.fromkeys(("HKD", "NOK", "GEL"), 10),
    **dict.fromkeys(("DKK", "SEK"), 15),
    "MXN": 30,
    "ARS": 100,
    "ISK": 350,
    "HUF": 400,
}


def minimum_size(currency: str) -> Decimal:
    """Return the smallest size that the exchange takes in a currency; 0 for one that is not known."""
    return Decimal(_MINIMUMS.get(currency, 0))


def conversion_slack(currency: str) -> Decimal:
    """Return what a size may be off by after the exchange has worked with it in pounds: a penny of theirs, in ours.

    About a hundredth of the smallest size, which is worth about a pound everywhere.
    """
    return max(PENNY, minimum_size(currency) * PENNY)


def liability(side: Side, price: Decimal, size: Decimal) -> Decimal:
    """Return the most that one bet can lose: a back its size, a lay size x (price - 1), rounded up.

    reference: Potential Loss Calculation.
    """
    return size if side is Side.BACK else round_up(size * (price - ONE))
