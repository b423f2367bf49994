"""Eight processes at once: no acceptance above a limit, no order sent twice, none lost."""

import ast
import os
import subprocess
import sys
from collections import Counter
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
from executor.domain.signal import SignalKind
from executor.domain.signal_record import SignalStatus
from executor.engine.intake import Intake, receive

TESTS = Path(__file__).parents[1]
RACERS, SIGNALS = 8, 50


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
    environ = {"PATH": os.defpath, "PYTHONPATH": f"{TESTS}:{TESTS.parent}"}
    command = [sys.executable, str(TESTS / "support" / "racer.py"), private_redis.url()]
    racers = [
        subprocess.Popen([*command, str(seed), str(SIGNALS)], stdout=subprocess.PIPE, text=True, env=environ)
        for seed in range(RACERS)
    ]
    seen = Decimal(0)
    with ThreadPoolExecutor(RACERS) as pool:  # reads what they say: a full pipe would stop them
        said = [pool.submit(racer.communicate, timeout=60) for racer in racers]
        while not all(process.done() for process in said):
            seen = max(seen, market_exposure(world.store.view(MARKET).orders.values()))
    assert [racer.returncode for racer in racers] == [0] * RACERS
    lines = [line for process in said for line in process.result()[0].splitlines() if line.startswith(SENT)]
    sent = Counter(order_id for line in lines for order_id in ast.literal_eval(line.removeprefix(SENT))[1])
    records = [world.store.signal(f"signal-{at}") for at in range(SIGNALS)]
    accepted = [record for record in records if record is not None and record.status is SignalStatus.COMPLETED]
    assert len(accepted) == 7, "of 10 each; the eighth would be 80"
    assert Counter(record.reason for record in records if record not in accepted and record is not None) == {
        ("MAX_EXPOSURE_PER_MARKET" if "Market" in limit else "MAX_EXPOSURE_PER_SELECTION"): SIGNALS - 7
    }
    assert seen == market_exposure(world.store.view(MARKET).orders.values()) == Decimal(70)
    assert sent == {order_id: 1 for record in accepted for order_id in record.order_ids}
