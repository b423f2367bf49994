"""The console in this process, in paper mode on a real Redis and ledger, and the people and programs who use it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final

from fastapi.testclient import TestClient

from executor.console.app import guarded, make_app, make_console
from executor.console.context import Console
from executor.console.principal import Role
from executor.console.tokens import add_token
from executor.console.users import password_line
from executor.devstack.redis_server import PrivateRedis
from executor.domain.signal_record import SignalRecord
from executor.engine import accounting, reconciliation
from executor.engine.engine import Engine
from executor.operations.access import Actor
from executor.settings.load import load_settings
from support.cli_rig import Console as Program
from support.cli_rig import console as program_on

BASE: Final = "http://localhost:8080"
PASSWORD: Final = "correct horse battery"
PEOPLE: Final = {"anna": "operator", "vic": "viewer", "paula": "publisher"}
OURS: Final = {"sec-fetch-site": "same-origin"}


@cache
def users_text() -> str:
    """Return the users file; a hash takes a tenth of a second."""
    return "\n".join(password_line(name, frozenset({Role(role)}), PASSWORD) for name, role in PEOPLE.items())


@dataclass
class ConsoleRig:
    """A console; `client` makes one for each who asks."""

    console: Console
    app: Any
    program: Program
    engine: Engine
    refusals: list[str] = field(default_factory=list)
    dispatched: list[SignalRecord] = field(default_factory=list)

    def client(self, address: str = "127.0.0.1", **headers: str) -> TestClient:
        """Return a browser or program that nobody knows yet, at this address."""
        return TestClient(
            self.app,
            BASE,
            headers=headers,
            follow_redirects=False,
            raise_server_exceptions=False,
            client=(address, 50_000),
        )

    def person(self, name: str) -> TestClient:
        """Return somebody's browser, logged in."""
        browser = self.client(**OURS)
        answer = browser.post("/login", data={"name": name, "password": PASSWORD})
        assert answer.status_code == 303, answer.text
        return browser

    def bearer(self, role: Role, name: str = "") -> TestClient:
        """Return a program with a token."""
        made = add_token(self.console.access, Actor("test"), name or f"{role}-program", role, 1)
        return self.client(authorization=f"Bearer {made.secret}")

    def book(self) -> None:
        """Write the ledger, as a worker would."""
        accounting.write_ledger(self.engine)
        self.console.cache.clear()


@contextmanager
def console_rig(
    folder: Path, redis: PrivateRedis, environ: Mapping[str, str] | None = None, *, users: bool = True
) -> Iterator[ConsoleRig]:
    """Give a console whose db has been claimed and polled once."""
    extra = dict(environ or {})
    if users:
        path = folder / "users"
        path.write_text(users_text(), encoding="utf-8")
        path.chmod(0o600)
        extra["EXECUTOR_CONSOLE__USERS_FILE"] = str(path)
    program = program_on(folder, redis, extra)
    with program.engine() as engine:
        from executor.engine import limits  # noqa: PLC0415 - what a worker's start does

        limits.apply_limits(engine, missing_only=False)
        reconciliation.poll(engine)
        console = make_console(load_settings(program.environ, folder))
        rig = ConsoleRig(console, None, program, engine)
        console.access._dispatch = rig.dispatched.append  # a worker of this db runs nowhere
        object.__setattr__(console, "refused", rig.refusals.append)
        rig.app = guarded(make_app(console), console)
        try:
            yield rig
        finally:
            console.pool.shutdown()
            console.access.ledger.close()
