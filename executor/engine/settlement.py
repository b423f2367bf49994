"""settle_orders: the exchange's verdicts become profits, and profits become the day's P&L.

Invariants: P&L is recomputed from per-bet records and never added to, so that reading a settlement twice books it once;
a later, different verdict replaces the earlier one, also on another day. A bet's P&L is booked before its order is
changed: whoever dies in between finds the order as it was and does it all again. Memory does not grow with the bets of
the day that each read overlaps (`overlap`): whole markets are read only where something is news, a few at a time.

Commission is a market's, over all our bets of it that are settled so far, whenever that was: the exchange's own figure,
else the configured rate on their net winnings, rounded up to the penny. It is shared among the bets that won, in
proportion to their profits, to the penny; the last of them (by order id) takes what rounding left. Profit is before
commission, net after.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import cache
from typing import Final

import structlog

from executor.domain.money import ZERO, round_up, to_money
from executor.domain.order import Order, OrderStatus, merge
from executor.domain.order import settle as settle_order
from executor.domain.times import day
from executor.engine.context import Engine
from executor.engine.overlap import VERDICTS, Days, find_news, owners, profit_of
from executor.engine.reports import Rewritten, adopt, cleared_state, rewrite
from executor.errors import Contended
from executor.ports import ClearedBet, ClearedKind

log = structlog.get_logger(__name__)

_DAY_MS: Final = 24 * 3600 * 1000
_RECORDED_MS: Final = 7 * _DAY_MS  # orders, and each day's bets, are in Redis for at least this long
_BATCH: Final = 100  # orders changed by one commit
_AT_ONCE: Final = 1000  # bets held in memory: as many whole markets as these fill, one at least
PAPER_POSITION_MS: Final = _DAY_MS  # contract section 5: a paper position ends 24 h after its fill
_RESTS: Final = (ClearedKind.CANCELLED, ClearedKind.LAPSED)  # what became of a matched bet's other part

Rows = dict[str, list[ClearedBet]]  # order id -> its rows


@dataclass(frozen=True, slots=True)
class _Verdict:
    profit: Decimal
    commission: Decimal
    settled_at: int


@dataclass(frozen=True, slots=True)
class _Market:
    """A market's bets that are settled or void, and the orders that they belong to, as far as known."""

    market_id: str
    rows: Rows
    known: Mapping[str, Order]


@dataclass(frozen=True, slots=True)
class _Read:
    """What is the same for all the markets of one read."""

    now: int
    charged: Mapping[str, Decimal]  # market id -> commission, where the exchange says it
    held_from: str  # the first UTC day of which Redis surely has all bets
    history: Callable[[], Days]  # the ledger's, asked for where it is needed


def share_commission(profits: Mapping[str, Decimal], commission: Decimal) -> dict[str, Decimal]:
    """Share a market's commission among its winning bets by profit; none is a penny off, the sum is exact."""
    winners = {name: profit for name, profit in sorted(profits.items()) if profit > ZERO}
    won = sum(winners.values(), ZERO)
    shares = dict.fromkeys(profits, ZERO)
    reached, taken = ZERO, ZERO
    for name, profit in winners.items():
        reached += profit
        up_to_here = commission if reached == won else to_money(commission * reached / won)
        shares[name] = up_to_here - taken
        taken = up_to_here
    return shares


def settle(engine: Engine) -> int:
    """Take in what was settled since the last complete read, with a day's overlap; returns how many orders changed."""
    now = engine.store.now()
    last = engine.accounts.settled_at()
    history = cache(lambda: engine.ledger.profits(engine.policy.identity))
    if last is None:
        engine.accounts.restore_pnl(history())
    if engine.policy.paper:
        return end_paper_positions(engine, older_than_ms=PAPER_POSITION_MS)
    since = last - _DAY_MS if last is not None else _oldest(engine, now)
    news = find_news(engine, since)
    # Where records of orders are gone, a day's bets may be, too.
    held_from = day(now + _DAY_MS if news.forgotten else now - _RECORDED_MS)
    if min(news.days, default=day(now)) < held_from:
        _recall(engine, news.days, history())
    engine.accounts.book_profits(news.days)
    read = _Read(now, news.charged, held_from, history)
    changed, complete = 0, True
    for names in _batches(news.markets):
        taken, whole = _take_in(engine, names, read)
        changed += taken
        complete = complete and whole
    if complete:
        engine.accounts.book_profits({}, settled_at=now)
    return changed


