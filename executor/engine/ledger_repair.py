"""A ledger that has less than it should: what differs from Redis, and telling it again from the exchange.

The feed itself repeats what a restored ledger has not got (`accounting`), a week far. What is older, or was lost when
Redis was set back, is told once more: of each bet that has a record, or that the exchange has settled as long ago as it
keeps it, what the ledger says otherwise. Invariant: only the feed writes to the ledger. Account currency.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final

import structlog

from executor.domain.commission import MarketCharge
from executor.domain.money import ZERO
from executor.domain.order import BetState, Order, OrderStatus, Trade, merge
from executor.domain.order import settle as settle_order
from executor.domain.times import day
from executor.engine.cleared_rows import to_settle
from executor.engine.engine import Engine
from executor.engine.reports import adopt, cleared_state, recorded_bet
from executor.engine.settled_markets import Market, SettledResult, batches, read_markets, settled_results, with_void
from executor.engine.settlement import HISTORY_MS, unread_since
from executor.engine.settlement_diff import VERDICTS, Days, is_settled
from executor.ports import Accounts, Ledger, OrderStore

log = structlog.get_logger(__name__)

_RECENT: Final = 5000  # orders that are over and have a record
_UNSEEN: Final = {  # an order's record as it was before anything was matched
    "status": OrderStatus.SUBMITTED,
    "size_matched": ZERO,
    "average_price_matched": ZERO,
    "size_cancelled": ZERO,
    "size_lapsed": ZERO,
    "size_voided": ZERO,
    "profit": ZERO,
    "commission": ZERO,
    "settled_at": 0,
}


@dataclass(frozen=True, slots=True)
class Difference:
    """A UTC day, or a bet, of which Redis and the ledger say different things."""

    what: str
    in_redis: Decimal
    in_ledger: Decimal


def find_differences(identity: str, store: OrderStore, accounts: Accounts, ledger: Ledger) -> list[Difference]:
    """Compare Redis with the ledger: each day's net P&L, and what is matched of each bet that has a record.

    Entries that wait in the feed are differences, too. Days of which Redis has lost the bets are left out.
    """
    held, booked = _sums(accounts.booked()), _sums(ledger.profits(identity))
    lost = accounts.lost_days("")
    days = sorted(day for day in {*held, *booked} - lost if held.get(day, ZERO) != booked.get(day, ZERO))
    found = [Difference(day, held.get(day, ZERO), booked.get(day, ZERO)) for day in days]
    orders = _recorded(store)
    matched = ledger.matched(identity, list(orders))
    return found + [
        Difference(f"bet {bet}", order.size_matched, matched.get(bet, ZERO))
        for bet, order in orders.items()
        if order.size_matched != matched.get(bet, ZERO)
    ]


def _recorded(store: OrderStore) -> dict[str, Order]:
    orders = [*store.recent_orders(_RECENT), *store.unsettled_orders()]
    return {order.bet_id: order for order in orders if order.bet_id}


def _sums(days: Days) -> dict[str, Decimal]:
    return {day: sum(bets.values(), ZERO) for day, bets in days.items()}


def repair_ledger(engine: Engine) -> int:
    """Tell the ledger again what it may not have got; returns how many entries were told.

    Raises:
        LedgerUnavailable: it does not say from when on.
    """
    now = engine.store.now()
    since = min(unread_since(engine, now), now - HISTORY_MS)  # what is missing may be in the middle
    told = 0
    for trades in _Books(engine, now).entries(since):
        engine.trade_feed.append(trades, engine.policy.identity)
        told += len(trades)
    log.warning("ledger_written_again", entries=told, since=since)
    return told


class _Books:
    """What the ledger has, beside what the exchange says."""

    def __init__(self, engine: Engine, now: int) -> None:
        self._engine = engine
        self._now = now
        days = engine.ledger.profits(engine.policy.identity)
        self._profits = {(bet, then): net for then, bets in days.items() for bet, net in bets.items() if net}
        self._bets = {bet for bets in days.values() for bet in bets}

    def entries(self, since: int) -> Iterator[list[Trade]]:
        """Yield what the ledger has not got, or otherwise, a few markets at a time."""
        orders = list(_recorded(self._engine.store).values())
        matched = self._matched([order.bet_id for order in orders])
        yield [trade for order in orders for trade in self._of_record(order, matched)]
        markets: dict[str, int] = {}
        for kind in VERDICTS:
            for page in self._engine.exchange.settled_since(since, kind):
                for row in to_settle(self._engine, kind, page):
                    markets[row.market_id] = markets.get(row.market_id, 0) + 1
        for names in batches(markets):
            charges = self._engine.exchange.commissions(names)
            for market in read_markets(self._engine, names):
                yield list(self._of_market(market, charges.get(market.market_id)))

    def _matched(self, bets: list[str]) -> dict[str, Decimal]:
        return self._engine.ledger.matched(self._engine.policy.identity, bets)

    def _of_record(self, order: Order, matched: Mapping[str, Decimal]) -> Iterator[Trade]:
        """Tell what an order's record says; what the exchange says beyond it will be told as news."""
        after, trades = self._seen(order, recorded_bet(order))
        if order.size_matched != matched.get(order.bet_id, ZERO):
            yield from trades
        if order.status is OrderStatus.SETTLED:
            yield from self._settled(after, SettledResult(order.profit, order.commission, order.settled_at))

    def _of_market(self, market: Market, charge: MarketCharge | None) -> Iterator[Trade]:
        """Tell what the exchange says of bets without a record; of those in open markets it will be told as news."""
        found = settled_results(self._engine, market, charge, self._now)
        unknown = {name: rows for name, rows in market.rows.items() if name not in market.known}
        matched = self._matched([rows[0].bet_id for rows in unknown.values()])
        for name, rows in unknown.items():
            if name in market.listed:
                continue
            bet = cleared_state(rows)
            after, trades = self._seen(replace(adopt(self._engine, bet), order_id=name), bet)
            if bet.size_matched != matched.get(bet.bet_id, ZERO):
                yield from with_void(after, trades, rows, self._now)[1]
            if is_settled(rows):
                yield from self._settled(after, found[name])

    def _seen(self, order: Order, bet: BetState) -> tuple[Order, tuple[Trade, ...]]:
        return merge(replace(order, **_UNSEEN), bet, self._now)  # type: ignore[arg-type]

    def _settled(self, order: Order, result: SettledResult) -> Iterator[Trade]:
        net = result.profit - result.commission
        if net == ZERO:
            has = order.bet_id in self._bets and not any(bet == order.bet_id for bet, _ in self._profits)
        else:
            has = self._profits.get((order.bet_id, day(result.settled_at))) == net
        _, entry = settle_order(order, result.profit, result.commission, result.settled_at)
        if entry is not None and not has:
            yield entry
