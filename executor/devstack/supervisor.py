"""Child processes: started, watched, started again, stopped in order, never left behind.

Owns: the children of `up` and `demo`, each with a session of its own (Ctrl-C in the terminal is for us) and its output
in `<logs>/<name>.log`. Invariants: a child that ends is started again, later each time, unless it fails the same way
over and over: then it is hopeless and says why; a child dies with us, however we die. Single-threaded: `tick` does
what is due. Units: seconds, bytes.
"""

import contextlib
import ctypes
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

_BACK_OFF_S: Final = (1.0, 2.0, 4.0, 8.0, 15.0)
_STABLE_S: Final = 60.0  # a child that lived this long starts with a clean slate
# Celery alone takes three seconds to import on a busy machine: what dies within this did not get to work.
_STARTUP_FAILURE_S: Final = 10.0
_HOPELESS: Final = 5  # times in a row, with the same last line
_LOG_BYTES: Final = 50_000_000  # some days of busy trading; one older file of the same size is kept
_TAIL_BYTES: Final = 8192
_WORDS: Final = 200  # of a line that may be long
_KILLED_S: Final = 5.0  # after SIGKILL only the kernel is in the way
_HURRY_S: Final = 3.0
_PAUSE_S: Final = 0.05
_PR_SET_PDEATHSIG: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """What to run; stages stop in rising order, each when the one before is gone."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    folder: Path
    stage: int
    grace_s: float = 5.0  # after SIGTERM
    then: tuple[signal.Signals, float] | None = None  # a sharper signal and its grace, before SIGKILL
    waits_for: str = ""  # why stopping may take its time, for people


class CrashLoopError(Exception):
    """A child fails at every start; the text says which and its last words."""


@dataclass(slots=True)
class _Child:
    program: Program
    log: Path
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    due: float = 0.0
    failures: int = 0
    last_log_line: list[str] = field(default_factory=list)
    begin: int = 0  # where this life's output starts in the log
    read: int = 0  # how far `new_lines` has come
    held_until: float = 0.0


def parent_death_signal(number: signal.Signals = signal.SIGKILL) -> Callable[[], None]:
    """Return what a new child runs first, so that the kernel sends it `number` when we die; nothing but on Linux."""
    if not sys.platform.startswith("linux"):
        return lambda: None
    prctl = ctypes.CDLL(None).prctl  # looked up here: after the fork nothing but the call itself is safe
    parent = os.getpid()

    def arrange() -> None:
        prctl(_PR_SET_PDEATHSIG, int(number))
        if os.getppid() != parent:  # we died in between
            os._exit(1)

    return arrange


class Supervisor:
    """The children, in the order in which they were started."""

    def __init__(self, logs: Path, report: Callable[[str], None], *, back_off_s: Sequence[float] = _BACK_OFF_S) -> None:
        self._logs = logs
        self._back_off_s = tuple(back_off_s)
        self._report = report
        self._children: dict[str, _Child] = {}
        self.force = False  # set while stopping: no more patience

    def start(self, program: Program) -> None:
        """Start a program and look after it from now on."""
        self._logs.mkdir(parents=True, exist_ok=True)
        log = self._logs / f"{program.name}.log"
        child = self._children[program.name] = _Child(program, log, read=_size(log))
        self._launch(child)

    def log(self, name: str) -> Path:
        """Return the file with a child's output."""
        return self._children[name].log

    def pid(self, name: str) -> int | None:
        """Return a child's process id while it runs."""
        process = self._children[name].process
        return process.pid if process is not None and process.poll() is None else None

    def hold(self, name: str, seconds: float) -> None:
        """Let a child that ends within this time stay down until it is over."""
        self._children[name].held_until = time.monotonic() + seconds

    @property
    def names(self) -> list[str]:
        """Name the children."""
        return list(self._children)

    def tick(self) -> list[str]:
        """Notice who ended and start again who is due; returns the names of those started again.

        Raises:
            CrashLoopError: a child fails at every start.
        """
        again = []
        for child in self._children.values():
            if child.process is not None and child.process.poll() is not None:
                self._note_end(child, child.process.returncode)
            if child.process is None and time.monotonic() >= child.due:
                self._launch(child)
                again.append(child.program.name)
            _bound(child)
        return again

    def new_lines(self) -> Iterator[tuple[str, str]]:
        """Yield what the children have written since the last call: (name, line)."""
        for child in self._children.values():
            with contextlib.suppress(OSError), child.log.open("rb") as log:
                log.seek(child.read)
                for line in log:
                    if not line.endswith(b"\n"):
                        break
                    child.read += len(line)
                    yield child.program.name, line.decode("utf-8", "replace").rstrip()

    def tail(self, name: str, lines: int) -> list[str]:
        """Return the last lines of a child's output."""
        return _last_lines(self._children[name].log, 0)[-lines:]

    def stop(self) -> None:
        """Stop everything, stage by stage; returns when nothing is left."""
        for stage in sorted({child.program.stage for child in self._children.values()}):
            running = [
                child
                for child in self._children.values()
                if child.program.stage == stage and child.process is not None and child.process.poll() is None
            ]
            if running:
                self._stop_together(running)

    def _launch(self, child: _Child) -> None:
        program = child.program
        child.begin = _size(child.log)
        with child.log.open("ab") as log:
            child.process = subprocess.Popen(  # noqa: S603 - our own programs, no shell
                program.command,
                env=dict(program.environment),
                cwd=program.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=parent_death_signal(),  # noqa: PLW1509 - one system call, looked up before the fork
            )
        child.started = time.monotonic()

    def _note_end(self, child: _Child, code: int) -> None:
        child.process = None
        lived = time.monotonic() - child.started
        words = next(reversed(_last_lines(child.log, child.begin)), "it said nothing")
        if lived >= _STABLE_S:
            child.failures = 0
        child.last_log_line = [*child.last_log_line, words] if lived < _STARTUP_FAILURE_S else []
        recent = [re.sub(r"\d+", "#", line) for line in child.last_log_line[-_HOPELESS:]]  # times and ids differ
        if len(recent) == _HOPELESS and len(set(recent)) == 1:
            raise CrashLoopError(f"{child.program.name} fails at every start: {words} (all of it: {child.log})")
        wait_s = self._back_off_s[min(child.failures, len(self._back_off_s) - 1)]
        wait_s = max(wait_s, child.held_until - time.monotonic())
        child.failures += 1
        child.due = time.monotonic() + wait_s
        how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
        said = f" ({words[:_WORDS]})" if lived < _STARTUP_FAILURE_S and code > 0 else ""
        self._report(f"{child.program.name} {how}{said}; it starts again in {wait_s:.0f} s (see {child.log})")

    def _stop_together(self, children: Sequence[_Child]) -> None:
        names = ", ".join(child.program.name for child in children)
        program = children[0].program
        why = f": waiting for {program.waits_for}, up to {program.grace_s:.0f} s" if program.waits_for else ""
        self._report(f"stopping {names}{why}")
        _send(children, signal.SIGTERM)
        if self._gone(children, program.grace_s):
            return
        if program.then is not None and not self.force:
            _send(children, program.then[0])
            if self._gone(children, program.then[1]):
                return
        _send(children, signal.SIGKILL)
        self._gone(children, _KILLED_S, patient=True)

    def _gone(self, children: Sequence[_Child], within_s: float, *, patient: bool = False) -> bool:
        began = time.monotonic()
        while any(child.process is not None and child.process.poll() is None for child in children):
            waited = time.monotonic() - began
            if waited > within_s or (self.force and not patient and waited > _HURRY_S):
                return False
            time.sleep(_PAUSE_S)
        return True


def _send(children: Sequence[_Child], number: signal.Signals) -> None:
    for child in children:
        if child.process is not None and child.process.poll() is None:
            child.process.send_signal(number)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _last_lines(path: Path, begin: int) -> list[str]:
    with contextlib.suppress(OSError), path.open("rb") as log:
        log.seek(max(begin, _size(path) - _TAIL_BYTES))
        text = log.read().decode("utf-8", "replace")
        return [line.strip() for line in text.splitlines() if line.strip()]
    return []


def _bound(child: _Child) -> None:
    """Keep a log from growing for ever; the child goes on writing to the same, now empty, file."""
    if _size(child.log) > _LOG_BYTES:
        shutil.copyfile(child.log, child.log.with_suffix(".log.1"))
        os.truncate(child.log, 0)
        child.begin = child.read = 0
