"""Reports for people and programs: tables on the terminal, Markdown, PNG and JSON in a folder."""

import json
import os
import platform
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Final

from benchmarks.figures import Bars, Report, Table
from executor.cli.output import Column, say, show_table

_PACKAGES: Final = ("celery", "kombu", "redis", "hiredis", "requests")


def show(report: Report) -> None:
    """Print the tables."""
    for table in report.tables:
        columns = [Column(name, "right" if at else "left") for at, name in enumerate(table.columns)]
        show_table(f"\n{table.title}", columns, table.rows)
        if table.note:
            say(table.note, "dim")


def write(folder: Path, reports: Mapping[str, Report], commands: Mapping[str, str]) -> None:
    """Write `benchmarks.md`, `<name>.json` and a PNG for each picture."""
    folder.mkdir(parents=True, exist_ok=True)
    parts = ["# Benchmarks", f"Measured on {machine()}."]
    for name, report in reports.items():
        raw = json.dumps(report.raw, indent=1)
        (folder / f"{name}.json").write_text(raw + "\n", encoding="utf-8")
        parts += [f"## {name}", f"```sh\n{commands[name]}\n```", *map(markdown, report.tables)]
        for number, bars in enumerate(report.bars, start=1):
            picture = folder / f"{name}-{number}.png"
            _draw(bars, picture)
            parts.append(f"![{bars.title}]({picture.name})")
    (folder / "benchmarks.md").write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def markdown(table: Table) -> str:
    """Return the table as Markdown."""
    lines = [
        f"**{table.title}**",
        "",
        _line(table.columns),
        _line(tuple("---:" if at else "---" for at in range(len(table.columns)))),
        *(_line(row) for row in table.rows),
    ]
    return "\n".join([*lines, "", table.note] if table.note else lines)


def machine() -> str:
    """Say on what this was measured."""
    packages = ", ".join(f"{name} {version(name)}" for name in _PACKAGES)
    return f"{os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}, {packages}"


def _line(cells: tuple[str, ...]) -> str:
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


def _draw(bars: Bars, path: Path) -> None:
    from matplotlib.figure import Figure  # noqa: PLC0415 - takes a second, and is needed with --out only

    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    width = 0.8 / len(bars.series)
    for number, (name, values) in enumerate(bars.series.items()):
        drawn = axes.bar([at + number * width for at in range(len(values))], values, width, label=name)
        axes.bar_label(drawn, fmt="%.1f", fontsize=8)
    axes.set_xticks([at + width * (len(bars.series) - 1) / 2 for at in range(len(bars.labels))], list(bars.labels))
    axes.set(title=bars.title, ylabel=bars.unit)
    axes.legend()
    figure.savefig(path, format="png", dpi=120)
