"""Asking the exchange for orders by name, and what its silence means.

Invariants: an order that dropped out of a list is asked for and never assumed matched; the absence of an order whose
call had no answer is concluded only after the exchange can no longer bring it to light. Times in milliseconds.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

import structlog

from executor.domain.order import BetState, Order, OrderStatus, move
from executor.engine.context import Engine, Policy
from executor.engine.reports import Rewritten, cleared_state, merge_reports, rewrite
from executor.ports import ClearedBet, ClearedKind

log = structlog.get_logger(__name__)

LOOKUP: Final = 250  # references per call; Betfair: listCurrentOrders
_PAUSE_MS: Final = 1000  # the submit step may be this much before the call's real start
_SAME_MS: Final = 60_000  # a reference may be used again after a day: a bet from before the order was made is another

NOT_PLACED: Final = "NOT_PLACED"


def look_up(engine: Engine, orders: Sequence[Order], asked_at: int) -> int:
    """Ask the exchange for orders by reference, in the current and the cleared lists; returns how many changed.

    `asked_at` is a Redis time before the question. At most 250 orders.
    """
    known = {order.order_id: order for order in orders}
    found: dict[str, BetState] = {}
    for bet in engine.exchange.find_current(list(known)):
        if bet.order_id in known and known[bet.order_id].bet_id in {"", bet.bet_id}:
            found.setdefault(bet.order_id, bet)
    missing = [order for order in orders if order.order_id not in found]
    ripe = [order for order in missing if order.status is OrderStatus.PENDING or is_ripe(engine, order, asked_at)]
    if ripe:
        found |= _cleared(engine, ripe)
    changed = 0
    for market_id in dict.fromkeys(order.market_id for order in orders):
        bets = [bet for bet in found.values() if bet.market_id == market_id]
        changed += merge_reports(engine, market_id, bets, known, asked_at) if bets else 0
        lost = {order.order_id: order for order in ripe if order.market_id == market_id and order.order_id not in found}
        changed += _absent(engine, market_id, lost)
    return changed


def is_ripe(engine: Engine, order: Order, now: int) -> bool:
    """Tell whether the exchange's silence on a submitted order means that it is not there; contract section 5."""
    if order.status is not OrderStatus.SUBMITTED:
        return False
    return now >= shows_by(engine.policy, order)


def is_under_way(policy: Policy, order: Order, now: int) -> bool:
    """Tell whether something of an order's call may still leave this side: it may yet be placed by us."""
    return not order.answered_at and now < _silent_at(policy, order)


def shows_by(policy: Policy, order: Order) -> int:
    """Return when, at the latest, the exchange shows the bet of an order that was sent, if there is one."""
    return (order.answered_at or _silent_at(policy, order)) + policy.late_arrival_s * 1000


def _silent_at(policy: Policy, order: Order) -> int:
    return order.submitted_at + round(policy.call_lasts_s * 1000) + _PAUSE_MS


def _cleared(engine: Engine, orders: Sequence[Order]) -> dict[str, BetState]:
    names = [order.order_id for order in orders]
    rows: dict[str, list[ClearedBet]] = {}
    for kind in ClearedKind:
        for row in engine.exchange.find_cleared(names, kind):
            rows.setdefault(row.order_id, []).append(row)
    found: dict[str, BetState] = {}
    for order in orders:
        own = [row for row in rows.get(order.order_id, ()) if _is_of(order, row)]
        if own:
            # Of several bets with this reference, the order's own.
            found[order.order_id] = cleared_state([row for row in own if row.bet_id == own[0].bet_id], order)
    return found


def _is_of(order: Order, row: ClearedBet) -> bool:
    if order.bet_id:
        return row.bet_id == order.bet_id
    return not row.placed_at or row.placed_at >= order.created_at - _SAME_MS


def _absent(engine: Engine, market_id: str, lost: Mapping[str, Order]) -> int:
    """Conclude that unanswered orders are not at the exchange; a live one that vanished is only reported."""
    for order in lost.values():
        if order.status is OrderStatus.PENDING:
            log.error("order_not_found", order_id=order.order_id, bet_id=order.bet_id, market_id=market_id)

    def conclude(order: Order, now: int) -> Rewritten:
        if order != lost[order.order_id]:  # something moved since the exchange was asked
            return order, []
        failed = move(order, OrderStatus.FAILED, NOT_PLACED, order.detail or "the exchange does not have it")
        return replace(failed, finished_at=now), []

    names = [order.order_id for order in lost.values() if order.status is OrderStatus.SUBMITTED]
    if not names:
        return 0
    return len(rewrite(engine, market_id, names, {lost[one].signal_id for one in names}, conclude))
