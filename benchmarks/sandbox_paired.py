"""placeOrders of this sandbox beside that of another commit, in turns, so that what else the machine does hits both.

Invariant: the other commit is checked out in a folder of its own, which is removed again. Units: orders a second of a
core.
"""

import shutil
import subprocess
from pathlib import Path
from statistics import median
from typing import Final

from benchmarks.figures import Table
from benchmarks.sandbox import over_https
from benchmarks.stack import BenchError

_GIT: Final = shutil.which("git") or "git"


def paired(commit: str, clients: int, seconds: float, rounds: int, folder: Path) -> Table:
    """Measure placeOrders here and at another commit in turns."""
    tree = folder / "tree"
    root = Path(__file__).parents[1]
    try:
        _git("-C", str(root), "worktree", "add", "--detach", "--force", str(tree), commit)
        if not (tree / "betfair_sandbox" / "__main__.py").exists():
            raise BenchError(f"{commit} has no betfair_sandbox")
        rates: dict[str, list[float]] = {"here": [], "there": []}
        for number in range(rounds):
            order = ("here", "there") if number % 2 == 0 else ("there", "here")
            for side in order:
                rate = over_https(clients, seconds, folder / f"{side}-{number}", None if side == "here" else tree)
                rates[side].append(rate.orders / rate.core_s)
    finally:
        subprocess.run(  # noqa: S603 - git, by its full path
            [_GIT, "-C", str(root), "worktree", "remove", "--force", str(tree)], check=False, capture_output=True
        )
    ratios = sorted(here / there for here, there in zip(rates["here"], rates["there"], strict=True))
    row = (
        f"{clients} clients, {rounds} rounds",
        f"{median(rates['here']):,.0f}",
        f"{median(rates['there']):,.0f}",
        f"{median(ratios):.2f}",
        f"{ratios[0]:.2f} to {ratios[-1]:.2f}",
    )
    columns = (f"placeOrders beside {commit}", "a second of a core", "there", "ratio", "of the rounds")
    return Table("Placing, paired", columns, [row], "Wanted: a ratio of 0.9 at least.")


def _git(*words: str) -> None:
    done = subprocess.run([_GIT, *words], check=False, capture_output=True, text=True)  # noqa: S603 - as above
    if done.returncode:
        raise BenchError(done.stderr.strip() or "git failed")
