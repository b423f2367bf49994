"""What becomes of our orders when the sandbox that had their bets is gone: it keeps them in memory only.

Invariant: an order is closed only after the sandbox that runs now was asked and does not have its bet; what was matched
is void and what was not has lapsed, through the same merge as everything that an exchange says. Never for a real
exchange: a bet there does not go away.
"""

from collections.abc import Callable, Collection
from dataclasses import replace

from executor.domain.money import ZERO
from executor.domain.order import BetState, Order
from executor.engine.engine import Engine
from executor.engine.reports import merge_reports, recorded_bet


def void_lost_bets(engine: Engine, known_bets: Callable[[], Collection[str]]) -> int:
    """Void the bets that the exchange has forgotten; returns how many orders changed.

    `known_bets` asks the exchange for the ids of all bets that it has.
    """
    orders = [order for order in engine.store.unsettled_orders() if order.bet_id]
    if not orders:
        return 0
    known = known_bets()  # asked after our orders were read, so that no new one can be missing
    lost = [order for order in orders if order.bet_id not in known]
    changed = 0
    for market_id in dict.fromkeys(order.market_id for order in lost):
        own = {order.order_id: order for order in lost if order.market_id == market_id}
        changed += merge_reports(engine, market_id, map(_void, own.values()), own)
    return changed


def _void(order: Order) -> BetState:
    gone = order.size_matched + order.size_voided + order.size_cancelled
    return replace(
        recorded_bet(order),
        executable=False,
        size_matched=ZERO,
        average_price_matched=ZERO,
        size_lapsed=max(order.size - gone, ZERO),
        size_voided=order.size_voided + order.size_matched,
        matched_at=0,
    )
