"""A sandbox that stands in for Betfair by name, for the process that calls this and its children.

Owns: the names in this mount namespace, the start of the sandbox. Invariant: used in a network and mount namespace of
its own only (support.namespace), where binding /etc/hosts touches nobody else.
"""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from betfair_sandbox.as_betfair import NAMES, STREAM_NAMES

_STEP_S = 30


def lead_names_here(folder: Path) -> None:
    """Let Betfair's names lead to the stand-in's two addresses."""
    lines = [f"{'127.0.0.3' if name in STREAM_NAMES else '127.0.0.2'} {name}" for name in NAMES]
    hosts = folder / "hosts"
    hosts.write_text("\n".join(["127.0.0.1 localhost", *lines]) + "\n", encoding="utf-8")
    subprocess.run(["mount", "--bind", str(hosts), "/etc/hosts"], check=True)


def start_stand_in(folder: Path, python: str = sys.executable) -> subprocess.Popen[str]:
    """Start the sandbox with a Python that has what it needs; it is ready on return."""
    command = [python, "-m", "betfair_sandbox", "--as-betfair", "--dir", str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert "as Betfair on 127.0.0.2 and 127.0.0.3" in process.stdout.readline()
    return process


def wait(what: str, read: Callable[[], Any], deadline_s: float = _STEP_S) -> Any:
    """Poll until `read` returns something true."""
    ends = time.monotonic() + deadline_s
    while not (value := read()):
        if time.monotonic() > ends:
            raise TimeoutError(what)
        time.sleep(0.02)
    return value
