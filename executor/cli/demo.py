"""`executor demo`: the whole system on this machine for a minute, against an exchange of its own, every count checked.

Owns: the temporary folder, and how the run ends: one last line that says what was counted, and success only when every
place counts the same. Invariant: whatever happens, nothing keeps running, and the folder stays only when something
went wrong or somebody wants it.
"""

import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Annotated, Final

import typer
from redis.exceptions import RedisError

from executor.cli.exit_codes import DONE, INTERRUPTED, REFUSED
from executor.devstack.demo_counts import Row
from executor.devstack.demo_run import DemoError, DemoRun
from executor.devstack.demo_signals import script
from executor.devstack.live_view import LiveView
from executor.devstack.redis_server import RedisServerError
from executor.devstack.sandbox_client import SandboxSilentError
from executor.devstack.supervisor import CrashLoopError
from executor.errors import ExecutorError

_COUNTED: Final = ("signals", "accepted", "rejected", "placed", "matched", "cancelled", "trades")
_NEXT: Final = """\
What next, in this folder:
  {program} up       all of it until Ctrl-C; prints the link into the console, http://localhost:8080
  {program} send --new-id --market new docs/examples/signal.json       a signal of your own, in another terminal
  {program} status       whether and what it trades; executor orders, trades, signals, pnl say more
"""
_TAIL: Final = 12  # lines of each log, when it failed
_EXPECTED: Final = (
    DemoError,
    ExecutorError,
    CrashLoopError,
    OSError,
    RedisError,
    RedisServerError,
    SandboxSilentError,
)


def demo(
    *,
    keep: Annotated[bool, typer.Option("--keep", help="Keep its folder: logs, ledger, Redis data.")] = False,
) -> None:
    """Watch good and bad signals become orders, on a sandbox exchange of its own; takes a minute and can never bet."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    folder = Path(tempfile.mkdtemp(prefix="executor-demo-"))
    code = REFUSED
    try:
        code = _run(folder)
    except KeyboardInterrupt:
        code = INTERRUPTED
    finally:
        if keep or code == REFUSED:
            sys.stderr.write(f"logs and data: {folder}\n")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    raise typer.Exit(code)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _run(folder: Path) -> int:
    rows: Sequence[Row] = ()
    problem = ""
    tails: dict[str, list[str]] = {}
    with LiveView() as live_view:
        try:
            run = DemoRun(folder, live_view)
        except _EXPECTED as error:
            return _end(rows, str(error))
        try:
            run.start()
            run.play(script())
            run.settle()
            rows = run.check()
        except _EXPECTED as error:
            problem = str(error)
        finally:
            run.stop()
        _show(live_view, rows)
        problem = problem or "; ".join(f"{row.name} {_said(row)}" for row in rows if not row.agrees)
        if problem:
            tails = run.tails(_TAIL)
        for name, lines in tails.items():
            live_view.line(f"--- the end of {name}.log", "bold")
            for line in lines:
                live_view.line(line, "dim")
    return _end(rows, problem)


def _show(live_view: LiveView, rows: Sequence[Row]) -> None:
    if rows:
        live_view.line("every count, from every place that has it", "bold")
    for row in rows:
        text = (
            f"  {row.name:37} {row.value:>7}  {', '.join(row.values)}"
            if row.agrees
            else f"  {row.name:37} {_said(row)}"
        )
        live_view.line(text, "green" if row.agrees else "bold red")


def _said(row: Row) -> str:
    return ", ".join(f"{place} {value}" for place, value in row.values.items())


def _end(rows: Sequence[Row], problem: str) -> int:
    """Print the last line, unwrapped, for programs."""
    if not problem:
        program = os.path.relpath(sys.argv[0])
        sys.stdout.write(_NEXT.format(program=program))
    numbers = {row.name: row.value for row in rows}
    counted = " ".join(f"{name}={numbers.get(name, '?')}" for name in _COUNTED)
    line = f"demo: FAILED {problem}; {counted}" if problem else f"demo: ok {counted}"
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
    return REFUSED if problem else DONE


def register(app: typer.Typer) -> None:
    """Give the command to the program."""
    app.command()(demo)
