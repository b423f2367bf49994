"""The engine on fakes, and the few steps that most tests of it begin with."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

import pytest

from executor.domain.order import Order, OrderStatus
from executor.domain.risk import LIMIT_FIELDS
from executor.domain.signal import SignalKind
from executor.domain.signal_record import SignalRecord, SignalStatus
from executor.engine.engine import Engine, Policy, Step, Submission
from executor.engine.intake import Intake, receive
from executor.engine.placement import place
from executor.engine.validation import validate
from executor.errors import OutcomeUnknown
from executor.ports import ClearedBet, ClearedKind, LegOutcome, MarketView
from support.factories import LIMITS, NOW, make_rules
from support.fakes import CountingTelemetry, FrozenClock, Script, ScriptedExchange
from support.memory_ledger import MemoryLedger
from support.memory_redis import (
    Memory,
    MemoryAccounts,
    MemoryAlerts,
    MemoryCancelAttempts,
    MemoryControls,
    MemoryHedges,
    MemoryLocks,
    MemoryMarketFacts,
    MemorySetAside,
    MemoryStore,
    MemoryTradeFeed,
)

MARKET = "1.200000000"
_POLICY = Policy(
    identity="paper",
    paper=False,
    rules=make_rules(),
    limits={attribute: Decimal(LIMITS[name]) for name, attribute in LIMIT_FIELDS.items()},
    max_age_s=60,
    max_validity_s=300,
    dedup_s=86_400,
    unmatched_timeout_s=30,
    api_timeout_s=30,
    poll_interval_s=5,
    max_lookups=10,
    commission_rate=Decimal("0.05"),
    breaker_enabled=True,
    breaker_failures=5,
    breaker_window_s=600,
    breaker_counts_rejections=False,
    breaker_ignored=frozenset({"MARKET_SUSPENDED", "BET_TAKEN_OR_LAPSED"}),
    breaker_cancels=False,
    reauthenticate_after_s=21_600,
    keep_alive_interval_s=900,
    heartbeat_s=0,
    order_stream=True,
    cancel_half_placed=True,
    max_transactions_per_hour=5000,
)


def make_policy(**overrides: Any) -> Policy:
    """Return the settings' defaults."""
    return replace(_POLICY, **overrides)


def strategy_message(signal_id: str = "signal-1", *, legs: int = 1, **overrides: Any) -> bytes:
    """Return a strategy signal: a back of 10 at 3, and with two legs a lay of 10 at 3 on another selection."""
    primary = {"selectionId": "123456", "recommendedOdds": 3, "stake": 10, "betType": "Back"}
    message: dict[str, Any] = {
        "signalId": signal_id,
        "marketId": MARKET,
        "strategy": "test",
        "primarySelection": primary,
    }
    if legs > 1:
        message["secondarySelection"] = {**primary, "selectionId": "654321", "betType": "Lay"}
    primary.update({name: overrides.pop(name) for name in ("stake", "recommendedOdds", "betType") if name in overrides})
    return json.dumps({**message, **overrides}).encode()


