"""Fixtures around the exchange adapter; a module asks for them: `pytest_plugins = ["support.exchange_fixtures"]`."""

from collections.abc import Iterator
from contextlib import closing

import pytest
import redis

from betfair_sandbox.certificates import CertificatePaths, ensure_certificates
from executor.adapters.betfair.exchange import BetfairExchange
from executor.devstack.redis_server import PrivateRedis
from support.exchange_rig import TOKEN, MemoryTelemetry, MemoryTokenStore, ScriptedServer


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> CertificatePaths:
    return ensure_certificates(tmp_path_factory.mktemp("certificates"), "pfx-password")


@pytest.fixture
def server(certificates: CertificatePaths) -> Iterator[ScriptedServer]:
    with ScriptedServer(certificates) as running:
        yield running


@pytest.fixture
def telemetry() -> MemoryTelemetry:
    return MemoryTelemetry()


@pytest.fixture
def exchange(server: ScriptedServer, telemetry: MemoryTelemetry) -> Iterator[BetfairExchange]:
    """Return the adapter with a session, pointed at `server`."""
    with closing(BetfairExchange(server.settings(), MemoryTokenStore(TOKEN), telemetry)) as adapter:
        yield adapter


@pytest.fixture(scope="module")
def session_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateRedis]:
    with PrivateRedis(tmp_path_factory.mktemp("redis"), append_only=False) as running:
        yield running


@pytest.fixture
def session_client(session_redis: PrivateRedis) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(session_redis.url(), decode_responses=True) as connected:
        connected.flushdb()
        yield connected
