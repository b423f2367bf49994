"""An engine in this process on the real things: Redis, the sandbox over HTTPS, a ledger in SQLite."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import redis

from executor.adapters.betfair.exchange import BetfairExchange
from executor.adapters.clock import SystemClock
from executor.adapters.redis.alerts import RedisAlerts
from executor.adapters.redis.session import RedisTokenStore
from executor.adapters.redis.snapshot import RedisSnapshot
from executor.adapters.redis.store import RedisStore
from executor.adapters.sql.ledger import SqlLedger
from executor.domain.signal import SignalKind
from executor.engine.engine import Engine, Step
from executor.engine.intake import Intake, receive
from executor.engine.placement import place
from executor.engine.reconciliation import poll
from executor.engine.validation import validate
from support.engine_rig import make_policy, strategy_message
from support.exchange_rig import sandbox_settings
from support.fakes import CountingTelemetry
from support.redis_ports import RedisPorts
from support.sandbox_client import RunningSandbox
from support.store_worlds import RETENTION, WINDOW_S

IDENTITY: Final = "live sandbox"


@dataclass
class TradingRig:
    """A worker; `trade` takes a signal all the way, as bridge and chain would."""

    engine: Engine
    ledger: SqlLedger
    state: RedisSnapshot
    telemetry: CountingTelemetry

    def trade(self, signal_id: str, market_id: str, **message: Any) -> Step:
        engine = self.engine
        intake = Intake(engine.store, engine.telemetry, engine.policy)
        raw = strategy_message(signal_id, marketId=market_id, **message)
        record = receive(intake, SignalKind.STRATEGY, raw, engine.store.now(), "bridge-1")
        assert record is not None
        step = validate(engine, signal_id, market_id, submit=True)
        return place(engine, signal_id, market_id, take=lambda: step.submission) if step.submission else step


@contextmanager
def trading(client: "redis.Redis", sandbox: RunningSandbox, folder: Path, **policy: Any) -> Iterator[TradingRig]:
    """Run a worker that has polled once and may trade."""
    telemetry = CountingTelemetry()
    state = RedisSnapshot(client, client, breaker_window_s=WINDOW_S)
    exchange = BetfairExchange(sandbox_settings(sandbox).betfair, RedisTokenStore(client, IDENTITY), telemetry)
    with closing(exchange), closing(SqlLedger(f"sqlite:///{folder}/ledger.db")) as ledger:
        engine = Engine(
            store=RedisStore(client, IDENTITY, RETENTION),
            **vars(RedisPorts.on(client, client, IDENTITY)),
            exchange=exchange,
            ledger=ledger,
            clock=SystemClock(),
            telemetry=telemetry,
            policy=make_policy(identity=IDENTITY, **policy),
            alerts=RedisAlerts(client, state, IDENTITY),
        )
        exchange.prepare()
        poll(engine)
        yield TradingRig(engine, ledger, state, telemetry)