def _take_in(engine: Engine, names: Sequence[str], read: _Read) -> tuple[int, bool]:
    """Book these markets and settle their orders; returns how many changed, and whether all could be."""
    markets = _markets(engine, names)
    verdicts = {market.market_id: _verdicts(engine, market, read) for market in markets}
    _add_rests(engine, markets)
    _book(engine, markets, verdicts, read)
    changed, whole = 0, True
    for market in markets:
        try:
            changed += _settle_market(engine, market, verdicts[market.market_id])
        except Contended as error:
            log.warning("settlement_postponed", market_id=market.market_id, error=str(error))
            whole = False
    return changed, whole


def _oldest(engine: Engine, now: int) -> int:
    """Return the start of the day, or of the oldest bet that waits for its settlement in Redis or in the ledger."""
    booked = engine.ledger.oldest_unsettled(engine.policy.identity)
    waiting = [order.created_at for order in engine.store.unsettled_orders()]
    return min([now - _DAY_MS, *waiting, *([] if booked is None else [booked])])


def _batches(markets: Mapping[str, int]) -> Iterator[list[str]]:
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


def _markets(engine: Engine, names: Sequence[str]) -> list[_Market]:
    """Read whole markets: every bet that is settled or void, whenever that was."""
    rows = [row for kind in VERDICTS for row in engine.exchange.settled_in(names, kind)]
    order_ids, known = owners(engine, rows)
    grouped: dict[str, Rows] = {}
    for order_id, row in zip(order_ids, rows, strict=True):
        grouped.setdefault(row.market_id, {}).setdefault(order_id, []).append(row)
    return [
        _Market(market_id, own, {name: known[name] for name in own if name in known})
        for market_id, own in grouped.items()
    ]


def _add_rests(engine: Engine, markets: Iterable[_Market]) -> None:
    """Add what lapsed or was cancelled of bets whose end is news: a settled order is asked for no more."""
    open_ended = [
        rows
        for market in markets
        for name, rows in market.rows.items()
        if rows[0].order_id and _is_open_ended(market.known.get(name), rows)
    ]
    names = sorted({rows[0].order_id for rows in open_ended})
    for at in range(0, len(names), _BATCH):
        batch = names[at : at + _BATCH]
        rests = [row for kind in _RESTS for row in engine.exchange.find_cleared(batch, kind)]
        for rows in open_ended:
            rows += [row for row in rests if row.bet_id == rows[0].bet_id]


def _is_open_ended(order: Order | None, rows: Sequence[ClearedBet]) -> bool:
    if order is None:
        return True
    ended = sum((row.size_settled for row in rows), order.size_cancelled + order.size_lapsed)
    return order.status is not OrderStatus.SETTLED and ended < order.size


def _verdicts(engine: Engine, market: _Market, read: _Read) -> dict[str, _Verdict]:
    profits = {name: profit_of(rows) for name, rows in market.rows.items()}
    commission = read.charged.get(market.market_id)
    if commission is None:
        commission = round_up(max(sum(profits.values(), ZERO), ZERO) * engine.policy.commission_rate)
    shares = share_commission(profits, commission)
    return {
        name: _Verdict(profits[name], shares[name], max(row.settled_at for row in rows) or read.now)
        for name, rows in market.rows.items()
    }


