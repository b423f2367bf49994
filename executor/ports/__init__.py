"""What the engine needs of the outside, in domain words. Adapters implement these; tests have one fake for each."""

from executor.ports.accounts import Accounts, Reading
from executor.ports.alerts import Alert, Alerts, HealthSnapshot
from executor.ports.backlog import Backlog, Load
from executor.ports.cancel_attempts import CancelAttempts, RefusedCancel
from executor.ports.clock import Clock
from executor.ports.console_access import ConsoleAccess
from executor.ports.controls import Controls
from executor.ports.exchange import (
    ARRIVES_WITHIN_S,
    CancelReport,
    ClearedBet,
    ClearedKind,
    Exchange,
    Funds,
    HeartbeatAction,
    HeartbeatReport,
    Instruction,
    LegOutcome,
    LegReport,
    Listing,
    MarketInfo,
    OddRow,
    SendPermit,
)
from executor.ports.hedges import HedgeNote, Hedges
from executor.ports.ledger import Ledger
from executor.ports.locks import Hold, Locks
from executor.ports.market_facts import Counted, MarketFacts
from executor.ports.notices import Address, NotDelivered, NoticeStore, Notifier
from executor.ports.order_store import (
    Arrival,
    Change,
    Failure,
    Gate,
    MarketView,
    OrderStore,
    QueuedMessage,
    Recorded,
    SendState,
)
from executor.ports.order_stream import OrderStream, StreamMessage
from executor.ports.set_aside import SetAside
from executor.ports.signatures import Opened, Signatures
from executor.ports.telemetry import NotifierTelemetry, RefusedTask, Telemetry
from executor.ports.token_store import LoginBan, TokenStore
from executor.ports.trade_feed import TradeFeed
from executor.ports.updates import Updates

__all__ = [
    "ARRIVES_WITHIN_S",
    "Accounts",
    "Address",
    "Alert",
    "Alerts",
    "Arrival",
    "Backlog",
    "CancelAttempts",
    "CancelReport",
    "Change",
    "ClearedBet",
    "ClearedKind",
    "Clock",
    "ConsoleAccess",
    "Controls",
    "Counted",
    "Exchange",
    "Failure",
    "Funds",
    "Gate",
    "HealthSnapshot",
    "HeartbeatAction",
    "HeartbeatReport",
    "HedgeNote",
    "Hedges",
    "Hold",
    "Instruction",
    "Ledger",
    "LegOutcome",
    "LegReport",
    "Listing",
    "Load",
    "Locks",
    "LoginBan",
    "MarketFacts",
    "MarketInfo",
    "MarketView",
    "NotDelivered",
    "NoticeStore",
    "Notifier",
    "NotifierTelemetry",
    "OddRow",
    "Opened",
    "OrderStore",
    "OrderStream",
    "QueuedMessage",
    "Reading",
    "Recorded",
    "RefusedCancel",
    "RefusedTask",
    "SendPermit",
    "SendState",
    "SetAside",
    "Signatures",
    "StreamMessage",
    "Telemetry",
    "TokenStore",
    "TradeFeed",
    "Updates",
]
