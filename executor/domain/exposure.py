"""Exposure: the most that a set of orders can lose, derived from the orders each time.

Owns the arithmetic of one selection (Betfair holds the worst outcome; an unmatched opposing order never reduces risk)
and of a market: the sum over its selections, which holds for any number of winners without knowing the market.
Money in account currency, rounded up to pennies.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from executor.domain.money import ONE, ZERO, Side, round_up
from executor.domain.order import Order


@dataclass(frozen=True, slots=True)
class SideTotal:
    """Matched size of one side of a selection and its average price."""

    size: Decimal
    price: Decimal


@dataclass(frozen=True, slots=True)
class Position:
    """Matched bets on one selection; `exposure` is what they can lose."""

    selection_id: int
    back: SideTotal
    lay: SideTotal
    exposure: Decimal
    changed_at: int


def _worst(orders: Iterable[Order], *, matched_only: bool) -> Decimal:
    wins = loses = ZERO
    for order in orders:
        gain = order.size_matched * (order.average_price_matched - ONE)
        if order.side is Side.BACK:
            wins += gain
            loses -= order.size_matched
        else:
            wins -= gain
            loses += order.size_matched
        if not matched_only:
            if order.side is Side.BACK:
                loses -= order.size_open
            else:
                wins -= order.size_open * (order.price - ONE)
    return round_up(max(ZERO, -wins, -loses))


def _by_selection(orders: Iterable[Order]) -> dict[int, list[Order]]:
    grouped: dict[int, list[Order]] = {}
    for order in orders:
        if order.counts:
            grouped.setdefault(order.selection_id, []).append(order)
    return grouped


def exposures(orders: Iterable[Order], *, matched_only: bool = False) -> dict[int, Decimal]:
    """Return selection id -> the most that its orders can lose (Betfair: exposure; betting rules section 14)."""
    found = {selection: _worst(group, matched_only=matched_only) for selection, group in _by_selection(orders).items()}
    return {selection: amount for selection, amount in found.items() if amount > ZERO or not matched_only}


def selection_exposure(orders: Iterable[Order], selection_id: int) -> Decimal:
    """Return the most that the orders on one selection can lose."""
    return exposures(orders).get(selection_id, ZERO)


def market_exposure(orders: Iterable[Order]) -> Decimal:
    """Return the sum of the selections' exposures: never below the truth, whatever the number of winners."""
    return sum(exposures(orders).values(), ZERO)


def _total(orders: Iterable[Order], side: Side) -> SideTotal:
    own = [order for order in orders if order.side is side and order.size_matched > ZERO]
    size = sum((order.size_matched for order in own), ZERO)
    if not size:
        return SideTotal(ZERO, ZERO)
    paid = sum((order.size_matched * order.average_price_matched for order in own), ZERO)
    return SideTotal(size, (paid / size).quantize(Decimal("0.0001")))


def positions(orders: Iterable[Order]) -> dict[int, Position]:
    """Return selection id -> what is matched there."""
    found: dict[int, Position] = {}
    for selection, group in _by_selection(orders).items():
        if any(order.size_matched > ZERO for order in group):
            found[selection] = Position(
                selection_id=selection,
                back=_total(group, Side.BACK),
                lay=_total(group, Side.LAY),
                exposure=_worst(group, matched_only=True),
                changed_at=max(order.matched_at for order in group),
            )
    return found
