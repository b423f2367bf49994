"""An engine on a real Redis with its append-only file and a scripted exchange, for what happens when Redis goes back.

Times are Redis', so real ones.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from executor import keys
from executor.adapters.clock import SystemClock
from executor.adapters.redis.alerts import RedisAlerts
from executor.adapters.redis.controls import RedisControls
from executor.adapters.redis.snapshot import RedisSnapshot
from executor.adapters.redis.store import RedisStore, Retention
from executor.adapters.sql.ledger import SqlLedger
from executor.devstack.redis_server import PrivateRedis
from executor.domain.order import BetState, Order
from executor.domain.signal import SignalKind
from executor.domain.signal_record import SignalRecord
from executor.engine.engine import Engine, Policy, Step
from executor.engine.intake import Intake, receive
from executor.engine.placement import place
from executor.engine.reconciliation import poll
from executor.engine.validation import validate
from executor.ports import Change, Listing, MarketView
from support.engine_rig import MARKET, make_policy, strategy_message
from support.fakes import CountingTelemetry, FrozenClock, ScriptedExchange
from support.redis_ports import RedisPorts

_RETENTION = Retention(signal_s=86_400, order_s=7 * 86_400, breaker_window_s=600)


class InterruptedStore(RedisStore):
    """The real store; `before_commit` runs once, between what a step has read and what it writes."""

    before_commit: Callable[[], None] | None = None

    def commit(self, view: MarketView, change: Change) -> MarketView | None:
        interrupt, self.before_commit = self.before_commit, None
        if interrupt is not None:
            interrupt()
        return super().commit(view, change)


class InterruptedExchange(ScriptedExchange):
    """The scripted exchange; `after_read` runs once, when the list of orders has been made and is on its way."""

    after_read: Callable[[], None] | None = None

    def current_orders(self) -> Listing[BetState]:
        return self._interrupted(super().current_orders())

    def executable_orders(self) -> Listing[BetState]:
        return self._interrupted(super().executable_orders())

    def _interrupted(self, bets: Listing[BetState]) -> Listing[BetState]:
        interrupt, self.after_read = self.after_read, None
        if interrupt is not None:
            interrupt()
        return bets


@dataclass
class RecoveryRig:
    """One installation that trades; `worker()` is another process of it."""

    server: PrivateRedis
    folder: Path
    exchange: InterruptedExchange
    policy: Policy
    _open: list[Callable[[], None]] = field(default_factory=list)

    @classmethod
    @contextmanager
    def running(cls, folder: Path, **policy: Any) -> "Iterator[RecoveryRig]":
        """Start Redis and the installation, and leave nothing open."""
        with PrivateRedis(folder / "redis") as server:
            rig = cls._start(server, folder, **policy)
            yield rig
            for close in rig._open:
                close()

    @classmethod
    def _start(cls, server: PrivateRedis, folder: Path, **policy: Any) -> "RecoveryRig":
        with redis.Redis.from_url(server.url()) as client:
            clock = FrozenClock(int(client.time()[0]) * 1000)
        rig = cls(server, folder, InterruptedExchange(clock), make_policy(**policy))
        poll(rig.worker())
        assert rig.client().get(keys.TRADING_ENABLED) == "true"
        return rig

    def client(self) -> "redis.Redis":
        """Return a client that connects anew when Redis was away."""
        client = redis.Redis.from_url(self.server.url(), decode_responses=True, retry=Retry(NoBackoff(), 3))
        self._open.append(client.close)
        return client

    def worker(self) -> Engine:
        client = self.client()
        store = InterruptedStore(client, self.policy.identity, _RETENTION)
        ledger = SqlLedger(f"sqlite:///{self.folder}/ledger.db")
        self._open.append(ledger.close)
        return Engine(
            store=store,
            **vars(RedisPorts.on(client, client, self.policy.identity)),
            exchange=self.exchange,
            ledger=ledger,
            clock=SystemClock(),
            telemetry=CountingTelemetry(),
            policy=self.policy,
            alerts=RedisAlerts(client, RedisSnapshot(client, client, breaker_window_s=600), self.policy.identity),
        )

    def worker_controls(self) -> RedisControls:
        return RedisControls(self.client(), self.policy.identity)

    def interrupted_worker(self, interrupt: Callable[[], None]) -> Engine:
        """Return a worker to whom something happens between reading and writing."""
        engine = self.worker()
        assert isinstance(engine.store, InterruptedStore)
        engine.store.before_commit = interrupt
        return engine

    # --- steps -------------------------------------------------------------------------------------------------------

    def received(self, signal_id: str = "signal-1", **message: Any) -> SignalRecord:
        engine = self.worker()
        intake = Intake(engine.store, engine.telemetry, self.policy)
        raw = strategy_message(signal_id, **message)
        record = receive(intake, SignalKind.STRATEGY, raw, engine.store.now(), "bridge-1")
        assert record is not None
        return record

    def heard(self, raw: bytes) -> SignalRecord:
        """Record a surebet as it arrives now."""
        engine = self.worker()
        intake = Intake(engine.store, engine.telemetry, self.policy)
        record = receive(intake, SignalKind.SUREBET, raw, engine.store.now(), "bridge-1")
        assert record is not None
        return record

    def accepted(self, signal_id: str = "signal-1", **message: Any) -> None:
        self.received(signal_id, **message)
        step = validate(self.worker(), signal_id, MARKET)
        assert step.verdict == "ACCEPTED", step

    def place(self, signal_id: str = "signal-1", engine: Engine | None = None) -> Step:
        return place(engine or self.worker(), signal_id, MARKET)

    def poll(self) -> None:
        poll(self.worker())

    # --- looks -------------------------------------------------------------------------------------------------------

    def orders(self) -> list[Order]:
        return sorted(self.worker().store.recent_orders(100), key=lambda order: order.order_id)

    def view(self) -> MarketView:
        return self.worker().store.view(MARKET)

    def calls(self) -> int:
        return len(self.exchange.called("place"))

    def exposure(self) -> Mapping[str, Decimal]:
        held: Any = self.client().hgetall(keys.risk_exposure(MARKET))
        return {selection: Decimal(amount) for selection, amount in held.items()}

    # --- Redis in trouble --------------------------------------------------------------------------------------------

    def restart(self) -> None:
        self.server.restart()

    def flush(self) -> None:
        self.client().flushall()

    def saved(self) -> int:
        """Return how long the append-only file is: what a power cut would leave if it came now."""
        return self._file().stat().st_size

    def cut_power(self, saved: int) -> None:
        """Let Redis come back with what was on disk when the file was `saved` long."""
        self.server.kill()
        os.truncate(self._file(), saved)
        self.server.start()

    def _file(self) -> Path:
        found = sorted(self.server.data_dir.glob("appendonlydir/*.incr.aof"))
        return found[-1] if found else self.server.data_dir / "appendonly.aof"


def statuses(orders: Sequence[Order]) -> list[str]:
    return [str(order.status) for order in orders]
