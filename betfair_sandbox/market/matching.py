"""The order book of one selection: price-time priority, best-price execution, partial fills.

Owns: what rests, who is matched with whom, at what price. Pure: no I/O, no clock, no randomness. Invariants: an order's
size is always the sum of its matched, remaining, lapsed, cancelled and voided parts; the book is never crossed; a taker
gets the resting order's price when that is better than its own; nobody is matched at a price worse than asked. Units:
sizes are the backer's stake in the account's currency, prices are decimal odds, both `Decimal`.
"""

from bisect import bisect_left, insort
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from betfair_sandbox.market.money import ZERO, Side, to_size

_OPPOSITE: Final = {Side.BACK: Side.LAY, Side.LAY: Side.BACK}


def opposite(side: Side) -> Side:
    """Return the side that `side` is matched with."""
    return _OPPOSITE[side]


@dataclass(slots=True, eq=False)
class Order:
    """One order with Betfair's five parts of its size; `matched_value` is the sum of price x size of its fills."""

    bet_id: int
    account: str
    side: Side
    price: Decimal
    size: Decimal
    size_remaining: Decimal = field(init=False)
    size_matched: Decimal = ZERO
    size_lapsed: Decimal = ZERO
    size_cancelled: Decimal = ZERO
    size_voided: Decimal = ZERO
    matched_value: Decimal = ZERO

    def __post_init__(self) -> None:
        self.size_remaining = self.size

    @property
    def average_price_matched(self) -> Decimal:
        """The size-weighted price of what is matched; 0 when nothing is."""
        return self.matched_value / self.size_matched if self.size_matched else ZERO

    def fill(self, price: Decimal, size: Decimal) -> None:
        """Move `size` from remaining to matched at `price`."""
        self.size_remaining -= size
        self.size_matched += size
        self.matched_value += price * size

    def void(self) -> Decimal:
        """Move all that is matched to voided; return how much that was."""
        size = self.size_matched
        self.size_voided += size
        self.size_matched = ZERO
        self.matched_value = ZERO
        return size


@dataclass(frozen=True, slots=True)
class Fill:
    """One match: the resting `maker` gave its price to the arriving `taker`."""

    maker: Order
    taker: Order
    price: Decimal
    size: Decimal


class _Queue:
    """What rests on one side: price levels, best last; within a level first come, first served.

    A level is an OrderedDict because both its head (match) and any member (cancel) leave in constant time.
    """

    __slots__ = ("_keys", "_levels", "_sign")

    def __init__(self, side: Side) -> None:
        # For a taker the best resting lay is the highest, the best resting back the lowest.
        self._sign = 1 if side is Side.LAY else -1
        self._keys: list[Decimal] = []
        self._levels: dict[Decimal, OrderedDict[int, Order]] = {}

    def add(self, order: Order) -> None:
        key = order.price * self._sign
        level = self._levels.get(key)
        if level is None:
            level = self._levels[key] = OrderedDict()
            insort(self._keys, key)
        level[order.bet_id] = order

    def remove(self, order: Order) -> None:
        key = order.price * self._sign
        level = self._levels.get(key)
        if level is None or level.pop(order.bet_id, None) is None:
            return
        if not level:
            del self._levels[key]
            del self._keys[bisect_left(self._keys, key)]

    def best(self) -> Order | None:
        if not self._keys:
            return None
        return next(iter(self._levels[self._keys[-1]].values()))

    def __iter__(self) -> Iterator[Order]:
        for key in reversed(self._keys):
            yield from self._levels[key].values()

    def levels(self) -> list[tuple[Decimal, Decimal]]:
        return [
            (key * self._sign, sum((order.size_remaining for order in self._levels[key].values()), ZERO))
            for key in reversed(self._keys)
        ]


