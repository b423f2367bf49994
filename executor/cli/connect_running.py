"""Commands find the `executor up` that runs on this folder's data by themselves.

Invariant: only one that is alive, which its lock shows, and never against the environment: who names a Redis there
means it. Its settings then count for this process, and for nothing else.
"""

import fcntl
import os
from pathlib import Path

from executor.devstack.running import ENVIRONMENT, LOCK, REDIS_URL
from executor.settings.load import SettingsError, load_for_halt


def connect_running() -> Path | None:
    """Take over the settings of a running `executor up`; returns its data folder, None where there is none."""
    if REDIS_URL in os.environ or f"{REDIS_URL}_FILE" in os.environ:
        return None
    try:
        data_dir = load_for_halt().settings.data_dir
    except SettingsError:
        return None  # the command itself says what is wrong with them
    if not _is_held(data_dir / LOCK) or not (data_dir / ENVIRONMENT).is_file():
        return None
    from dotenv import dotenv_values  # noqa: PLC0415 - only where there is one

    found = dotenv_values(data_dir / ENVIRONMENT, interpolate=False)
    os.environ.update({name: value for name, value in found.items() if value is not None})
    return data_dir


def _is_held(path: Path) -> bool:
    try:
        lock = os.open(path, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(lock)
    return False
