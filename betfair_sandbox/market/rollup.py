"""Best offers as they are shown: small stakes rolled into the next price (Betfair: exBestOffersOverrides)."""

from collections.abc import Iterable
from decimal import Decimal

from betfair_sandbox.market.money import ONE, ZERO


def rolled_up(levels: Iterable[tuple[Decimal, Decimal]], least: Decimal = ONE) -> list[tuple[Decimal, Decimal]]:
    """Return (price, size) of the levels, best first: less than `least` is added to the next price."""
    shown: list[tuple[Decimal, Decimal]] = []
    carried = ZERO
    for price, size in levels:
        carried += size
        if carried >= least:
            shown.append((price, carried))
            carried = ZERO
    return shown
