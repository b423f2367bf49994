"""The files into which processes count, in the form of Prometheus' multiprocess mode: written, read, judged.

Invariant: counting never ends or delays a process. A file is written with plain writes, not mapped: on a full disk a
write to a mapped page kills its process (SIGBUS), a plain one fails, and what could not be written is written with the
next count. Every count is held in memory as well, so that a file that was lost or damaged is made anew from it. The
form: used bytes (int32), 4 bytes of nothing; then entries of key length (int32), key (padded to 8 bytes), value and
timestamp (doubles).
"""

import json
import math
import os
import re
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import structlog

log = structlog.get_logger(__name__)

_HEAD: Final = struct.Struct("i4x")
_LENGTH: Final = struct.Struct("i")
_VALUE: Final = struct.Struct("dd")
_MAX_BYTES: Final = 64 * 1024 * 1024  # a process's counts are some 50 KB
_CHECK_S: Final = 5.0  # how often a process looks whether its file is still there
_NAME: Final = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_ASIDE: Final = ".damaged"


class DamagedCounts(ValueError):
    """A file is none of counts; the text says what is wrong with it."""


def read_counts(path: Path) -> dict[str, float]:
    """Return key -> value of a file; one that nobody has written to yet has none.

    Raises:
        DamagedCounts: it holds what no process of ours wrote.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        data = file.read(_MAX_BYTES)
    if len(data) < _HEAD.size:
        raise DamagedCounts("it ends within its head")
    (used,) = _HEAD.unpack_from(data)
    if not _HEAD.size <= used <= len(data):
        raise DamagedCounts(f"it says that it has {used} bytes and has {len(data)}")
    return dict(_entries(data[:used]))


def _entries(data: bytes) -> Iterator[tuple[str, float]]:
    at = _HEAD.size
    while at < len(data):
        try:
            (length,) = _LENGTH.unpack_from(data, at)
            padded = length + 8 - (length + 4) % 8
            if length < 0:
                raise DamagedCounts("a key has no length")
            key = data[at + 4 : at + 4 + length].decode()
            value, _ = _VALUE.unpack_from(data, at + 4 + padded)
        except (struct.error, UnicodeDecodeError):
            raise DamagedCounts("an entry is cut off or no text") from None
        if not math.isfinite(value) or value < 0 or not _is_key(key):
            raise DamagedCounts("an entry is no count")
        yield key, value
        at += 4 + padded + _VALUE.size


def _is_key(key: str) -> bool:
    try:
        metric, name, labels, text = json.loads(key)
        float(labels.get("le", 0))
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError):
        return False
    names = (metric, name, *labels)
    return all(isinstance(each, str) and _NAME.fullmatch(each) for each in names) and isinstance(text, str)


def sound_files(folder: Path) -> list[Path]:
    """Return the files of counts in a folder that can be read; what is damaged is moved aside, with one line."""
    sound = []
    for path in sorted([*folder.glob("counter_*.db"), *folder.glob("histogram_*.db")]):
        try:
            read_counts(path)
        except FileNotFoundError:
            continue
        except (DamagedCounts, OSError) as error:
            set_aside(path, error)
        else:
            sound.append(path)
    return sound


def set_aside(path: Path, why: Exception) -> None:
    """Take a file out of the counts and keep it for a person."""
    aside = path.with_name(f"{path.name}{_ASIDE}")
    number = 1
    while aside.exists():
        number += 1
        aside = path.with_name(f"{path.name}{_ASIDE}-{number}")
    try:
        path.rename(aside)
    except OSError as error:
        log.error("counts_damaged", file=str(path), why=str(why), left_because=str(error))  # noqa: TRY400
        return
    log.error("counts_damaged", file=str(path), why=str(why), moved_to=str(aside), hint="its counts are lost")


def encode_counts(counts: dict[str, tuple[float, float]]) -> tuple[bytes, dict[str, int]]:
    """Return a whole file with these values and timestamps, and where in it each key's are."""
    body = bytearray(_HEAD.size)
    places: dict[str, int] = {}
    for key, (value, timestamp) in counts.items():
        body += _entry(key, value, timestamp)
        places[key] = len(body) - _VALUE.size
    _HEAD.pack_into(body, 0, len(body))
    return bytes(body), places


def _entry(key: str, value: float, timestamp: float) -> bytes:
    text = key.encode()
    padding = b" " * (8 - (len(text) + 4) % 8)
    return _LENGTH.pack(len(text)) + text + padding + _VALUE.pack(value, timestamp)


class CountFile:
    """One process's counts of a kind, in the place of prometheus_client's `MmapedDict`. The caller holds its lock."""

    def __init__(self, filename: str) -> None:
        self._path = Path(filename)
        self._counts: dict[str, tuple[float, float]] = {}
        self._places: dict[str, int] = {}  # of what is in the file
        self._used = 0
        self._file = -1
        self._checked = 0.0
        self._failed = False
        try:
            self._counts = {key: (value, 0.0) for key, value in read_counts(self._path).items()}
        except FileNotFoundError:
            pass
        except (DamagedCounts, OSError) as error:  # of an earlier process with our id
            set_aside(self._path, error)
        self._save()

    def read_value(self, key: str) -> tuple[float, float]:
        """Return a key's value and timestamp; a new one is 0."""
        if key not in self._counts:
            self.write_value(key, 0.0, 0.0)
        return self._counts[key]

    def write_value(self, key: str, value: float, timestamp: float) -> None:
        """Hold a value, and write it where that is possible."""
        self._counts[key] = (value, timestamp)
        now = time.monotonic()
        if now - self._checked > _CHECK_S:
            self._checked = now
            if not self._is_there():
                self._close()
        try:
            if self._file < 0:
                self._save()
            elif key in self._places:
                os.pwrite(self._file, _VALUE.pack(value, timestamp), self._places[key])
            else:
                self._append(key)
        except OSError as error:
            self._fail(error)

    def close(self) -> None:
        """Let go of the file."""
        self._close()

    def __del__(self) -> None:
        """Let go of the file: after a fork the library forgets its parent's files without closing them."""
        self._close()

    def _append(self, key: str) -> None:
        entry = _entry(key, *self._counts[key])
        if os.pwrite(self._file, entry, self._used) < len(entry):
            raise OSError("the disk took a part only")
        # Last: whoever reads meanwhile sees whole entries only.
        os.pwrite(self._file, _HEAD.pack(self._used + len(entry)), 0)
        self._places[key] = self._used + len(entry) - _VALUE.size
        self._used += len(entry)

    def _is_there(self) -> bool:
        try:
            ours, there = os.fstat(self._file), self._path.stat()
            head = os.pread(self._file, _HEAD.size, 0)
        except OSError:
            return False
        return (ours.st_ino, ours.st_dev) == (there.st_ino, there.st_dev) and head == _HEAD.pack(self._used)

    def _save(self) -> None:
        """Write everything into a new file in the place of whatever is there."""
        data, places = encode_counts(self._counts)
        fresh = self._path.with_suffix(".new")
        try:
            fresh.parent.mkdir(parents=True, exist_ok=True)
            file = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
            try:
                if os.write(file, data) < len(data):
                    raise OSError("the disk took a part only")
                fresh.rename(self._path)
            except OSError:
                os.close(file)
                raise
        except OSError as error:
            self._fail(error)
            return
        self._file, self._places, self._used, self._failed = file, places, len(data), False

    def _fail(self, error: OSError) -> None:
        if not self._failed:
            log.error("counts_not_written", file=str(self._path), error=str(error), hint="is the disk full?")
        self._failed = True
        self._close()

    def _close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
        self._file = -1
