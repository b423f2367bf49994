"""Adds the counts of processes that are gone into one file per kind, at an instance's start.

Invariant: whenever this is killed, nothing is lost and nothing counted twice. What is being added up lies in a folder
beside the files; the sum takes its place, under the name that was moved there first, in one rename. So a sum beside a
folder that is not empty holds the folder's counts already, and without it nothing of the folder is anywhere else.
"""

import os
import shutil
from pathlib import Path
from typing import Final

import structlog

from executor.observability.count_file import DamagedCounts, encode_counts, read_counts, set_aside

log = structlog.get_logger(__name__)

FOLDED: Final = "0"  # no process has this id
_KINDS: Final = ("counter", "histogram")


def fold(folder: Path) -> None:
    """Fold each kind; what cannot be done now, on a full disk above all, is done at another start."""
    for kind in _KINDS:
        try:
            _fold(folder, kind)
        except OSError as error:
            log.warning("counts_not_folded", folder=str(folder), kind=kind, error=str(error))


def _fold(folder: Path, kind: str) -> None:
    target = folder / f"{kind}_{FOLDED}.db"
    moved = folder / f"{kind}.folding"
    if target.exists() and moved.exists():
        shutil.rmtree(moved)
    kept = sorted(moved.iterdir()) if moved.exists() else []
    dead = [path for path in sorted(folder.glob(f"{kind}_*.db")) if not _alive(path.stem.rpartition("_")[2])]
    counts = {path: found for path in (*kept, *dead) if (found := _read(path)) is not None}
    dead = [path for path in dead if path in counts]
    if not kept and len(dead) < 2:  # noqa: PLR2004 - one file is folded already
        return
    sums: dict[str, tuple[float, float]] = {}
    for found in counts.values():
        for key, value in found.items():
            sums[key] = (sums.get(key, (0.0, 0.0))[0] + value, 0.0)
    fresh = folder / f"{kind}.new"
    with fresh.open("wb") as file:
        file.write(encode_counts(sums)[0])
        file.flush()
        os.fsync(file.fileno())
    moved.mkdir(exist_ok=True)
    for path in sorted(dead, key=lambda each: each != target):
        path.rename(moved / f"{len(kept)}-{path.name}")
    fresh.rename(target)
    shutil.rmtree(moved)


def _read(path: Path) -> dict[str, float] | None:
    try:
        return read_counts(path)
    except DamagedCounts as error:
        set_aside(path, error)
    return None


def _alive(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except (ProcessLookupError, ValueError, OverflowError):
        return False
    except PermissionError:
        return True
    return pid != FOLDED
