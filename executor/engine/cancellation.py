"""cancel_unmatched, and every other cancel: ask, then look at what the exchange says became of the bet.

Invariants: a cancel is blocked by no control; an order ends only by the exchange's word, so that a cancel without an
answer, or one that came too late, changes nothing until the next look; the list of bets is never empty (an empty one
would cancel the whole market).
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Final

import structlog

from executor.domain.order import CancelReason, Order, OrderStatus
from executor.engine.context import Engine
from executor.engine.lookup import LOOKUP, look_up
from executor.engine.reports import Rewritten, rewrite
from executor.errors import ExecutorError, RecordUnreadable, StoreUnavailable

log = structlog.get_logger(__name__)

CANCELS: Final = 60  # bets per call; Betfair: cancelOrders


def cancel_unmatched(engine: Engine) -> int:
    """Cancel what has been live for its time-out, and again what was not confirmed; returns how many were asked."""
    now = engine.store.now()
    live = [order for order in engine.store.active_orders() if order.status is OrderStatus.PENDING]
    due = [order for order in live if order.cancel_reason or now - order.placed_at >= order.timeout_s * 1000]
    cancel_orders(engine, due, CancelReason.UNMATCHED_TIMEOUT)
    if not engine.policy.breaker_cancels or not engine.alerts.is_tripped():
        return len(due)
    # From the trip as it stands, at every tick: neither a crash nor an answer that comes late leaves an order behind.
    rest = [order for order in live if order not in due]
    cancel_orders(engine, rest, CancelReason.CIRCUIT_BREAKER)
    return len(live)


def cancel_orders(engine: Engine, orders: Sequence[Order], reason: CancelReason) -> None:
    """Ask the exchange to take back the unmatched part of live orders, market by market, then look at them.

    Raises:
        StoreUnavailable: Redis does not answer.
    """
    live = [order for order in orders if order.status is OrderStatus.PENDING and order.bet_id]
    asked: list[str] = []
    for market_id in dict.fromkeys(order.market_id for order in live):
        own = [order for order in live if order.market_id == market_id]
        for at in range(0, len(own), CANCELS):
            asked += _cancel(engine, market_id, own[at : at + CANCELS], reason)
    for at in range(0, len(asked), LOOKUP):
        _look(engine, asked[at : at + LOOKUP])


def _cancel(engine: Engine, market_id: str, orders: Sequence[Order], reason: CancelReason) -> list[str]:
    """Ask; returns the orders of which the exchange has said something."""
    try:
        _mark(engine, market_id, orders, reason)
        for report in engine.exchange.cancel(market_id, [order.bet_id for order in orders]):
            if not report.done:
                log.warning("cancel_refused", market_id=market_id, bet_id=report.bet_id, code=report.code)
    except StoreUnavailable:
        raise
    except ExecutorError as error:
        log.warning("cancel_unanswered", market_id=market_id, orders=len(orders), error=str(error))
        return []
    return [order.order_id for order in orders]


def _look(engine: Engine, order_ids: Sequence[str]) -> None:
    try:
        look_up(engine, engine.store.orders(order_ids), engine.store.now())
    except StoreUnavailable:
        raise
    except ExecutorError as error:
        log.warning("cancel_unconfirmed", orders=len(order_ids), error=str(error), hint="the next poll looks again")


def _mark(engine: Engine, market_id: str, orders: Sequence[Order], reason: CancelReason) -> None:
    def mark(order: Order, _now: int) -> Rewritten:
        if order.cancel_reason or order.status is not OrderStatus.PENDING:
            return order, []
        return replace(order, cancel_reason=reason), []

    unmarked = [order.order_id for order in orders if not order.cancel_reason]
    if unmarked:
        with suppress(RecordUnreadable):  # its bets are cancelled all the same, the mark only says why
            rewrite(engine, market_id, unmarked, (), mark)
