"""The systemd units: what systemd makes of them, and that they run what compose runs, for as long."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from executor.settings.load import load_settings

ROOT = Path(__file__).parents[2]
UNITS = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / "deploy" / "systemd").iterdir()}
SERVICES = sorted(name for name in UNITS if name.endswith(".service"))
COMPOSE = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")


def setting(unit: str, name: str) -> list[str]:
    return re.findall(rf"^{name}=(.*)$", UNITS[unit], re.MULTILINE)


def test_there_is_a_unit_for_each_process() -> None:
    assert set(SERVICES) == {
        "executor-beat.service",
        "executor-bridge@.service",
        "executor-console.service",
        "executor-flower.service",
        "executor-maintenance.service",
        "executor-notify.service",
        "executor-stream.service",
        "executor-worker.service",
    }


@pytest.mark.parametrize("unit", SERVICES)
def test_a_service_comes_back_and_belongs_to_the_target(unit: str) -> None:
    assert setting(unit, "Restart") == ["always"]
    assert setting(unit, "StartLimitIntervalSec") == ["0"]
    assert setting(unit, "PartOf") == setting(unit, "WantedBy") == ["executor.target"]
    assert setting(unit, "User") == ["executor"]


@pytest.mark.parametrize(("unit", "queues"), [("worker", "signals,orders,trades"), ("maintenance", "maintenance")])
def test_a_worker_takes_composes_queues_and_may_end_its_slowest_work(unit: str, queues: str, tmp_path: Path) -> None:
    name = f"executor-{unit}.service"
    assert f" -Q {queues} " in setting(name, "ExecStart")[0]
    assert re.search(rf'-Q, "?{queues}"?, ', COMPOSE)
    slowest = 3 * load_settings({}, tmp_path).betfair.api_timeout_seconds + 75  # celeryconfig.py
    assert int(setting(name, "TimeoutStopSec")[0]) >= slowest
    assert f"stop_grace_period: {setting(name, 'TimeoutStopSec')[0]}s" in COMPOSE


@pytest.fixture
def installed(tmp_path: Path) -> list[Path]:
    """Put the units where systemd's tools find them, with programs that exist."""
    for name, text in UNITS.items():
        here = text.replace("/opt/executor/.venv/bin", str(Path(sys.executable).parent))
        (tmp_path / name.replace("@.", "@5004.")).write_text(here, encoding="utf-8")
    return sorted(tmp_path.iterdir())


def analyze(*words: str | Path) -> str:
    if not (program := shutil.which("systemd-analyze")):
        pytest.skip("systemd-analyze is not here")
    done = subprocess.run([program, *words], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.apt
def test_systemd_finds_no_fault(installed: list[Path]) -> None:
    said = analyze("verify", "--man=no", *installed)
    assert not [line for line in said.splitlines() if str(installed[0].parent) in line], said


@pytest.mark.apt
def test_the_services_are_confined(installed: list[Path]) -> None:
    for path in installed:
        if path.suffix == ".service":
            said = analyze("security", "--offline=true", "--no-pager", path)
            exposure = re.findall(r"Overall exposure level for \S+: ([\d.]+)", said)
            assert float(exposure[0]) < 3, said
