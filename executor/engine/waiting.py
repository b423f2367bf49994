"""Waiting for orders to be reconciled: after a restart or a failover a poll is seconds away, and prices last longer.

Invariant: a signal waits `RECONCILED_MS` at most, never past its deadline, and nothing is reserved or sent meanwhile.
Milliseconds.
"""

from typing import Final

from executor.domain.signal_record import SignalRecord
from executor.engine.engine import Engine
from executor.errors import NotYet
from executor.ports import MarketView

RECONCILED_MS: Final = 10_000  # contract section 4


def wait_for_poll(engine: Engine, view: MarketView, record: SignalRecord, patience_ms: int) -> None:
    """Return when a signal need not wait, or has waited long enough, for a poll to complete.

    Raises:
        NotYet: it waits.
    """
    ours = view.identity in {None, engine.policy.identity}
    if view.reconciled or not ours or not patience_ms:
        return
    if view.now < min(record.deadline, engine.controls.waiting_since(record.signal_id) + patience_ms):
        raise NotYet("orders are not reconciled with the exchange yet")
