"""Asking the exchange for orders by name, and what its silence means.

What is known of a bet decides how it is asked for: by its bet id once that is known, as a reference may be lost or be
another bet's too; by our reference before. Invariants: an order that dropped out of a list is asked for and never
assumed matched; the absence of an order whose call had no answer is concluded only after the exchange can no longer
bring it to light, and never where a row that cannot be read may be its bet. Times in milliseconds.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final

import structlog

from executor.domain.order import UNPLACED, BetState, Order, OrderStatus, move
from executor.engine.engine import Engine, Policy
from executor.engine.reports import Rewritten, cleared_state, merge_reports, rewrite
from executor.engine.setting_aside import each_market, set_aside
from executor.ports import ClearedBet, ClearedKind, OddRow

log = structlog.get_logger(__name__)

LOOKUP: Final = 250  # references or bets per call; Betfair: listCurrentOrders
CURRENT: Final = "listCurrentOrders"
CLEARED: Final = "listClearedOrders"
_APPEARS_MS: Final = 15_000  # Betfair's share of `late_arrival_s`; the rest is what a proxy may hold a call back
_PAUSE_MS: Final = 1000  # the submit step may be this much before the call's real start
_SAME_MS: Final = 60_000  # a reference may be used again after a day: a bet from before the order was made is another
_ALONE: Final = 10  # orders asked for one by one, where a row without a name may be any of theirs

NOT_PLACED: Final = "NOT_PLACED"


@dataclass(slots=True)
class _Answers:
    """What was found of the orders asked for; of `undecided` ones a row could not be read."""

    orders: Mapping[str, Order]
    by_bet: Mapping[str, Order]
    found: dict[str, BetState] = field(default_factory=dict)
    undecided: set[str] = field(default_factory=set)

    def missing(self) -> list[Order]:
        """Return the orders that were not found."""
        return [order for order in self.orders.values() if order.order_id not in self.found]

    def owner(self, bet: BetState | ClearedBet | OddRow) -> Order | None:
        """Return the order that a row is of: the bet's, or the one without a bet whose reference it carries."""
        named = self.orders.get(bet.order_id)
        return self.by_bet.get(bet.bet_id) or (named if named is not None and not named.bet_id else None)

    def suspects(self, nameless: Sequence[OddRow]) -> list[str]:
        """Name the unanswered orders that were not found and whose bet a row without a name may be."""
        markets = {row.market_id for row in nameless}
        unknown = {OrderStatus.SUBMITTED, *UNPLACED}
        asked = [order for order in self.missing() if order.status in unknown]
        return [order.order_id for order in asked if "" in markets or order.market_id in markets] if markets else []


def look_up(
    engine: Engine,
    orders: Sequence[Order],
    asked_at: int,
    failed: dict[str, str] | None = None,
    unread: set[str] | None = None,
) -> int:
    """Ask the exchange for orders, in the current and the cleared lists; returns how many changed.

    `asked_at` is a Redis time before the question. At most 250 orders. A market that cannot be worked on is put into
    `failed` with why, and keeps no other from it. Orders of which a row could not be read are put into `unread`.
    """
    by_bet = {order.bet_id: order for order in orders if order.bet_id}
    answers = _Answers({order.order_id: order for order in orders}, by_bet)
    _ask_current(engine, answers)
    missing = answers.missing()
    # Of one that is taken as not placed (a person asks), a bet may have turned up and be over by now.
    over = {OrderStatus.PENDING, *UNPLACED}
    due = [order for order in missing if order.status in over or is_due(engine, order, asked_at)]
    if due:
        _ask_cleared(engine, answers, due)
    if unread is not None:
        unread |= answers.undecided
    changed = {
        market_id: partial(_apply_answers, engine, market_id, answers, due, asked_at)
        for market_id in dict.fromkeys(order.market_id for order in orders)
    }
    return each_market(engine, changed, failed)


def _apply_answers(engine: Engine, market_id: str, answers: _Answers, due: Iterable[Order], asked_at: int) -> int:
    bets = [bet for order_id, bet in answers.found.items() if answers.orders[order_id].market_id == market_id]
    changed = merge_reports(engine, market_id, bets, answers.orders, asked_at) if bets else 0
    lost = {order.order_id: order for order in due if order.market_id == market_id}
    gone = {name: order for name, order in lost.items() if name not in answers.found and name not in answers.undecided}
    return changed + _absent(engine, market_id, gone)


def is_due(engine: Engine, order: Order, now: int) -> bool:
    """Tell whether the exchange's silence on a submitted order means that it is not there; contract section 5."""
    if order.status is not OrderStatus.SUBMITTED:
        return False
    return now >= shows_by(engine.policy, order)