def _book(
    engine: Engine, markets: Iterable[_Market], verdicts: Mapping[str, Mapping[str, _Verdict]], read: _Read
) -> None:
    """Book what these markets' bets won and lost; what Redis has forgotten of the days comes back first."""
    days: Days = {}
    forgotten = set()
    for market in markets:
        for name, rows in market.rows.items():
            verdict, before, bet_id = verdicts[market.market_id][name], market.known.get(name), rows[0].bet_id
            if before is None:
                forgotten.add(bet_id)
            elif before.settled_at and day(before.settled_at) != day(verdict.settled_at):
                days.setdefault(day(before.settled_at), {})[bet_id] = ZERO  # settled again, on another day
            days.setdefault(day(verdict.settled_at), {})[bet_id] = verdict.profit - verdict.commission
    if forgotten or min(days, default=read.held_from) < read.held_from:
        for then, bets in read.history().items():
            for bet_id in forgotten & set(bets):
                days.setdefault(then, {}).setdefault(bet_id, ZERO)  # likewise
        _recall(engine, days, read.history())
    engine.accounts.book_profits(days)


def _recall(engine: Engine, days: Iterable[str], history: Days) -> None:
    """Bring back from the ledger what Redis has forgotten of days that change, so that none is summed in part."""
    engine.accounts.restore_pnl({then: history[then] for then in days if then in history})


def _settle_market(engine: Engine, market: _Market, verdicts: Mapping[str, _Verdict]) -> int:
    def take(order: Order, now: int) -> Rewritten:
        return _apply(order, market.rows[order.order_id], verdicts[order.order_id], now)

    names = list(market.rows)
    changed: list[Order] = []
    for at in range(0, len(names), _BATCH):
        batch = names[at : at + _BATCH]
        signals = {market.known[name].signal_id for name in batch if name in market.known}
        fresh = {name: _adopted(engine, name, market.rows[name]) for name in batch if name not in market.known}
        changed += rewrite(engine, market.market_id, batch, signals, take, fresh)
    for order in changed:
        log.info("order_settled", order_id=order.order_id, profit=order.profit, commission=order.commission)
    return len(changed)


def _adopted(engine: Engine, name: str, rows: Sequence[ClearedBet]) -> Order:
    return replace(adopt(engine, cleared_state(rows)), order_id=name)


def _apply(order: Order, rows: Sequence[ClearedBet], verdict: _Verdict, now: int) -> Rewritten:
    merged, trades = merge(order, cleared_state(rows), now)
    if merged.status is not OrderStatus.SETTLED and not any(row.kind is ClearedKind.SETTLED for row in rows):
        return merged, trades
    settled, entry = settle_order(merged, verdict.profit, verdict.commission, verdict.settled_at)
    return settled, [*trades, *([entry] if entry else [])]


def end_paper_positions(engine: Engine, *, older_than_ms: int, market_id: str | None = None) -> int:
    """End paper positions with profit 0; returns how many orders changed."""
    now = engine.store.now()
    due = [
        order
        for order in engine.store.unsettled_orders()
        if order.paper
        and order.status is OrderStatus.MATCHED
        and now - order.matched_at >= older_than_ms
        and market_id in {None, order.market_id}
    ]

    def take(order: Order, at: int) -> Rewritten:
        settled, entry = settle_order(order, ZERO, ZERO, at)
        return settled, [entry] if entry else []

    changed = 0
    for market in dict.fromkeys(order.market_id for order in due):
        own = [order for order in due if order.market_id == market]
        changed += len(rewrite(engine, market, [o.order_id for o in own], {o.signal_id for o in own}, take))
    if engine.accounts.settled_at() is None or changed:
        engine.accounts.book_profits({}, settled_at=now)
    return changed


def rebuild_pnl(engine: Engine) -> None:
    """Bring back P&L that Redis has lost: older days from the ledger, the rest from the exchange."""
    if engine.accounts.settled_at() is None:
        settle(engine)
