"""settle_orders: the exchange's verdicts become profits, and profits become the day's P&L.

Invariants: P&L is recomputed from per-bet records and never added to, so that reading a settlement twice books it once;
a later, different verdict replaces the earlier one. Profit is before, net after commission; commission is charged on a
market's net winnings and shared among its winning bets in proportion to their profits.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

import structlog

from executor.domain.money import ZERO, round_up, to_money
from executor.domain.order import Order, OrderStatus, Trade, merge
from executor.domain.order import settle as settle_order
from executor.domain.times import day
from executor.engine.context import Engine
from executor.engine.evidence import Rewritten, adopt, cleared_state, reference, rewrite
from executor.ports import ClearedBet, ClearedKind

log = structlog.get_logger(__name__)

_DAY_MS: Final = 24 * 3600 * 1000
PAPER_POSITION_MS: Final = _DAY_MS  # contract section 5: a paper position ends 24 h after its fill

Days = dict[str, dict[str, Decimal]]  # UTC day -> bet id -> net profit


@dataclass(frozen=True, slots=True)
class _Verdict:
    profit: Decimal
    commission: Decimal
    settled_at: int


@dataclass
class _Market:
    rows: dict[str, list[ClearedBet]] = field(default_factory=dict)  # order id -> its rows


def share_commission(profits: Mapping[str, Decimal], commission: Decimal) -> dict[str, Decimal]:
    """Share a market's commission among its winning bets by profit, to the penny; the last takes the remainder."""
    winners = {name: profit for name, profit in profits.items() if profit > ZERO}
    won = sum(winners.values(), ZERO)
    shares = dict.fromkeys(profits, ZERO)
    left = commission
    for at, (name, profit) in enumerate(winners.items(), start=1):
        share = left if at == len(winners) else min(to_money(commission * profit / won), left)
        shares[name] = share
        left -= share
    return shares


def settle(engine: Engine) -> int:
    """Take in what was settled since the last complete read, with a day's overlap; returns how many orders changed."""
    now = engine.store.now()
    if engine.policy.paper:
        return end_paper_positions(engine, older_than_ms=PAPER_POSITION_MS)
    last = engine.desk.settled_at()
    since = last - _DAY_MS if last is not None else _oldest(engine, now)
    markets: dict[str, _Market] = {}
    for kind in (ClearedKind.SETTLED, ClearedKind.VOIDED):
        for row in engine.exchange.settled_since(since, kind):
            markets.setdefault(row.market_id, _Market()).rows.setdefault(reference(row), []).append(row)
    charged = engine.exchange.commissions(list(markets), since) if markets else {}
    days: Days = {}
    changed = 0
    for market_id, market in markets.items():
        changed += _settle_market(engine, market_id, market, charged.get(market_id), days)
    engine.desk.book_profits(days, settled_at=now)
    return changed


def _oldest(engine: Engine, now: int) -> int:
    """Return the start of the day, or of the oldest order that waits for its settlement."""
    unsettled = engine.store.unsettled_orders()
    return min([now - _DAY_MS, *(order.created_at for order in unsettled)])


def _verdicts(engine: Engine, market: _Market, charged: Decimal | None) -> dict[str, _Verdict]:
    profits = {
        name: sum((row.profit for row in rows if row.kind is ClearedKind.SETTLED), ZERO)
        for name, rows in market.rows.items()
    }
    net = sum(profits.values(), ZERO)
    commission = charged if charged is not None else round_up(max(net, ZERO) * engine.policy.commission_rate)
    shares = share_commission(profits, commission)
    return {
        name: _Verdict(profits[name], shares[name], max(row.settled_at for row in rows))
        for name, rows in market.rows.items()
    }


def _settle_market(engine: Engine, market_id: str, market: _Market, charged: Decimal | None, days: Days) -> int:
    verdicts = _verdicts(engine, market, charged)
    names = list(market.rows)
    known = {order.order_id: order for order in engine.store.orders(names)}
    for name, rows in market.rows.items():
        verdict = verdicts[name]
        before = known.get(name)
        if before is not None and before.settled_at and day(before.settled_at) != day(verdict.settled_at):
            days.setdefault(day(before.settled_at), {})[rows[0].bet_id] = ZERO  # settled again, on another day
        days.setdefault(day(verdict.settled_at), {})[rows[0].bet_id] = verdict.profit - verdict.commission

    def take(order: Order, now: int) -> Rewritten:
        return _book(order, market.rows[order.order_id], verdicts[order.order_id], now)

    fresh = {name: adopt(engine, cleared_state(rows)) for name, rows in market.rows.items() if name not in known}
    changed = rewrite(engine, market_id, names, {order.signal_id for order in known.values()}, take, fresh)
    for order in changed:
        log.info("order_settled", order_id=order.order_id, profit=order.profit, commission=order.commission)
    return len(changed)


def _book(order: Order, rows: Sequence[ClearedBet], verdict: _Verdict, now: int) -> Rewritten:
    merged, late = merge(order, cleared_state(rows), now)
    trades = list(late)
    if merged.status is not OrderStatus.SETTLED and all(row.kind is ClearedKind.VOIDED for row in rows):
        return merged, trades
    settled, entry = settle_order(merged, verdict.profit, verdict.commission, verdict.settled_at)
    if entry is not None:
        trades.append(entry)
    return settled, trades


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
    if engine.desk.settled_at() is not None:
        return
    engine.desk.restore_pnl(engine.ledger.profits(engine.policy.identity))
    settle(engine)
