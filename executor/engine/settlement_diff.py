"""Which of the bets that were settled of late are not booked yet: nearly everything that a read returns is.

Invariant: what is kept does not grow with the bets. They are read and compared page by page; of a market stay the
number of its bets and the commission booked on them, of a bet nothing, unless a part of it is void (the parts are in
two lists) or Redis has lost its profit.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from executor.domain.commission import MarketCharge, commission_due
from executor.domain.money import ZERO
from executor.domain.order import Order, OrderStatus
from executor.domain.times import day
from executor.engine.cleared_rows import to_settle
from executor.engine.engine import Engine
from executor.engine.reports import reference
from executor.ports import ClearedBet, ClearedKind

VERDICTS: Final = (ClearedKind.SETTLED, ClearedKind.VOIDED)  # in this order: see `_Reading.take`

Days = dict[str, dict[str, Decimal]]  # UTC day -> bet id -> net profit


@dataclass(frozen=True, slots=True)
class Unbooked:
    """What a read of settlements says that is not booked."""

    markets: Mapping[str, int]  # id of a market with such bets -> how many bets of it were read
    charged: Mapping[str, MarketCharge]  # id of such a market -> the account's commission, where the exchange says it
    days: Days  # each day of what is booked -> the profits that Redis has lost of it


def find_unbooked(engine: Engine, since: int) -> Unbooked:
    """Compare what was settled at or after `since` with the orders' records."""
    reading = _Reading(engine, since)
    for kind in VERDICTS:
        for page in engine.exchange.settled_since(since, kind):
            reading.take(to_settle(engine, kind, page))
    return reading.end()


def owners(engine: Engine, rows: Sequence[ClearedBet]) -> tuple[list[str], dict[str, Order]]:
    """Name each row's order, and return those of them that are known.

    A second bet under an order's reference is an order of its own; a row that lost its reference belongs to its bet's.
    """
    by_bet = engine.store.owners(row.bet_id for row in rows)
    wanted = {reference(row) for row in rows} | {f"bet-{row.bet_id}" for row in rows} | set(by_bet.values())
    known = {order.order_id: order for order in engine.store.orders(sorted(wanted))}
    names = []
    for row in rows:
        if by_bet.get(row.bet_id) in known:
            names.append(by_bet[row.bet_id])
            continue
        first = known.get(reference(row))
        is_second = first is not None and first.bet_id not in {"", row.bet_id}
        names.append(f"bet-{row.bet_id}" if is_second else reference(row))
    return names, known


def profit_of(rows: Iterable[ClearedBet]) -> Decimal:
    """Return what a bet won or lost, before commission."""
    return sum((row.profit for row in rows if row.kind is ClearedKind.SETTLED), ZERO)


def is_settled(rows: Iterable[ClearedBet]) -> bool:
    """Tell whether a part of a bet is settled, not only void."""
    return any(row.kind is ClearedKind.SETTLED for row in rows)


def settled_at(rows: Sequence[ClearedBet]) -> int:
    """Return when a bet's profit was made: a void of a part, then or later, moves it to no other day."""
    own = [row.settled_at for row in rows if row.kind is ClearedKind.SETTLED]
    return max(own or [row.settled_at for row in rows])


def _is_booked(order: Order, rows: Sequence[ClearedBet], since: int) -> bool:
    """Tell whether everything that these rows, all that were read of it since then, say is in the order's record."""
    voided = sum((row.size_settled for row in rows if row.kind is ClearedKind.VOIDED), ZERO)
    if order.size_voided < voided:
        return False
    if not is_settled(rows):
        if order.size_matched == ZERO:
            return order.size_voided > ZERO and order.profit == ZERO
        # Of a row without a size nobody knows which part is void; nor was a profit read that is older than the read.
        return voided > ZERO and (order.status is not OrderStatus.SETTLED or order.settled_at < since)
    if order.status is not OrderStatus.SETTLED:
        return False
    size = sum((row.size_settled for row in rows if row.kind is ClearedKind.SETTLED), ZERO)
    if order.profit != profit_of(rows) or size > order.size_matched:
        return False
    return day(order.settled_at) == day(settled_at(rows))


@dataclass(slots=True)
class _Seen:
    """A market, so far."""

    bets: int = 0
    profit: Decimal = ZERO
    commission: Decimal = ZERO
    is_news: bool = False


@dataclass(slots=True)
class _Reading:
    """The pages, taken in one by one."""

    engine: Engine
    since: int
    markets: dict[str, _Seen] = field(default_factory=dict)
    parts: dict[str, tuple[Order, list[ClearedBet]]] = field(default_factory=dict)  # of bets void in part
    days: Days = field(default_factory=dict)

    def take(self, page: Sequence[ClearedBet]) -> None:
        """Compare a page; what settled comes before what is void, so that the rest of a bet void in part is known."""
        names, known = owners(self.engine, page)
        booked: Days = {}
        void: dict[str, int] = {}  # bet id -> when it was placed; wholly void, so that it must be booked nowhere
        for name, row in zip(names, page, strict=True):
            seen = self.markets.setdefault(row.market_id, _Seen())
            seen.bets += 1
            order = known.get(name)
            if order is None:
                seen.is_news = True
                continue
            if order.status is OrderStatus.SETTLED:
                booked.setdefault(day(order.settled_at), {})[order.bet_id] = order.net_profit
            elif order.status is OrderStatus.VOIDED:
                void[order.bet_id] = row.placed_at
            self._compare(seen, name, order, row)
        self._note_days(booked, void)

    def _compare(self, seen: _Seen, name: str, order: Order, row: ClearedBet) -> None:
        is_settled_part = row.kind is ClearedKind.SETTLED
        if is_settled_part:  # what is void alone has none
            seen.profit += row.profit
            seen.commission += order.commission
        if name in self.parts or (is_settled_part and order.size_voided):
            self.parts.setdefault(name, (order, []))[1].append(row)
        elif not _is_booked(order, [row], self.since):
            seen.is_news = True

    def _note_days(self, booked: Days, void: Mapping[str, int]) -> None:
        lost = self.engine.accounts.unbooked(booked)
        for then in booked:
            self.days.setdefault(then, {}).update(lost.get(then, {}))
        if void:
            for then, bets in self.engine.accounts.booked_days(void, day(min(void.values()))).items():
                self.days.setdefault(then, {}).update(dict.fromkeys(bets, ZERO))

    def end(self) -> Unbooked:
        """Compare what only all pages together show, and the commission."""
        for order, rows in self.parts.values():
            self.markets[rows[0].market_id].is_news |= not _is_booked(order, rows, self.since)
        charged = self.engine.exchange.commissions(list(self.markets)) if self.markets else {}
        news = {
            market_id: seen.bets
            for market_id, seen in self.markets.items()
            if seen.is_news or (market_id in charged and self._owes_more_or_less(seen, charged[market_id]))
        }
        return Unbooked(news, {market_id: charged[market_id] for market_id in news if market_id in charged}, self.days)

    def _owes_more_or_less(self, seen: _Seen, charge: MarketCharge) -> bool:
        return commission_due(seen.profit, charge, self.engine.policy.commission_rate) != seen.commission
