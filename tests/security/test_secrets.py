"""Secrets planted in every secret setting of a full run, then looked for in everything that the run left or showed."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import requests
from support.guarded_stack import GuardedStack

from betfair_sandbox.options import SandboxOptions, sandbox_env
from executor import keys
from executor.devstack.stack import Stack
from executor.devstack.supervisor import Program

pytestmark = pytest.mark.slow  # a stack of its own: half a minute

PROGRAM = Path(sys.executable).with_name("executor")
PLANTED = {
    "app_key": "Planted-app-key-4711",
    "password": "Planted password/ö\"'\\ 4712",
    "certificate_password": "Planted-certificate-4713",
}
USERNAME = "planted-user-4715"  # no secret: it names the identity; but not for everybody
LEDGER_PASSWORD = "Planted-ledger-4714"
_SANDBOX = """
import json, sys
from pathlib import Path
from betfair_sandbox.options import SandboxOptions
from betfair_sandbox.server import serve
given = json.loads(Path(sys.argv[1]).read_text())
serve(SandboxOptions(directory=Path(sys.argv[2]), port=int(sys.argv[3]), cert_port=int(sys.argv[4]), **given))
"""
PAGES = ("/", "/workers", "/tasks", "/broker", "/metrics", "/healthcheck", "/api/workers?refresh=1&status=0",
         "/api/tasks?limit=1000", "/api/queues/length", "/api/task/types")  # fmt: skip


class PlantedStack(GuardedStack):
    """A stack whose exchange asks for the planted credentials; they reach our processes as files."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, {"EXECUTOR_LOGGING__LEVEL": "DEBUG"}, append_only=True)
        self._given = folder / "planted"
        self._given.mkdir()
        (self._given / "sandbox.json").write_text(json.dumps({**PLANTED, "username": USERNAME}))
        directory = folder / "sandbox"
        options = SandboxOptions(directory=directory, username=USERNAME, **PLANTED)  # type: ignore[arg-type]
        cert_port = self.ports.sandbox_cert
        told = sandbox_env(directory, options=options, port=self.ports.sandbox, cert_port=cert_port)
        self.environment["EXECUTOR_BETFAIR__USERNAME"] = USERNAME
        for name in PLANTED:
            variable = f"EXECUTOR_BETFAIR__{name.upper()}"
            path = self._given / name
            path.write_text(told[variable])
            self.environment[f"{variable}_FILE"] = str(path)
            del self.environment[variable]

    def exchange(self, programs: Stack) -> Program:
        program = programs.sandbox(self.folder / "sandbox")
        words = (str(self._given / "sandbox.json"), str(self.folder / "sandbox"))
        ports = (str(self.ports.sandbox), str(self.ports.sandbox_cert))
        return replace(program, command=(sys.executable, "-c", _SANDBOX, *words, *ports))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PlantedStack]:
    """Return a stack that has traded and met its share of trouble."""
    stack = PlantedStack(tmp_path_factory.mktemp("planted"))
    try:
        stack.start()
        stack.trade("planted-1")
        for kind in ("http_503", "expire_session"):
            stack.sandbox.control("faults", {"method": "listCurrentOrders", "kind": kind, "count": 1})
        stack.wait(lambda: stack.counted("betfair_api_errors_total") >= 2)
        stack.publish("{")
        stack.push("signals", "executor.validate_risk", [{"password": "x"}])
        stack.trade("planted-2", selection=2)
        yield stack
    finally:
        stack.stop()


def _secrets(run: PlantedStack) -> dict[str, str]:
    files = (path for path in run.redis.secrets.iterdir() if path.name.startswith("redis-password"))
    login = (run.redis.secrets / "flower-login").read_text().partition(":")[2]
    found = {**PLANTED, "flower": login, **{path.name: path.read_text() for path in files}, "session": _token(run)}
    assert all(len(secret) >= 16 for secret in found.values())
    return found


def _token(run: PlantedStack) -> str:
    with run.redis.client("worker") as client:
        key = next(client.scan_iter(f"{keys.session('')}*"))
        return str(json.loads(str(client.get(key)))["token"])


