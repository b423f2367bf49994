"""What the engine needs of the outside, in domain words. Adapters implement these; tests have one fake for each."""

from executor.ports.accounts import Accounts
from executor.ports.alerts import Alert, Alerts, HealthSnapshot
from executor.ports.backlog import Backlog, Load
from executor.ports.clock import Clock
from executor.ports.controls import Controls
from executor.ports.exchange import (
    ARRIVES_WITHIN_S,
    CancelReport,
    ClearedBet,
    ClearedKind,
    Exchange,
    Funds,
    Instruction,
    LegOutcome,
    LegReport,
    MarketInfo,
    SendPermit,
)
from executor.ports.ledger import Ledger
from executor.ports.locks import Locks
from executor.ports.market_facts import MarketFacts
from executor.ports.order_store import Arrival, Change, Failure, Gate, MarketView, OrderStore, Recorded, SendState
from executor.ports.signatures import Opened, Signatures
from executor.ports.telemetry import RefusedTask, Telemetry
from executor.ports.trade_feed import TradeFeed

__all__ = [
    "ARRIVES_WITHIN_S",
    "Accounts",
    "Alert",
    "Alerts",
    "Arrival",
    "Backlog",
    "CancelReport",
    "Change",
    "ClearedBet",
    "ClearedKind",
    "Clock",
    "Controls",
    "Exchange",
    "Failure",
    "Funds",
    "Gate",
    "HealthSnapshot",
    "Instruction",
    "Ledger",
    "LegOutcome",
    "LegReport",
    "Load",
    "Locks",
    "MarketFacts",
    "MarketInfo",
    "MarketView",
    "Opened",
    "OrderStore",
    "Recorded",
    "RefusedTask",
    "SendPermit",
    "SendState",
    "Signatures",
    "Telemetry",
    "TradeFeed",
]
