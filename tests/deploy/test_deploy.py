"""The files that people deploy with agree with the code and with each other."""

import os
import re
import shutil
import subprocess
import sys
import threading
import tomllib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from support.guarded_stack import make_secrets

from betfair_sandbox.options import sandbox_env
from executor.settings.load import SettingsError, load_settings
from executor.wiring import refuse_without_account

ROOT = Path(__file__).parents[2]
COMPOSE = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
PROMETHEUS = ROOT / "deploy" / "prometheus" / "prometheus.yml"


def test_the_compose_files_settings_are_those_of_its_sandbox() -> None:
    lines = (ROOT / "deploy" / "sandbox.env").read_text(encoding="utf-8").splitlines()
    environment = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    assert environment == sandbox_env(Path("/sandbox"), host="sandbox", port=8443, cert_port=8444)


_HEALTH = [
    *re.findall(r"^ +test: \[CMD, (.*)\]$", COMPOSE, re.MULTILINE),
    *re.findall(
        r"^ +CMD \[(.*)\]$", (ROOT / "Dockerfile").read_text(encoding="utf-8").partition("HEALTHCHECK")[2], re.MULTILINE
    ),
]


class _Healthy(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    do_HEAD = do_GET  # noqa: N815 - the library's name

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_health_checks_ask_loopback_whatever_proxy_the_environment_names() -> None:
    asking = [words for words in _HEALTH if "http://127.0.0.1" in words]
    assert len(asking) == 10
    with ThreadingHTTPServer(("127.0.0.1", 0), _Healthy) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        for words in asking:
            here = re.sub(r"127\.0\.0\.1:\d+", f"127.0.0.1:{server.server_port}", words)
            command = [word.strip(" ").strip('"') for word in re.findall(r'"[^"]*"|[^,\s][^,]*', here)]
            command = [sys.executable if word == "python" else word for word in command]
            if "wget" in command and shutil.which("wget") is None:
                continue
            nowhere = dict.fromkeys(("http_proxy", "HTTP_PROXY", "https_proxy"), "http://127.0.0.1:9")
            done = subprocess.run(command, env={**os.environ, **nowhere}, capture_output=True, timeout=30, check=False)
            assert done.returncode == 0, (command, done.stderr)
        server.shutdown()


def block(name: str) -> dict[str, str]:
    """Return the variables that an anchor of the compose file holds, without those that it takes up."""
    text = COMPOSE.partition(f"\nx-{name}: &{name}\n")[2].partition("\n\n")[0]
    return {name: value.strip('"') for name, value in re.findall(r"^  (EXECUTOR_\w+): (\S+)", text, re.MULTILINE)}


def environ(folder: Path, user: str) -> dict[str, str]:
    """Return what a process of that user is given, with its secret in this folder."""
    lines = (ROOT / "deploy" / "sandbox.env").read_text(encoding="utf-8").splitlines()
    environment = dict(line.split("=", 1) for line in lines if line.startswith("EXECUTOR_")) | block("environment")
    make_secrets(folder)
    assert environment["EXECUTOR_REDIS__URL_FILE"] == "/run/secrets/redis-url"
    return environment | {"EXECUTOR_REDIS__URL_FILE": str(folder / f"redis-url-{user}")}


def test_the_compose_files_settings_are_settings(tmp_path: Path) -> None:
    settings = load_settings(environ(tmp_path / "secrets", "worker"), tmp_path)
    assert not settings.trading.enable_paper_trading
    refuse_without_account(settings)
    assert settings.metrics.host == "0.0.0.0"
    assert re.fullmatch(r"redis://worker:[0-9a-f]{64}@redis:6379/0", settings.redis.url)
    assert settings.redis.broker_url == settings.redis.url[:-1] + "1"


@pytest.mark.parametrize("given", ["", "_FILE"])
def test_who_never_speaks_to_the_exchange_starts_without_the_account(tmp_path: Path, given: str) -> None:
    lines = environ(tmp_path / "secrets", "bridge")
    whole = load_settings(lines, tmp_path)
    theirs = {
        "EXECUTOR_BETFAIR__APP_KEY": "planted-key",
        "EXECUTOR_BETFAIR__PASSWORD": "planted-password",
        "EXECUTOR_BETFAIR__CERTIFICATE_PASSWORD": "planted-certificate",
        "EXECUTOR_LEDGER__URL": "postgresql://planted@db/ledger",
    }
    others = {name: value for name, value in lines.items() if name not in theirs}
    lines = {**others, **{f"{name}{given}": value for name, value in theirs.items()}, **block("without-account")}
    assert "planted" not in "".join(lines.values())
    settings = load_settings(lines, tmp_path)
    assert settings.identity == whole.identity
    assert settings.betfair.certificate_path is None
    with pytest.raises(SettingsError, match="EXECUTOR_BETFAIR__WITHHELD"):
        refuse_without_account(settings)


def test_only_workers_have_the_account() -> None:
    executor, worker = (
        COMPOSE.partition(f"\nx-{name}: &{name}\n")[2].partition("\n\n")[0] for name in ("executor", "worker")
    )
    assert "environment: *without-account" in executor
    assert "certs" not in executor
    assert ":/sandbox" not in executor
    assert "environment: *environment" in worker
    services = COMPOSE.partition("\nservices:\n")[2]
    assert not [name for name in services.split() if name.startswith("EXECUTOR_") and "METRICS__" not in name]


def test_every_port_is_published_on_loopback_only() -> None:
    published = [port for ports in re.findall(r"ports: \[(.*)\]", COMPOSE) for port in ports.split(", ")]
    assert len(published) == 11
    assert all(re.fullmatch(r'"127\.0\.0\.1:\d+:\d+"', port) for port in published)
    assert COMPOSE.count("ports:") == COMPOSE.count("ports: [")


@pytest.mark.parametrize("name", ["inspect", "smoke", "redis/make-secrets"])
def test_a_script_for_people_is_a_program_that_a_plain_shell_reads(name: str) -> None:
    script = ROOT / "deploy" / name
    assert os.access(script, os.X_OK)
    read = subprocess.run(["/bin/sh", "-n", script], capture_output=True, text=True, timeout=10, check=False)
    assert (read.returncode, read.stderr) == (0, "")


def test_no_service_that_is_scaled_publishes_a_port_and_no_port_is_published_twice() -> None:
    worker = COMPOSE.partition("\n  worker:\n")[2].partition("\n\n")[0]
    assert "ports:" not in worker
    published = re.findall(r'"127\.0\.0\.1:(\d+):', COMPOSE)
    assert len(set(published)) == len(published)
    assert '"127.0.0.1:5003:5009"' in COMPOSE, "where the reference's reader looks"


def test_every_target_of_prometheus_is_a_service() -> None:
    described = COMPOSE.split("\nservices:\n")[1].split("\nvolumes:\n")[0]
    services = set(re.findall(r"^  ([a-z0-9-]+):$", described, re.MULTILINE))
    text = PROMETHEUS.read_text(encoding="utf-8")
    targets = set(re.findall(r"([a-z0-9-]+):\d{4}\b", text)) | set(re.findall(r"names: \[([a-z0-9-]+)\]", text))
    assert targets - {"localhost"} <= services
    assert {"worker", "worker-maintenance", "bridge-1", "bridge-2", "stream", "flower"} <= targets


@pytest.mark.apt
def test_promtool_finds_no_fault() -> None:
    if not (promtool := shutil.which("promtool")):
        pytest.skip("promtool is not installed (Debian: prometheus)")
    found = subprocess.run(
        [promtool, "check", "config", str(PROMETHEUS)], capture_output=True, text=True, timeout=30, check=False
    )
    assert found.returncode == 0, found.stdout + found.stderr


def test_the_constraints_pin_every_dependency_and_hold_no_address() -> None:
    files = ("constraints.txt", "constraints-dev.txt")
    lines = [line for name in files for line in (ROOT / name).read_text(encoding="utf-8").splitlines()]
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]+==[A-Za-z0-9_.]+", line) for line in lines)
    pinned = {_canonical(line.split("==")[0]) for line in lines}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [
        *project["dependencies"],
        *(name for group in project["optional-dependencies"].values() for name in group),
    ]
    named = {_canonical(re.split(r"[\[<>=; ]", name)[0]) for name in wanted}
    assert named - {_canonical(project["name"])} <= pinned


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
