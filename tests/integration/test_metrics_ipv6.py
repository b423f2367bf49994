"""The metrics page on `::`: every address of this machine, of both families."""

import socket
from pathlib import Path

import pytest
import requests

from executor.devstack.redis_server import free_port
from executor.observability import exporter


@pytest.mark.parametrize("address", ["127.0.0.1", "[::1]"])
def test_all_addresses_of_both_families(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    if not socket.has_ipv6:
        pytest.skip("no IPv6 here")
    monkeypatch.setenv(exporter.DIRECTORY, str(tmp_path))
    port = free_port()
    stop = exporter.serve("::", port, [], lambda: (True, {"status": "ok"}))
    try:
        assert requests.get(f"http://{address}:{port}/health", timeout=10).json() == {"status": "ok"}
    finally:
        stop()
