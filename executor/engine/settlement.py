"""settle_orders: the exchange's results become profits, and profits become the day's P&L.

Invariants: P&L is recomputed from per-bet records and never added to, so that reading a settlement twice books it once;
a later, different result replaces the earlier one, also on another day. A bet's P&L is booked before its order is
changed: whoever dies in between finds the order as it was and does it all again. Memory does not grow with the bets of
the day that each read overlaps (`settlement_diff`): whole markets are read only where something is not booked, a few at
a time. A ledger that is away holds up nothing but what only it knows: bets of days that Redis has lost.

Commission is a market's, over all our bets of it that are settled so far, whenever that was (`domain.commission`).
Profit is before commission, net after.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import cache
from typing import Final

import structlog

from executor.domain.commission import MarketCharge
from executor.domain.money import ZERO, conversion_slack
from executor.domain.order import Order, OrderStatus, merge
from executor.domain.order import settle as settle_order
from executor.domain.times import day
from executor.engine.cleared_rows import overdue_markets
from executor.engine.counted import counted_before
from executor.engine.engine import Engine
from executor.engine.reports import Rewritten, adopt, cleared_state, rewrite
from executor.engine.settled_markets import Market, SettledResult, batches, read_markets, settled_results, with_void
from executor.engine.settlement_diff import Days, find_unbooked, is_settled
from executor.errors import Contended, LedgerUnavailable, RecordUnreadable
from executor.ports import ClearedBet

log = structlog.get_logger(__name__)

_DAY_MS: Final = 24 * 3600 * 1000
HISTORY_MS: Final = 90 * _DAY_MS  # Betfair keeps what was settled for about this long
_BATCH: Final = 100  # orders changed by one commit
PAPER_POSITION_MS: Final = _DAY_MS  # contract section 5: a paper position ends 24 h after its fill


@dataclass(frozen=True, slots=True)
class _Read:
    """What is the same for all the markets of one read."""

    asked_at: int  # before anything was read
    charged: Mapping[str, MarketCharge]  # market id -> commission, where the exchange says it
    history: Callable[[], Days]  # the ledger's, asked for where it is needed


def settle(engine: Engine) -> int:
    """Take in what was settled since the last complete read, with a day's overlap; returns how many orders changed."""
    now = engine.store.now()
    last = engine.accounts.settled_at()
    history = cache(lambda: engine.ledger.profits(engine.policy.identity))
    if last is None:
        engine.accounts.restore_pnl(history())
    if engine.policy.paper:
        return end_paper_positions(engine, older_than_ms=PAPER_POSITION_MS)
    since = last - _DAY_MS if last is not None else unread_since(engine, now)
    found = find_unbooked(engine, since)
    complete = not _book_days(engine, found.days, (), history)
    overdue = overdue_markets(engine, now)
    charged = {**(engine.exchange.commissions(list(overdue)) if overdue else {}), **found.charged}
    read = _Read(now, charged, history)
    changed = 0
    for names in batches({**overdue, **found.markets}):
        settled, whole = _settle_markets(engine, names, read)
        changed += settled
        complete = complete and whole
    if complete:
        engine.accounts.book_profits({}, settled_at=now)
    return changed


def _settle_markets(engine: Engine, names: Sequence[str], read: _Read) -> tuple[int, bool]:
    """Book these markets and settle their orders; returns how many changed, and whether all could be."""
    markets = read_markets(engine, names)
    found = {
        market.market_id: settled_results(engine, market, read.charged.get(market.market_id), read.asked_at)
        for market in markets
    }
    postponed = _book(engine, markets, found, read)
    changed, whole = 0, not postponed
    for market in markets:
        if market.market_id in postponed:
            continue
        try:
            changed += _settle_market(engine, market, found[market.market_id], read)
        except (Contended, RecordUnreadable) as error:
            log.warning("settlement_postponed", market_id=market.market_id, error=str(error))
            whole = False
    return changed, whole


def unread_since(engine: Engine, now: int) -> int:
    """Return from when on the exchange is asked after a loss of P&L: what nobody but it may know.

    That is what is not settled in Redis or in the ledger, and whatever came after the ledger's newest settlement; a
    ledger that has none may have lost them.
    """
    newest = engine.ledger.newest_settlement(engine.policy.identity)
    booked = engine.ledger.oldest_unsettled(engine.policy.identity)
    waiting = [order.created_at for order in engine.store.unsettled_orders()]
    missing = now - HISTORY_MS if newest is None else newest - 2 * _DAY_MS  # the overlap, and as much for its order
    return min([now - _DAY_MS, missing, *waiting, *([] if booked is None else [booked])])


