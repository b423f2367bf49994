"""Markets whose bets were settled or void, read whole, and the result on each of their bets.

Invariant: profits are the exchange's; commission is a market's, over all our bets of it that are settled so far,
whenever that was, shared among those that won. Memory is bounded by `batches`: a few whole markets at a time.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Final

from executor.domain.commission import MarketCharge, commission_due, share_commission
from executor.domain.money import ZERO
from executor.domain.order import BetState, Order, OrderStatus, Trade, TradeKind
from executor.engine.cleared_rows import to_settle, without_broken_markets
from executor.engine.engine import Engine
from executor.engine.settlement_diff import VERDICTS, is_settled, owners, profit_of, settled_at
from executor.ports import ClearedBet, ClearedKind

_BATCH: Final = 100  # references per call
_AT_ONCE: Final = 1000  # bets held in memory: as many whole markets as these fill, one at least
_RESTS: Final = (ClearedKind.CANCELLED, ClearedKind.LAPSED)  # what became of a matched bet's other part

Rows = dict[str, list[ClearedBet]]  # order id -> its rows


@dataclass(frozen=True, slots=True)
class SettledResult:
    """What a bet won or lost, its share of the commission, and when that was settled."""

    profit: Decimal
    commission: Decimal
    settled_at: int


@dataclass(frozen=True, slots=True)
class Market:
    """A market's bets that are settled or void, and the orders that they belong to, as far as known."""

    market_id: str
    rows: Rows
    known: Mapping[str, Order]
    listed: dict[str, BetState] = field(default_factory=dict)  # bets of which the list of current bets says more


def batches(markets: Mapping[str, int]) -> Iterator[list[str]]:
    """Put markets together, by how many bets they have."""
    batch: list[str] = []
    bets = 0
    for market_id, number in markets.items():
        if batch and bets + number > _AT_ONCE:
            yield batch
            batch, bets = [], 0
        batch.append(market_id)
        bets += number
    if batch:
        yield batch


def read_markets(engine: Engine, names: Sequence[str]) -> list[Market]:
    """Read whole markets: every bet that is settled or void, whenever that was, and all that is known of it."""
    read = [row for kind in VERDICTS for row in to_settle(engine, kind, engine.exchange.settled_in(names, kind))]
    rows = without_broken_markets(engine, read)
    order_ids, known = owners(engine, rows)
    grouped: dict[str, Rows] = {}
    for order_id, row in zip(order_ids, rows, strict=True):
        grouped.setdefault(row.market_id, {}).setdefault(order_id, []).append(row)
    markets = [
        Market(market_id, own, {name: known[name] for name in own if name in known})
        for market_id, own in grouped.items()
    ]
    _add_rests(engine, markets)
    _add_listed(engine, markets)
    return markets


def _add_rests(engine: Engine, markets: Iterable[Market]) -> None:
    """Add what lapsed or was cancelled of bets whose end is news: a settled order is asked for no more."""
    open_ended = [
        rows for market in markets for name, rows in market.rows.items() if _is_open_ended(market.known.get(name), rows)
    ]
    bets = sorted({rows[0].bet_id for rows in open_ended})
    for at in range(0, len(bets), _BATCH):
        batch = bets[at : at + _BATCH]
        rests = [row for kind in _RESTS for row in engine.exchange.find_cleared_bets(batch, kind)]
        for rows in open_ended:
            rows += [row for row in rests if row.bet_id == rows[0].bet_id]


def _add_listed(engine: Engine, markets: Iterable[Market]) -> None:
    """Add what the list of current bets says of those whose other part nobody knows, while their market is open."""
    unclear = {
        rows[0].bet_id: (market, name)
        for market in markets
        for name, rows in market.rows.items()
        if not is_settled(rows) and (name not in market.known or not any(row.size_settled for row in rows))
    }
    bets = list(unclear)
    for at in range(0, len(bets), _BATCH):
        for bet in engine.exchange.find_bets(bets[at : at + _BATCH]):
            market, name = unclear[bet.bet_id]
            market.listed[name] = bet


def _is_open_ended(order: Order | None, rows: Sequence[ClearedBet]) -> bool:
    if order is None:
        return True
    ended = sum((row.size_settled for row in rows), order.size_cancelled + order.size_lapsed)
    return order.status is not OrderStatus.SETTLED and ended < order.size


def settled_results(engine: Engine, market: Market, charge: MarketCharge | None, now: int) -> dict[str, SettledResult]:
    """Say what each bet of a market won or lost, what of the commission it bears, and when."""
    profits = {name: profit_of(rows) for name, rows in market.rows.items()}
    commission = commission_due(sum(profits.values(), ZERO), charge, engine.policy.commission_rate)
    shares = share_commission(profits, commission)
    return {
        name: SettledResult(profits[name], shares[name], settled_at(rows) or now) for name, rows in market.rows.items()
    }


def with_void(
    order: Order, trades: tuple[Trade, ...], rows: Sequence[ClearedBet], now: int
) -> tuple[Order, tuple[Trade, ...]]:
    """Add the void entry of a bet without a record of which a part is void, if it is not said how much.

    Nobody here knows what was matched of it. The ledger may: it takes back what is more than is left.
    """
    unsized = any(row.kind is ClearedKind.VOIDED and not row.size_settled for row in rows)
    if not unsized or any(trade.kind is TradeKind.VOID for trade in trades):
        return order, trades
    order = replace(order, trade_count=order.trade_count + 1)
    return order, (*trades, Trade(TradeKind.VOID, order, order.trade_count, ZERO, order.price, now))
