"""settle_orders: the exchange's verdicts become profits, and profits become the day's P&L.

Invariants: P&L is recomputed from per-bet records and never added to, so that reading a settlement twice books it once;
a later, different verdict replaces the earlier one, also on another day. A bet's P&L is booked before its order is
changed: whoever dies in between finds the order as it was and does it all again.

Commission is a market's, over all our bets of it that are settled so far, whenever that was: the exchange's own figure,
else the configured rate on their net winnings, rounded up to the penny. It is shared among the bets that won, in
proportion to their profits, to the penny; the last of them (by order id) takes what rounding left. Profit is before
commission, net after.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final

import structlog

from executor.domain.money import ZERO, round_up, to_money
from executor.domain.order import Order, OrderStatus, merge
from executor.domain.order import settle as settle_order
from executor.domain.times import day
from executor.engine.context import Engine
from executor.engine.evidence import Rewritten, adopt, cleared_state, reference, rewrite
from executor.errors import Contended
from executor.ports import ClearedBet, ClearedKind

log = structlog.get_logger(__name__)

_DAY_MS: Final = 24 * 3600 * 1000
_RECORDED_MS: Final = 7 * _DAY_MS  # orders, and each day's bets, are in Redis for at least this long
_BATCH: Final = 100  # orders changed by one commit
PAPER_POSITION_MS: Final = _DAY_MS  # contract section 5: a paper position ends 24 h after its fill
_VERDICTS: Final = (ClearedKind.SETTLED, ClearedKind.VOIDED)
_RESTS: Final = (ClearedKind.CANCELLED, ClearedKind.LAPSED)  # what became of a matched bet's other part

Days = dict[str, dict[str, Decimal]]  # UTC day -> bet id -> net profit
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
    last = engine.desk.settled_at()
    if last is None:
        engine.desk.restore_pnl(engine.ledger.profits(engine.policy.identity))
    if engine.policy.paper:
        return end_paper_positions(engine, older_than_ms=PAPER_POSITION_MS)
    since = last - _DAY_MS if last is not None else _oldest(engine, now)
    recent = _markets(engine, [row for kind in _VERDICTS for row in engine.exchange.settled_since(since, kind)])
    charged = engine.exchange.commissions(list(recent)) if recent else {}
    days: Days = {}
    news = []
    for market in recent.values():
        if not _is_booked(market, charged.get(market.market_id)):
            news.append(market.market_id)
        for order in market.known.values():
            _note(days, order)
    whole = _markets(engine, [row for kind in _VERDICTS for row in engine.exchange.settled_in(news, kind)])
    verdicts = {one: _verdicts(engine, market, charged.get(one), now) for one, market in whole.items()}
    _add_rests(engine, whole.values())
    for market in whole.values():
        _book_days(market, verdicts[market.market_id], days)
    _recall(engine, whole.values(), days, now)
    engine.desk.book_profits(days)
    changed, complete = 0, True
    for market in whole.values():
        try:
            changed += _settle_market(engine, market, verdicts[market.market_id])
        except Contended as error:
            log.warning("settlement_postponed", market_id=market.market_id, error=str(error))
            complete = False
    if complete:
        engine.desk.book_profits({}, settled_at=now)
    return changed


def _oldest(engine: Engine, now: int) -> int:
    """Return the start of the day, or of the oldest bet that waits for its settlement in Redis or in the ledger."""
    booked = engine.ledger.oldest_unsettled(engine.policy.identity)
    waiting = [order.created_at for order in engine.store.unsettled_orders()]
    return min([now - _DAY_MS, *waiting, *([] if booked is None else [booked])])


def _markets(engine: Engine, rows: Iterable[ClearedBet]) -> dict[str, _Market]:
    """Group rows by market and order; a second bet under an order's reference is an order of its own."""
    every = list(rows)
    names = {reference(row) for row in every} | {f"bet-{row.bet_id}" for row in every}
    known = {order.order_id: order for order in engine.store.orders(sorted(names))}
    grouped: dict[str, Rows] = {}
    for row in every:
        name = reference(row)
        first = known.get(name)
        if first is not None and first.bet_id not in {"", row.bet_id}:
            name = f"bet-{row.bet_id}"
        grouped.setdefault(row.market_id, {}).setdefault(name, []).append(row)
    return {
        market_id: _Market(market_id, own, {name: known[name] for name in own if name in known})
        for market_id, own in grouped.items()
    }


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


