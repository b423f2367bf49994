"""What every use-case works with: the ports, and the settings in the engine's words.

`Engine` is made once per process by `wiring`; it holds no state of its own.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

import structlog

from executor.domain.hedge import NO_HEDGE, HedgePolicy
from executor.domain.order import Order
from executor.domain.risk import Rules
from executor.domain.signal_record import SignalRecord
from executor.ports import (
    ARRIVES_WITHIN_S,
    Accounts,
    Alerts,
    CancelAttempts,
    Clock,
    Controls,
    Exchange,
    Hedges,
    Ledger,
    Locks,
    MarketFacts,
    MarketView,
    OrderStore,
    RefusedTask,
    SetAside,
    Telemetry,
    TradeFeed,
)

log = structlog.get_logger(__name__)

_SEND_WITHIN_S: Final = 10.0  # what a slow name server or a new connection may use up


@dataclass(frozen=True, slots=True)
class Policy:
    """Settings as the engine needs them; intervals end in their unit."""

    identity: str
    paper: bool
    rules: Rules
    limits: Mapping[str, Decimal]
    max_age_s: int
    max_validity_s: int
    dedup_s: int
    unmatched_timeout_s: int
    api_timeout_s: int
    poll_interval_s: int
    max_lookups: int
    commission_rate: Decimal
    breaker_enabled: bool
    breaker_failures: int
    breaker_window_s: int
    breaker_counts_rejections: bool
    breaker_ignored: frozenset[str]
    breaker_cancels: bool
    reauthenticate_after_s: int
    keep_alive_interval_s: int
    heartbeat_s: int  # 0: the exchange does not cancel when we are dead
    order_stream: bool  # a process is to hear it
    cancel_half_placed: bool
    max_transactions_per_hour: int
    hedge: HedgePolicy = NO_HEDGE
    late_arrival_s: int = 15  # Betfair: how long a call that timed out may take to show; more behind a proxy

    @property
    def send_within_s(self) -> float:
        """How long after the submit step a first byte may go: a slow connection's share, before the price is old."""
        return min(_SEND_WITHIN_S, self.api_timeout_s)

    @property
    def call_lasts_s(self) -> float:
        """How long after the submit step something of a call may be under way whose end nobody recorded."""
        return max(self.api_timeout_s, self.send_within_s + ARRIVES_WITHIN_S)


@dataclass(frozen=True, slots=True)
class Engine:
    """The ports and the policy."""

    store: OrderStore
    controls: Controls
    locks: Locks
    accounts: Accounts
    trade_feed: TradeFeed
    market_facts: MarketFacts
    exchange: Exchange
    ledger: Ledger
    clock: Clock
    telemetry: Telemetry
    policy: Policy
    alerts: Alerts
    set_aside: SetAside
    hedges: Hedges
    cancel_attempts: CancelAttempts


@dataclass(frozen=True, slots=True)
class Submission:
    """Orders that this process alone may send now. Times are monotonic seconds."""

    record: SignalRecord
    orders: Sequence[Order]
    view: MarketView  # as the submit step left it
    since: float  # just before that step read what it rests on
    marked: float  # just after it wrote
    announce: Callable[[], None] = lambda: None  # what is still to be said of the decision, when no order waits for it


@dataclass(frozen=True, slots=True)
class Step:
    """What a chain's step found or did, for a person's eyes in Flower."""

    signal_id: str
    market_id: str
    verdict: str
    reason: str = ""
    detail: str = ""
    orders: tuple[str, ...] = ()
    submission: Submission | None = None  # where the decision marked its orders as sent: for the caller to send

    def __str__(self) -> str:
        """Say it in one line, the verdict first."""
        said = f"{self.verdict} {self.reason}".strip()
        said = f"{said}: {self.detail}" if self.detail else said
        return f"{said} ({', '.join(self.orders)})" if self.orders else said


def step(record: SignalRecord, note: str = "") -> Step:
    """Describe where a signal stands."""
    return Step(
        record.signal_id, record.market_id, record.status, record.reason, note or record.detail, record.order_ids
    )


def unknown_signal(engine: Engine, signal_id: str, market_id: str) -> Step:
    """Refuse a task for a signal that has no record: nothing is done for it."""
    log.warning("task_for_unknown_signal", signal_id=signal_id)
    engine.telemetry.task_refused(RefusedTask.UNKNOWN_SIGNAL)
    return Step(signal_id, market_id, "UNKNOWN_SIGNAL", detail="no record of this signal; nothing done")


def repeated(engine: Engine, record: SignalRecord, task: str) -> Step:
    """Leave alone a signal whose step is done: a second delivery, or a message that somebody sent again."""
    log.info("task_repeated", task=task, signal_id=record.signal_id, status=record.status)
    engine.telemetry.task_refused(RefusedTask.REPEATED)
    return step(record)
