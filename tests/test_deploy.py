"""The files that people deploy with agree with the code and with each other."""

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
from guarded_stack import make_secrets

from executor.sandbox.options import sandbox_env
from executor.settings import load_settings

ROOT = Path(__file__).parents[1]
COMPOSE = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
PROMETHEUS = ROOT / "deploy" / "prometheus" / "prometheus.yml"


def test_the_compose_files_settings_are_those_of_its_sandbox() -> None:
    lines = (ROOT / "deploy" / "sandbox.env").read_text(encoding="utf-8").splitlines()
    given = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    assert given == sandbox_env(Path("/sandbox"), host="sandbox", port=8443, cert_port=8444)


def test_the_compose_files_settings_are_settings(tmp_path: Path) -> None:
    lines = (ROOT / "deploy" / "sandbox.env").read_text(encoding="utf-8").splitlines()
    given = dict(line.split("=", 1) for line in lines if line.startswith("EXECUTOR_"))
    given |= dict(re.findall(r"^ +(EXECUTOR_\w+): (\S+)", COMPOSE, re.MULTILINE))
    make_secrets(tmp_path / "secrets")
    assert given["EXECUTOR_REDIS__URL_FILE"] == "/run/secrets/redis-url"
    given["EXECUTOR_REDIS__URL_FILE"] = str(tmp_path / "secrets" / "redis-url-worker")
    settings = load_settings(given, tmp_path)
    assert not settings.trading.enable_paper_trading
    assert settings.metrics.host == "0.0.0.0"
    assert re.fullmatch(r"redis://worker:[0-9a-f]{64}@redis:6379/0", settings.redis.url)
    assert settings.redis.broker_url == settings.redis.url[:-1] + "1"


def test_every_port_is_published_on_loopback_only() -> None:
    published = [port for ports in re.findall(r"ports: \[(.*)\]", COMPOSE) for port in ports.split(", ")]
    assert len(published) == 9
    assert all(re.fullmatch(r'"127\.0\.0\.1:(\d+):\1"', port) for port in published)
    assert COMPOSE.count("ports:") == COMPOSE.count("ports: [")


def test_every_target_of_prometheus_is_a_service() -> None:
    described = COMPOSE.split("\nservices:\n")[1].split("\nvolumes:\n")[0]
    services = set(re.findall(r"^  ([a-z0-9-]+):$", described, re.MULTILINE))
    targets = set(re.findall(r"([a-z0-9-]+):\d{4}\b", PROMETHEUS.read_text(encoding="utf-8")))
    assert targets - {"localhost"} <= services
    assert {"worker", "worker-maintenance", "bridge-1", "bridge-2", "flower"} <= targets


@pytest.mark.apt
def test_promtool_finds_no_fault() -> None:
    if not (promtool := shutil.which("promtool")):
        pytest.skip("promtool is not installed (Debian: prometheus)")
    found = subprocess.run(
        [promtool, "check", "config", str(PROMETHEUS)], capture_output=True, text=True, timeout=30, check=False
    )
    assert found.returncode == 0, found.stdout + found.stderr


def test_the_constraints_pin_every_dependency_and_hold_no_address() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]+==[A-Za-z0-9_.]+", line) for line in lines)
    pinned = {_canonical(line.split("==")[0]) for line in lines}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [
        *project["dependencies"],
        *(name for group in project["optional-dependencies"].values() for name in group),
    ]
    assert {_canonical(re.split(r"[\[<>=; ]", name)[0]) for name in wanted} <= pinned


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
