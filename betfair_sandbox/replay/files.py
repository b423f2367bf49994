"""Historical files: from a path to lines, whatever they are packed in.

Owns: unpacking (plain, .bz2, .gz, tar of these), merging several files by time, and which lines are bad. Invariants:
nothing in a file ends the reading of another; what is skipped is told with file, line and reason. Units: `pt` is epoch
milliseconds.
"""

import bz2
import gzip
import heapq
import io
import tarfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Final, NamedTuple

from betfair_sandbox.api.wire import Json, RpcError, parse_json

# Betfair's longest line is 8 kB; a full image of a self-recorded stream with many markets has some hundred.
_LONGEST_LINE: Final = 8 * 1024 * 1024
_LATEST_MS: Final = 253_402_300_799_000  # the end of the year 9999
_BZIP2: Final = b"BZh"
_GZIP: Final = b"\x1f\x8b"

# file, line number (0: the file as a whole), what is wrong
Skip = Callable[[str, int, str], None]


class Line(NamedTuple):
    """One line: when it was published and what it says of which markets; of one that was skipped, nothing."""

    pt: int
    source: str
    number: int
    changes: list[Json]


class BadLine(ValueError):
    """A line, or a part of one, that cannot be used; the text says why."""


def read_recording(path: Path, skip: Skip) -> Iterator[Line]:
    """Yield the lines of a recording in the order of time; what cannot be read is told to `skip`.

    A skipped line is yielded without changes: whoever reads on has a turn at each, however many there are in a row.

    Raises:
        OSError: the file itself cannot be opened.

    """
    with path.open("rb"):
        pass  # a wrong name is the caller's mistake, not a bad line
    return heapq.merge(*(_lines(name, stream, skip) for name, stream in _members(path, skip)), key=_instant)


def _instant(line: Line) -> int:
    return line.pt


def _members(path: Path, skip: Skip) -> list[tuple[str, IO[bytes]]]:
    """Return the files inside, each opened; a file that is no tar is the only one."""
    try:
        if not tarfile.is_tarfile(path):
            return [(path.name, _opened(path))]
        with tarfile.open(path) as archive:
            members = [member for member in archive.getmembers() if member.isfile()]
            # Each is a few hundred kilobytes packed; reading them in turns from the archive would seek for every line.
            read = [(member.name, archive.extractfile(member)) for member in members]
            return [(name, _unpacked(stream.read())) for name, stream in read if stream is not None]
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        skip(path.name, 0, f"the archive cannot be read: {error}")
        return []


def _opened(path: Path) -> IO[bytes]:
    with path.open("rb") as stream:
        head = stream.read(len(_BZIP2))
    if head == _BZIP2:
        return bz2.open(path)
    return io.BufferedReader(gzip.GzipFile(path)) if head.startswith(_GZIP) else path.open("rb")


def _unpacked(body: bytes) -> IO[bytes]:
    stream = io.BytesIO(body)
    if body.startswith(_BZIP2):
        return bz2.open(stream)
    return io.BufferedReader(gzip.GzipFile(fileobj=stream)) if body.startswith(_GZIP) else stream


def _lines(source: str, stream: IO[bytes], skip: Skip) -> Iterator[Line]:
    number, latest = 0, 0
    with stream:
        while True:
            number += 1
            try:
                text = stream.readline(_LONGEST_LINE + 1)
            except (OSError, EOFError, zlib.error, ValueError) as error:
                skip(source, number, f"the rest of the file cannot be unpacked: {error}")
                return
            if not text:
                return
            if len(text) > _LONGEST_LINE:
                skip(source, number, "the rest of the file is skipped: a line is longer than 8 MB")
                return
            line = None
            try:
                line = _read(text, source, number) if text.strip() else None
            except BadLine as error:
                skip(source, number, str(error))
            if line is None:
                yield Line(latest, source, number, [])
                continue
            # Betfair's never go back; one that does would hold up all that follows in a merge by time.
            latest = max(latest, line.pt)
            yield line._replace(pt=latest)


def _read(text: bytes, source: str, number: int) -> Line | None:
    """Return a line, None for what a stream also says (heartbeats, statuses)."""
    try:
        value = parse_json(text)
    except RpcError:
        raise BadLine("not JSON") from None
    if not isinstance(value, dict):
        raise BadLine("not an object")
    if value.get("op") != "mcm":
        if isinstance(value.get("op"), str):
            return None
        raise BadLine("op is missing")
    pt, changes = value.get("pt"), value.get("mc", [])
    if not isinstance(pt, int) or isinstance(pt, bool) or not 0 <= pt <= _LATEST_MS:
        raise BadLine("pt is not a time in milliseconds")
    if not isinstance(changes, list) or not all(isinstance(change, dict) for change in changes):
        raise BadLine("mc is not a list of objects")
    return Line(pt, source, number, changes) if changes else None
