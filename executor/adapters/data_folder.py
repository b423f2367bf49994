"""The data folder of this machine: whether what must be kept can still be written there.

Ledger, counts and logs lie there, often Redis's own file too: a machine that cannot write must not bet on. In bytes.
"""

import os
import socket
from contextlib import suppress
from pathlib import Path
from typing import Final

LEAST_FREE: Final = 1024 * 1024  # what SQLite and a minute's logs need to end in order


def storage_problem(folder: Path) -> str:
    """Say why nothing more should be written to a folder; "" while it can be, tried by writing."""
    probe = folder / f".writable-{socket.gethostname()}-{os.getpid()}"
    try:
        space = os.statvfs(folder)
        free = space.f_bavail * space.f_frsize
        if free < LEAST_FREE:
            return f"{folder} has {free // 1024} KB left"
        with probe.open("wb") as file:
            file.write(bytes(4096))
            file.flush()
            os.fsync(file.fileno())
        probe.unlink()
    except OSError as error:
        with suppress(OSError):
            probe.unlink()
        return f"{folder} cannot be written: {error.strerror}"
    return ""
