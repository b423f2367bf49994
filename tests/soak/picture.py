"""The readings of a soak as one picture: a panel for each kind, a line for each process."""

from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt


def draw(rows: list[dict[str, float]], path: Path) -> None:
    """Write a PNG."""
    kinds = ("MB of", "files of", "threads of", "connections", "keys", "kept", "files on")
    figure, panels = plt.subplots(len(kinds), 1, figsize=(9, 2.2 * len(kinds)), sharex=True)
    for kind, panel in zip(kinds, panels, strict=True):
        for name in (name for name in rows[-1] if name.startswith(kind)):
            panel.plot([row.get(name, float("nan")) for row in rows], label=name.removeprefix(kind).strip() or name)
        panel.set_ylabel(kind.removesuffix(" of"))
        panel.set_ylim(bottom=0)
        panel.legend(fontsize=6, ncol=4, loc="upper left")
    panels[-1].set_xlabel("hour of the week")
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)
