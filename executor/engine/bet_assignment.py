"""A bet that a person names as an order's: whether it can be, and taking it over from the record that watched it.

Invariants: one bet is on one order; a bet that carries another order's reference, or differs from the order in what was
asked for, is nobody's word; what was booked and counted of an adopted bet is not booked or counted again. Money in
account currency.
"""

from dataclasses import fields, replace
from decimal import Decimal
from typing import Final

import structlog

from executor.domain.money import ZERO, conversion_slack
from executor.domain.order import ADOPTED, BetState, Order, OrderStatus, merge, move
from executor.engine.engine import Engine
from executor.engine.optimistic import until_committed
from executor.engine.reports import announce, conclude_all, merge_reports
from executor.errors import NotAllowed
from executor.ports import Change

log = structlog.get_logger(__name__)

RESOLVED: Final = "RESOLVED"  # reason of the record that watched a bet until a person said whose it is
_ASKED_FOR: Final = {"order_id", "market_id", "selection_id", "side", "price", "size"}
# What a record says of its bet, beside what was asked for, and of what was booked.
_PROGRESS: Final = (
    *sorted({field.name for field in fields(BetState)} & {field.name for field in fields(Order)} - _ASKED_FOR),
    "trade_count",
    "cancel_reason",
)
_BEFORE_MS: Final = 60_000  # clocks; a bet from before the order was made is another's


def assign_bet(engine: Engine, order: Order, bet: BetState, who: str) -> None:
    """Make a bet an order's, which a person says it is.

    Raises:
        NotAllowed: it cannot be, and why.
        Contended: others kept changing the market's orders.
    """
    _refuse_another(order, bet, conversion_slack(engine.accounts.currency()))
    owner_id = engine.store.owners([bet.bet_id]).get(bet.bet_id, "")
    owner = next(iter(engine.store.orders([owner_id])), None) if owner_id else None
    bet = replace(bet, order_id=order.order_id)
    if owner is None or owner.order_id == order.order_id:
        merge_reports(engine, order.market_id, [bet], {order.order_id: order})
    elif owner.strategy != ADOPTED or owner.order_id != f"bet-{bet.bet_id}" or owner.status is OrderStatus.SETTLED:
        raise NotAllowed(f"bet {bet.bet_id} is order {owner.order_id}'s ({owner.status})")
    else:
        _move_from_adopted(engine, order, owner, bet, who)


def _refuse_another(order: Order, bet: BetState, slack: Decimal) -> None:
    if bet.order_id not in {"", order.order_id}:
        raise NotAllowed(f"bet {bet.bet_id} carries the reference of order {bet.order_id}")
    if (bet.market_id, bet.selection_id, bet.side) != (order.market_id, order.selection_id, order.side):
        raise NotAllowed(f"bet {bet.bet_id} is on market {bet.market_id}, selection {bet.selection_id}, {bet.side}")
    if bet.price != order.price or abs(bet.size - order.size) > slack:
        raise NotAllowed(
            f"bet {bet.bet_id} is {bet.size:f} at {bet.price:f}, "
            f"order {order.order_id} is {order.size:f} at {order.price:f}"
        )
    if bet.placed_at and bet.placed_at < order.created_at - _BEFORE_MS:
        raise NotAllowed(f"bet {bet.bet_id} was placed before order {order.order_id} was made")


def _move_from_adopted(engine: Engine, order: Order, adopted: Order, bet: BetState, who: str) -> None:
    """Go on with the order where the record left off that watched its bet, and end that record."""

    def attempt(lock_token: str) -> bool | None:
        view = engine.store.view(
            order.market_id, signal_ids=(order.signal_id,), order_ids=(order.order_id, adopted.order_id)
        )
        view = replace(view, lock_token=lock_token)
        if view.orders.get(order.order_id) != order:
            raise NotAllowed(f"order {order.order_id} has just changed: look at it again")
        watched = view.orders.get(adopted.order_id)
        if watched is None or watched.bet_id != bet.bet_id:
            raise NotAllowed(f"order {adopted.order_id} has just changed: look at it again")
        start = _as_far_as(order, watched)
        merged, trades = merge(start, bet, view.now)
        ended = _ended(watched, order, view.now, who)
        changed, signals = conclude_all(engine.policy, view, [ended, merged])
        change = Change(orders=changed, trades=trades, signals=signals)
        if not engine.store.commit(view, change):
            return None
        before = {**view.orders, order.order_id: replace(start, status=watched.status), ended.order_id: ended}
        announce(engine, replace(view, orders=before), change)
        return True

    until_committed(engine, order.market_id, f"market {order.market_id}", attempt)
    log.warning("bet_taken_over", order_id=order.order_id, bet_id=bet.bet_id, watched_as=adopted.order_id, who=who)


def _as_far_as(order: Order, watched: Order) -> Order:
    """Return the order as far as the other record had come: what is news after that is booked and counted, no more."""
    return replace(order, **{name: getattr(watched, name) for name in _PROGRESS})


def _ended(watched: Order, order: Order, now: int, who: str) -> Order:
    """Return the record that watched the bet, without it."""
    ended = move(watched, OrderStatus.VOIDED, RESOLVED, f"it is order {order.order_id}, as {who} said")
    return replace(ended, bet_id="", size_matched=ZERO, average_price_matched=ZERO, finished_at=now)
