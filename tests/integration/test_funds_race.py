"""Two markets take the last of the account's money at the same moment: one gets it, whatever the interleaving."""

import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from decimal import Decimal

import pytest
import redis
from funds.rules import only_funds
from support.engine_rig import make_policy, strategy_message
from support.fakes import CountingTelemetry, FrozenClock, ScriptedExchange
from support.memory_ledger import MemoryLedger
from support.memory_redis import Memory, MemoryAlerts
from support.redis_ports import RedisPorts
from support.store_worlds import IDENTITY, RETENTION, redis_world

from executor import keys
from executor.adapters.clock import SystemClock
from executor.adapters.redis.client import connect
from executor.adapters.redis.store import RedisStore
from executor.devstack.redis_server import PrivateRedis
from executor.domain.exposure import market_exposure
from executor.domain.signal import SignalKind
from executor.engine.engine import Engine, Step
from executor.engine.intake import Intake, receive
from executor.engine.validation import validate
from executor.ports import Change, Funds, MarketView

D = Decimal
ROUNDS = 150
SIZE, AVAILABLE = D(60), D(100)  # each alone can be paid for, both together cannot


class RacingStore(RedisStore):
    """The real store; the first commit of each round waits until everybody has read what theirs rests on."""

    everybody: "threading.Barrier | None" = None

    def commit(self, view: MarketView, change: Change) -> MarketView | None:
        start, self.everybody = self.everybody, None
        if start is not None:
            start.wait(10)
        return super().commit(view, change)


@dataclass
class Racer:
    """A worker with a connection of its own."""

    engine: Engine
    store: RacingStore

    def decide(self, start: "threading.Barrier", signal_id: str, market_id: str, *, after_reading: bool) -> Step:
        self.store.everybody = start if after_reading else None
        if not after_reading:
            start.wait(10)
        return validate(self.engine, signal_id, market_id)


@pytest.fixture
def racers(private_redis: PrivateRedis, redis_client: "redis.Redis") -> Iterator[list[Racer]]:
    del redis_client  # empties the db
    policy = make_policy(identity=IDENTITY, rules=only_funds())
    found, clients = list[Racer](), [connect(private_redis.url(0)) for _ in range(2)]
    for client in clients:
        store = RacingStore(client, IDENTITY, RETENTION)
        engine = Engine(
            store=store,
            **vars(RedisPorts.on(client, client, IDENTITY)),
            exchange=ScriptedExchange(FrozenClock()),
            ledger=MemoryLedger(),
            clock=SystemClock(),
            telemetry=CountingTelemetry(),
            policy=policy,
            alerts=MemoryAlerts(Memory()),
        )
        found.append(Racer(engine, store))
    yield found
    for client in clients:
        client.close()


def test_two_markets_never_both_get_the_last_of_the_money(racers: list[Racer], redis_client: "redis.Redis") -> None:
    world = redis_world(redis_client)
    came = Counter[tuple[str, ...]]()
    with ThreadPoolExecutor(len(racers)) as pool:
        for number in range(ROUNDS):
            redis_client.flushdb()
            world.ready()
            world.accounts.save_account(Funds(AVAILABLE, D(0)), D(0))
            if number % 3 == 2:  # nobody keeps the sum for them
                redis_client.delete(keys.HELD_TOTAL)
            markets = [f"1.{number}1", f"1.{number}2"]
            intake = Intake(world.store, CountingTelemetry(), racers[0].engine.policy)
            for market_id in markets:
                raw = strategy_message(f"of-{market_id}", marketId=market_id, stake=str(SIZE))
                assert receive(intake, SignalKind.STRATEGY, raw, world.store.now(), "bridge")
            start = threading.Barrier(len(racers))
            steps = [
                pool.submit(racer.decide, start, f"of-{market_id}", market_id, after_reading=number % 2 == 0)
                for racer, market_id in zip(racers, markets, strict=True)
            ]
            verdicts = [future.result(30) for future in steps]
            held = sum((market_exposure(world.store.view(one).orders.values()) for one in markets), D(0))
            assert held <= AVAILABLE, f"round {number}: {held} at risk, {AVAILABLE} there"
            came[tuple(sorted(step.reason or step.verdict for step in verdicts))] += 1
            assert redis_client.get(keys.HELD_TOTAL) == "6000"
    assert came == {("ACCEPTED", "INSUFFICIENT_FUNDS"): ROUNDS}
