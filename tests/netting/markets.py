"""Random markets with bets, and what they can cost by trying every result.

The reckoning here is on purpose another than the product's: it goes through all sets of winners, and for each of them
through each bet by itself, matched as far as it is and with its open part matched or not. Money as Decimal.
"""

import random
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from itertools import combinations

from support.factories import make_order

from executor.domain.market import Market
from executor.domain.money import LADDER, Side
from executor.domain.netting import counted_exposure
from executor.domain.order import Order, OrderStatus

PENNY = Decimal("0.01")
_LIVE = (OrderStatus.RESERVED, OrderStatus.SUBMITTED, OrderStatus.PENDING)
_OVER = (OrderStatus.MATCHED, OrderStatus.CANCELLED, OrderStatus.LAPSED, OrderStatus.VOIDED, OrderStatus.SETTLED)


@dataclass(frozen=True)
class Drawn:
    """A market as the exchange describes it, and the orders in it."""

    market: Market
    orders: list[Order]


def draw(seed: int, runners_max: int, winners_max: int) -> Drawn:
    """Make up a market: backs and lays, open, part matched, matched, over; runners that have left, or may yet come."""
    pick = random.Random(seed)  # noqa: S311 - a seeded market
    number = pick.randint(2, runners_max)
    removed = set(pick.sample(range(1, number + 1), pick.choice([0, 0, 0, 1, min(2, number - 1)])))
    market = Market(
        "1.1",
        "WIN",
        "ODDS",
        "CLASSIC",
        winners=pick.randint(1, winners_max),
        runners=tuple(runner for runner in range(1, number + 1) if runner not in removed),
        removed=tuple(removed),
        complete=pick.random() < 0.8,
    )
    return Drawn(market, [_order(pick, at, number) for at in range(pick.randint(0, 12))])


def _order(pick: random.Random, at: int, number: int) -> Order:
    size = Decimal(pick.randint(1, 10_000)) * PENNY
    matched = pick.choice([Decimal(0), size, (size * pick.randint(1, 99) / 100).quantize(PENNY)])
    live = pick.random() < 0.6
    gone = Decimal(0) if live and pick.random() < 0.8 else (size - matched) / 2
    return make_order(
        order_id=f"order-{at}",
        selection_id=pick.randint(1, number),
        side=pick.choice([Side.BACK, Side.LAY]),
        price=pick.choice(LADDER),
        size=size,
        size_matched=matched,
        average_price_matched=pick.choice(LADDER) if matched else Decimal(0),
        size_cancelled=gone.quantize(PENNY),
        status=pick.choice(_LIVE if live else _OVER),
    )


def brute_force(market: Market, orders: list[Order]) -> Decimal:
    """Return the most that the market can cost, by trying every result; pennies, rounded up."""
    field = list(market.runners) + ([] if market.complete else [-extra for extra in range(1, market.winners + 1)])
    taking_part = [order for order in orders if order.selection_id in market.runners]
    worst = min(
        sum((_at_worst(order, order.selection_id in winners) for order in taking_part), Decimal(0))
        for winners in combinations(field, min(market.winners, len(field)))
    )
    return max(Decimal(0), -worst).quantize(PENNY, rounding=ROUND_CEILING)


def _at_worst(order: Order, won: bool) -> Decimal:
    if order.status is OrderStatus.SETTLED:
        return Decimal(0)
    open_size = Decimal(0)
    if order.status in _LIVE:
        open_size = order.size - order.size_matched - order.size_cancelled
    return _profit(order, order.size_matched, order.average_price_matched, won) + min(
        Decimal(0), _profit(order, open_size, order.price, won)
    )


def _profit(order: Order, size: Decimal, price: Decimal, won: bool) -> Decimal:
    backer = size * price - size if won else -size
    return backer if order.side is Side.BACK else -backer


def disagreement(seed: int, runners_max: int, winners_max: int) -> str:
    """Compare both for one seed; "" where they agree."""
    drawn = draw(seed, runners_max, winners_max)
    truth = brute_force(drawn.market, drawn.orders)
    found = counted_exposure(drawn.orders, {}, drawn.market, netting=True)
    summed = counted_exposure(drawn.orders, {}, None, netting=True)
    if found == truth <= summed:
        return ""
    return f"seed {seed}: netted {found}, truth {truth}, sum {summed}: {drawn}"
