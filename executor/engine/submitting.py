"""Marking orders as sent: what the submit step writes, by itself or in the commit that decides.

Invariant: whoever's commit writes the mark is the only one who may send, once, and soon.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from executor.domain.order import Order, OrderStatus, move
from executor.engine.breaker import is_reset
from executor.engine.engine import Policy
from executor.ports import Change, Gate, MarketView

_GATES: Final = frozenset({Gate.TRADING, Gate.RECONCILED, Gate.DEADLINE})


def as_sent(order: Order, now: int) -> Order:
    """Return an order whose call begins now."""
    return replace(move(order, OrderStatus.SUBMITTED), submitted_at=now, answered_at=0)


def has_room(policy: Policy, view: MarketView, orders: int) -> bool:
    """Tell whether this clock hour has so many transactions left."""
    return view.transactions + orders <= policy.max_transactions_per_hour


def marked_as_sent(policy: Policy, view: MarketView, orders: Sequence[Order]) -> Change:
    """Say what marks reserved orders as sent, if nothing forbids sending them then."""
    sent = [as_sent(order, view.now) for order in orders]
    return Change(
        orders=sent,
        gates=_GATES,
        reset_breaker=is_reset(view),
        transactions=len(sent),
        transactions_max=policy.max_transactions_per_hour,
        durable=True,
    )
