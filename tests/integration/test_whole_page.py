"""Under `up` the worker's page has what every process counted, each once, commands among them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import requests

from executor.devstack.redis_server import free_port
from executor.observability import exporter

_COUNT = """
import os, sys
from pathlib import Path
from executor.observability import command_counts, exporter
folder, port = Path(sys.argv[1]), sys.argv[2]
if port == "command":
    command_counts.prepare(folder)
else:
    exporter.prepare(folder, int(port))
from executor.observability.counters import RECEIVED
RECEIVED.labels("test").inc(int(sys.argv[3]))
"""
LINE = 'aibetting_executor_signals_received_total{strategy="test"}'


def count(folder: Path, port: str, number: int) -> None:
    environ = {name: value for name, value in os.environ.items() if name != exporter.DIRECTORY}
    subprocess.run([sys.executable, "-c", _COUNT, str(folder), port, str(number)], env=environ, check=True, timeout=60)


def test_every_instance_is_on_the_page_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for port, number in (("5003", 1), ("5004", 10), ("5004", 10), ("5006", 100), ("command", 1000)):
        count(tmp_path, port, number)
    own = next((tmp_path / "metrics").glob("*-5003"))
    monkeypatch.setenv(exporter.DIRECTORY, str(own))
    for whole, expected in ((True, "1121.0"), (False, "1001.0")):
        listening = free_port()
        stop = exporter.serve("127.0.0.1", listening, [], lambda: (True, {}), commands_of=tmp_path, whole=whole)
        try:
            page = requests.get(f"http://127.0.0.1:{listening}/metrics", timeout=10).text
        finally:
            stop()
        assert f"{LINE} {expected}" in page.splitlines()
