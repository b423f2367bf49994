"""log_trade and write_ledger: the accounting feed goes into the ledger, in order, each entry once.

Invariant: an entry is acknowledged only after the ledger has it; a ledger that is away keeps the entries in the feed
and blocks nothing.
"""

from typing import Final

import structlog

from executor.engine.context import Engine
from executor.errors import LedgerUnavailable

log = structlog.get_logger(__name__)

_BATCH: Final = 500  # one transaction: large enough to catch up quickly, small enough to repeat


def write_ledger(engine: Engine) -> int:
    """Write what the ledger has not got yet; returns how many entries, 0 while another process is writing."""
    written = 0
    with engine.desk.single_flight("ledger") as ours:
        while ours and (entries := engine.desk.read_trades(_BATCH)):
            try:
                engine.ledger.write(entries)
            except LedgerUnavailable as error:
                log.warning("ledger_pending", error=str(error), hint="entries wait in the stream; nothing is lost")
                break
            engine.desk.acknowledge_trades([entry for entry, _ in entries])
            written += len(entries)
    return written
