"""Noticing that Redis's data are older than what is known elsewhere: somebody has put a backup back.

A restart or a failover loses seconds, a backup hours; with the hours it brings back who may trade and how much. Two
witnesses remember better: the ledger, which has entries of the feed that the feed has not, and the exchange, which has
bets of ours from after the last poll in these data. Invariant: where one of them does, trading is off before the poll
that found it says that orders are reconciled, and stays off until a person resumes. Milliseconds.
"""

from collections.abc import Iterable, Iterator
from typing import Final

import structlog

from executor.domain.order import BetState
from executor.domain.times import iso
from executor.engine.engine import Engine
from executor.engine.reports import reference
from executor.errors import LedgerUnavailable

log = structlog.get_logger(__name__)

POLL: Final = "poll_orders"
_LOSABLE_MS: Final = 60_000  # more than any crash or failover loses, and than clocks differ


def halt_if_set_back(engine: Engine, listed: Iterable[BetState]) -> bool:
    """Switch trading off where these data, which nobody has compared yet, are a backup's; tells whether that is known.

    `listed` is what the exchange has of ours, before anything of it is adopted. A ledger that is away is to be asked
    again: it may be the only one who knows of a halt, or of limits, that the backup has not got.
    """
    try:
        found = next(_witnesses(engine, listed), "")
    except LedgerUnavailable as error:
        log.warning("ledger_not_asked", error=str(error), why="whether Redis's data are a backup's")
        return False
    if not found:
        return True
    log.error("data_set_back", why=found, hint="executor limits, executor orders --active, then executor resume")
    if not engine.controls.set_trading(enabled=False, reason=f"Redis's data are a backup's: {found}", by=POLL):
        log.error("halt_not_kept", why="no replica knows it yet: a failover now would switch trading on again")
    return True


def _witnesses(engine: Engine, listed: Iterable[BetState]) -> Iterator[str]:
    yield from _exchange(engine, listed)
    yield from _ledger(engine)


def _exchange(engine: Engine, listed: Iterable[BetState]) -> Iterator[str]:
    polled = engine.locks.last_success(POLL)
    if not polled:  # there is nothing to be older than
        return
    newer = {reference(bet): bet for bet in listed if bet.placed_at > polled + _LOSABLE_MS}
    known = {order.order_id for order in engine.store.orders(list(newer))}
    for name in sorted(newer.keys() - known):
        yield f"the exchange has bet {newer[name].bet_id} of {iso(newer[name].placed_at)}, they end at {iso(polled)}"


def _ledger(engine: Engine) -> Iterator[str]:
    identity, feed = engine.policy.identity, engine.trade_feed
    pairs = [
        (engine.ledger.reached(identity, feed.generation()), feed.delivered_trades()),
        (engine.ledger.reached_acts(identity), feed.delivered_acts()),
    ]
    for reached, read in pairs:
        if reached and read and _moment(reached) > _moment(read) + _LOSABLE_MS:
            yield f"the ledger is booked up to {iso(_moment(reached))}, they end at {iso(_moment(read))}"


def _moment(entry: str) -> int:
    return int(entry.partition("-")[0])
