"""Whatever Redis holds, in any key and of any type: no use-case raises anything but a stated error, hangs, or bets.

By hand, ten minutes: REDIS_EXAMPLES=20000 pytest tests/security/test_redis_contents.py --timeout 1200
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, suppress
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.engine_rig import MARKET, make_policy, strategy_message
from support.factories import LIMITS
from support.fakes import CountingTelemetry, FrozenClock, ScriptedExchange
from support.redis_ports import RedisPorts

from executor import keys
from executor.adapters.redis.alerts import RedisAlerts
from executor.adapters.redis.backlog import RedisBacklog
from executor.adapters.redis.client import connect, connect_bytes
from executor.adapters.redis.console import set_limits, standing_alerts
from executor.adapters.redis.console_access import RedisConsoleAccess
from executor.adapters.redis.controls import RedisControls
from executor.adapters.redis.failed import FailedTasks
from executor.adapters.redis.notice_store import RedisNotices
from executor.adapters.redis.session import RedisTokenStore
from executor.adapters.redis.signal_stream import SignalStream
from executor.adapters.redis.snapshot import RedisSnapshot
from executor.adapters.redis.store import RedisStore, Retention
from executor.adapters.redis.stream_status import RedisStreamStatus
from executor.adapters.sql.ledger import SqlLedger
from executor.devstack.redis_server import PrivateRedis
from executor.domain.hedge import HedgePolicy
from executor.domain.order import order_ids
from executor.domain.signal import SignalKind
from executor.domain.times import day, hour
from executor.engine import (
    account,
    accounting,
    cancellation,
    hedging,
    markets,
    merging,
    placement,
    reconciliation,
    settlement,
    sweeping,
    validation,
    watchdog,
)
from executor.engine.engine import Engine
from executor.engine.intake import Intake, receive
from executor.errors import Contended, IdentityMismatch, LedgerUnavailable, StoreUnavailable
from executor.observability.counters import StateCollector
from executor.operations.trading import why_not_trading

IDENTITY = "paper"
SLOWEST_S = 5.0  # of one use-case; each takes milliseconds
_STATED = (StoreUnavailable, Contended, LedgerUnavailable, IdentityMismatch)
_NOW = int(time.time() * 1000)
_LIVE, _NEW = "live", "new"

_GATES = (keys.TRADING_ENABLED, keys.IDENTITY, keys.RECONCILED, keys.LIMITS)
_KEYS = (
    *_GATES, keys.LIMITS_APPLIED, keys.STARTED, keys.DATA_GENERATION, keys.FULL_READ, keys.SIGNALS_OPEN,
    keys.ORDERS_ACTIVE,
    keys.ORDERS_UNSETTLED, keys.ORDERS_RECENT, keys.MARKETS, keys.ACTIVE_COUNT, keys.signal(_LIVE), keys.signal(_NEW),
    keys.seen(_NEW), keys.seen("arriving"), keys.signal("arriving"), keys.order(order_ids(_LIVE, 1)[0]),
    keys.order(order_ids(_NEW, 1)[0]), keys.market_orders(MARKET), keys.market_revision(MARKET),
    keys.risk_exposure(MARKET), keys.matched_exposure(MARKET), keys.positions(MARKET), keys.FAILED_ORDERS,
    keys.BREAKER, keys.BREAKER_SINCE, keys.transactions(hour(_NOW)), keys.PNL_TOTAL, keys.PNL_DAYS, keys.SETTLED_AT,
    keys.TRADES, keys.pnl_daily(day(_NOW)), keys.settlements(day(_NOW)), keys.ACCOUNT, keys.ALERTS, keys.MARKET_TYPES,
    keys.MARKETS_STOPPED, keys.FOREIGN_MARKETS, keys.foreign(MARKET), keys.SET_ASIDE, keys.CANCELS_REFUSED,
    keys.market_lock(MARKET), keys.bet("bet1"),
    keys.LAST_SUCCESS, keys.FAILED_TASKS, keys.session(IDENTITY), keys.login_ban(IDENTITY), keys.task_lock("ledger"),
    keys.task_lock("poll_orders"), keys.heartbeat("worker:x:1"),
    keys.HALTED, keys.HEDGES, keys.STORAGE, keys.market_facts(MARKET), keys.waiting(_NEW), keys.MARKET_EXPOSURE,
    keys.HELD_TOTAL, keys.MARKET_HELD, keys.ORDER_STREAM, keys.SWITCH_FIRED, keys.STREAM_SILENT, keys.MARKETS_WANTED,
    keys.FAILED_SIGNALS, keys.login_lock(IDENTITY), keys.login_refusals(IDENTITY), keys.order_reads(IDENTITY),
    keys.task_cooldown("log_trade"), keys.SIGNALS, keys.SIGNALS_RECORDED, keys.SIGNALS_FACTS, keys.NOTICES,
    keys.NOTIFY_POSITION, keys.NOTIFY_MAILBOXES, keys.NOTIFY_ADDRESSES, keys.NOTIFY_PROCESSES, keys.AUDIT,
    keys.CONSOLE_TOKENS, keys.console_session("digest"), keys.console_once("digest"), keys.console_failures("name"),
)  # fmt: skip

_TEXTS = (
    "", " ", "null", "[]", "{}", "7", '"x"', "NaN", "1e400", "-0", "-1", "1e-400", "\u0663", "0.123456789012",
    "Infinity", "1e999999", "1e-999999", "9" * 5000, "[" * 5000, "tr\u00fce",
    b"\xff\xfe\x00", "x" * 100_000, '{"status":"ACCEPTED"}',
    '{"token":"x","created_at":1e400}', '{"code":"X","until":1e400}', '{"name":"x","at":1e400,"attempt":1e400}',
    '{"order_id":"x","size":"-5","status":"PENDING"}', '{"deadline":99999999999999999999}', "2026-11-20T99:99:99Z",
)  # fmt: skip
_KINDS = ("string", "hash", "list", "set", "zset", "stream")

Content = tuple[str, str | bytes]


def _put(client: "redis.Redis", key: str, kind: str, text: Any) -> None:
    client.delete(key)
    if kind == "string":
        client.set(key, text)
    elif kind == "hash":
        client.hset(key, mapping={**dict.fromkeys(LIMITS, text), text: text, "status": text})
    elif kind == "list":
        client.rpush(key, text, text)
    elif kind == "set":
        client.sadd(key, text, "other")
    elif kind == "zset":
        client.zadd(key, {text: float("inf"), "other": -1e300, "third": 1.5})
    else:
        client.xadd(key, {text: text, "type": text})


class World:
    """Our adapters on a real Redis, with an order at the exchange and a signal that waits for its first step."""

    def __init__(self, private: PrivateRedis, folder: Path) -> None:
        self.raw = redis.Redis.from_url(private.url(0))
        client, broker = self.client, self.broker = connect(private.url(0)), connect(private.url(1))
        self.door = SignalStream(connect_bytes(private.url(0)), "bridge-1")
        self.notices = RedisNotices(client, connect(private.url(0)), IDENTITY)
        self.controls = RedisControls(client, IDENTITY)
        self.state = RedisSnapshot(client, broker, breaker_window_s=600)
        self.failed = FailedTasks(client)
        self.tokens = RedisTokenStore(client, IDENTITY)
        self.exchange = ScriptedExchange()
        self.engine = Engine(
            store=RedisStore(client, IDENTITY, Retention(86_400, 604_800, 600)),
            **vars(RedisPorts.on(client, broker, IDENTITY)),
            exchange=self.exchange,
            ledger=SqlLedger(f"sqlite:///{folder}/ledger.db"),
            clock=FrozenClock(),
            telemetry=CountingTelemetry(),
            policy=make_policy(),
            alerts=RedisAlerts(client, self.state, IDENTITY),
        )
        self.intake = Intake(self.engine.store, self.engine.telemetry, self.engine.policy)

    def close(self) -> None:
        assert isinstance(self.engine.ledger, SqlLedger)
        self.engine.ledger.close()
        self.raw.close()

    def receive(self, signal_id: str, **message: Any) -> object:
        now = self.engine.store.now()
        return receive(self.intake, SignalKind.STRATEGY, strategy_message(signal_id, **message), now, "bridge-1")

    def reset(self) -> None:
        self.raw.flushdb()
        self.exchange.bets.clear()
        self.exchange.calls.clear()
        self.engine.controls.claim_identity()
        reconciliation.poll(self.engine)
        self.raw.set(keys.TRADING_ENABLED, "true")
        for signal_id in (_LIVE, _NEW):
            self.receive(signal_id)
        assert validation.validate(self.engine, _LIVE, MARKET).verdict == "ACCEPTED"
        placement.place(self.engine, _LIVE, MARKET)
        assert len(self.exchange.called("place")) == 1

    def steps(self) -> Iterator[tuple[str, Callable[[], object]]]:
        """Yield everything that reads Redis."""
        engine = self.engine
        yield "validate", lambda: validation.validate(engine, _NEW, MARKET)
        yield "place", lambda: placement.place(engine, _NEW, MARKET)
        yield "place again", lambda: placement.place(engine, _LIVE, MARKET)
        yield "intake", lambda: self.receive("arriving")
        yield "poll", lambda: reconciliation.poll(engine)
        yield "cancel", lambda: cancellation.cancel_unmatched(engine)
        yield "sweep", lambda: sweeping.sweep(engine, lambda _: None, "signals")
        yield "settle", lambda: settlement.settle(engine)
        yield "ledger", lambda: accounting.write_ledger(engine)
        yield "watchdog", lambda: watchdog.watch(engine)
        yield "account", lambda: account.refresh_account(engine)
        yield "state", self.state.read
        yield "status", lambda: why_not_trading(self.state.read())
        yield (
            "metrics",
            lambda: list(
                StateCollector(self.state.read, paper=True, certificate_expiry=lambda: 0, settled_limits={}).collect()
            ),
        )
        yield "failed tasks", self.failed.all
        yield "keep a failed task", lambda: self.failed.keep("x", {"error": "x"})
        yield "session", self.tokens.get
        yield "ban", self.tokens.ban
        yield "halt", lambda: self.controls.set_trading(enabled=False, reason="test")

    def more_steps(self) -> Iterator[tuple[str, Callable[[], object]]]:
        """Yield what reads Redis beside the tasks: the doors, the session, the notifier, the console, a person."""
        engine, access = self.engine, RedisConsoleAccess(self.client)
        hedging_engine = replace(engine, policy=replace(engine.policy, hedge=HedgePolicy(mode="trade")))
        yield "stream", lambda: merging.merge_bets(engine, list(self.exchange.bets.values()))
        yield "stream status", lambda: RedisStreamStatus(self.client, "p").connected("c", behind=False)
        yield "hedge", lambda: hedging.hedge(hedging_engine, lambda _: None)
        yield "hedges that wait", lambda: hedging.standing(engine)
        yield "markets", lambda: markets.learn_at_once(engine)
        yield "disks", lambda: engine.controls.report_storage("p", "full", 5)
        yield "full disks", engine.controls.storage_problems
        yield "waiting", lambda: engine.controls.waiting_since(_NEW)
        yield "switch", lambda: engine.alerts.keep_switch_fired("X")
        yield "health", engine.alerts.snapshot
        yield "day", lambda: engine.alerts.tell_day("2026-01-01", "text")
        yield "door", lambda: self.door.read_new(10, 0)
        yield "door again", lambda: self.door.read_pending("0", 10)
        yield "others' entries", lambda: self.door.claim_idle(1, "0-0", 10)
        yield "door's end", self.door.tend
        yield "backlog", RedisBacklog(self.client, self.broker, "signals").look
        yield "notices", lambda: self.notices.read("0-0", 10, 1)
        yield "mailboxes", self.notices.mailboxes
        yield "position", self.notices.position
        yield "processes", self.notices.processes
        yield "addresses", lambda: self.notices.forget(["x"])
        yield "token", lambda: self.tokens.put("t", 5)
        yield "end of token", lambda: self.tokens.forget("t")
        yield "refusal", lambda: self.tokens.refusal("x")
        yield "reading", lambda: self.enter(self.tokens.read_slot(3, 0.1))
        yield "login", lambda: self.enter(self.tokens.login_lock(0.1))
        yield "lock", lambda: self.enter(engine.locks.single_flight("order_stream"))
        yield "cool-down", lambda: engine.locks.acquire_cooldown("log_trade", 5)
        yield "session of console", lambda: access.use_session("digest", 5)
        yield "link", lambda: access.take_once("digest")
        yield "tokens of console", access.tokens
        yield "token of console", lambda: access.token("NaN")
        yield "wrong passwords", lambda: (access.failures("name"), access.count("name", 5))
        yield "limits", lambda: set_limits(self.client, {"Bankroll": Decimal(5)}, None, "me", IDENTITY)
        yield "alerts", lambda: standing_alerts(self.client)
        yield "acts", lambda: engine.trade_feed.read_acts(5)

    @staticmethod
    def enter(context: AbstractContextManager[Any]) -> None:
        with context:
            pass

    def survive(self, poison: list[tuple[str, Content]]) -> None:
        """Run every step on a poisoned Redis."""
        self.reset()
        for key, (kind, text) in poison:
            _put(self.raw, key, kind, text)
        for name, step in (*self.steps(), *self.more_steps()):
            began = time.monotonic()
            with suppress(*_STATED):
                step()
            assert time.monotonic() - began < SLOWEST_S, name
        calls: list[Any] = self.exchange.called("place")
        sent = [order_id for _, order_ids, _ in calls for order_id in order_ids]
        assert len(sent) == len(set(sent)), "an order was sent twice"
        if any(key in _GATES for key, _ in poison):
            assert len(sent) == 1, "accepted although a gate was unreadable"


@pytest.fixture(scope="module")
def world(private_redis: PrivateRedis, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = World(private_redis, tmp_path_factory.mktemp("ledger"))
    yield made
    made.raw.flushdb()
    made.close()


@pytest.mark.parametrize(
    "kind", ["string", "hash", *(pytest.param(kind, marks=pytest.mark.slow) for kind in _KINDS[2:])]
)
def test_every_key_of_every_type(world: World, kind: str) -> None:
    for at, key in enumerate(_KEYS):
        world.survive([(key, (kind, _TEXTS[at % len(_TEXTS)]))])


@pytest.mark.slow
@pytest.mark.parametrize("text", ["[" * 5000, "9" * 5000, "1e400", "1e999999", "NaN", "{}"], ids=lambda text: text[:8])
def test_every_text_where_a_text_belongs(world: World, text: str) -> None:
    for key in _KEYS:
        world.survive([(key, ("string", text))])


CONTENTS = st.tuples(
    st.sampled_from(_KINDS), st.one_of(st.sampled_from(_TEXTS), st.text(max_size=50), st.binary(max_size=50))
)


@settings(
    max_examples=int(os.environ.get("REDIS_EXAMPLES", "20")),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    poison=st.lists(st.tuples(st.sampled_from(_KEYS), CONTENTS), min_size=1, max_size=4, unique_by=lambda pair: pair[0])
)
def test_any_keys_of_any_content(world: World, poison: list[tuple[str, Content]]) -> None:
    readable = {("string", "7"), ("string", "true"), ("string", "1"), ("hash", "7")}
    world.survive([pair for pair in poison if pair[0] not in _GATES or pair[1] not in readable])


def test_an_honest_redis_trades(world: World) -> None:
    world.reset()
    validation.validate(world.engine, _NEW, MARKET)
    placement.place(world.engine, _NEW, MARKET)
    assert len(world.exchange.called("place")) == 2
