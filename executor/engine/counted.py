"""What was counted of a bet whose record is lost: each order counts once in each of placed, matched and cancelled.

Counters outlive Redis, records do not. Whose record was lost or has expired is taken for counted where the ledger knows
the bet, or its signal, or where the call that placed it must be over: who made that call has counted it. So a count is
lost only with a process that died between placing and counting while Redis lost its record, too; a bet that is younger
than a call may take may count twice where the ledger has it not yet, or is away (docs/operations.md). Milliseconds.
"""

import re
from collections.abc import Iterable
from typing import Final

import structlog

from executor.domain.order import BetState, OrderStatus, status_of
from executor.engine.engine import Engine
from executor.errors import LedgerUnavailable

log = structlog.get_logger(__name__)

_OURS: Final = re.compile(r"[0-9a-f]{28}-[12]")  # `domain.order.order_ids`
_CALL_MS: Final = 16_000  # after the API timeout: the exchange's own time for a call, and a pause before it


def counted_before(engine: Engine, bets: Iterable[BetState]) -> set[str]:
    """Return the ids of those of these bets, none of which has a record, that were counted as placed."""
    unknown = {bet.bet_id: bet for bet in bets}
    if not unknown:
        return set()
    over = engine.store.now() - engine.policy.api_timeout_s * 1000 - _CALL_MS
    old = {name for name, bet in unknown.items() if _OURS.fullmatch(bet.order_id) and 0 < bet.placed_at < over}
    asked = {name: bet.order_id for name, bet in unknown.items() if name not in old}
    if not asked:
        return old
    since = min((bet.placed_at for bet in unknown.values() if bet.bet_id in asked), default=0)
    try:
        return old | engine.ledger.knows(engine.policy.identity, asked, since)
    except LedgerUnavailable as error:
        log.warning("counted_unknown", bets=len(asked), error=str(error), why="they may count twice")
        return old


def known_status(engine: Engine, bet: BetState, now: int) -> OrderStatus:
    """Return how far a bet that was counted had come when its record was lost."""
    recent = bet.matched_at >= now - 2 * engine.policy.poll_interval_s * 1000  # since the last polls: not counted yet
    return OrderStatus.PENDING if recent and not bet.executable else status_of(bet)
