"""What the engine needs of the outside, in domain words. Adapters implement these; tests have one fake for each."""

from executor.ports.around import Clock, Ledger, RefusedTask, Telemetry
from executor.ports.desk import Desk
from executor.ports.exchange import (
    CancelReport,
    ClearedBet,
    ClearedKind,
    Exchange,
    Funds,
    Instruction,
    LegOutcome,
    LegReport,
    MarketInfo,
)
from executor.ports.store import (
    TERMINAL,
    Change,
    Failure,
    Gate,
    MarketView,
    OrderStore,
    Recorded,
    SignalRecord,
    SignalStatus,
)
from executor.ports.watch import Alert, Vitals, Watch

__all__ = [
    "TERMINAL",
    "Alert",
    "CancelReport",
    "Change",
    "ClearedBet",
    "ClearedKind",
    "Clock",
    "Desk",
    "Exchange",
    "Failure",
    "Funds",
    "Gate",
    "Instruction",
    "Ledger",
    "LegOutcome",
    "LegReport",
    "MarketInfo",
    "MarketView",
    "OrderStore",
    "Recorded",
    "RefusedTask",
    "SignalRecord",
    "SignalStatus",
    "Telemetry",
    "Vitals",
    "Watch",
]