class Book:
    """The orders that rest on one selection."""

    __slots__ = ("_queues", "revision")

    def __init__(self) -> None:
        self._queues = {side: _Queue(side) for side in Side}
        self.revision = 0  # grows with every change, so that a reader sees at once that there is none

    def best(self, side: Side) -> Order | None:
        """Return the resting order of `side` that the next taker meets first."""
        return self._queues[side].best()

    def resting(self, side: Side) -> list[Order]:
        """Return all resting orders of `side`, best first."""
        return list(self._queues[side])

    def levels(self, side: Side) -> list[tuple[Decimal, Decimal]]:
        """Return (price, size) of what rests on `side`, best for a taker first."""
        return self._queues[side].levels()

    def crosses(self, side: Side, price: Decimal) -> bool:
        """Tell whether an order of `side` at `price` would be matched at once."""
        maker = self.best(opposite(side))
        return maker is not None and _acceptable(side, price, maker.price)

    def submit(self, order: Order) -> list[Fill]:
        """Match `order` against the other side, best price first, and let the rest of it rest."""
        self.revision += 1
        makers = self._queues[opposite(order.side)]
        fills: list[Fill] = []
        while order.size_remaining:
            maker = makers.best()
            if maker is None or not _acceptable(order.side, order.price, maker.price):
                self._queues[order.side].add(order)
                break
            fills.append(self._match(maker, order, min(order.size_remaining, maker.size_remaining)))
        return fills

    def fill_or_kill(self, order: Order, min_fill: Decimal) -> list[Fill]:
        """Match at least `min_fill` of `order` at once or nothing; what is not matched lapses.

        Betfair: for FILL_OR_KILL the price limits the average price of the whole fill, not its worst fragment.
        """
        self.revision += 1
        plan: list[tuple[Order, Decimal]] = []
        taken = slack = ZERO
        for maker in self._queues[opposite(order.side)]:
            gain = maker.price - order.price if order.side is Side.BACK else order.price - maker.price
            size = min(maker.size_remaining, order.size_remaining - taken)
            if gain < 0:
                size = min(size, to_size(slack / -gain))
            if size <= 0:
                break
            plan.append((maker, size))
            taken += size
            slack += gain * size
        fills = [self._match(maker, order, size) for maker, size in plan] if taken >= min_fill else []
        self.lapse(order)
        return fills

    def move(self, order: Order, price: Decimal) -> None:
        """Let what remains of `order` rest at another price, last in its queue; it must not cross the book there."""
        self.revision += 1
        self._queues[order.side].remove(order)
        order.price = price
        self._queues[order.side].add(order)

    def meet(self, maker: Order, taker: Order, size: Decimal) -> Fill:
        """Match `size` of a resting `maker` with `taker` at the maker's price, whoever waits before it."""
        self.revision += 1
        return self._match(maker, taker, size)

    def settle(self, order: Order) -> None:
        """Note that an order was filled elsewhere: what is complete leaves its queue."""
        self.revision += 1
        self._drop_if_complete(order)

    def cancel(self, order: Order, size: Decimal | None = None) -> Decimal:
        """Take `size` (None: all) of what remains of `order` out of the book; return how much that was."""
        self.revision += 1
        cancelled = order.size_remaining if size is None else min(size, order.size_remaining)
        order.size_remaining -= cancelled
        order.size_cancelled += cancelled
        self._drop_if_complete(order)
        return cancelled

    def lapse(self, order: Order) -> Decimal:
        """Take what remains of `order` out of the book on the exchange's own account; return how much that was."""
        self.revision += 1
        lapsed = order.size_remaining
        order.size_remaining = ZERO
        order.size_lapsed += lapsed
        self._drop_if_complete(order)
        return lapsed

    def _match(self, maker: Order, taker: Order, size: Decimal) -> Fill:
        maker.fill(maker.price, size)
        taker.fill(maker.price, size)
        self._drop_if_complete(maker)
        return Fill(maker, taker, maker.price, size)

    def _drop_if_complete(self, order: Order) -> None:
        if not order.size_remaining:
            self._queues[order.side].remove(order)


def _acceptable(side: Side, asked: Decimal, offered: Decimal) -> bool:
    return offered >= asked if side is Side.BACK else offered <= asked
