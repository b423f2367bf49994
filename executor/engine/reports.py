"""Taking in what the exchange reports of orders: the one way an order learns of its fills, its end, its existence.

Invariant: a report changes records only through `domain.order.merge`, which never goes backwards; every change is
counted, published and booked by the commit that makes it, so that two observers of one fill book it once.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from decimal import Decimal
from types import MappingProxyType
from typing import Final

import structlog

from executor.domain.money import ZERO
from executor.domain.order import (
    ADOPTED,
    MAX_LEGS,
    UNPLACED,
    BetState,
    CancelReason,
    Order,
    OrderStatus,
    Trade,
    merge,
)
from executor.domain.order import order_ids as leg_ids
from executor.domain.signal_record import SignalRecord, SignalStatus, advance
from executor.engine.counted import counted_before, known_status
from executor.engine.engine import Engine, Policy
from executor.engine.half_placed import is_half_placed, is_unhedged, late_legs, live_legs
from executor.engine.optimistic import until_committed
from executor.errors import StoreUnavailable
from executor.ports import Change, ClearedBet, ClearedKind, MarketView

log = structlog.get_logger(__name__)

_BATCH: Final = 100  # orders changed by one commit

Rewritten = tuple[Order, Sequence[Trade]]  # what an order becomes, and the accounting entries that means
Rewrite = Callable[[Order, int], Rewritten]  # of the order as stored and the time
_ENDED = frozenset({OrderStatus.CANCELLED, OrderStatus.LAPSED, OrderStatus.VOIDED})
_OVER = _ENDED | {OrderStatus.MATCHED, OrderStatus.SETTLED}
_DECIDED = frozenset({SignalStatus.ACCEPTED, SignalStatus.COMPLETED, SignalStatus.FAILED})


def conclude(record: SignalRecord, orders: Sequence[Order], now: int) -> SignalRecord:
    """Give an accepted signal its terminal state once nothing about its orders is open or unknown any more."""
    own = [order for order in orders if order.order_id in record.order_ids]
    undecided = any(order.status in {OrderStatus.RESERVED, OrderStatus.SUBMITTED} for order in own)
    if record.status not in _DECIDED or undecided or not own:
        return record
    if any(order.placed_at for order in own):
        return record if record.status is SignalStatus.COMPLETED else advance(record, SignalStatus.COMPLETED, now)
    if record.status is SignalStatus.FAILED:
        return record
    return advance(record, SignalStatus.FAILED, now, own[0].reason, own[0].detail)


def rewrite(
    engine: Engine,
    market_id: str,
    order_ids: Collection[str],
    signal_ids: Collection[str],
    change_order: Rewrite,
    fresh: Mapping[str, Order] = MappingProxyType({}),
) -> list[Order]:
    """Change orders of one market by what is now known of them; returns those that changed, as they are now.

    `fresh` holds the record to start from for orders that have none.

    Raises:
        Contended: others kept changing the market's orders.
        RecordUnreadable: a record that counts there is none; the market stands still until a person has looked.
    """
    known = sorted(filter(None, signal_ids))
    legs = [leg for signal_id in known for leg in leg_ids(signal_id, MAX_LEGS)]
    wanted = sorted({*order_ids, *legs})  # a signal is concluded from all its legs

    def attempt(lock_token: str) -> list[Order] | None:
        view = replace(engine.store.view(market_id, signal_ids=known, order_ids=wanted), lock_token=lock_token)
        changed, trades = _changes(view, order_ids, change_order, fresh)
        if not changed:
            return []
        changed, signals = conclude_all(engine.policy, view, changed)
        change = Change(orders=changed, trades=trades, signals=signals)
        if not engine.store.commit(view, change):
            return None
        announce(engine, replace(view, orders={**fresh, **view.orders}), change)
        return changed

    return until_committed(engine, market_id, f"market {market_id}", attempt)


def _changes(
    view: MarketView, order_ids: Iterable[str], change_order: Rewrite, fresh: Mapping[str, Order]
) -> tuple[list[Order], list[Trade]]:
    changed: list[Order] = []
    trades: list[Trade] = []
    for order_id in order_ids:
        before = view.orders.get(order_id)
        start = before or fresh.get(order_id)
        if start is None:
            continue
        after, entries = change_order(start, view.now)
        if after != before:
            changed.append(after)
        trades += entries
    return changed, trades


def merge_reports(
    engine: Engine, market_id: str, bets: Iterable[BetState], known: Mapping[str, Order], asked_at: int = 0
) -> int:
    """Merge bets of one market into their orders, adopting those without one; returns how many orders changed.

    `asked_at` is a Redis time before the exchange was asked, 0 where it is not known.
    """
    states = {reference(bet): bet for bet in bets}

    def take(order: Order, now: int) -> Rewritten:
        return merge(order, states[order.order_id], now, asked_at)

    names = list(states)
    changed = 0
    for at in range(0, len(names), _BATCH):
        batch = names[at : at + _BATCH]
        signals = {known[name].signal_id for name in batch if name in known}
        unknown = {name: states[name] for name in batch if name not in known}
        counted = counted_before(engine, unknown.values())
        fresh = {name: adopt(engine, bet, counted) for name, bet in unknown.items()}
        changed += len(rewrite(engine, market_id, batch, signals, take, fresh))
    return changed


def conclude_all(policy: Policy, view: MarketView, changed: Sequence[Order]) -> tuple[list[Order], list[SignalRecord]]:
    """Conclude the view's signals from its orders as changed; marks a half-placed one's live legs."""
    orders = {**view.orders, **{order.order_id: order for order in changed}}
    written = {order.order_id: order for order in changed}
    signals: list[SignalRecord] = []
    for record in view.signals.values():
        after = conclude(record, list(orders.values()), view.now)
        if after is record:
            for order in late_legs(record, view.orders, orders):
                if policy.cancel_half_placed and is_unhedged(order, record, orders):
                    written[order.order_id] = replace(order, cancel_reason=CancelReason.HALF_PLACED)
            continue
        signals.append(after)
        if policy.cancel_half_placed and is_half_placed(after, orders):
            for order in live_legs(after, orders):
                written[order.order_id] = replace(order, cancel_reason=CancelReason.HALF_PLACED)
    return list(written.values()), signals


def announce(engine: Engine, view: MarketView, change: Change) -> None:
    """Count and log what a commit changed."""
    for order in change.orders:
        before = view.orders.get(order.order_id)
        bound = log.bind(order_id=order.order_id, signal_id=order.signal_id, market_id=order.market_id)
        newly_placed = order.placed_at and not (before and before.placed_at)
        if newly_placed:
            engine.telemetry.order_placed(order)
            bound.info("order_placed", bet_id=order.bet_id, side=order.side, price=order.price, size=order.size)
        if before is not None and before.status in UNPLACED and newly_placed:
            bound.error("order_taken_back", was=before.status, why="the bet is at the exchange after all")
        if before is not None and order.status is before.status:
            continue
        _announce_status(engine, before, order, bound)
    orders = {**view.orders, **{order.order_id: order for order in change.orders}}
    for record in change.signals:
        if is_half_placed(record, orders):
            engine.telemetry.half_placed()
            cancelling = engine.policy.cancel_half_placed
            log.critical("signal_half_placed", signal_id=record.signal_id, cancelling_the_rest=cancelling)
    _announce_late_legs(engine, view, orders)
    for trade in change.trades:
        log.info(
            "trade",
            kind=trade.kind,
            order_id=trade.order.order_id,
            signal_id=trade.order.signal_id,
            bet_id=trade.order.bet_id,
            size=trade.size,
            price=trade.price,
            size_matched=trade.order.size_matched,
        )


def _announce_late_legs(engine: Engine, view: MarketView, orders: Mapping[str, Order]) -> None:
    for record in view.signals.values():
        for order in late_legs(record, view.orders, orders):
            engine.telemetry.half_placed()
            cancelling = order.cancel_reason == CancelReason.HALF_PLACED
            fields = {"signal_id": record.signal_id, "order_id": order.order_id, "bet_id": order.bet_id}
            log.critical("late_leg", **fields, size_matched=order.size_matched, cancelling=cancelling)
            with suppress(StoreUnavailable):  # it has been counted and said
                engine.controls.alert("late_leg", {**fields, "cancelling": str(cancelling).lower()})


def _announce_status(engine: Engine, before: Order | None, order: Order, bound: "structlog.stdlib.BoundLogger") -> None:
    live = before is None or before.status not in _OVER  # what is over has been counted, whatever became of it then
    if order.status is OrderStatus.MATCHED or (order.status is OrderStatus.SETTLED and live and _is_full(order)):
        if live or (before is not None and not before.matched_at):
            engine.telemetry.order_matched(order)
        bound.info("order_matched", price=order.average_price_matched, size=order.size_matched)
    elif order.status in _ENDED or (order.status is OrderStatus.SETTLED and live):
        lapsed = OrderStatus.LAPSED if order.status is OrderStatus.SETTLED else order.status
        reason = order.cancel_reason if order.status is OrderStatus.CANCELLED else lapsed
        if live or (before is not None and before.status is OrderStatus.MATCHED and not before.voided_at):
            engine.telemetry.order_cancelled(reason)
        bound.info("order_ended", status=order.status, reason=reason, size_matched=order.size_matched)
    elif order.status in UNPLACED:
        engine.telemetry.order_failed(order.reason)
        bound.error("order_failed", status=order.status, reason=order.reason, detail=order.detail)


def _is_full(order: Order) -> bool:
    return order.size_matched >= order.size


def reference(bet: BetState | ClearedBet) -> str:
    """Name the order that a bet belongs to; a bet without a reference of ours is watched under its own id."""
    return bet.order_id or f"bet-{bet.bet_id}"


def adopt(engine: Engine, bet: BetState, counted: Collection[str] = ()) -> Order:
    """Make the record from which a bet that we do not know is watched.

    A bet in `counted` was counted before its record was lost, as far as it had come.
    """
    now = engine.store.now()
    order = Order(
        order_id=reference(bet),
        signal_id="",
        leg=1,
        market_id=bet.market_id,
        selection_id=bet.selection_id,
        side=bet.side,
        price=bet.price,
        size=bet.size,
        strategy=ADOPTED,
        created_at=bet.placed_at or now,
        received_at=bet.placed_at or now,
        timeout_s=engine.policy.unmatched_timeout_s,
        status=OrderStatus.SUBMITTED,
        submitted_at=bet.placed_at or now,
        answered_at=now,
    )
    if bet.bet_id not in counted:
        return order
    return replace(order, placed_at=bet.placed_at or now, status=known_status(engine, bet, now))


def cleared_state(rows: Sequence[ClearedBet], order: Order | None = None) -> BetState:
    """Put together one bet's state from its rows in the cleared lists.

    A void row may not say how much is void; then it is what `order` had matched and is not settled.
    """
    sizes = dict.fromkeys(ClearedKind, ZERO)
    for row in rows:
        has_size = row.kind in {ClearedKind.SETTLED, ClearedKind.VOIDED}
        sizes[row.kind] += row.size_settled if has_size else row.size_cancelled
    first = rows[0]
    if order is not None and any(row.kind is ClearedKind.VOIDED for row in rows) and not sizes[ClearedKind.VOIDED]:
        sizes[ClearedKind.VOIDED] = _void_of(order, sizes)
    prices = [row.price_matched for row in rows if row.kind is ClearedKind.SETTLED]
    return BetState(
        bet_id=first.bet_id,
        order_id=first.order_id,
        market_id=first.market_id,
        selection_id=first.selection_id,
        side=first.side,
        price=first.price_requested,
        size=sum(sizes.values(), ZERO),
        executable=False,
        size_matched=sizes[ClearedKind.SETTLED],
        average_price_matched=prices[0] if prices else ZERO,
        size_cancelled=sizes[ClearedKind.CANCELLED],
        size_lapsed=sizes[ClearedKind.LAPSED],
        size_voided=sizes[ClearedKind.VOIDED],
        placed_at=first.placed_at,
    )


def _void_of(order: Order, sizes: Mapping[ClearedKind, Decimal]) -> Decimal:
    matched = order.size_matched + order.size_voided
    if order.status not in _OVER:  # what was matched since the last look is void, too
        cancelled = max(order.size_cancelled, sizes[ClearedKind.CANCELLED])
        matched = order.size - cancelled - max(order.size_lapsed, sizes[ClearedKind.LAPSED])
    return max(matched - sizes[ClearedKind.SETTLED], ZERO)


def recorded_bet(order: Order) -> BetState:
    """Return what the exchange would say of a bet that is as our record has it."""
    return BetState(
        bet_id=order.bet_id,
        order_id=order.order_id,
        market_id=order.market_id,
        selection_id=order.selection_id,
        side=order.side,
        price=order.price,
        size=order.size,
        executable=order.status is OrderStatus.PENDING,
        size_matched=order.size_matched,
        average_price_matched=order.average_price_matched,
        size_cancelled=order.size_cancelled,
        size_lapsed=order.size_lapsed,
        size_voided=order.size_voided,
        placed_at=order.placed_at,
        matched_at=order.matched_at,
    )
