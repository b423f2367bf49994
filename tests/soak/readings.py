"""What is read of a running system, again and again: memory, open files, threads, keys, connections, files on disk.

Megabytes and counts. Invariant: one process that has just been started again is read as it is, never left out.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from statistics import median
from typing import Any, Final

from redis import Redis
from support.process_rig import children_of
from support.running_stack import RunningStack

from benchmarks.machine import memory_mb

# What is kept for a week by design, so that it grows until the week is over: contract section 4.
KEPT: Final = (
    *("order", "signal", "market", "positions", "exposure", "risk", "pnl"),
    *("executor:bet", "executor:seen", "executor:settlements", "executor:transactions", "executor:waiting"),
)
_SLACK: Final = {"MB": 0.10, "files": 0.05, "threads": 0.05, "connections": 0.10, "keys": 0.10}
_LEAST: Final = {"MB": 6.0, "files": 6.0, "threads": 4.0, "connections": 6.0, "keys": 25.0}


def read(stack: RunningStack) -> dict[str, float]:
    """Take one look; names are `what of whom`."""
    found: dict[str, float] = {}
    for name in stack.supervisor.names:
        pid = stack.supervisor.pid(name)
        if pid is not None:
            family = [pid, *children_of(pid)]
            kept = "kept " if name == "sandbox" else ""  # an exchange knows its bets for longer than a week
            found[f"{kept}MB of {name}"] = memory_mb(pid)
            found[f"files of {name}"] = sum(_count(f"/proc/{each}/fd") for each in family)
            found[f"threads of {name}"] = sum(_count(f"/proc/{each}/task") for each in family)
    client: Redis = stack.redis
    info: Mapping[str, Any] = client.info()
    found["connections of Redis"] = float(info["connected_clients"])
    found["kept MB of Redis"] = info["used_memory"] / 1e6
    kinds: dict[str, int] = {}
    for key in client.scan_iter(count=2000):
        words = str(key).split(":")
        kind = words[0] if words[0] in KEPT else ":".join(words[:2])
        kinds[kind] = kinds.get(kind, 0) + 1
    found["kept records"] = float(sum(number for kind, number in kinds.items() if kind in KEPT))
    found["keys of Redis"] = float(sum(number for kind, number in kinds.items() if kind not in KEPT))
    data = Path(stack.settings.data_dir)
    found["files on disk"] = float(sum(1 for path in data.rglob("*") if path.is_file()))
    found["kept logs"] = float(sum(1 for _ in (data / "logs").glob("*")))
    return found


def _count(folder: str) -> int:
    with suppress(OSError):
        return len(os.listdir(folder))  # noqa: PTH208 - /proc
    return 0


def growth(rows: list[dict[str, float]]) -> Iterator[str]:
    """Name what is more in the last quarter than in the second one by more than its slack; what is kept is left out."""
    quarter = len(rows) // 4
    if not quarter:
        return
    for name in rows[-1]:
        unit = name.partition(" ")[0]
        if unit not in _SLACK:
            continue
        before, after = (
            median([row[name] for row in part if name in row] or [0.0])
            for part in (rows[quarter : 2 * quarter], rows[-quarter:])
        )
        if after - before > max(_LEAST[unit], _SLACK[unit] * before):
            yield f"{name}: {before:.0f} in the second quarter, {after:.0f} in the last"