def _profit(rows: Iterable[ClearedBet]) -> Decimal:
    return sum((row.profit for row in rows if row.kind is ClearedKind.SETTLED), ZERO)


def _is_booked(market: _Market, charged: Decimal | None) -> bool:
    """Tell whether everything that these rows say is in the orders' records already."""
    for name, rows in market.rows.items():
        order = market.known.get(name)
        if order is None:
            return False
        voided = sum((row.size_settled for row in rows if row.kind is ClearedKind.VOIDED), ZERO)
        if order.size_voided < voided or order.profit != _profit(rows):
            return False
        settled = any(row.kind is ClearedKind.SETTLED for row in rows)
        if settled and day(order.settled_at) != day(max(row.settled_at for row in rows)):
            return False
        if not order.is_over:
            return False
    commission = sum((order.commission for order in market.known.values()), ZERO)
    return charged is None or charged == commission


def _verdicts(engine: Engine, market: _Market, charged: Decimal | None, now: int) -> dict[str, _Verdict]:
    profits = {name: _profit(rows) for name, rows in market.rows.items()}
    net = sum(profits.values(), ZERO)
    commission = charged if charged is not None else round_up(max(net, ZERO) * engine.policy.commission_rate)
    shares = share_commission(profits, commission)
    return {
        name: _Verdict(profits[name], shares[name], max(row.settled_at for row in rows) or now)
        for name, rows in market.rows.items()
    }


def _note(days: Days, order: Order) -> None:
    if order.status is OrderStatus.SETTLED:
        days.setdefault(day(order.settled_at), {})[order.bet_id] = order.net_profit


def _book_days(market: _Market, verdicts: Mapping[str, _Verdict], days: Days) -> None:
    for name, rows in market.rows.items():
        verdict, before, bet_id = verdicts[name], market.known.get(name), rows[0].bet_id
        if before is not None and before.settled_at and day(before.settled_at) != day(verdict.settled_at):
            days.setdefault(day(before.settled_at), {})[bet_id] = ZERO  # settled again, on another day
        days.setdefault(day(verdict.settled_at), {})[bet_id] = verdict.profit - verdict.commission


def _recall(engine: Engine, markets: Iterable[_Market], days: Days, now: int) -> None:
    """Bring back from the ledger what Redis has forgotten of the days that change, so that none is summed in part."""
    forgotten = {rows[0].bet_id for market in markets for name, rows in market.rows.items() if name not in market.known}
    if not forgotten and min(days, default=day(now)) >= day(now - _RECORDED_MS):
        return
    history = engine.ledger.profits(engine.policy.identity)
    for then, bets in history.items():
        for bet_id in forgotten & set(bets):
            days.setdefault(then, {}).setdefault(bet_id, ZERO)  # settled again, on another day
    engine.desk.restore_pnl({then: history[then] for then in days if then in history})


def _settle_market(engine: Engine, market: _Market, verdicts: Mapping[str, _Verdict]) -> int:
    def take(order: Order, now: int) -> Rewritten:
        return _book(order, market.rows[order.order_id], verdicts[order.order_id], now)

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


def _book(order: Order, rows: Sequence[ClearedBet], verdict: _Verdict, now: int) -> Rewritten:
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
    if engine.desk.settled_at() is None or changed:
        engine.desk.book_profits({}, settled_at=now)
    return changed


def rebuild_pnl(engine: Engine) -> None:
    """Bring back P&L that Redis has lost: older days from the ledger, the rest from the exchange."""
    if engine.desk.settled_at() is None:
        settle(engine)
