"""What measurements come to: percentiles, ratios, tables. Pure. Units: milliseconds where a name ends in `_ms`."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Final

QUANTILES: Final = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "max": 1.0}


@dataclass(frozen=True, slots=True)
class Plan:
    """How long and how often to measure."""

    rounds: int = 5
    block_s: float = 10.0  # one side at one rate; at 50 a second its p99 has five signals above it
    rates: tuple[int, ...] = (5, 20, 50)  # signals a second
    burst: int = 2000  # signals of a saturation run
    slow_s: float = 180.0  # issue: 50 signals/s for 3 minutes
    grown: tuple[int, ...] = (0, 1_000, 100_000)  # finished orders
    market_counts: tuple[int, ...] = (1, 100, 1_000)
    decisions: int = 400  # per case of the decision step
    active: int = 1_000  # orders that are polled
    soak: int = 50_000  # signals of the memory run
    backlog: int = 50_000  # signals that wait while no bridge runs
    flood: int = 10_000  # signals that are published at once, valid for a minute
    workers: tuple[int, ...] = (1, 2, 4)


QUICK: Final = Plan(
    rounds=1,
    block_s=3.0,
    rates=(20, 50),
    burst=200,
    slow_s=10.0,
    grown=(0, 1_000),
    market_counts=(1, 100),
    decisions=100,
    active=100,
    soak=5_000,
    backlog=2_000,
    flood=400,
    workers=(1, 2),
)


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under columns, all text; the first column names the row."""

    title: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Bars:
    """A picture: for each label a bar of every series."""

    title: str
    unit: str
    labels: Sequence[str]
    series: Mapping[str, Sequence[float]]


@dataclass(frozen=True, slots=True)
class Report:
    """What one measurement found; `raw` is JSON."""

    tables: Sequence[Table]
    raw: object
    bars: Sequence[Bars] = field(default=())


@dataclass(frozen=True, slots=True)
class Setup:
    """What a measurement is given: how much to do, a folder of its own, somebody to tell."""

    plan: Plan
    folder: Path
    tell: Callable[[str], None]


Measurement = Callable[[Setup], Report]


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least `share` of all do not exceed (nearest rank).

    Raises:
        ValueError: there is no value.
    """
    if not values:
        raise ValueError("no value was measured")
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def quantiles(values: Sequence[float]) -> dict[str, float]:
    """Return p50, p95, p99 and max."""
    return {name: percentile(values, share) for name, share in QUANTILES.items()}


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> tuple[float, float, float]:
    """Return the median, the lowest and the highest of the ratios per round."""
    each = [value / other for value, other in zip(ours, theirs, strict=True)]
    return median(each), min(each), max(each)


def shown(value: float, digits: int = 1) -> str:
    """Write a figure."""
    return f"{value:,.{digits}f}"


def shown_ratio(found: tuple[float, float, float]) -> str:
    """Write a ratio with its range over the rounds."""
    middle, low, high = found
    return f"{middle:.2f} ({low:.2f}-{high:.2f})"


def kept(found: float, limit: float, *, at_least: bool = False) -> str:
    """Say whether a promise is kept."""
    return "kept" if (found >= limit if at_least else found <= limit) else "MISSED"
