"""A database that is killed while signals are traded: nothing lost, nothing double, and no placement waits for it."""

import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
import redis
from support.engine_rig import make_policy, strategy_message
from support.fakes import CountingTelemetry
from support.postgres import Postgres
from support.redis_ports import RedisPorts
from support.sandbox_client import wait_for
from support.store_worlds import RETENTION, WINDOW_S

from executor import keys
from executor.adapters.clock import SystemClock
from executor.adapters.paper import PaperExchange
from executor.adapters.redis.alerts import RedisAlerts
from executor.adapters.redis.snapshot import RedisSnapshot
from executor.adapters.redis.store import RedisStore
from executor.adapters.sql.ledger import SqlLedger
from executor.domain.risk import LIMIT_FIELDS
from executor.domain.signal import SignalKind
from executor.domain.signal_record import SignalStatus
from executor.engine.accounting import write_ledger
from executor.engine.engine import Engine
from executor.engine.intake import Intake, receive
from executor.engine.placement import place
from executor.engine.reconciliation import poll
from executor.engine.settlement import end_paper_positions
from executor.engine.validation import validate
from executor.ports import Ledger

_SLOW_S = 2.0  # far above what a placement takes, far below the 5 s that a dead database may take to say no


def make_engine(client: "redis.Redis", ledger: Ledger) -> Engine:
    """Return an engine on Redis, in paper mode, with room for many orders."""
    policy = make_policy(paper=True, rules=replace(make_policy().rules, enabled=False), max_transactions_per_hour=10**6)
    state = RedisSnapshot(client, client, breaker_window_s=WINDOW_S)
    engine = Engine(
        store=RedisStore(client, "paper", RETENTION),
        **vars(RedisPorts.on(client, client, "paper")),
        exchange=PaperExchange(Decimal(10_000)),
        ledger=ledger,
        clock=SystemClock(),
        telemetry=CountingTelemetry(),
        policy=policy,
        alerts=RedisAlerts(client, state, "paper"),
    )
    poll(engine)
    assert set(client.hgetall(keys.LIMITS)) == set(LIMIT_FIELDS)
    return engine


def trade(engine: Engine, signal_id: str, number: int) -> float:
    """Take a signal all the way; returns the seconds that it took. Now and then the poll has its turn."""
    if number % 20 == 0:
        poll(engine)
    started = time.monotonic()
    market = f"1.{300_000_000 + number % 20}"
    intake = Intake(engine.store, engine.telemetry, engine.policy)
    raw = strategy_message(signal_id, marketId=market)
    assert receive(intake, SignalKind.STRATEGY, raw, engine.store.now(), "bridge-1")
    assert validate(engine, signal_id, market).verdict == "ACCEPTED"
    assert place(engine, signal_id, market).verdict == SignalStatus.COMPLETED
    return time.monotonic() - started


@pytest.fixture
def ledger(postgres: Postgres) -> Iterator[SqlLedger]:
    with closing(SqlLedger(postgres.url)) as ledger:
        yield ledger


@pytest.mark.apt
def test_a_database_killed_while_trading_loses_and_doubles_nothing(
    redis_client: "redis.Redis", postgres: Postgres, ledger: SqlLedger
) -> None:
    engine = make_engine(redis_client, ledger)
    over = threading.Event()

    def write() -> None:
        while not over.is_set():
            write_ledger(engine)
            time.sleep(0.02)

    writer = threading.Thread(target=write)
    writer.start()
    took: list[float] = []
    try:
        took.extend(trade(engine, f"before-{at}", at) for at in range(60))
        postgres.kill()
        took.extend(trade(engine, f"during-{at}", at) for at in range(120))
        wait_for(lambda: int(redis_client.xlen(keys.TRADES)) >= 360)
        postgres.start()
        took.extend(trade(engine, f"after-{at}", at) for at in range(60))
        end_paper_positions(engine, older_than_ms=0)
        state = RedisSnapshot(redis_client, redis_client, breaker_window_s=WINDOW_S)
        wait_for(lambda: state.read().ledger_lag == 0, 30)
    finally:
        over.set()
        writer.join(30)
        if postgres.process is None:
            postgres.start()
    assert max(took) < _SLOW_S
    assert ledger.count() == 240
    assert len({row["order_id"] for row in ledger.entries(1000)}) == 240
    assert sum(row["size"] for row in ledger.entries(1000)) == Decimal(2400)
    assert len(ledger.settled("paper")) == 240
    assert {row["status"] for row in ledger.ended(1000)} == {"COMPLETED"}
    assert len(ledger.ended(1000)) == 240


def test_entries_are_acknowledged_only_when_they_are_booked(redis_client: "redis.Redis", tmp_path: Path) -> None:
    with closing(SqlLedger(f"sqlite:///{tmp_path}/ledger.db")) as ledger:
        engine = make_engine(redis_client, ledger)
        trade(engine, "first", 1)
        assert write_ledger(engine) == 2  # the fill, and how the signal ended
        trade(engine, "second", 2)
        assert write_ledger(replace(engine, ledger=SqlLedger("sqlite:////proc/nowhere/ledger.db"))) == 0
        assert write_ledger(engine) == 2
        assert ledger.count() == 2
