"""Redis over TLS by the settings' URL alone, for redis-py and for Celery's transport; a wrong authority is refused."""

import os
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlencode

import pytest

from betfair_sandbox.certificates import CertificatePaths, ensure_certificates
from executor import wiring
from executor.adapters.redis.client import connect
from executor.devstack.redis_server import HOST, PrivateRedis
from executor.errors import StoreUnavailable
from executor.settings.load import load_settings

# What Celery's own connection does, in a process whose celeryconfig reads the same settings.
_PUBLISH = """
from executor.app import app
from kombu.exceptions import OperationalError
try:
    with app.connection_for_write(transport_options=app.conf.broker_transport_options) as connection:
        queue = connection.SimpleQueue("tls")
        queue.put("through TLS")
        print(queue.get(timeout=5).payload)
except (OperationalError, OSError) as error:
    print("refused", error)
"""


def _pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65_536):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_RDWR)


@contextmanager
def _tls_in_front_of(port: int, paths: CertificatePaths) -> Iterator[int]:
    """End TLS and pass everything on: the Redis that pip brings speaks no TLS itself."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(paths.server)
    opened: list[socket.socket] = []

    def serve(client: socket.socket) -> None:
        with suppress(OSError):
            inside = context.wrap_socket(client, server_side=True)
            outside = socket.create_connection((HOST, port))
            opened.extend((inside, outside))
            threading.Thread(target=_pump, args=(outside, inside), daemon=True).start()
            _pump(inside, outside)

    def accept(listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                opened.append(client)
                threading.Thread(target=serve, args=(client,), daemon=True).start()

    with socket.create_server((HOST, 0)) as listener:
        threading.Thread(target=accept, args=(listener,), daemon=True).start()
        yield int(listener.getsockname()[1])
        listener.shutdown(socket.SHUT_RDWR)
    for each in opened:
        each.close()


@pytest.fixture
def authority(tmp_path: Path) -> CertificatePaths:
    return ensure_certificates(tmp_path / "right", "x")


def _environment(port: int, ca: Path, folder: Path) -> dict[str, str]:
    url = f"rediss://{HOST}:{port}/0?{urlencode({'ssl_ca_certs': str(ca), 'ssl_cert_reqs': 'required'})}"
    return {"EXECUTOR_REDIS__URL": url, "EXECUTOR_DATA_DIR": str(folder)}


def _celery(environment: dict[str, str], folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", _PUBLISH],
        cwd=folder,
        env={**environment, "PATH": os.defpath, "PYTHONPATH": os.environ.get("PYTHONPATH", "")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.stdout


def test_the_url_is_enough(private_redis: PrivateRedis, authority: CertificatePaths, tmp_path: Path) -> None:
    with _tls_in_front_of(private_redis.port, authority) as port:
        environment = _environment(port, authority.ca, tmp_path)
        settings = load_settings(environment, tmp_path)
        assert wiring.store(settings).now() > 0
        with connect(settings.redis.url) as client:
            assert client.ping()
        # As kombu reads it: the same server, the db after, the same authority.
        assert settings.redis.broker_url.startswith(f"rediss://{HOST}:{port}/1?")
        assert _celery(environment, tmp_path) == "through TLS\n"


def test_another_authority_is_refused(private_redis: PrivateRedis, authority: CertificatePaths, tmp_path: Path) -> None:
    other = ensure_certificates(tmp_path / "wrong", "x")
    with _tls_in_front_of(private_redis.port, authority) as port:
        environment = _environment(port, other.ca, tmp_path)
        with pytest.raises(StoreUnavailable, match="CERTIFICATE_VERIFY_FAILED"):
            wiring.store(load_settings(environment, tmp_path)).now()
        assert "refused" in _celery(environment, tmp_path)


def test_plain_text_is_no_way_in(private_redis: PrivateRedis, authority: CertificatePaths, tmp_path: Path) -> None:
    with _tls_in_front_of(private_redis.port, authority) as port:
        environment = {"EXECUTOR_REDIS__URL": f"redis://{HOST}:{port}/0", "EXECUTOR_DATA_DIR": str(tmp_path)}
        with pytest.raises(StoreUnavailable):
            wiring.store(load_settings(environment, tmp_path)).now()
