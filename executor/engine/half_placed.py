"""Signals of which one leg is at the exchange and another is not: which they are, and what of them is taken back.

Invariant: pure; what is marked here is written by the commit that found it, told by the same, and cancelled by
`cancellation`.
"""

from collections.abc import Mapping

from executor.domain.order import UNPLACED, Order, OrderStatus
from executor.domain.signal_record import SignalRecord, SignalStatus


def is_half_placed(record: SignalRecord, orders: Mapping[str, Order]) -> bool:
    """Tell whether one leg of a signal is at the exchange and another one is not and will not be."""
    own = [orders[order_id] for order_id in record.order_ids if order_id in orders]
    return record.status is SignalStatus.COMPLETED and any(order.status in UNPLACED for order in own)


def late_legs(record: SignalRecord, before: Mapping[str, Order], after: Mapping[str, Order]) -> list[Order]:
    """Return the legs that turned up at the exchange when their signal had been concluded without them."""
    own = [after[order_id] for order_id in record.order_ids if order_id in after and order_id in before]
    concluded = record.status is SignalStatus.COMPLETED
    return [order for order in own if concluded and before[order.order_id].status in UNPLACED and order.placed_at]


def is_unhedged(leg: Order, record: SignalRecord, orders: Mapping[str, Order]) -> bool:
    """Tell whether a late leg is live while another one is not, or not wholly: it was taken back meanwhile."""
    if leg.status is not OrderStatus.PENDING or leg.cancel_reason:
        return False
    others = [orders[order_id] for order_id in record.order_ids if order_id in orders and order_id != leg.order_id]
    live = OrderStatus.PENDING
    return any(
        other.size_matched < other.size and (other.status is not live or other.cancel_reason) for other in others
    )


def live_legs(record: SignalRecord, orders: Mapping[str, Order]) -> list[Order]:
    """Return the legs that are live and not to be taken back yet."""
    own = [orders[order_id] for order_id in record.order_ids if order_id in orders]
    return [order for order in own if order.status is OrderStatus.PENDING and not order.cancel_reason]