def under_way_ms(policy: Policy, order: Order, now: int) -> int:
    """Return for how long something of an order's call may still reach the exchange; 0: nothing may."""
    return max(0, shows_by(policy, order) - _APPEARS_MS - now)


def shows_by(policy: Policy, order: Order) -> int:
    """Return when, at the latest, the exchange shows the bet of an order that was sent, if there is one."""
    return (order.answered_at or _silent_at(policy, order)) + policy.late_arrival_s * 1000


def _silent_at(policy: Policy, order: Order) -> int:
    return order.submitted_at + round(policy.call_lasts_s * 1000) + _PAUSE_MS


# --- the current list ------------------------------------------------------------------------------------------------


def _ask_current(engine: Engine, answers: _Answers) -> None:
    bets = [order.bet_id for order in answers.orders.values() if order.bet_id]
    names = [order.order_id for order in answers.orders.values() if not order.bet_id]
    nameless: list[OddRow] = []
    for listing in (
        *([engine.exchange.find_bets(bets)] if bets else []),
        *([engine.exchange.find_current(names)] if names else []),
    ):
        for bet in listing:
            _take(answers, bet)
        nameless += _set_aside_odd(engine, answers, CURRENT, listing.odd)
    _ask_alone(engine, answers, nameless)


def _take(answers: _Answers, bet: BetState) -> None:
    order = answers.owner(bet)
    if order is not None:
        answers.found.setdefault(order.order_id, replace(bet, order_id=order.order_id))


def _set_aside_odd(engine: Engine, answers: _Answers, source: str, odd: Sequence[OddRow]) -> list[OddRow]:
    """Let nothing be concluded of the orders that odd rows are of; returns the rows that may be anybody's."""
    set_aside(engine, source, odd)
    nameless: list[OddRow] = []
    for row in odd:
        order = answers.owner(row)
        if order is not None:
            answers.undecided.add(order.order_id)
        elif not row.bet_id and not row.order_id:
            nameless.append(row)
    return nameless


def _ask_alone(engine: Engine, answers: _Answers, nameless: Sequence[OddRow]) -> None:
    """Find out whose the rows without a name are: nothing is concluded of an order that gets one when asked alone."""
    suspects = answers.suspects(nameless)
    answers.undecided |= set(suspects[_ALONE:])  # the next look's
    for order_id in suspects[:_ALONE]:
        if engine.exchange.find_current([order_id]).odd:
            answers.undecided.add(order_id)


# --- the cleared lists -----------------------------------------------------------------------------------------------


def _ask_cleared(engine: Engine, answers: _Answers, orders: Sequence[Order]) -> None:
    bets = [order.bet_id for order in orders if order.bet_id]
    names = [order.order_id for order in orders if not order.bet_id]
    rows: dict[str, list[ClearedBet]] = {}
    for kind in ClearedKind:
        for listing in (
            *([engine.exchange.find_cleared_bets(bets, kind)] if bets else []),
            *([engine.exchange.find_cleared(names, kind)] if names else []),
        ):
            for row in listing:
                order = answers.owner(row)
                if order is not None and _is_of(order, row):
                    rows.setdefault(order.order_id, []).append(row)
            answers.undecided |= set(
                answers.suspects(_set_aside_odd(engine, answers, f"{CLEARED} {kind}", listing.odd))
            )
    for order_id, own in rows.items():
        if order_id not in answers.found:
            # Of several bets with this reference, the order's own.
            state = cleared_state([row for row in own if row.bet_id == own[0].bet_id], answers.orders[order_id])
            answers.found[order_id] = replace(state, order_id=order_id)


def _is_of(order: Order, row: ClearedBet) -> bool:
    return bool(order.bet_id) or not row.placed_at or row.placed_at >= order.created_at - _SAME_MS


def _absent(engine: Engine, market_id: str, lost: Mapping[str, Order]) -> int:
    """Conclude that unanswered orders are not at the exchange; a live one that vanished is only reported."""
    for order in lost.values():
        problem = f"live, and the exchange lists its bet {order.bet_id} nowhere"
        if order.status is OrderStatus.PENDING and engine.set_aside.note({f"order {order.order_id}": problem}):
            log.error("order_not_found", order_id=order.order_id, bet_id=order.bet_id, market_id=market_id)

    def conclude(order: Order, now: int) -> Rewritten:
        if order != lost[order.order_id]:  # something moved since the exchange was asked
            return order, []
        failed = move(order, OrderStatus.FAILED, NOT_PLACED, order.detail or "the exchange does not have it")
        return replace(failed, finished_at=now), []

    names = [order.order_id for order in lost.values() if order.status is OrderStatus.SUBMITTED]
    if not names:
        return 0
    return len(rewrite(engine, market_id, names, {lost[order_id].signal_id for order_id in names}, conclude))
