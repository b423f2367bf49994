"""Merging the bets that the exchange tells of into their orders, whoever heard of them: the poll or the order stream.

Invariant: each bet finds its own order, or becomes one (adopted); a second bet under one reference is watched apart;
one market that cannot be worked on holds up no other.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import structlog

from executor.domain.order import UNPLACED, BetState, CancelReason, Order, merge
from executor.engine.cancellation import cancel_orders
from executor.engine.engine import Engine
from executor.engine.foreign_bets import forget_foreign, keep_foreign, separate_foreign
from executor.engine.reports import merge_reports, reference
from executor.engine.setting_aside import each_market
from executor.errors import Contended
from executor.ports import OddRow

log = structlog.get_logger(__name__)


class Merged(NamedTuple):
    """What came of a list: orders changed, bets adopted, foreign ones, and orders that turned up though given up."""

    changed: int
    adopted: int
    foreign: Sequence[OddRow]
    late: Sequence[str]


def merge_listed(
    engine: Engine, active: Sequence[Order], listed: Sequence[BetState], stopped: dict[str, str], asked_at: int
) -> Merged:
    """Merge what the exchange lists.

    `active` are orders that are known already; markets where it could not be done are put into `stopped` with why;
    `asked_at` is a Redis time before the question, 0 where it is not known.
    """
    bets = _named(engine, active, listed)
    known = {order.order_id: order for order in active}
    missing = [reference(bet) for bet in bets if reference(bet) not in known]
    known |= {order.order_id: order for order in engine.store.orders(missing)}
    unreadable = engine.store.unreadable(name for name in missing if name not in known)
    by_market: dict[str, list[BetState]] = {}
    unknown: list[BetState] = []
    late: list[str] = []
    for bet in bets:
        order, state = _order_of(engine, known, bet)
        if order is not None:
            late += [order.order_id] if order.status in UNPLACED else []
            if _differs(order, state, asked_at):
                by_market.setdefault(state.market_id, []).append(state)
        elif reference(state) in unreadable:
            stopped[state.market_id] = f"order {reference(state)} cannot be read"
        else:
            unknown.append(state)
    adopted, foreign = separate_foreign(engine, unknown)
    for state in adopted:
        log.error("bet_adopted", order_id=reference(state), bet_id=state.bet_id, market_id=state.market_id)
        by_market.setdefault(state.market_id, []).append(state)
    if adopted:
        forget_foreign(engine, [state.bet_id for state in adopted], stopped)
    work = {market: partial(merge_reports, engine, market, own, known, asked_at) for market, own in by_market.items()}
    return Merged(each_market(engine, work, stopped), len(adopted), foreign, late)


def _named(engine: Engine, active: Sequence[Order], listed: Sequence[BetState]) -> list[BetState]:
    """Name each bet's order by its bet id, where one has it: a reference may be lost, or another bet's too."""
    own = {order.bet_id: order.order_id for order in active if order.bet_id}
    own |= engine.store.owners(bet.bet_id for bet in listed if bet.bet_id not in own)
    return [replace(bet, order_id=own[bet.bet_id]) if bet.bet_id in own else bet for bet in listed]


def _order_of(engine: Engine, known: dict[str, Order], bet: BetState) -> tuple[Order | None, BetState]:
    order = known.get(reference(bet))
    if order is None or order.bet_id in {"", bet.bet_id}:
        return order, bet
    log.critical("second_bet_for_order", order_id=order.order_id, bet_id=bet.bet_id, first=order.bet_id)
    bet = replace(bet, order_id="")  # watched and counted as a bet of its own
    return next(iter(engine.store.orders([reference(bet)])), None), bet


def _differs(order: Order, bet: BetState, asked_at: int) -> bool:
    return merge(order, bet, 0, asked_at)[0] != order


def is_recorded(order: Order, bet: BetState) -> bool:
    """Tell whether an order's record says already what was heard of its bet."""
    return order.bet_id == bet.bet_id and not _differs(order, bet, 0)


def merge_bets(engine: Engine, bets: Sequence[BetState]) -> int:
    """Merge bets that were heard of one by one; returns how many orders changed.

    A leg that turned up late and alone is taken back at once; the next tick of `cancel_unmatched` does it again.

    Raises:
        Contended: a market could not be worked on now.
    """
    stopped: dict[str, str] = {}
    merged = merge_listed(engine, (), bets, stopped, 0)
    keep_foreign(engine, merged.foreign, complete=False, stopped={})  # where nothing is placed, the poll says
    if merged.late:
        legs = engine.store.orders(merged.late)
        marked = [order for order in legs if order.cancel_reason == CancelReason.HALF_PLACED]
        cancel_orders(engine, marked, CancelReason.HALF_PLACED)
    if stopped:
        raise Contended("; ".join(stopped.values()))
    return merged.changed
