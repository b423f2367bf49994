"""What commands count: each in a folder of its own, which a worker takes over once the command is over.

Invariant: a count is in one place at a time. A folder is taken over by renaming its files into the worker's own folder,
and only when nobody holds the command's lock any more; so each count is on one page, once, whoever asks first.
"""

import fcntl
import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import Final

import structlog

from executor.observability.count_file import CountFile

log = structlog.get_logger(__name__)

_DIRECTORY: Final = "PROMETHEUS_MULTIPROC_DIR"  # as in `exporter`, whose page this process does not serve
_COMMANDS: Final = "commands"
_LOCK: Final = "lock"

_held: Final[list[int]] = []  # the lock of this command's folder, as long as it lives


def commands_folder(data_dir: Path) -> Path:
    """Name the folder that holds those of the commands."""
    return data_dir / "metrics" / _COMMANDS


def prepare(data_dir: Path) -> None:
    """Say where this command counts; before anything imports `executor.observability.counters`.

    Where that cannot be written, on a full disk above all, its counts are lost and it goes on.
    """
    from prometheus_client import values  # noqa: PLC0415 - reads the environment when imported

    folder = commands_folder(data_dir) / f"{os.getpid()}-{secrets.token_hex(4)}"
    try:
        folder.mkdir(parents=True)
        lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        log.warning("counts_not_written", folder=str(folder), error=str(error))
        values.ValueClass = values.MutexValue
        return
    _held.append(lock)
    os.environ[_DIRECTORY] = str(folder)  # in a container it names its worker's
    values.MmapedDict = CountFile  # type: ignore[assignment,attr-defined]
    values.ValueClass = values.get_value_class()  # type: ignore[no-untyped-call]


def collect_finished(data_dir: Path, folder: Path) -> None:
    """Move what commands that are over have counted into this worker's own folder."""
    with suppress(OSError):  # there are none
        for command in sorted(commands_folder(data_dir).iterdir()):
            with suppress(OSError):  # the disk does not let us: the next time; or it is no command's: never
                _collect_one(command, folder)


def _collect_one(command: Path, folder: Path) -> None:
    try:
        lock = os.open(command / _LOCK, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:  # just made, or just taken over by somebody else
        return
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return
    else:
        for path in sorted(command.glob("*_*.db")):
            path.rename(folder / f"{path.stem.partition('_')[0]}_{command.name}.db")
        (command / _LOCK).unlink(missing_ok=True)
        with suppress(OSError):  # something is left in it that is none of ours
            command.rmdir()
    finally:
        os.close(lock)
