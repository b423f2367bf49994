"""A PostgreSQL of our own for tests: Debian's programs, an unprivileged user, a free loopback port, our own folder."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest
from sqlalchemy import create_engine, text

from executor.devstack.redis_server import free_port

_DEADLINE_S: Final = 30
_NOBODY: Final = "nobody"  # PostgreSQL refuses to run as root


def programs() -> Path | None:
    """Return the folder of the newest server's programs, where Debian puts them."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: float(path.parts[-3]))
    return found[-1].parent if found else None


@dataclass
class Postgres:
    """One server; `start` and `kill` it as often as a test likes."""

    folder: Path
    programs: Path
    port: int = field(default_factory=free_port)
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def url(self) -> str:
        return f"postgresql+psycopg://tester@127.0.0.1:{self.port}/postgres"

    def _as_nobody(self, words: Sequence[object]) -> "subprocess.Popen[bytes]":
        user = {"user": _NOBODY, "group": "nogroup", "extra_groups": []} if os.getuid() == 0 else {}
        log = (self.folder / "log").open("ab")
        with log:
            return subprocess.Popen([str(word) for word in words], stdout=log, stderr=log, cwd=self.folder, **user)  # type: ignore[call-overload,no-any-return]

    def _log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")[-2000:]

    def make(self) -> None:
        """Make the data folder."""
        if os.getuid() == 0:
            shutil.chown(self.folder, _NOBODY, "nogroup")
        words = [self.programs / "initdb", "-D", self.folder / "data", "-U", "tester", "--no-sync", "-A", "trust"]
        assert self._as_nobody(words).wait(_DEADLINE_S) == 0, self._log()

    def start(self) -> None:
        """Start it, and wait until it takes connections."""
        options = ["-c", "listen_addresses=127.0.0.1", "-c", f"unix_socket_directories={self.folder}"]
        self.process = self._as_nobody(
            [self.programs / "postgres", "-D", self.folder / "data", "-p", self.port, *options]
        )
        asked = [self.programs / "pg_isready", "-q", "-h", "127.0.0.1", "-p", self.port]
        self._wait(lambda: self._as_nobody(asked).wait(_DEADLINE_S) == 0)

    def _wait(self, ready: Callable[[], bool]) -> None:
        ends = time.monotonic() + _DEADLINE_S
        while not ready():
            assert time.monotonic() < ends, self._log()
            time.sleep(0.1)

    def kill(self) -> None:
        """Kill it without a chance to tidy up; what it had committed is on disk."""
        if self.process is not None:
            self.process.send_signal(signal.SIGQUIT)  # its word for "immediately": no checkpoint, recovery at the start
            self.process.wait(_DEADLINE_S)
            self.process = None


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Postgres]:
    """Run a server, in a folder that an unprivileged user can reach."""
    pytest.importorskip("psycopg")
    found = programs()
    if found is None:
        pytest.skip("Debian's postgresql is not installed")
    with tempfile.TemporaryDirectory(prefix="ledger-") as folder:
        server = Postgres(Path(folder), found)
        server.make()
        server.start()
        yield server
        server.kill()


@pytest.fixture
def postgres(postgres_server: Postgres) -> Postgres:
    """Return the server with an empty database."""
    engine = create_engine(postgres_server.url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text("drop schema public cascade"))
        connection.execute(text("create schema public"))
    engine.dispose()
    return postgres_server
