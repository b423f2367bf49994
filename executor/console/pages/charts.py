"""The figures behind the charts: points and bars in the units of a picture, drawn as SVG by the templates.

Invariant: what is drawn is rounded for drawing only; the numbers beside it are exact.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from executor.domain.money import ZERO

WIDTH: Final = 640
HEIGHT: Final = 180
_PAD: Final = 12
_POINTS: Final = 400  # more than a picture has pixels


@dataclass(frozen=True, slots=True)
class Curve:
    """A line from left to right, and where zero is."""

    line: str
    area: str
    zero: str
    low: Decimal
    high: Decimal
    last: Decimal


def curve(values: Sequence[Decimal]) -> Curve | None:
    """Return the running sum of amounts as a line that begins at zero; None where there is nothing to draw."""
    if not values:
        return None
    total, sums = ZERO, [ZERO]
    for value in values:
        total += value
        sums.append(total)
    low, high = min(sums), max(sums)
    shown = sums if len(sums) <= _POINTS else [sums[at * (len(sums) - 1) // (_POINTS - 1)] for at in range(_POINTS)]
    span = high - low or Decimal(1)

    def y(value: Decimal) -> str:
        return f"{_PAD + (HEIGHT - 2 * _PAD) * float((high - value) / span):.1f}"

    step = WIDTH / (len(shown) - 1)
    points = [f"{at * step:.1f},{y(value)}" for at, value in enumerate(shown)]
    area = f"0,{y(ZERO)} {' '.join(points)} {WIDTH},{y(ZERO)}"
    return Curve(" ".join(points), area, y(ZERO), low, high, total)


@dataclass(frozen=True, slots=True)
class Bar:
    """A piece of a column: where it stands, which kind it is, and what it says."""

    x: str
    y: str
    width: str
    height: str
    kind: str
    label: str


def columns(labels: Sequence[str], series: Sequence[tuple[str, Sequence[int]]]) -> tuple[list[Bar], int]:
    """Return stacked columns, one a label, and the tallest's number."""
    totals = [sum(numbers[at] for _, numbers in series) for at in range(len(labels))]
    most = max(totals, default=0)
    if not most:
        return [], 0
    width = WIDTH / len(labels)
    bars: list[Bar] = []
    for at, label in enumerate(labels):
        below = 0
        for kind, numbers in series:
            if not numbers[at]:
                continue
            height = (HEIGHT - _PAD) * numbers[at] / most
            top = HEIGHT - (HEIGHT - _PAD) * below / most - height
            text = f"{label}: {numbers[at]} {kind}"
            bars.append(Bar(f"{at * width + 1:.1f}", f"{top:.1f}", f"{width - 2:.1f}", f"{height:.1f}", kind, text))
            below += numbers[at]
    return bars, most


def share(part: Decimal | None, whole: Decimal | None) -> int | None:
    """Return a share in per cent, at most 100; None where there is none."""
    if part is None or not whole:
        return None
    return min(100, max(0, int(part / whole * 100)))


def percentile(values: Iterable[int], per_cent: int) -> int | None:
    """Return the value that so many per cent do not exceed; None of nothing."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, len(ordered) * per_cent // 100)] if ordered else None
