"""Where an instance counts: one process per directory, and what it counted outlives it."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from executor.devstack.redis_server import HOST, free_port
from executor.devstack.stack import OUR_STARTS

PROGRAM = """
import sys
from pathlib import Path
from executor.observability import exporter
folder, port, name = sys.argv[1:]
exporter.prepare(Path(folder), int(port), name)
from executor.observability.counters import RECONNECTS
exporter.serve("127.0.0.1", int(port), [], lambda: (True, {}))
for line in sys.stdin:
    RECONNECTS.inc()
    print("counted", flush=True)
"""
COUNTED = re.compile(r"^aibetting_executor_bridge_reconnects_total(?:\{(.*)\})? (\S+)$", re.MULTILINE)


class Instance:
    """A process that counts a reconnect for each line that it is given."""

    def __init__(self, folder: Path, name: str, environ: dict[str, str]) -> None:
        self._port = free_port()
        self._process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, folder, str(self._port), name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environ,
        )

    def count(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("one\n")
        self._process.stdin.flush()
        assert self._process.stdout.readline() == "counted\n"

    def page(self) -> tuple[str, float]:
        """Return the labels and the value of what it counts."""
        with requests.Session() as session:
            session.trust_env = False
            page = session.get(f"http://{HOST}:{self._port}/metrics", timeout=5).text
        found = COUNTED.search(page)
        assert found is not None, page
        return found[1] or "", float(found[2])

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate(timeout=10)


class Instances:
    """Starts them on one data folder, and kills those that are left."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._started: list[Instance] = []
        self._environ = {name: value for name, value in os.environ.items() if not name.upper().startswith(OUR_STARTS)}

    def start(self, name: str) -> Instance:
        instance = Instance(self._folder, name, self._environ)
        self._started.append(instance)
        instance.count()
        return instance

    def stop(self) -> None:
        for instance in self._started:
            instance.kill()


@pytest.fixture
def instances(tmp_path: Path) -> Iterator[Instances]:
    all_of_them = Instances(tmp_path)
    try:
        yield all_of_them
    finally:
        all_of_them.stop()


def test_each_of_a_name_counts_under_a_number_of_its_own(instances: Instances) -> None:
    pages = [instances.start("worker").page() for _ in range(3)]
    assert pages == [(f'instance="worker-{number}"', 1.0) for number in (1, 2, 3)]


def test_whoever_comes_goes_on_where_one_was_killed(instances: Instances, tmp_path: Path) -> None:
    first, second = instances.start("worker"), instances.start("worker")
    first.count()
    first.kill()
    assert second.page() == ('instance="worker-2"', 1.0)
    assert instances.start("worker").page() == ('instance="worker-1"', 3.0)
    assert sorted(folder.name for folder in (tmp_path / "metrics").iterdir()) == ["worker-1", "worker-2"]


def test_another_name_counts_elsewhere(instances: Instances) -> None:
    instances.start("worker")
    assert instances.start("bridge").page() == ('instance="bridge-1"', 1.0)


def test_who_has_a_host_of_its_own_says_no_instance(instances: Instances) -> None:
    assert instances.start("").page() == ("", 1.0)
