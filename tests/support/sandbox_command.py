"""The sandbox's command in a process of its own, on free ports, with the arguments that a test is about."""

import subprocess
import sys
from pathlib import Path


def start_command(folder: Path, *arguments: str) -> "subprocess.Popen[str]":
    """Start it with its files below `folder`; the first line it prints says that it is ready."""
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "betfair_sandbox", "--dir", str(folder / "sandbox")),
            *("--port", "0", "--cert-port", "0", *arguments),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
