"""The store and the ports beside it, in memory and on Redis, behind one way to set the scene: a test holds for both."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Final

import redis

from executor import keys
from executor.adapters.redis.store import RedisStore, Retention
from executor.domain.order import Order, OrderStatus, Trade, TradeKind
from executor.domain.signal_record import SignalRecord, SignalStatus
from executor.domain.times import day
from executor.errors import StoreUnavailable
from executor.ports import (
    Accounts,
    Arrival,
    CancelAttempts,
    Change,
    Controls,
    Failure,
    Gate,
    Hedges,
    Locks,
    MarketFacts,
    OrderStore,
    Recorded,
    SetAside,
    TradeFeed,
)
from support.factories import LIMITS, NOW, make_order
from support.fakes import FrozenClock
from support.memory_redis import (
    Memory,
    MemoryAccounts,
    MemoryCancelAttempts,
    MemoryControls,
    MemoryHedges,
    MemoryLocks,
    MemoryMarketFacts,
    MemorySetAside,
    MemoryStore,
    MemoryTradeFeed,
)
from support.redis_ports import RedisPorts

IDENTITY: Final = "paper"
MARKET: Final = "1.200000000"
WINDOW_S: Final = 600
RETENTION: Final = Retention(signal_s=86_400, order_s=7 * 86_400, breaker_window_s=WINDOW_S)
ALL_GATES: Final = frozenset(Gate)
MATCHED: Final = make_order(
    status=OrderStatus.MATCHED,
    bet_id="b1",
    size_matched=Decimal("10.00"),
    average_price_matched=Decimal("3.00"),
    matched_at=NOW,
    trade_count=1,
)
FILL: Final = Trade(TradeKind.FILL, MATCHED, 1, Decimal("10.00"), Decimal("3.00"), NOW)


def record_one(
    store: OrderStore, record: SignalRecord, *, dedup_id: str, dedup_s: int, renew: bool
) -> tuple[Recorded, str]:
    """Record one signal; raises what stood in its way."""
    (answer,) = store.record([Arrival(record, dedup_id, dedup_s, renew=renew)])
    if isinstance(answer, StoreUnavailable):
        raise answer
    return answer


@dataclass
class World:
    """A store and what is beside it on one state; `put` changes what people and other steps change."""

    store: OrderStore
    controls: Controls
    locks: Locks
    accounts: Accounts
    trade_feed: TradeFeed
    market_facts: MarketFacts
    set_aside: SetAside
    cancel_attempts: CancelAttempts
    hedges: Hedges
    put: Callable[[str, Any], None]
    fails: Callable[[], dict[str, str]]  # the breaker's record
    trading: Callable[[], str | None]

    def ready(self) -> None:
        """Let trading be possible."""
        self.controls.claim_identity()
        self.controls.confirm_reconciled(60, self.controls.data_generation(), {})
        self.put("trading", "true")
        self.put("limits", LIMITS)

    def signal(self, signal_id: str = "signal-1", **overrides: Any) -> SignalRecord:
        """Record a signal that is valid for a minute."""
        record = make_record(self.store.now(), signal_id=signal_id, **overrides)
        record_one(self.store, record, dedup_id=signal_id, dedup_s=60, renew=False)
        return record

    def accept(self, *orders: Order, signal_id: str = "signal-1") -> bool:
        """Commit reservations as validation does."""
        view = self.store.view(MARKET, signal_ids=(signal_id,))
        record = replace(view.signals[signal_id], status=SignalStatus.ACCEPTED, order_ids=ids(orders))
        return bool(self.store.commit(view, Change(orders=orders, signals=(record,), gates=ALL_GATES)))

    def save(self, *orders: Order, market_id: str = MARKET, **change: Any) -> bool:
        """Commit orders alone, whatever they were."""
        return bool(self.store.commit(self.store.view(market_id), Change(orders=orders, **change)))

    def fail(self, name: str, at: int, *, trip: str = "") -> bool:
        """Commit a failed call."""
        order = make_order(order_id=name)
        view = self.store.view(MARKET)
        return bool(self.store.commit(view, Change(orders=(order,), failure=Failure(name, "CODE", at), trip=trip)))


def ids(orders: tuple[Order, ...]) -> tuple[str, ...]:
    return tuple(order.order_id for order in orders)


def make_record(now: int, **overrides: Any) -> SignalRecord:
    """Return a signal's record, just received."""
    record = SignalRecord(
        signal_id="signal-1",
        kind="strategy",
        status=SignalStatus.RECEIVED,
        payload="{}",
        market_id=MARKET,
        strategy="test",
        received_at=now,
        deadline=now + 60_000,
        updated_at=now,
        bridge="bridge-1",
        token="token-1",
    )
    return replace(record, **overrides)


def memory_world() -> World:
    memory = Memory(clock=FrozenClock())

    def put(what: str, value: Any) -> None:
        if what == "reconciled":
            memory.reconciled_until = 0
        elif what == "pnl":
            memory.pnl[day(memory.clock.now)] = value
        elif what == "limits":
            memory.limits = dict(value)
        else:
            setattr(memory, what, value)

    return World(
        store=MemoryStore(memory),
        controls=MemoryControls(memory),
        locks=MemoryLocks(memory),
        accounts=MemoryAccounts(memory),
        trade_feed=MemoryTradeFeed(memory),
        market_facts=MemoryMarketFacts(memory),
        set_aside=MemorySetAside(memory),
        cancel_attempts=MemoryCancelAttempts(memory),
        hedges=MemoryHedges(memory),
        put=put,
        fails=lambda: memory.breaker,
        trading=lambda: memory.trading,
    )


def redis_world(client: "redis.Redis") -> World:
    def put(what: str, value: Any) -> None:
        key = {
            "trading": keys.TRADING_ENABLED,
            "identity": keys.IDENTITY,
            "reconciled": keys.RECONCILED,
            "limits": keys.LIMITS,
            "breaker": keys.BREAKER,
            "pnl": keys.pnl_daily(day(store.now())),
        }[what]
        client.delete(key)
        if isinstance(value, dict) and value:
            client.hset(key, mapping=value)
        elif value:
            client.set(key, value)

    store = RedisStore(client, IDENTITY, RETENTION)
    ports = RedisPorts.on(client, client, IDENTITY)
    breaker: Any = client.hgetall
    trading: Any = client.get
    return World(
        store,
        **vars(ports),
        put=put,
        fails=lambda: dict(breaker(keys.BREAKER)),
        trading=lambda: trading(keys.TRADING_ENABLED),
    )


def settled_entry(day_: str, bet_id: str, net: str, **overrides: str) -> dict[str, str]:
    """Return a settlement as the feed carries it."""
    entry = {
        "type": "settlement",
        "trade_id": f"{bet_id}:9",
        "order_id": f"order-{bet_id}",
        "signal_id": "signal-1",
        "bet_id": bet_id,
        "strategy": "test",
        "market_id": MARKET,
        "selection_id": "1",
        "side": "BACK",
        "size": "10.00",
        "price": "3.00",
        "size_matched": "10.00",
        "average_price_matched": "3.00",
        "at": f"{day_}T12:00:00.000Z",
        "identity": IDENTITY,
        "profit": net,
        "commission": "0",
        "net_profit": net,
    }
    return entry | overrides


def read_json(text: str) -> dict[str, Any]:
    """Read JSON with exact amounts."""
    value: dict[str, Any] = json.loads(text, parse_float=Decimal, parse_int=Decimal)
    return value
