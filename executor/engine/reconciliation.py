"""poll_orders: compare our orders with the exchange's, correct, adopt; the reconciliation *is* the poll.

Invariants: an order that dropped out of the list is asked for by reference and never assumed matched; the absence of an
order whose call had no answer is concluded only after the exchange can no longer bring it to light; only a complete
cycle sets `executor:reconciled`, without which nothing is placed.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import structlog

from executor.domain.order import BetState, Order, OrderStatus, merge, move
from executor.engine.context import Engine
from executor.engine.evidence import Rewritten, adopt, cleared_state, reference, rewrite
from executor.engine.settlement import rebuild_pnl
from executor.engine.upkeep import apply_limits
from executor.errors import IdentityMismatch
from executor.ports import ClearedBet, ClearedKind

log = structlog.get_logger(__name__)

LOOKUP: Final = 250  # references per call; Betfair: listCurrentOrders
_BATCH: Final = 100  # orders changed by one commit
_FULL_READ_S: Final = 60  # contract section 6: voids and price changes
_APPEARS_MS: Final = 15_000  # Betfair: a timed-out bet may take this long to appear
_PAUSE_MS: Final = 1000  # the submit step may be this much before the call's real start
_SAME_MS: Final = 60_000  # a reference may be used again after a day: a bet from before the order was made is another
_ENDED_MS: Final = 300_000  # what ended this long ago: a restart of Redis and several failed polls
_RECONCILED_INTERVALS: Final = 4
_RECONCILED_MIN_S: Final = 20

NOT_PLACED: Final = "NOT_PLACED"


@dataclass(frozen=True, slots=True)
class PollReport:
    """What a cycle saw: orders watched, bets listed, orders changed, bets adopted."""

    active: int
    listed: int
    changed: int
    adopted: int


def poll(engine: Engine) -> PollReport:
    """Run one complete cycle and say so.

    Raises:
        IdentityMismatch: this Redis db became another account's.
        ExecutorError: the exchange or Redis did not answer; the next cycle tries again.
    """
    owner = engine.controls.claim_identity()
    if owner != engine.policy.identity:
        raise IdentityMismatch(f"this Redis db belongs to {owner!r}, not to {engine.policy.identity!r}")
    apply_limits(engine, missing_only=True)
    mark = engine.controls.data_generation()  # before anything is read
    active = engine.store.active_orders()
    now = engine.store.now()
    first = not engine.controls.is_started()
    full = first or engine.controls.full_read_due(_FULL_READ_S, mark)
    listed = engine.exchange.current_orders() if full else engine.exchange.executable_orders()
    changed, adopted = _take_in(engine, active, listed)
    dropped = _dropped(active, listed)
    changed += _look_up(engine, dropped, now)
    if full:
        adopted += _adopt_ended(engine, now)
        rebuild_pnl(engine)
        engine.controls.full_read_done(mark)
    if first:
        _first_start(engine, listed)
    ttl_s = max(_RECONCILED_MIN_S, _RECONCILED_INTERVALS * engine.policy.poll_interval_s)
    if engine.store.now() - now > ttl_s * 1000:
        log.warning("poll_not_counted", why="it took longer than its mark would hold: what it has read is too old")
    elif not engine.controls.confirm_reconciled(ttl_s, mark):
        log.warning("poll_not_counted", why="Redis was restarted or emptied meanwhile; the next one reads everything")
    return PollReport(len(active), len(listed), changed, adopted)


def _first_start(engine: Engine, listed: Sequence[BetState]) -> None:
    """Decide on a first start from a read of every order; one that only read the live ones would overlook the rest."""
    ours = bool(listed) or bool(engine.store.recent_orders(1)) or not engine.ledger.is_empty(engine.policy.identity)
    if engine.controls.first_start(anything_of_ours=ours):
        log.warning("trading_enabled", why="first start: no order of ours in Redis, the ledger or at the exchange")


def _dropped(active: Sequence[Order], listed: Sequence[BetState]) -> list[Order]:
    bets, references = {bet.bet_id for bet in listed}, {bet.order_id for bet in listed}
    # By its bet, once known: another bet with the same reference must not hide that this one is over.
    return [one for one in active if (one.bet_id not in bets if one.bet_id else one.order_id not in references)]


def _take_in(engine: Engine, active: Sequence[Order], listed: Sequence[BetState]) -> tuple[int, int]:
    """Merge what the exchange lists; returns how many orders changed and how many were adopted."""
    known = {order.order_id: order for order in active}
    missing = [reference(bet) for bet in listed if reference(bet) not in known]
    known |= {order.order_id: order for order in engine.store.orders(missing)}
    by_market: dict[str, list[BetState]] = {}
    adopted = 0
    for bet in listed:
        order = known.get(reference(bet))
        if order is not None and order.bet_id not in {"", bet.bet_id}:
            log.critical("second_bet_for_order", order_id=order.order_id, bet_id=bet.bet_id, first=order.bet_id)
            bet = replace(bet, order_id="")  # noqa: PLW2901 - watched and counted as a bet of its own
            order = next(iter(engine.store.orders([reference(bet)])), None)
        if order is None:
            adopted += 1
            log.error("bet_adopted", order_id=reference(bet), bet_id=bet.bet_id, market_id=bet.market_id)
        if order is None or _differs(order, bet):
            by_market.setdefault(bet.market_id, []).append(bet)
    changed = 0
    for market_id, bets in by_market.items():
        changed += absorb(engine, market_id, bets, known)
    return changed, adopted


def _adopt_ended(engine: Engine, now: int) -> int:
    """Adopt what ended unmatched and is in no record: Redis lost it, and only live and matched bets are listed."""
    lost: dict[str, dict[tuple[ClearedKind, str], ClearedBet]] = {}
    for kind in (ClearedKind.CANCELLED, ClearedKind.LAPSED):
        for page in engine.exchange.settled_since(now - _ENDED_MS, kind):
            rows = [row for row in page if row.order_id]
            known = {order.order_id for order in engine.store.orders(dict.fromkeys(row.order_id for row in rows))}
            for row in rows:
                if row.order_id not in known:
                    lost.setdefault(row.order_id, {})[kind, row.bet_id] = row
    names = list(lost)
    matched = {row.order_id for at in range(0, len(names), LOOKUP) for row in _settled(engine, names[at : at + LOOKUP])}
    ended = [cleared_state([*lost[name].values()]) for name in names if name not in matched]  # settlement's otherwise
    for bet in ended:
        log.error("bet_adopted", order_id=bet.order_id, bet_id=bet.bet_id, market_id=bet.market_id, ended=True)
    for market_id in dict.fromkeys(bet.market_id for bet in ended):
        absorb(engine, market_id, [bet for bet in ended if bet.market_id == market_id], {})
    return len(ended)


def _settled(engine: Engine, names: Sequence[str]) -> list[ClearedBet]:
    return [
        row for kind in (ClearedKind.SETTLED, ClearedKind.VOIDED) for row in engine.exchange.find_cleared(names, kind)
    ]


def _differs(order: Order, bet: BetState) -> bool:
    return merge(order, bet, 0)[0] != order


def absorb(engine: Engine, market_id: str, bets: Iterable[BetState], known: Mapping[str, Order]) -> int:
    """Merge bets of one market into their orders, adopting those without one; returns how many orders changed."""
    states = {reference(bet): bet for bet in bets}

    def take(order: Order, now: int) -> Rewritten:
        return merge(order, states[order.order_id], now)

    names = list(states)
    changed = 0
    for at in range(0, len(names), _BATCH):
        batch = names[at : at + _BATCH]
        signals = {known[one].signal_id for one in batch if one in known}
        fresh = {one: adopt(engine, states[one]) for one in batch if one not in known}
        changed += len(rewrite(engine, market_id, batch, signals, take, fresh))
    return changed


def _look_up(engine: Engine, dropped: Sequence[Order], now: int) -> int:
    changed = 0
    budget = engine.policy.max_lookups
    for at in range(0, len(dropped), LOOKUP):
        if budget <= 0:
            log.warning("lookups_postponed", orders=len(dropped) - at, why="MaxOrdersPerCheck calls were made")
            break
        budget -= 1
        changed += look_up(engine, dropped[at : at + LOOKUP], now)
    return changed


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
        changed += absorb(engine, market_id, bets, known) if bets else 0
        lost = {order.order_id: order for order in ripe if order.market_id == market_id and order.order_id not in found}
        changed += _absent(engine, market_id, lost)
    return changed


def is_ripe(engine: Engine, order: Order, now: int) -> bool:
    """Tell whether the exchange's silence on a submitted order means that it is not there; contract section 5."""
    if order.status is not OrderStatus.SUBMITTED:
        return False
    if order.answered_at:
        return now >= order.answered_at + _APPEARS_MS
    return now >= order.submitted_at + engine.policy.api_timeout_s * 1000 + _APPEARS_MS + _PAUSE_MS


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
            found[order.order_id] = cleared_state([row for row in own if row.bet_id == own[0].bet_id])
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
