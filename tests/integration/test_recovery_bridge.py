"""A signal that was recorded in a second that Redis lost is recorded again by the bridge that heard it."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
from support.engine_rig import strategy_message
from support.factories import SUREBET
from support.sandbox_client import wait_for

from executor import keys
from executor.devstack.redis_server import PrivateRedis

_FOREIGN = ("EXECUTOR_", "CELERY_", "PROMETHEUS_MULTIPROC_")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[PrivateRedis]:
    with PrivateRedis(tmp_path / "redis") as server:
        yield server


@pytest.fixture
def start_bridge(server: PrivateRedis, tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """Return what starts a bridge and says where its log is."""
    clean = {name: value for name, value in os.environ.items() if not name.upper().startswith(_FOREIGN)}
    running: list[tuple[subprocess.Popen[bytes], Path]] = []

    def start(**settings: str) -> Path:
        name = f"bridge-{len(running)}"
        environment = {
            **clean,
            "EXECUTOR_REDIS__URL": server.url(),
            "EXECUTOR_DATA_DIR": str(tmp_path / name),
            "EXECUTOR_METRICS__BRIDGE_PORT": "0",
            "EXECUTOR_LOGGING__FORMAT": "json",
            **settings,
        }
        log = tmp_path / f"{name}.log"
        command = [sys.executable, "-c", "from executor.cli.main import run; run()", "bridge"]
        with log.open("wb") as output:
            process = subprocess.Popen(command, env=environment, cwd=tmp_path, stdout=output, stderr=output)
        running.append((process, log))
        return log

    yield start
    for process, _ in running:
        process.terminate()
    for process, log in running:
        assert process.wait(20) == 0, log.read_text()


def _publish(client: "redis.Redis", message: bytes) -> None:
    ends = time.monotonic() + 30
    while not client.publish(keys.STRATEGY_SIGNALS, message):
        assert time.monotonic() < ends, "no bridge listens"
        time.sleep(0.05)


def test_what_a_killed_redis_lost_is_recorded_again_once(
    server: PrivateRedis, start_bridge: Callable[..., Path]
) -> None:
    bridge = start_bridge()
    parts = list(server.data_dir.glob("appendonlydir/*.incr.aof"))
    file = parts[0] if parts else server.data_dir / "appendonly.aof"  # Redis 6.2
    with redis.Redis.from_url(server.url(), decode_responses=True) as client:
        _publish(client, strategy_message("kept"))
        wait_for(lambda: client.exists(keys.signal("kept")), 10)
        saved = file.stat().st_size
        _publish(client, strategy_message("lost"))
        wait_for(lambda: client.exists(keys.signal("lost")), 10)
        kept = client.get(keys.signal("kept"))
    server.kill()
    os.truncate(file, saved)
    server.start()
    with redis.Redis.from_url(server.url(), decode_responses=True) as client:
        wait_for(lambda: client.exists(keys.signal("lost")), 20)
        assert client.get(keys.signal("kept")) == kept
        with redis.Redis.from_url(server.url(1)) as broker:
            assert wait_for(lambda: broker.llen("signals"), 10)
    assert "DUPLICATE_SIGNAL" not in bridge.read_text()


@pytest.mark.slow
def test_a_surebet_that_two_bridges_heard_is_not_made_a_second_signal(
    server: PrivateRedis, start_bridge: Callable[..., Path]
) -> None:
    """Its content is forgotten after a while, and each bridge has an arrival of its own for it."""
    logs = [start_bridge(EXECUTOR_SIGNALS__MAX_AGE_SECONDS="6") for _ in range(2)]
    with redis.Redis.from_url(server.url(), decode_responses=True) as client:
        wait_for(lambda: dict(client.pubsub_numsub(keys.SUREBET_SIGNALS))[keys.SUREBET_SIGNALS] == 2, 30)
        client.publish(keys.SUREBET_SIGNALS, json.dumps({**json.loads(SUREBET), "validityWindow": 300}))
        wait_for(lambda: list(client.scan_iter(keys.signal("*"))), 10)
        wait_for(lambda: not list(client.scan_iter(keys.seen("*"))), 20)
    server.restart()
    wait_for(lambda: all("redis_restarted" in log.read_text() for log in logs), 20)
    with redis.Redis.from_url(server.url(), decode_responses=True) as client:
        assert len(list(client.scan_iter(keys.signal("*")))) == 1


@pytest.mark.slow
def test_a_repeated_surebet_of_the_stream_is_not_made_a_second_signal(
    server: PrivateRedis, start_bridge: Callable[..., Path]
) -> None:
    """The repeat has an arrival of its own, and its content is forgotten after a while."""
    log = start_bridge(EXECUTOR_SIGNALS__MAX_AGE_SECONDS="6")
    body = {**json.loads(SUREBET), "validityWindow": 300}
    with redis.Redis.from_url(server.url(), decode_responses=True) as client:
        wait_for(lambda: dict(client.pubsub_numsub(keys.SUREBET_SIGNALS))[keys.SUREBET_SIGNALS] == 1, 30)
        client.publish(keys.SUREBET_SIGNALS, json.dumps(body))
        wait_for(lambda: list(client.scan_iter(keys.signal("*"))), 10)
        client.xadd(keys.SIGNALS, {"kind": "SureBet", "payload": json.dumps(body, indent=1)})
        wait_for(lambda: "DUPLICATE_SIGNAL" in log.read_text(), 10)
        wait_for(lambda: not list(client.scan_iter(keys.seen("*"))), 20)
    server.restart()
    wait_for(lambda: "redis_restarted" in log.read_text(), 20)
    with redis.Redis.from_url(server.url(), decode_responses=True) as client:
        assert len(list(client.scan_iter(keys.signal("*")))) == 1


def test_what_comes_while_a_bridge_records_again_does_not_wait_for_that(
    server: PrivateRedis, start_bridge: Callable[..., Path]
) -> None:
    """Nobody else may have it, and the bridge may be killed."""
    log = start_bridge()
    with redis.Redis.from_url(server.url(), decode_responses=True) as client:
        for at in range(450):
            _publish(client, strategy_message(f"before-{at}"))
        wait_for(lambda: client.exists(keys.signal("before-449")), 30)
    server.restart()
    with redis.Redis.from_url(server.url(), decode_responses=True) as client:
        _publish(client, strategy_message("meanwhile"))
        wait_for(lambda: "redis_restarted" in log.read_text(), 30)
        text = log.read_text()
        assert 0 < text.find('"meanwhile"') < text.index("redis_restarted")
