"""A signal that was recorded in a second that Redis lost is recorded again by the bridge that heard it."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from engine_rig import strategy_message
from sandbox_client import wait_for

from executor import keys
from executor.cli.redis_server import PrivateRedis

_FOREIGN = ("EXECUTOR_", "CELERY_", "PROMETHEUS_MULTIPROC_")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[PrivateRedis]:
    with PrivateRedis(tmp_path / "redis") as server:
        yield server


@pytest.fixture
def bridge(server: PrivateRedis, tmp_path: Path) -> Iterator[Path]:
    """Start a bridge; return its log."""
    environment = {name: value for name, value in os.environ.items() if not name.upper().startswith(_FOREIGN)}
    environment |= {
        "EXECUTOR_REDIS__URL": server.url(),
        "EXECUTOR_DATA_DIR": str(tmp_path / "data"),
        "EXECUTOR_METRICS__BRIDGE_PORT": "0",
        "EXECUTOR_LOGGING__FORMAT": "json",
    }
    log = tmp_path / "bridge.log"
    command = [sys.executable, "-c", "from executor.cli.main import run; run()", "bridge"]
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=environment, cwd=tmp_path, stdout=output, stderr=output)
    yield log
    process.terminate()
    assert process.wait(20) == 0, log.read_text()


def _publish(client: "redis.Redis", message: bytes) -> None:
    ends = time.monotonic() + 30
    while not client.publish(keys.STRATEGY_SIGNALS, message):
        assert time.monotonic() < ends, "no bridge listens"
        time.sleep(0.05)


def test_what_a_killed_redis_lost_is_recorded_again_once(server: PrivateRedis, bridge: Path) -> None:
    file = next(server.data_dir.glob("appendonly*/*.incr.aof"))
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
