"""What this machine does meanwhile: CPU time and memory of processes, and how much other programs take.

Reads /proc, so Linux only. CPU in seconds, memory in MB.
"""

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

_TICKS: Final = os.sysconf("SC_CLK_TCK")


def family(pid: int) -> list[int]:
    """Return a process and its children, a pool's among them."""
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="utf-8")
    return [pid, *map(int, listed.split())]


def cpu_s(pid: int) -> float:
    """Return the CPU time that a process and its children have used."""
    return sum(_cpu_s(process) for process in family(pid))


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    user, system = 11, 12  # proc(5): utime and stime, counted from the state
    return (int(fields[user]) + int(fields[system])) / _TICKS


def memory_mb(pid: int) -> float:
    """Return the memory that a process and its children hold; what they share is counted once."""
    return sum(_share_mb(process) for process in family(pid))


def _share_mb(pid: int) -> float:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="utf-8").splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) * 1024 / 1e6


class Others:
    """Tells how much of the machine went to programs that are not measured, from its making on."""

    def __init__(self, pids: Iterable[int]) -> None:
        self._pids = (os.getpid(), *pids)
        self._busy_s, self._all_s = _machine_s()
        self._own_s = self._spent_s()

    def share(self) -> float:
        """Return it, 0..1 of all cores."""
        busy_s, all_s = _machine_s()
        other = (busy_s - self._busy_s) - (self._spent_s() - self._own_s)
        return max(0.0, other / max(all_s - self._all_s, 1 / _TICKS))

    def _spent_s(self) -> float:
        spent = 0.0
        for pid in self._pids:
            with suppress(OSError):  # it has ended
                spent += cpu_s(pid)
        return spent


def _machine_s() -> tuple[float, float]:
    """Return the busy and the whole time of all cores (proc(5): user nice system idle iowait irq softirq steal)."""
    first = Path("/proc/stat").read_text(encoding="utf-8").partition("\n")[0].split()[1:9]
    times = [int(tick) / _TICKS for tick in first]
    idle, waiting = 3, 4
    return sum(times) - times[idle] - times[waiting], sum(times)
