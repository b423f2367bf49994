"""log_trade and write_ledger: the accounting feed goes into the ledger, in order, each entry once.

Invariant: an entry is acknowledged only after the ledger has it; a ledger that is away keeps the entries in the feed
and blocks nothing; one that has gone back (restored from a backup) gets again what it has not got, as far as the feed
reaches back.
"""

from typing import Final

import structlog

from executor.engine.engine import Engine
from executor.errors import LedgerUnavailable

log = structlog.get_logger(__name__)

_BATCH: Final = 500  # one transaction: large enough to catch up quickly, small enough to repeat
PAUSE_MS: Final = 500  # a transaction costs as much as all the rest of a signal; two a second are plenty


def log_trades(engine: Engine) -> int:
    """Write what the ledger has not got yet, unless that has just been done: then the next one, or beat, does it."""
    return _write(engine) if engine.locks.acquire_cooldown("log_trade", PAUSE_MS) else 0


def write_ledger(engine: Engine) -> int:
    """Write what the ledger has not got yet, and drop what it got long ago; returns how many entries were written."""
    written = _write(engine, look_back=True)
    engine.trade_feed.trim_trades()
    return written


def _write(engine: Engine, *, look_back: bool = False) -> int:
    """Write until nothing is left; returns how many entries, 0 while another process is writing."""
    written = 0
    with engine.locks.single_flight("ledger") as ours:
        if not ours:
            return 0
        generation = engine.trade_feed.generation()
        try:
            if look_back:
                _look_back(engine, generation)
            while entries := engine.trade_feed.read_trades(_BATCH):
                engine.ledger.write(entries, identity=engine.policy.identity, generation=generation)
                engine.trade_feed.acknowledge_trades([entry for entry, _ in entries])
                written += len(entries)
                if len(entries) < _BATCH:
                    break
            written += _write_acts(engine, look_back=look_back)
        except LedgerUnavailable as error:
            log.warning("ledger_pending", error=str(error), hint="entries wait in the stream; nothing is lost")
    return written


def _write_acts(engine: Engine, *, look_back: bool) -> int:
    written = 0
    if look_back and engine.trade_feed.rewind_acts(reached := engine.ledger.reached_acts(engine.policy.identity)):
        log.error("ledger_went_back", reached=reached, why="acts that it had acknowledged are not booked")
    while entries := engine.trade_feed.read_acts(_BATCH):
        engine.ledger.write_acts(entries)
        engine.trade_feed.acknowledge_acts([entry for entry, _ in entries])
        written += len(entries)
        if len(entries) < _BATCH:
            break
    return written


def _look_back(engine: Engine, generation: str) -> None:
    reached = engine.ledger.reached(engine.policy.identity, generation)
    if engine.trade_feed.rewind_trades(reached):
        log.error("ledger_went_back", reached=reached, why="it has less than it had acknowledged; it gets that again")