def _book(
    engine: Engine, markets: Iterable[Market], results: Mapping[str, Mapping[str, SettledResult]], read: _Read
) -> set[str]:
    """Book what these markets' bets won and lost; returns the markets that wait for the ledger."""
    days: Days = {}
    bets: set[str] = set()
    forgotten: set[str] = set()
    placed_at = read.asked_at
    for market in markets:
        for name, rows in market.rows.items():
            result, before, bet_id = results[market.market_id][name], market.known.get(name), rows[0].bet_id
            bets.add(bet_id)
            placed_at = min(placed_at, rows[0].placed_at)
            if before is None:
                forgotten.add(bet_id)
            elif before.settled_at and day(before.settled_at) != day(result.settled_at):
                days.setdefault(day(before.settled_at), {})[bet_id] = ZERO  # settled again, on another day
            days.setdefault(day(result.settled_at), {})[bet_id] = result.profit - result.commission
    for then, booked in engine.accounts.booked_days(bets, day(placed_at)).items():
        for bet_id in booked:
            days.setdefault(then, {}).setdefault(bet_id, ZERO)  # likewise, though its record does not say so
    waiting = _book_days(engine, days, forgotten, read.history, day(placed_at))
    return {market.market_id for market in markets for rows in market.rows.values() if rows[0].bet_id in waiting}


def _book_days(
    engine: Engine, days: Days, forgotten: Collection[str], history: Callable[[], Days], since: str = ""
) -> set[str]:
    """Book days; of which Redis has lost the bets, they come back from the ledger first: none is summed in part.

    `forgotten` are bets that may be booked on any day from `since` on. Returns the bets that wait for a ledger that is
    away: they are booked on the days that are whole.
    """
    lost = engine.accounts.lost_days(min([*days, *([since] if forgotten else [])], default=since))
    touched = lost & set(days)
    searched = {then for then in lost if forgotten and then >= since}
    if not touched and not searched:
        engine.accounts.book_profits(days)
        return set()
    try:
        known = history()
    except LedgerUnavailable as error:
        engine.accounts.book_profits({then: bets for then, bets in days.items() if then not in lost})
        waiting = {bet for then in touched for bet in days[then]} | (set(forgotten) if searched else set())
        log.warning("settlement_postponed", bets=len(waiting), days=sorted(touched | searched), error=str(error))
        return waiting
    for then in searched:
        for bet_id in set(forgotten) & set(known.get(then, ())):
            days.setdefault(then, {}).setdefault(bet_id, ZERO)
    engine.accounts.restore_pnl({then: known[then] for then in lost & set(days) if then in known})
    engine.accounts.book_profits(days)
    return set()


def _settle_market(engine: Engine, market: Market, results: Mapping[str, SettledResult], read: _Read) -> int:
    def take(order: Order, now: int) -> Rewritten:
        rows, result = market.rows[order.order_id], results[order.order_id]
        if bet := market.listed.get(order.order_id):
            return merge(order, bet, now, read.asked_at)
        if order.order_id in market.known and _is_more_than_asked(order, rows, slack):
            # Void between the reads of the two lists: the next read tells.
            log.warning("settlement_postponed", order_id=order.order_id, error="more is settled and void than asked")
            return order, ()
        return _apply(order, rows, result, now, read.asked_at, is_new=order.order_id not in market.known)

    slack = 2 * conversion_slack(engine.accounts.currency())  # of two sizes
    names = list(market.rows)
    changed: list[Order] = []
    for at in range(0, len(names), _BATCH):
        batch = names[at : at + _BATCH]
        signals = {market.known[name].signal_id for name in batch if name in market.known}
        unknown = [name for name in batch if name not in market.known]
        states = {name: market.listed.get(name) or cleared_state(market.rows[name]) for name in unknown}
        counted = counted_before(engine, states.values())
        fresh = {name: replace(adopt(engine, bet, counted), order_id=name) for name, bet in states.items()}
        changed += rewrite(engine, market.market_id, batch, signals, take, fresh)
    for order in changed:
        log.info("order_settled", order_id=order.order_id, profit=order.profit, commission=order.commission)
    return len(changed)


def _is_more_than_asked(order: Order, rows: Sequence[ClearedBet], slack: Decimal) -> bool:
    state = cleared_state(rows, order)
    most = max(order.size, order.size_matched + order.size_voided) + slack
    return bool(state.size_matched and state.size_voided) and state.size_matched + state.size_voided > most


def _apply(
    order: Order, rows: Sequence[ClearedBet], result: SettledResult, now: int, asked_at: int, *, is_new: bool
) -> Rewritten:
    merged, trades = merge(order, cleared_state(rows, order), now, asked_at)
    if is_new:
        merged, trades = with_void(merged, trades, rows, now)
    if not is_settled(rows) and merged.status is not OrderStatus.SETTLED:
        return merged, trades
    settled, entry = settle_order(merged, result.profit, result.commission, result.settled_at)
    return settled, [*trades, *([entry] if entry else [])]


def end_paper_positions(engine: Engine, *, older_than_ms: int, market_id: str | None = None) -> int:
    """End paper positions with profit 0; returns how many orders changed."""
    now = engine.store.now()
    due = [
        order
        for order in engine.store.unsettled_orders()
        if order.paper
        and order.counts
        and not order.size_open
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
    """Make P&L whole again after a loss of Redis, or of its last moment.

    Older days come from the ledger, what it has not got from the exchange.

    Raises:
        LedgerUnavailable, Contended: it is not whole yet, so that nothing may be placed.
    """
    before = engine.accounts.settled_at()
    settle(engine)
    if before is None and engine.accounts.settled_at() is None:
        raise Contended("P&L is not whole yet: a market could not be settled")