def _written(secret: str) -> set[bytes]:
    """Return the ways in which a secret may stand in a file."""
    ways = {secret, json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1], repr(secret)[1:-1]}
    ways |= {requests.compat.quote(secret, safe=""), requests.compat.quote_plus(secret)}
    return {way.encode() for way in ways}


def _leaks(run: PlantedStack, where: dict[str, bytes]) -> list[str]:
    secrets = {name: _written(secret) for name, secret in _secrets(run).items()}
    return [
        f"{name} in {place}"
        for place, content in where.items()
        for name, ways in secrets.items()
        if any(way in content for way in ways)
    ]


def test_what_looks_for_leaks_finds_one(run: PlantedStack) -> None:
    for name, secret in _secrets(run).items():
        assert _leaks(run, {"here": json.dumps({"x": f"a {secret} b"}).encode()}) == [f"{name} in here"]


def test_no_file_that_the_run_wrote_holds_a_secret(run: PlantedStack) -> None:
    skipped = (run.redis.secrets, run.folder / "planted", run.redis.data_dir)
    files = [path for path in run.folder.rglob("*") if path.is_file() and not any(map(path.is_relative_to, skipped))]
    names = {path.name for path in files}
    assert {"worker.log", "bridge.log", "beat.log", "flower.log", "sandbox.log", "maintenance.log"} <= names
    assert "ledger.db" in names
    assert any(name.startswith("executor-2") for name in names)
    assert not _leaks(run, {str(path): path.read_bytes() for path in files})


def test_redis_holds_the_session_in_its_own_key_and_no_other_secret(run: PlantedStack) -> None:
    # Its append-only file has every command that ever wrote something, messages on queues among them.
    files = [path for path in run.redis.data_dir.rglob("*.aof") if path.is_file()]
    content = b"".join(path.read_bytes() for path in files)
    assert b"planted-2" in content
    token = _token(run).encode()
    own = re.compile(rb"\$\d+\r\nexecutor:session:[^\r]*\r\n\$\d+\r\n[^\r]*" + re.escape(token))
    assert len(own.findall(content)) == content.count(token) > 0
    without = own.sub(b"", content)
    assert not _leaks(run, {"Redis": without})
    with run.redis.client("worker") as client:
        key = next(client.scan_iter(f"{keys.session('')}*"))
        assert 0 < int(client.ttl(key)) <= 12 * 3600


def test_no_page_shows_a_secret(run: PlantedStack) -> None:
    shown = {page: run.flower(page).content for page in PAGES}
    worker = next(iter(json.loads(shown["/api/workers?refresh=1&status=0"])))
    shown[f"/worker/{worker}"] = run.flower(f"/worker/{worker}").content
    shown["metrics"] = run.metrics().encode()
    shown["health"] = requests.get(f"http://127.0.0.1:{run.ports.worker}/health", timeout=10).content
    shown["journal"] = repr([run.sandbox.journal(method) for method in ("login", "placeOrders", "")]).encode()
    assert b"planted-1" in shown["/api/tasks?limit=1000"]
    assert not _leaks(run, shown)
    assert USERNAME.encode() not in shown["metrics"] + shown["health"] + shown["/metrics"]


def test_no_process_shows_a_secret_in_its_arguments(run: PlantedStack) -> None:
    arguments = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                arguments[folder.name] = (folder / "cmdline").read_bytes()
            except OSError:  # it is gone
                continue
    assert str(run.supervisor.pid("worker")) in arguments
    assert not _leaks(run, arguments)


def test_no_command_shows_a_secret(run: PlantedStack) -> None:
    environment = {**run.environment_of("worker"), "PATH": os.defpath}
    away = f"postgresql://executor:{LEDGER_PASSWORD}@127.0.0.1:9/ledger"
    shown = {}
    for words, changes in ((["status"], {}), (["check"], {"EXECUTOR_LEDGER__URL": away})):
        done = subprocess.run(
            [PROGRAM, *words],
            cwd=run.folder,
            env={**environment, **changes},
            capture_output=True,
            timeout=60,
            check=False,
        )
        shown[words[0]] = done.stdout + done.stderr
    assert b"127.0.0.1:9" in shown["check"]
    assert LEDGER_PASSWORD.encode() not in shown["check"]
    assert not _leaks(run, shown)
