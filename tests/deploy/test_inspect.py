"""`deploy/inspect` complains of what must not be, and of nothing that compose has by default.

The engine is a program that answers as Docker does: what it would say of a container is what a test plants.
"""

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_FORMATS = {
    "compose.service": "",
    ".Config.User": "executor",
    "ReadonlyRootfs": "true",
    "CapDrop": "[ALL] []",
    "SecurityOpt": "[no-new-privileges:true]",
    "Privileged": "false",
    "NetworkSettings.Ports": "127.0.0.1",
    ".Config.Env": "",
    ".Mounts": "/data",
    ".Image": "sha256:1",
}
_DOCKER = (
    """#!/bin/sh
here=${0%/*}/engine
case "$1 $2" in
    "compose ps") ls "$here" ;;
    "inspect --format") case $3 in """
    + " ".join(f'*{part}*) cat "$here/$4/{part}" ;;' for part in _FORMATS)
    + """ esac ;;
    inspect*) cat "$here/$2"/* "$here/$2"/.[A-Z]* ;;
esac
"""
)


def container(service: str, *environment: str, changed: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return what is said of a container that is as it should be, but for what is changed (a part of the template)."""
    return {**_FORMATS, "compose.service": service, ".Config.Env": "\n".join(environment), **(changed or {})}


def complaints(folder: Path, engine: dict[str, dict[str, str]], secrets: dict[str, str]) -> list[str]:
    """Run it against an engine; returns what it complains of."""
    for name in ("bin", "deploy/secrets"):
        (folder / name).mkdir(parents=True)
    shutil.copy(ROOT / "deploy" / "inspect", folder / "deploy" / "inspect")
    for name, text in secrets.items():
        (folder / "deploy" / "secrets" / name).write_text(text)
    for name, formats in engine.items():
        (folder / "bin" / "engine" / name).mkdir(parents=True)
        for part, text in formats.items():
            (folder / "bin" / "engine" / name / part).write_text(f"{text}\n")
    docker = folder / "bin" / "docker"
    docker.write_text(_DOCKER)
    docker.chmod(0o755)
    environment = {"PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"}
    command = [folder / "deploy" / "inspect"]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30, check=False)
    found = ran.stderr.splitlines()
    assert bool(ran.returncode) == bool(found), (ran.stdout, ran.stderr)
    return [line.removeprefix("inspect: FAILED: ") for line in found]


def test_what_compose_runs_by_default_is_right(tmp_path: Path) -> None:
    account = ("EXECUTOR_BETFAIR__APP_KEY=sandbox-key", "EXECUTOR_BETFAIR__PASSWORD=sandbox", "EXECUTOR_LEDGER__URL=x")
    reaches = {".Mounts": "/data /app/certs"}
    engine = {
        **{name: container(name, *account, changed=reaches) for name in ("worker", "worker-maintenance", "stream")},
        "console": container("console", "EXECUTOR_BETFAIR__APP_KEY=sandbox-key", "EXECUTOR_BETFAIR__PASSWORD="),
        "bridge-1": container("bridge-1", "EXECUTOR_BETFAIR__APP_KEY=", "EXECUTOR_BETFAIR__USERNAME=somebody"),
    }
    assert complaints(tmp_path, engine, {"console-users": "", "notify-urls": "", "redis-password-worker": "zq7"}) == []


@pytest.mark.parametrize(
    ("planted", "said"),
    [
        (container("bridge-1", "EXECUTOR_BETFAIR__APP_KEY=k"), "bridge-1 is given the account"),
        (container("flower", "executor_ledger__url=k"), "flower is given the account"),
        (container("console", "EXECUTOR_BETFAIR__PASSWORD_FILE=/p"), "console is given the account"),
        (
            container("beat", "EXECUTOR_REDIS__URL=redis://x:zq7@redis"),
            "beat shows deploy/secrets/redis-password-worker",
        ),
        *(
            (container("beat", changed={part: text}), said)
            for part, text, said in (
                (".Mounts", "/data /app/certs", "beat reaches the certificate"),
                ("NetworkSettings.Ports", "127.0.0.1 0.0.0.0", "beat is published on 0.0.0.0"),
                (".Config.User", "0:0", "beat runs as root"),
                ("ReadonlyRootfs", "false", "beat can write its root file system"),
                ("CapDrop", "[ALL] [NET_ADMIN]", "beat has capabilities"),
                ("SecurityOpt", "[]", "beat can gain privileges"),
                ("Privileged", "true", "beat is privileged"),
            )
        ),
    ],
)
def test_what_must_not_be_is_said(tmp_path: Path, planted: dict[str, str], said: str) -> None:
    assert complaints(tmp_path, {"it": planted}, {"notify-urls": "", "redis-password-worker": "zq7"}) == [said]
