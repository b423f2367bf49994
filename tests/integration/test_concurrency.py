"""Eight processes at once: no acceptance above a limit, no order sent twice, none lost."""

import ast
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path

import pytest
import redis
from support.engine_rig import MARKET, make_policy, strategy_message
from support.fakes import CountingTelemetry
from support.racer import SENT
from support.store_worlds import redis_world

from executor import keys
from executor.devstack.redis_server import PrivateRedis
from executor.domain.exposure import market_exposure
from executor.domain.market import Market
from executor.domain.netting import counted_exposure
from executor.domain.signal import SignalKind
from executor.domain.signal_record import SignalStatus
from executor.engine.intake import Intake, receive

TESTS = Path(__file__).parents[1]
RACERS, SIGNALS = 8, 50


def race(
    server: PrivateRedis, racers: int, signals: int, look: Callable[[], Decimal], *words: str
) -> tuple[list[str], Decimal]:
    """Let processes decide on the same signals; return what they said, and the most that a look saw meanwhile."""
    environ = {"PATH": os.defpath, "PYTHONPATH": f"{TESTS}:{TESTS.parent}"}
    command = [sys.executable, str(TESTS / "support" / "racer.py"), server.url()]
    running = [
        subprocess.Popen([*command, str(seed), str(signals), *words], stdout=subprocess.PIPE, text=True, env=environ)
        for seed in range(racers)
    ]
    seen = Decimal(0)
    with ThreadPoolExecutor(racers) as pool:  # reads what they say: a full pipe would stop them
        said = [pool.submit(racer.communicate, timeout=90) for racer in running]
        while not all(process.done() for process in said):
            seen = max(seen, look())
    assert [racer.returncode for racer in running] == [0] * racers
    return [process.result()[0] for process in said], seen


@pytest.mark.parametrize("limit", ["MaxExposurePerMarket", "MaxExposurePerSelection"])
def test_racing_processes_never_exceed_a_limit(
    private_redis: PrivateRedis, redis_client: "redis.Redis", limit: str
) -> None:
    world = redis_world(redis_client)
    world.ready()
    redis_client.hset(keys.LIMITS, limit, "75")
    intake = Intake(world.store, CountingTelemetry(), make_policy(max_age_s=300))
    for at in range(SIGNALS):
        assert receive(intake, SignalKind.STRATEGY, strategy_message(f"signal-{at}"), world.store.now(), "bridge")

    def summed() -> Decimal:
        return market_exposure(world.store.view(MARKET).orders.values())

    said, seen = race(private_redis, RACERS, SIGNALS, summed)
    lines = [line for text in said for line in text.splitlines() if line.startswith(SENT)]
    sent = Counter(order_id for line in lines for order_id in ast.literal_eval(line.removeprefix(SENT))[1])
    records = [world.store.signal(f"signal-{at}") for at in range(SIGNALS)]
    accepted = [record for record in records if record is not None and record.status is SignalStatus.COMPLETED]
    assert len(accepted) == 7, "of 10 each; the eighth would be 80"
    assert Counter(record.reason for record in records if record not in accepted and record is not None) == {
        ("MAX_EXPOSURE_PER_MARKET" if "Market" in limit else "MAX_EXPOSURE_PER_SELECTION"): SIGNALS - 7
    }
    assert seen == market_exposure(world.store.view(MARKET).orders.values()) == Decimal(70)
    assert sent == {order_id: 1 for record in accepted for order_id in record.order_ids}


def test_twenty_signals_at_once_never_pass_the_netted_limit(
    private_redis: PrivateRedis, redis_client: "redis.Redis"
) -> None:
    world = redis_world(redis_client)
    world.ready()
    redis_client.hset(keys.LIMITS, "MaxExposurePerMarket", "75")
    facts = Market(
        MARKET, "WIN", "ODDS", "CLASSIC", winners=1, runners=(1, 2, 3), complete=True, read_at=world.store.now()
    )
    world.market_facts.save_facts([facts], [])
    intake = Intake(world.store, CountingTelemetry(), make_policy(max_age_s=300))
    for at in range(20):
        leg = {"selectionId": str(at % 3 + 1), "recommendedOdds": 3, "stake": 10, "betType": "Lay"}
        message = strategy_message(f"signal-{at}", primarySelection=leg)
        assert receive(intake, SignalKind.STRATEGY, message, world.store.now(), "bridge")

    def netted() -> Decimal:
        orders = world.store.view(MARKET).orders.values()
        return counted_exposure(orders, {}, facts, netting=True)

    _, seen = race(private_redis, 4, 20, netted, "net")
    records = [world.store.signal(f"signal-{at}") for at in range(20)]
    accepted = [record for record in records if record is not None and record.status is SignalStatus.COMPLETED]
    assert len(accepted) == 9, "three lays of 20 on each of three runners, of which one wins: 60"
    assert seen == netted() == 60
    assert redis_client.hgetall(keys.MARKET_EXPOSURE) == {MARKET: "60.00"}
    assert redis_client.hgetall(keys.risk_exposure(MARKET)) == dict.fromkeys("123", "60.00")
