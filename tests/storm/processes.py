"""What may befall a process of the storm: killed, a part of its pool killed, paused, kept down.

The supervisor of `executor up` keeps them running: each is started again a second after it has ended. Units: seconds.
"""

import os
import signal
import time
from contextlib import suppress

from support.process_rig import children_of

from executor.devstack.supervisor import Supervisor


class Child:
    """One program of the supervisor's, by its name."""

    def __init__(self, supervisor: Supervisor, name: str) -> None:
        self.name = name
        self._supervisor = supervisor
        self._wakes = 0.0  # when a paused one goes on
        self._paused: list[int] = []  # it and its pool

    @property
    def pid(self) -> int | None:
        return self._supervisor.pid(self.name)

    @property
    def runs(self) -> bool:
        return self.pid is not None

    @property
    def paused(self) -> bool:
        return self.runs and self._wakes > 0

    def tick(self) -> None:
        """Let a paused one go on; whoever is left of the pool of one that has ended must notice that."""
        if self._wakes and (time.monotonic() >= self._wakes or self.pid not in self._paused):
            self.resume()

    def kill(self) -> bool:
        pid = self.pid
        return pid is not None and _signal(pid, signal.SIGKILL)

    def keep_down(self, seconds: float) -> bool:
        """Kill it, and let it start again only after so long."""
        self._supervisor.hold(self.name, seconds)
        return self.kill()

    def kill_one(self, pick: float) -> bool:
        """Kill one of its pool's processes, while it runs a task or not; `pick` (0..1) says which."""
        pool = self._pool()
        return bool(pool) and _signal(pool[int(pick * len(pool))], signal.SIGKILL)

    def pause(self, seconds: float) -> bool:
        """Stop it, and its pool with it, as a machine that stands still does."""
        pid = self.pid
        if pid is None or not _signal(pid, signal.SIGSTOP):
            return False
        self._paused = [pid, *self._pool()]
        for paused in self._paused:
            _signal(paused, signal.SIGSTOP)
        self._wakes = time.monotonic() + seconds
        return True

    def resume(self) -> None:
        for paused in reversed(self._paused):  # its pool first
            _signal(paused, signal.SIGCONT)
        self._wakes, self._paused = 0.0, []

    def _pool(self) -> list[int]:
        pid = self.pid
        return children_of(pid) if pid is not None else []


def _signal(pid: int, number: signal.Signals) -> bool:
    with suppress(ProcessLookupError):
        os.kill(pid, number)
        return True
    return False
