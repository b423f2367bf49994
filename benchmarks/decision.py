"""The decision step (snapshot, decide, commit) by itself, beside two bare round trips, as what is kept grows."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Final

from benchmarks.figures import Report, Setup, Table, kept, percentile, shown
from benchmarks.stack import ROOT, WIDE, BenchError
from executor.devstack.redis_server import PrivateRedis
from executor.devstack.running import REDIS_URL
from executor.devstack.stack import BROKER_URL, DATA_DIR, LOG_FORMAT, inherited, replaced
from executor.devstack.supervisor import parent_death_signal

_OVER_BARE: Final = 3.0  # issue: p50 at most 3 x two round trips
_FLAT: Final = 1.5  # and within 1.5 x from 0 to 100,000 finished orders
_PROMISE_MS: Final = 50.0  # reference: risk validation
_CASE_S: Final = 600.0

Found = dict[str, list[float]]


def decision(setup: Setup) -> Report:
    """Run every case on an empty Redis: one of the three numbers grows, the others stay small."""
    plan = setup.plan
    cases = {
        **{f"{number:,} finished orders": (number, 1, 1) for number in plan.grown},
        **{f"{number:,} markets": (0, number, 1) for number in plan.market_counts[1:]},
        "50 orders in the market": (0, 1, 50),
    }
    taken: dict[str, Found] = {}
    for name, (finished, markets, in_market) in cases.items():
        with PrivateRedis(setup.folder / "redis", append_only=False, first=parent_death_signal()) as server:
            environ = replaced(inherited(ours=False), {**WIDE, **_own(server, setup.folder)})
            words = ("decision", str(finished), str(markets), str(in_market), str(plan.decisions))
            taken[name] = run_in_process(words, environ, setup.folder)
        setup.tell(f"{name}: decision p50 {percentile(taken[name]['decision'], 0.5):.2f} ms")
    first = percentile(taken[next(iter(taken))]["decision"], 0.5)
    rows = [_row(name, found, first) for name, found in taken.items()]
    columns = ("what is kept", "p50 ms", "p99 ms", "bare p50 ms", f"ratio, <= {_OVER_BARE:g}", f"growth, <= {_FLAT}")
    worst = max(percentile(found["decision"], 0.99) for found in taken.values())
    limit = f"{_PROMISE_MS:.0f} ms"
    tables = [
        Table(
            "Decision step, and a bare loop of HGETALL and an empty EVALSHA",
            columns,
            rows,
            f"{plan.decisions} decisions each, in one process, in turns with the bare loop",
        ),
        Table(
            "The reference's promise",
            ("promise", "limit", "found", ""),
            [("risk validation, p99 of the worst", limit, f"{shown(worst, 2)} ms", kept(worst, _PROMISE_MS))],
        ),
    ]
    return Report(tables, taken)


def run_in_process(words: tuple[str, ...], environ: dict[str, str], folder: Path) -> Found:
    """Run one case of `benchmarks.in_process` and return what it found.

    Raises:
        BenchError: it failed.
    """
    with (folder / "in_process.log").open("ab") as log:
        done = subprocess.run(  # noqa: S603 - our own program, no shell
            [sys.executable, "-m", "benchmarks.in_process", *words],
            env={**environ, "PYTHONPATH": str(ROOT)},
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=log,
            timeout=_CASE_S,
            check=False,
            preexec_fn=parent_death_signal(),
        )
    if done.returncode:
        raise BenchError(f"{' '.join(words)} failed; see {log.name}")
    found: Found = json.loads(done.stdout)
    return found


def _own(server: PrivateRedis, folder: Path) -> dict[str, str]:
    return {
        REDIS_URL: server.url(0),
        BROKER_URL: server.url(1),
        DATA_DIR: str(folder / "data"),
        LOG_FORMAT: "json",
    }


def _row(name: str, found: Found, first: float) -> tuple[str, ...]:
    middle, bare = (percentile(found[kind], 0.5) for kind in ("decision", "bare"))
    over, growth = middle / bare, middle / first
    return (
        name,
        shown(middle, 2),
        shown(percentile(found["decision"], 0.99), 2),
        shown(bare, 2),
        f"{over:.2f} {kept(over, _OVER_BARE)}",
        f"{growth:.2f} {kept(growth, _FLAT)}" if "finished" in name else f"{growth:.2f}",
    )
