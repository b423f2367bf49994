"""The processes of the storm: each started again when it exits, as systemd or compose would.

Owns only what it started; its children die with it, however it dies. Units: seconds.
"""

import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from support.process_rig import children_of

_AGAIN_S: Final = 1.0  # between an exit and the next start
_GRACE_S: Final = 20.0  # a worker lets calls end; faults are off by then
_PR_SET_PDEATHSIG: Final = 1
_PRCTL: Final = ctypes.CDLL(None).prctl


def _die_with_us() -> None:
    _PRCTL(_PR_SET_PDEATHSIG, int(signal.SIGKILL))


@dataclass
class Child:
    """One program, kept running."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    folder: Path
    log: Path
    process: subprocess.Popen[bytes] | None = None
    starts: int = 0
    ended: float = 0.0
    wakes: float = 0.0  # when a paused one goes on
    exits: list[int] = field(default_factory=list)
    paused_pool: list[int] = field(default_factory=list)

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                env=dict(self.environment),
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=_die_with_us,  # noqa: PLW1509 - one system call
            )
        self.starts += 1

    @property
    def runs(self) -> bool:
        return self.process is not None and self.process.poll() is None

    @property
    def paused(self) -> bool:
        return self.runs and self.wakes > 0

    def tick(self) -> None:
        """Notice an exit and start again; let a paused one go on."""
        now = time.monotonic()
        if self.process is not None and self.process.poll() is not None:
            self.exits.append(self.process.returncode)
            self.process, self.ended = None, now
            self.resume()  # whoever of its pool is left must notice its end
        if self.process is None and now - self.ended >= _AGAIN_S:
            self.start()
        if self.wakes and now >= self.wakes:
            self.resume()

    def kill(self) -> bool:
        return self._signal(signal.SIGKILL)

    def kill_one(self, pick: float) -> bool:
        """Kill one of its pool's processes, while it runs a task or not; `pick` (0..1) says which."""
        pool = self._pool()
        with suppress(ProcessLookupError, IndexError):
            os.kill(pool[int(pick * len(pool))], signal.SIGKILL)
            return True
        return False

    def pause(self, seconds: float) -> bool:
        """Stop it, and its pool with it, as a machine that stands still does."""
        if not self._signal(signal.SIGSTOP):
            return False
        self.paused_pool = self._pool()
        self._signal_pool(signal.SIGSTOP)
        self.wakes = time.monotonic() + seconds
        return True

    def resume(self) -> None:
        self.wakes = 0.0
        self._signal_pool(signal.SIGCONT)
        self.paused_pool = []
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> bool:
        if self.process is None or self.process.poll() is not None:
            return False
        os.kill(self.process.pid, number)
        return True

    def _signal_pool(self, number: signal.Signals) -> None:
        for pid in self.paused_pool:
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def _pool(self) -> list[int]:
        return children_of(self.process.pid) if self.process is not None else []


def stop_all(children: Sequence[Child], grace_s: float = _GRACE_S) -> None:
    """End all of them, properly where they do."""
    for child in children:
        child.resume()
        child._signal(signal.SIGTERM)
    ends = time.monotonic() + grace_s
    for child in children:
        if child.process is not None:
            try:
                child.process.wait(max(0.1, ends - time.monotonic()))
            except subprocess.TimeoutExpired:
                child.process.kill()
                child.process.wait(5)
