"""Orders and trades: which there are, and taking live ones back by hand.

Invariants: only a live order is asked to be cancelled, and it counts as cancelled when the exchange says so; shapes are
the contract's. Amounts in account currency, times UTC.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from executor.domain.foreign import ForeignBet
from executor.domain.order import CancelReason, Order, OrderStatus
from executor.engine.cancel_until_clear import Outstanding, cancel_until_clear
from executor.engine.settlement import end_paper_positions
from executor.errors import NotAllowed
from executor.operations.access import Access, Actor
from executor.operations.audit import audited
from executor.operations.wording import moment, money

ALL_RECENT: Final = 5000  # the store remembers no more
CANCEL_S: Final = 20.0  # two calls at the exchange, and again if one gets no answer
# What an order is shown with, in this order.
ORDER_FIELDS: Final = (
    "order_id",
    "signal_id",
    "leg",
    "strategy",
    "market_id",
    "selection_id",
    "side",
    "price",
    "size",
    "size_matched",
    "average_price_matched",
    "size_cancelled",
    "size_lapsed",
    "size_voided",
    "status",
    "reason",
    "detail",
    "cancel_reason",
    "bet_id",
    "paper",
    "attempt",
    "profit",
    "commission",
    "created_at",
    "submitted_at",
    "placed_at",
    "matched_at",
    "finished_at",
    "settled_at",
)
_LIVE: Final = frozenset({OrderStatus.RESERVED, OrderStatus.SUBMITTED, OrderStatus.PENDING})
# Over without a cancel of ours: nothing of it is unmatched, but it was matched before.
_TOO_LATE: Final = frozenset({OrderStatus.MATCHED, OrderStatus.SETTLED})


def order_json(order: Order) -> dict[str, Any]:
    """Return an order in the contract's shape: amounts as Decimal, times ISO 8601 or None."""
    return {
        "order_id": order.order_id,
        "signal_id": order.signal_id,
        "leg": order.leg,
        "strategy": order.strategy,
        "market_id": order.market_id,
        "selection_id": order.selection_id,
        "side": order.side,
        "price": order.price,
        "size": order.size,
        "size_matched": order.size_matched,
        "average_price_matched": order.average_price_matched,
        "size_cancelled": order.size_cancelled,
        "size_lapsed": order.size_lapsed,
        "size_voided": order.size_voided,
        "status": order.status,
        "reason": order.reason,
        "detail": order.detail,
        "cancel_reason": order.cancel_reason,
        "bet_id": order.bet_id,
        "paper": order.paper,
        "attempt": order.attempt,
        "profit": order.profit if order.settled_at else None,
        "commission": order.commission if order.settled_at else None,
        "created_at": moment(order.created_at),
        "submitted_at": moment(order.submitted_at),
        "placed_at": moment(order.placed_at),
        "matched_at": moment(order.matched_at),
        "finished_at": moment(order.finished_at),
        "settled_at": moment(order.settled_at),
    }


def foreign_json(bet: ForeignBet) -> dict[str, Any]:
    """Return a bet that is no order of ours; `worst` is the most that it can lose, None where that cannot be told."""
    return {
        "bet_id": bet.bet_id,
        "market_id": bet.market_id,
        "selection_id": bet.selection_id or None,
        "side": bet.side or None,
        "order_ref": bet.order_id or None,
        "status": "FOREIGN",
        "reason": bet.problem,
        "worst": bet.worst if bet.worst_known else None,
        "since": moment(bet.since),
    }


def find_foreign(access: Access, *, market: str = "") -> list[ForeignBet]:
    """Return bets under our strategy ref that our records cannot hold, of all markets or of one."""
    return [bet for bet in access.store.foreign_bets() if market in {"", bet.market_id}]


def trade_json(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a fill or void of the ledger in the contract's shape."""
    shown = {name: value for name, value in row.items() if name not in {"id", "entry"}}
    return {**shown, "paper": bool(row["paper"]), "selection_id": int(row["selection_id"])}


def find_orders(access: Access, *, market: str = "", active: bool = False, limit: int = ALL_RECENT) -> list[Order]:
    """Return orders, newest first: those at the exchange, those of a market, or all that are remembered."""
    store = access.store
    if active:
        found = store.active_orders()
    elif market:  # a live one may be older than what is remembered as recent
        found = [*store.unsettled_orders(), *store.recent_orders(ALL_RECENT)]
    else:
        found = store.recent_orders(limit)
    unique = {order.order_id: order for order in found if market in {"", order.market_id}}
    return sorted(unique.values(), key=lambda order: (-order.created_at, order.order_id))[:limit]


@dataclass(frozen=True, slots=True)
class Cancelled:
    """What cancels came to, one line an order; `gone` are those that took nothing more, `kept` all others."""

    gone: Sequence[str] = ()
    kept: Sequence[str] = ()


def cancel_by_hand(
    access: Access,
    actor: Actor,
    order_ids: Sequence[str] | None,
    *,
    progress: Callable[[Outstanding], None] = lambda _left: None,
) -> Cancelled:
    """Take back the unmatched part of these live orders, or of every live one; what is matched stays a position.

    Raises:
        IdentityMismatch: the db belongs to another account or mode.
        StoreUnavailable: Redis is away.
    """
    with audited(access, actor, "cancel", " ".join(order_ids or ()) or "all") as act:
        access.require_identity()
        engine = access.engine
        asked = list(dict.fromkeys(order_ids or ()))
        found = engine.store.active_orders() if order_ids is None else engine.store.orders(asked)
        live = [order.order_id for order in found if order.status is OrderStatus.PENDING]
        known = {order.order_id for order in found}
        kept = [f"{order_id}: no such order" for order_id in asked if order_id not in known]
        kept += [f"{order.order_id}: {_no_cancel(order)}" for order in found if order.status is not OrderStatus.PENDING]
        gone: list[str] = []
        if live:
            cancel_until_clear(
                engine, CancelReason.MANUAL, who=str(actor), patience_s=CANCEL_S, only=live, progress=progress
            )
        for order in engine.store.orders(live):
            text = f"{order.order_id}: {order.status}, {money(order.size_matched)} of {money(order.size)} matched"
            (kept if order.status in _LIVE | _TOO_LATE else gone).append(text)
        act.after = {"cancelled": gone, "not_cancelled": kept}
        if kept:
            act.outcome = "not all"
    return Cancelled(gone, kept)


def _no_cancel(order: Order) -> str:
    if order.status is OrderStatus.SUBMITTED:
        return "SUBMITTED, the exchange has not answered yet; try again in a moment"
    if order.status is OrderStatus.RESERVED:
        return "RESERVED, not at the exchange yet; executor halt keeps it from there"
    return f"{order.status}, nothing left to cancel"


def clear_paper(access: Access, actor: Actor, market: str | None) -> int:
    """End paper positions now, with profit 0; returns how many.

    Raises:
        NotAllowed: this is no paper trading.
    """
    with audited(access, actor, "paper clear", market or "all") as act:
        access.require_identity()
        if not access.settings.trading.enable_paper_trading:
            raise NotAllowed("no paper positions here: EXECUTOR_TRADING__ENABLE_PAPER_TRADING is false")
        ended = end_paper_positions(access.engine, older_than_ms=0, market_id=market)
        act.after = {"ended": ended}
    return ended
