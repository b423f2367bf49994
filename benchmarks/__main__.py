"""`python -m benchmarks [--quick] [--only NAME ...] [--rounds N] [--out DIR]`: exit 0 when everything was measured."""

import argparse
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from benchmarks.backlog import backlog
from benchmarks.console import console
from benchmarks.cost import cost
from benchmarks.decision import decision
from benchmarks.doors import doors
from benchmarks.figures import QUICK, Measurement, Plan, Report, Setup
from benchmarks.fills import fills
from benchmarks.first_order import first_order
from benchmarks.latency import latency, saturation
from benchmarks.memory import memory
from benchmarks.peers import peers
from benchmarks.polling import polling
from benchmarks.report import show, write
from benchmarks.slow_exchange import slow_exchange
from benchmarks.stack import BenchError
from benchmarks.stages import stages
from benchmarks.workers import workers
from executor.cli.exit_codes import INTERRUPTED
from executor.cli.output import complain, say
from executor.devstack.redis_server import RedisServerError
from executor.devstack.sandbox_client import SandboxSilentError
from executor.devstack.supervisor import CrashLoopError
from executor.observability.logs import configure_logging
from executor.settings.load import load_settings

MEASUREMENTS: Final[dict[str, Measurement]] = {
    "latency": latency,
    "peers": peers,
    "doors": doors,
    "saturation": saturation,
    "stages": stages,
    "cost": cost,
    "slow-exchange": slow_exchange,
    "decision": decision,
    "polling": polling,
    "first-order": first_order,
    "workers": workers,
    "memory": memory,
    "backlog": backlog,
    "console": console,
    "stream": fills,
}
_TROUBLE: Final = (BenchError, CrashLoopError, RedisServerError, SandboxSilentError)


def _stop(*_: object) -> None:
    raise KeyboardInterrupt


def _progress(line: str) -> None:
    say(f"{time.strftime('%H:%M:%S')}  {line}", "dim")


def main(words: Sequence[str] | None = None) -> int:
    """Measure what is asked for, one after the other, each with processes of its own."""
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="little of everything: shows that it works, not how fast")
    parser.add_argument("--only", nargs="+", choices=MEASUREMENTS, metavar="NAME", help=", ".join(MEASUREMENTS))
    parser.add_argument("--rounds", type=int, help="of interleaved blocks")
    parser.add_argument("--seconds", type=float, help="of one block")
    parser.add_argument("--out", type=Path, help="folder for Markdown, PNG and JSON")
    options = parser.parse_args(words)
    plan = QUICK if options.quick else Plan()
    chosen = {"rounds": options.rounds, "block_s": options.seconds}
    plan = replace(plan, **{name: value for name, value in chosen.items() if value})
    for number in (signal.SIGINT, signal.SIGTERM):  # a shell starts background jobs with SIGINT ignored
        signal.signal(number, _stop)
    folder = Path(tempfile.mkdtemp(prefix="bench-"))
    _quiet(folder)
    reports: dict[str, Report] = {}
    try:
        for name in options.only or MEASUREMENTS:
            _progress(f"{name} ...")
            (folder / name).mkdir()
            reports[name] = MEASUREMENTS[name](Setup(plan, folder / name, _progress))
            show(reports[name])
    except KeyboardInterrupt:
        say("stopped; everything that was started has ended")
        shutil.rmtree(folder, ignore_errors=True)
        return INTERRUPTED
    except _TROUBLE as error:
        complain(f"{error} (logs: {folder})")
        return 1
    finally:
        if options.out is not None and reports:
            write(options.out, reports, {name: _command(name, options) for name in reports})
            say(f"written to {options.out}")
    shutil.rmtree(folder, ignore_errors=True)
    return 0


def _quiet(folder: Path) -> None:
    """Keep the terminal for what is said here: this process is no part of what is measured."""
    settings = load_settings({}, folder)
    quiet = settings.logging.model_copy(update={"level": "CRITICAL", "file": False})
    configure_logging(settings.model_copy(update={"logging": quiet}), process="bench")


def _command(name: str, options: argparse.Namespace) -> str:
    values = {"QUICK": "1" if options.quick else None, "ROUNDS": options.rounds, "SECONDS": options.seconds}
    return " ".join(["make bench", f"ONLY={name}", *(f"{key}={value}" for key, value in values.items() if value)])


if __name__ == "__main__":
    sys.exit(main())