@dataclass
class Rig:
    """An engine on fakes: trading is on, limits are the defaults, orders are reconciled for an hour."""

    policy: Policy = field(default_factory=make_policy)
    clock: FrozenClock = field(default_factory=FrozenClock)

    submission: Submission | None = None  # of the last decision

    def __post_init__(self) -> None:
        self.memory = Memory(clock=self.clock, identity="paper", trading="true", started=True, limits=dict(LIMITS))
        self.memory.reconciled_until = self.clock.now + 3_600_000
        self.memory.applied = dict(LIMITS)
        self.memory.settled_at = self.memory.full_read_at = self.clock.now
        self.store = MemoryStore(self.memory)
        self.controls = MemoryControls(self.memory)
        self.locks = MemoryLocks(self.memory)
        self.accounts = MemoryAccounts(self.memory)
        self.trade_feed = MemoryTradeFeed(self.memory)
        self.market_facts = MemoryMarketFacts(self.memory)
        self.alerts = MemoryAlerts(self.memory)
        self.exchange = ScriptedExchange(self.clock)
        self.ledger = MemoryLedger()
        self.telemetry = CountingTelemetry()
        self.engine = Engine(
            store=self.store,
            controls=self.controls,
            locks=self.locks,
            accounts=self.accounts,
            trade_feed=self.trade_feed,
            market_facts=self.market_facts,
            alerts=self.alerts,
            set_aside=MemorySetAside(self.memory),
            hedges=MemoryHedges(self.memory),
            cancel_attempts=MemoryCancelAttempts(self.memory),
            exchange=self.exchange,
            ledger=self.ledger,
            clock=self.clock,
            telemetry=self.telemetry,
            policy=self.policy,
        )
        self.intake = Intake(self.store, self.telemetry, self.policy)

    def receive(
        self, raw: bytes | None = None, kind: SignalKind = SignalKind.STRATEGY, bridge: str = "bridge-1"
    ) -> SignalRecord | None:
        return receive(self.intake, kind, strategy_message() if raw is None else raw, self.clock.now, bridge)

    def received(self, signal_id: str = "signal-1", **message: Any) -> SignalRecord:
        record = self.receive(strategy_message(signal_id, **message))
        assert record is not None
        return record

    def validate(self, signal_id: str = "signal-1", market_id: str = MARKET, *, submit: bool = False) -> Step:
        step = validate(self.engine, signal_id, market_id, submit=submit)
        self.submission = step.submission
        return step

    def accepted(self, signal_id: str = "signal-1", *, submit: bool = False, **message: Any) -> SignalRecord:
        self.received(signal_id, **message)
        step = self.validate(signal_id, message.get("marketId", MARKET), submit=submit)
        assert step.verdict == "ACCEPTED", step
        return self.signal(signal_id)

    def place(self, signal_id: str = "signal-1", market_id: str = MARKET) -> Step:
        return place(self.engine, signal_id, market_id)

    def follow(self, signal_id: str = "signal-1", market_id: str = MARKET) -> Step:
        """Send what the last decision has marked as sent, as the step that follows it in the same process."""
        assert self.submission is not None
        return place(self.engine, signal_id, market_id, take=lambda: self.submission)

    def placed(self, signal_id: str = "signal-1", **message: Any) -> Order:
        """Take a signal to the exchange; return its first order."""
        self.accepted(signal_id, **message)
        self.place(signal_id, message.get("marketId", MARKET))
        return self.orders(signal_id)[0]

    def signal(self, signal_id: str = "signal-1") -> SignalRecord:
        return self.memory.signals[signal_id]

    def orders(self, signal_id: str = "signal-1") -> list[Order]:
        found = [order for order in self.memory.orders.values() if order.signal_id == signal_id]
        return sorted(found, key=lambda order: order.leg)

    def order(self, signal_id: str = "signal-1") -> Order:
        return self.orders(signal_id)[0]

    def view(self, market_id: str = MARKET, signal_id: str = "signal-1") -> MarketView:
        return self.store.view(market_id, signal_ids=(signal_id,))

    def touch_market(self, market_id: str = MARKET) -> None:
        """Do what a commit of somebody else does to this one's fence."""
        self.memory.revisions[market_id] = self.memory.revisions.get(market_id, 0) + 1

    def statuses(self, signal_id: str = "signal-1") -> tuple[SignalStatus, list[OrderStatus]]:
        return self.signal(signal_id).status, [order.status for order in self.orders(signal_id)]

    def trades(self) -> list[Mapping[str, str]]:
        """Return the feed's entries about money."""
        return [entry for entry in self.memory.feed.values() if entry["type"] != "signal"]


Answer = Script | tuple[LegOutcome, ...]  # what the call comes to, as a step or leg by leg


def script(rig: Rig, answer: Answer) -> Script:
    return rig.exchange.answering(*answer) if isinstance(answer, tuple) else answer


def sends(rig: Rig) -> int:
    return len(rig.exchange.called("place"))


def make_cleared(order: Order, kind: ClearedKind, **overrides: Any) -> ClearedBet:
    """Return a bet of this order in the cleared lists."""
    row = ClearedBet(
        kind=kind,
        bet_id=order.bet_id or "bet1",
        order_id=order.order_id,
        market_id=order.market_id,
        selection_id=order.selection_id,
        side=order.side,
        price_requested=order.price,
        price_matched=order.price,
        size_settled=order.size if kind in {ClearedKind.SETTLED, ClearedKind.VOIDED} else Decimal(0),
        size_cancelled=Decimal(0) if kind in {ClearedKind.SETTLED, ClearedKind.VOIDED} else order.size,
        profit=Decimal(0),
        settled_at=NOW,
        placed_at=NOW,
    )
    return replace(row, **overrides)


def unanswered(rig: Rig, signal_id: str = "signal-1", **message: Any) -> Order:
    """Send a signal whose call gets no answer; nothing is at the exchange."""
    rig.accepted(signal_id, **message)
    rig.exchange.script = [OutcomeUnknown("cut off")]
    rig.place(signal_id)
    return rig.order(signal_id)


def killed(rig: Rig) -> Order:
    """Send a signal whose worker is killed in mid-call: no end of the call is recorded."""
    rig.accepted()
    rig.exchange.script = [SystemExit()]
    with pytest.raises(SystemExit):
        rig.place()
    return rig.order()
