"""Sentinels with a password of their own, and everything by TLS: state, queues and the look at who leads."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from celery import Celery
from support.sentinels import MASTER, Cluster, cluster

from betfair_sandbox.certificates import ensure_certificates
from executor import broker
from executor.adapters.redis.client import connect_bytes
from executor.adapters.redis.topology import look_at
from executor.devstack.redis_server import find_redis_server
from executor.settings.urls import celery_url, next_db_broker_url, sentinel_ssl, sentinel_transport, sentinel_url

PASSWORD = "eyes-only"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


def knows_tls() -> bool:
    words = [str(find_redis_server()), "--port", "0", "--tls-port", "1"]
    try:
        said = subprocess.run(words, capture_output=True, text=True, timeout=5, check=False).stdout
    except subprocess.TimeoutExpired:
        return False
    return "tls-cert-file" in said  # it asks for one; a build without TLS misses the whole of it


@pytest.fixture(params=["password", "password and TLS"])
def nodes(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    certificates = None
    if "TLS" in request.param:
        if not knows_tls():
            pytest.skip("this server was built without TLS")
        certificates = ensure_certificates(tmp_path / "certificates", "x", ("127.0.0.1",))
        monkeypatch.setenv("SSL_CERT_FILE", str(certificates.ca))
    with cluster(tmp_path / "redis", sentinel_password=PASSWORD, certificates=certificates) as made:
        yield made


def test_state_and_queues_are_there_and_follow_a_new_master(nodes: Cluster) -> None:
    url = nodes.url()
    queues = next_db_broker_url(url)
    broker.install()
    with (
        connect_bytes(url) as client,
        Celery(broker=celery_url(queues)) as sender,
    ):
        sender.conf.broker_transport_options = sentinel_transport(queues)
        sender.conf.broker_use_ssl = sentinel_ssl(queues)
        client.set("before", "1")
        sender.send_task("one", queue="orders", retry=False)
        seen = look_at(sentinel_url(url))
        assert (len(seen.reached), seen.quorum, len(seen.replicas)) == (3, 2, 2)
        assert nodes.wait(lambda: client.wait(2, 1000) == 2, "the replicas")
        old = nodes.master()
        nodes.kill(old)
        nodes.wait_for_another_master(old)
        assert client.get("before") == b"1"
        client.set("after", "1")
        with sender.connection_for_write() as connection:
            assert connection.default_channel.client.llen("orders") == 1
        assert look_at(sentinel_url(url)).master == f"127.0.0.1:{nodes.master()}"


def test_a_wrong_password_is_no_master_and_is_not_shown(nodes: Cluster) -> None:
    seen = look_at(sentinel_url(nodes.url().replace(PASSWORD, "wrong-words")))
    assert (list(seen.reached), seen.master, len(seen.silent)) == ([], "", 3)
    assert "wrong-words" not in repr(seen)
    assert MASTER not in "".join(seen.silent)
