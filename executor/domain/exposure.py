"""Exposure: the most that a set of orders can lose, derived from the orders each time.

Owns the arithmetic of one selection (Betfair holds the worst outcome; an unmatched opposing order never reduces risk)
and of a market: the sum over its selections, which holds for any number of winners without knowing the market.
Money in account currency, rounded up to pennies.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from executor.domain.money import ONE, ZERO, Side, round_up
from executor.domain.order import Order, OrderStatus

Result = tuple[Decimal, Decimal]  # of one selection, if it wins and if it loses
Results = Mapping[int, Result]


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


def exposure_key(order: Order | None) -> tuple[object, ...]:
    """Return all of an order that `exposures` depends on; nothing of one that does not count."""
    if order is None or not order.counts:
        return ()
    return (
        order.selection_id,
        order.side,
        order.size_open and order.price,
        order.size_open,
        matched_exposure_key(order),
    )


def matched_exposure_key(order: Order | None) -> tuple[object, ...]:
    """Return all of an order that `positions`, and exposures of what is matched only, depend on."""
    if order is None or not order.counts or not order.size_matched:
        return ()
    return (order.selection_id, order.side, order.size_matched, order.average_price_matched, order.matched_at)


def worst(wins: Decimal, loses: Decimal) -> Decimal:
    """Return the most that a selection can cost of which this is known."""
    return round_up(max(ZERO, -wins, -loses))


def results(orders: Iterable[Order], *, matched_only: bool = False) -> dict[int, Result]:
    """Return selection id -> what its orders bring at worst when it wins, and when it loses."""
    return {
        selection: _outcomes(group, matched_only=matched_only) for selection, group in _by_selection(orders).items()
    }


def with_order(found: Results, order: Order) -> dict[int, Result]:
    """Add an order to the results of others."""
    wins, loses = found.get(order.selection_id, (ZERO, ZERO))
    more_wins, more_loses = _outcomes((order,)) if order.counts else (ZERO, ZERO)
    return {**found, order.selection_id: (wins + more_wins, loses + more_loses)}


def _outcomes(orders: Iterable[Order], *, matched_only: bool = False) -> tuple[Decimal, Decimal]:
    """Return what one selection's orders bring at worst when it wins, and when it loses."""
    wins = loses = ZERO
    for order in orders:
        matched, still_open = order.size_matched, ZERO if matched_only else order.size_open
        back = order.side is Side.BACK
        if matched:
            gain = matched * (order.average_price_matched - ONE)
            wins, loses = (wins + gain, loses - matched) if back else (wins - gain, loses + matched)
        if still_open:
            if back:
                loses -= still_open
            else:
                wins -= still_open * (order.price - ONE)
    return wins, loses


def _by_selection(orders: Iterable[Order]) -> dict[int, list[Order]]:
    grouped: dict[int, list[Order]] = {}
    for order in orders:
        if order.counts:
            grouped.setdefault(order.selection_id, []).append(order)
    return grouped


def exposures(orders: Iterable[Order], *, matched_only: bool = False) -> dict[int, Decimal]:
    """Return selection id -> the most that its orders can lose (Betfair: exposure; betting rules section 14)."""
    found = {selection: worst(*result) for selection, result in results(orders, matched_only=matched_only).items()}
    return {selection: amount for selection, amount in found.items() if amount > ZERO or not matched_only}


def selection_exposure(orders: Iterable[Order], selection_id: int) -> Decimal:
    """Return the most that the orders on one selection can lose."""
    return exposures(order for order in orders if order.selection_id == selection_id).get(selection_id, ZERO)


def market_exposure(orders: Iterable[Order]) -> Decimal:
    """Return the sum of the selections' exposures: never below the truth, whatever the number of winners."""
    return sum(exposures(orders).values(), ZERO)


def _least_held(orders: Iterable[Order]) -> Decimal:
    outcomes = [_outcomes(group) for group in _by_selection(orders).values()]
    if len(outcomes) <= 1:
        return max([ZERO, *(-min(outcome) for outcome in outcomes)])
    lost = sum((loses for _, loses in outcomes), ZERO)
    swings = sorted(wins - loses for wins, loses in outcomes)
    return max(ZERO, -max(lost + sum(swings[:winners], ZERO) for winners in range(1, len(swings))))


def held_range(orders: Iterable[Order]) -> tuple[Decimal, Decimal]:
    """Return the least and the most that the exchange can hold for these orders, all markets.

    It nets over a market's selections by a number of winners that is not known here, and may or may not have what is
    submitted.
    """
    markets: dict[str, list[Order]] = {}
    for order in orders:
        if order.status is not OrderStatus.RESERVED:
            markets.setdefault(order.market_id, []).append(order)
    least = most = ZERO
    for group in markets.values():
        least += _least_held(order for order in group if order.status is not OrderStatus.SUBMITTED)
        most += market_exposure(group)
    return least, most


def _total(orders: Iterable[Order], side: Side) -> SideTotal:
    own = [order for order in orders if order.side is side]
    size = sum((order.size_matched for order in own), ZERO)
    if not size:
        return SideTotal(ZERO, ZERO)
    paid = sum((order.size_matched * order.average_price_matched for order in own), ZERO)
    return SideTotal(size, (paid / size).quantize(Decimal("0.0001")))


def positions(orders: Iterable[Order]) -> dict[int, Position]:
    """Return selection id -> what is matched there."""
    found: dict[int, Position] = {}
    for selection, group in _by_selection(order for order in orders if order.size_matched).items():
        found[selection] = Position(
            selection_id=selection,
            back=_total(group, Side.BACK),
            lay=_total(group, Side.LAY),
            exposure=worst(*_outcomes(group, matched_only=True)),
            changed_at=max(order.matched_at for order in group),
        )
    return found
