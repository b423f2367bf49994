"""What compose hands out: every service hardened, every secret in a file, none in its own output."""

import re
import shutil
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
from support.guarded_stack import ROOT, make_secrets

COMPOSE = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
SERVICES = COMPOSE.split("\nservices:\n")[1].split("\nvolumes:\n")[0]
DECLARED = COMPOSE.split("\nsecrets:\n")[1]


def _services() -> dict[str, str]:
    """Return service -> its own lines and those of the anchors that it takes up."""
    anchors: dict[str, str] = dict(re.findall(r"^x-\w+: &(\w+)\n((?:  .*\n|\n)+)", COMPOSE, re.MULTILINE))
    found = {}
    for name, text in re.findall(r"^  ([a-z0-9-]+):\n((?:    .*\n|\n|  #.*\n)+)", f"{SERVICES}\n", re.MULTILINE):
        whole = text
        while taken := re.search(r"<<: \*(\w+)", whole):
            whole = whole.replace(taken[0], anchors[taken[1]], 1)
        found[name] = whole
    return found


def test_every_service_is_read_only_without_capabilities_and_new_privileges() -> None:
    services = _services()
    assert len(services) >= 9
    for name, text in services.items():
        assert re.search(r"^ +read_only: true", text, re.MULTILINE), name
        assert "cap_drop: [ALL]" in text, name
        assert "no-new-privileges:true" in text, name
        assert not re.search(r"\bprivileged\b", text.replace("no-new-privileges", "")), name
        assert "network_mode" not in text, name
        assert "docker.sock" not in text, name


def test_each_process_has_the_url_of_its_own_user_and_no_other() -> None:
    wanted = {
        "worker": ["redis-url-worker"],
        "worker-maintenance": ["redis-url-worker"],
        "beat": ["redis-url-beat"],
        "bridge-1": ["redis-url-bridge"],
        "bridge-2": ["redis-url-bridge"],
        "stream": ["redis-url-stream"],
        "flower": ["redis-url-flower"],
        "console": ["redis-url-console"],
        "notify": ["redis-url-notify"],
    }
    for name, text in _services().items():
        assert re.findall(r"source: (redis-url-\w+)", text) == wanted.get(name, []), name


def test_the_image_runs_as_nobody_special_and_holds_no_settings() -> None:
    lines = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    final = lines.rpartition("\nFROM ")[2]
    assert re.search(r"^USER executor$", final, re.MULTILINE)
    assert re.search(r"useradd --uid [1-9]", final)
    assert not re.search(r"(?i)(password|secret|token|app_key|ARG )", final)
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert "*" in ignored
    assert not [line for line in ignored if re.match(r"!.*(env|cert|deploy|secret|settings\.json|data)", line)]


def test_a_secret_is_made_once_and_read_by_its_owner_only(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    make_secrets(folder)
    first = {path.name: path.read_text() for path in folder.iterdir()}
    make_secrets(folder)
    assert {path.name: path.read_text() for path in folder.iterdir()} == first
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    declared = {name for name, _ in re.findall(r"  (\S+): \{file: deploy/secrets/(\S+)\}", DECLARED)}
    assert declared
    assert declared <= set(first)
    passwords = [text for name, text in first.items() if name.startswith("redis-password-")]
    assert len(set(passwords)) == len(passwords) == 12
    assert not any(password in first["users.acl"] for password in passwords)
    (folder / "redis-password-bridge").unlink()
    make_secrets(folder)
    assert (folder / "redis-password-bridge").read_text() != first["redis-password-bridge"]
    assert (folder / "redis-password-worker").read_text() == first["redis-password-worker"]
    assert (folder / "users.acl").read_text() != first["users.acl"]


def test_the_secrets_are_no_part_of_the_repository() -> None:
    assert "deploy/secrets/" in (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for name in ("docker-compose.yml", "deploy/sandbox.env"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    make_secrets(tmp_path / "deploy" / "secrets")
    return tmp_path


def _config(checkout: Path) -> Any:
    compose = shutil.which("docker-compose")
    if compose is None:
        pytest.skip("docker-compose is not installed (Debian: docker-compose)")
    found = subprocess.run(
        [compose, "config"], cwd=checkout, capture_output=True, text=True, timeout=60, check=False, env={"PATH": "/bin"}
    )
    assert found.returncode == 0, found.stderr
    return found.stdout


@pytest.mark.apt
def test_composes_own_output_shows_no_secret(checkout: Path) -> None:
    shown = _config(checkout)
    files = list((checkout / "deploy" / "secrets").iterdir())
    # What a person fills in is empty as it is made.
    secrets = [secret for path in files if (secret := path.read_text().strip())]
    assert "redis-url-worker" in shown
    assert secrets
    assert not [secret for secret in secrets if secret in shown]
