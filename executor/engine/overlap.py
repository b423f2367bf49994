"""What is news among the bets that were settled of late: nearly everything that a read returns is booked already.

Invariant: what is kept does not grow with the bets. They are read and compared page by page; of a market stay the
number of its bets and the commission booked on them, of a bet nothing, unless a part of it is void (the parts are in
two lists) or Redis has lost its profit.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from executor.domain.money import ZERO
from executor.domain.order import Order, OrderStatus
from executor.domain.times import day
from executor.engine.context import Engine
from executor.engine.reports import reference
from executor.ports import ClearedBet, ClearedKind

VERDICTS: Final = (ClearedKind.SETTLED, ClearedKind.VOIDED)  # in this order: see `_Reading.take`

Days = dict[str, dict[str, Decimal]]  # UTC day -> bet id -> net profit


@dataclass(frozen=True, slots=True)
class News:
    """What a read of settlements says that is not booked."""

    markets: Mapping[str, int]  # id of a market with news -> how many bets of it were read
    charged: Mapping[str, Decimal]  # id of such a market -> its commission, where the exchange says it
    days: Days  # each day of what is booked -> the profits that Redis has lost of it
    forgotten: bool  # there are bets without a record


def find_news(engine: Engine, since: int) -> News:
    """Compare what was settled at or after `since` with the orders' records."""
    reading = _Reading(engine)
    for kind in VERDICTS:
        for page in engine.exchange.settled_since(since, kind):
            reading.take(page)
    return reading.end()


def owners(engine: Engine, rows: Sequence[ClearedBet]) -> tuple[list[str], dict[str, Order]]:
    """Name each row's order, and return those of them that are known.

    A second bet under an order's reference is an order of its own.
    """
    wanted = {reference(row) for row in rows} | {f"bet-{row.bet_id}" for row in rows}
    known = {order.order_id: order for order in engine.store.orders(sorted(wanted))}
    names = []
    for row in rows:
        first = known.get(reference(row))
        is_second = first is not None and first.bet_id not in {"", row.bet_id}
        names.append(f"bet-{row.bet_id}" if is_second else reference(row))
    return names, known


def profit_of(rows: Iterable[ClearedBet]) -> Decimal:
    """Return what a bet won or lost, before commission."""
    return sum((row.profit for row in rows if row.kind is ClearedKind.SETTLED), ZERO)


def _is_booked(order: Order, rows: Sequence[ClearedBet]) -> bool:
    """Tell whether everything that these rows, all that were read of it, say is in the order's record already."""
    voided = sum((row.size_settled for row in rows if row.kind is ClearedKind.VOIDED), ZERO)
    if order.size_voided < voided or order.profit != profit_of(rows):
        return False
    settled = any(row.kind is ClearedKind.SETTLED for row in rows)
    if settled and day(order.settled_at) != day(max(row.settled_at for row in rows)):
        return False
    return order.is_over


@dataclass(slots=True)
class _Seen:
    """A market, so far."""

    bets: int = 0
    commission: Decimal = ZERO
    is_news: bool = False


@dataclass(slots=True)
class _Reading:
    """The pages, taken in one by one."""

    engine: Engine
    markets: dict[str, _Seen] = field(default_factory=dict)
    parts: dict[str, tuple[Order, list[ClearedBet]]] = field(default_factory=dict)  # of bets void in part
    days: Days = field(default_factory=dict)
    forgotten: bool = False

    def take(self, page: Sequence[ClearedBet]) -> None:
        """Compare a page; what settled comes before what is void, so that the rest of a bet void in part is known."""
        names, known = owners(self.engine, page)
        booked: Days = {}
        for name, row in zip(names, page, strict=True):
            seen = self.markets.setdefault(row.market_id, _Seen())
            seen.bets += 1
            order = known.get(name)
            if order is None:
                seen.is_news = self.forgotten = True
                continue
            if order.status is OrderStatus.SETTLED:
                booked.setdefault(day(order.settled_at), {})[order.bet_id] = order.net_profit
            is_settled = row.kind is ClearedKind.SETTLED
            if is_settled:  # what is void alone has none
                seen.commission += order.commission
            if name in self.parts or (is_settled and order.size_voided):
                self.parts.setdefault(name, (order, []))[1].append(row)
            elif not _is_booked(order, [row]):
                seen.is_news = True
        lost = self.engine.accounts.unbooked(booked)
        for then in booked:
            self.days.setdefault(then, {}).update(lost.get(then, {}))

    def end(self) -> News:
        """Compare what only all pages together show, and the commission."""
        for order, rows in self.parts.values():
            self.markets[rows[0].market_id].is_news |= not _is_booked(order, rows)
        charged = self.engine.exchange.commissions(list(self.markets)) if self.markets else {}
        news = {
            market_id: seen.bets
            for market_id, seen in self.markets.items()
            if seen.is_news or charged.get(market_id, seen.commission) != seen.commission
        }
        return News(news, {one: charged[one] for one in news if one in charged}, self.days, self.forgotten)
