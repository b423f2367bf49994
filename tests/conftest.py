"""Fixtures shared by every test: one private Redis for the whole run, and the sandbox's."""

import asyncio
import os
import signal
import subprocess
from collections.abc import Iterator

import hypothesis
import pytest
import redis
from support.engine_rig import Rig

from executor.devstack.redis_server import PrivateRedis, RedisServerError, find_redis_server

pytest_plugins = ["support.postgres", "support.sandbox_fixtures"]

# A shell's background job ignores Ctrl-C, and so would every process that a test starts to see it obey one.
signal.signal(signal.SIGINT, signal.default_int_handler)

# How long an example takes says how busy the machine is.
hypothesis.settings.register_profile("any machine", deadline=None)
hypothesis.settings.load_profile("any machine")


def pytest_report_header() -> str:
    """Say which server the tests run on: one on PATH goes before the one that comes with our packages."""
    try:
        program = find_redis_server()
    except RedisServerError as error:
        return f"redis: {error}"
    shown = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=10, check=False)
    return f"redis: {program} ({shown.stdout.strip()[:60]})"


@pytest.fixture(scope="module", autouse=True)
def leaves_nothing_behind() -> Iterator[None]:
    """Fail the module that leaves its event loop or its environment to those that run after it in the same process."""
    before = _environment()
    yield
    assert asyncio._get_running_loop() is None, "this module leaves an event loop running in the thread of the tests"
    assert _environment() == before, "this module leaves the environment other than it was"


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}


@pytest.fixture(scope="session")
def private_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateRedis]:
    """Return our own server; nobody else's is ever touched."""
    with PrivateRedis(tmp_path_factory.mktemp("private-redis"), append_only=False) as running:
        yield running


@pytest.fixture
def redis_client(private_redis: PrivateRedis) -> Iterator["redis.Redis"]:
    """Return a client of an empty db 0 (state); db 1 (queues) is empty too."""
    with redis.Redis.from_url(private_redis.url(1)) as broker:
        broker.flushdb()
    with redis.Redis.from_url(private_redis.url(0), decode_responses=True) as client:
        client.flushdb()
        yield client


@pytest.fixture
def rig() -> Rig:
    """Return an engine on fakes that may trade."""
    return Rig()
