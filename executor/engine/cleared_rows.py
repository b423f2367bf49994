"""Which rows of the cleared lists are settled by us, and what nobody has settled in time.

Invariants: an odd row, a foreign bet and a market with a record that cannot be read are left out, and cost no other;
whatever is matched and not settled is asked for by bet id again and again, however long ago it was placed.
"""

from collections.abc import Sequence
from typing import Final

import structlog

from executor.domain.order import OrderStatus
from executor.engine.engine import Engine
from executor.engine.lookup import CLEARED, LOOKUP
from executor.engine.reports import reference
from executor.engine.setting_aside import without_odd
from executor.errors import RecordUnreadable
from executor.ports import ClearedBet, ClearedKind, Listing

log = structlog.get_logger(__name__)

_OVERDUE_MS: Final = 24 * 3600 * 1000  # what is younger, the read of the last day finds
_AGAIN_MS: Final = 600_000  # between two looks at what is overdue; a call for 250 bets and kind
_OVERDUE: Final = "overdue_settlements"  # the cool-down's name


def to_settle(engine: Engine, kind: ClearedKind, listing: Listing[ClearedBet]) -> list[ClearedBet]:
    """Return the rows of a cleared list that are to be booked: those of our orders, and of bets that can be one."""
    rows = without_odd(engine, f"{CLEARED} {kind}", listing)
    foreign = engine.store.ever_foreign(row.bet_id for row in rows)
    suspects = [row.bet_id for row in rows if row.foreign]
    known = set(engine.store.owners(suspects)) if suspects else set()
    broken = engine.store.unreadable(dict.fromkeys(reference(row) for row in rows))
    return [
        row
        for row in rows
        if row.bet_id not in foreign and (not row.foreign or row.bet_id in known) and reference(row) not in broken
    ]


def without_broken_markets(engine: Engine, rows: Sequence[ClearedBet]) -> list[ClearedBet]:
    """Leave out markets with a record that cannot be read: nothing is booked there until a person has looked."""
    broken: set[str] = set()
    for market_id in dict.fromkeys(row.market_id for row in rows):
        try:
            engine.store.view(market_id)
        except RecordUnreadable as error:  # named once by the store
            log.warning("settlement_postponed", market_id=market_id, error=str(error))
            broken.add(market_id)
    return [row for row in rows if row.market_id not in broken]


def overdue_markets(engine: Engine, now: int) -> dict[str, int]:
    """Return the markets, each with its number of bets, that were settled while nobody could book it.

    Their orders are older than a day, by when they dropped out of every regular read: a record could not be read, or
    a row. Asked once in ten minutes.
    """
    waiting = [
        order
        for order in engine.store.unsettled_orders()
        if order.bet_id
        and not order.paper
        and order.size_matched
        and order.status is not OrderStatus.PENDING
        and now - order.created_at > _OVERDUE_MS
    ]
    if not waiting or not engine.locks.acquire_cooldown(_OVERDUE, _AGAIN_MS):
        return {}
    bets = [order.bet_id for order in waiting]
    found: dict[str, int] = {}
    for at in range(0, len(bets), LOOKUP):
        for kind in (ClearedKind.SETTLED, ClearedKind.VOIDED):
            listing = engine.exchange.find_cleared_bets(bets[at : at + LOOKUP], kind)
            for row in without_odd(engine, f"{CLEARED} {kind}", listing):
                found[row.market_id] = found.get(row.market_id, 0) + 1
    for market_id, number in found.items():
        log.warning("settlement_overdue", market_id=market_id, bets=number)
    return found
