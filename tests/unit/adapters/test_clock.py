"""The steady clock goes on while the machine is suspended, and is no time of day."""

import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from executor.adapters.clock import SystemClock, monotonic

ROOT = Path(__file__).parents[3]
_HOUR_S = 3600
_LOOK = "import time; from executor.adapters.clock import monotonic; print(monotonic() - time.monotonic())"


def in_a_time_namespace(code: str) -> str:
    """Run code where an hour of suspension lies behind: CLOCK_BOOTTIME is that much further than CLOCK_MONOTONIC."""
    command = ["unshare", "--fork", "--time", "--boottime", str(_HOUR_S), sys.executable, "-c", code]
    environ = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode and "unshare" in done.stderr:
        pytest.skip(f"no time namespaces here: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.skipif(shutil.which("unshare") is None, reason="needs unshare (Debian: util-linux)")
def test_a_suspension_counts() -> None:
    outside = monotonic() - time.monotonic()
    assert float(in_a_time_namespace(_LOOK)) - outside == pytest.approx(_HOUR_S, abs=1)


def test_the_clock_port_is_that_clock() -> None:
    before = monotonic()
    clock = SystemClock()
    clock.sleep(0.01)
    assert before + 0.01 <= clock.monotonic() <= monotonic()
