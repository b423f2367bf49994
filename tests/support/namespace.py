"""Commands in a network and mount namespace of their own, for tests that must not touch this machine's network."""

import os
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_UNSHARE = ("unshare", "--net", "--mount")


def own_network() -> tuple[str, ...]:
    """Return the start of a command that makes a network of its own with loopback up, or skip where none may be had."""
    command = _UNSHARE if os.geteuid() == 0 else (*_UNSHARE, "--user", "--map-root-user")
    try:
        allowed = subprocess.run([*command, "ip", "link", "set", "lo", "up"], capture_output=True, check=False)
    except FileNotFoundError:
        pytest.skip("unshare is not installed")
    if shutil.which("ip") is None:
        pytest.skip("ip is not installed (Debian: iproute2)")
    if allowed.returncode:
        pytest.skip("network namespaces are not allowed here")
    return (*command, "sh", "-c", 'ip link set lo up && exec "$@"', "sh")


def in_own_network(*command: str, timeout_s: float = 100) -> subprocess.CompletedProcess[str]:
    """Run a command there."""
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": f"{ROOT / 'tests'}:{ROOT}"}
    try:
        return subprocess.run(
            [*own_network(), *command],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout_s,
        )
    except subprocess.TimeoutExpired as error:
        raise AssertionError(f"{shlex.join(command)}: {error}: {error.stdout!r} {error.stderr!r}") from None
