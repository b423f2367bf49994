"""Limits by confidence: how much of the limits per order a signal may use, by how sure its sender is.

Invariant: the factor is never above 1; a signal that gives no confidence, or none from 0 to 1, gets the smallest.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_DOWN, Decimal
from itertools import pairwise
from typing import Final

from executor.domain.money import ONE, ZERO, parse_number

_STEP: Final = Decimal("0.0001")  # of a factor: finer than any limit's pennies


@dataclass(frozen=True, slots=True)
class ConfidenceScale:
    """Points (confidence, factor), the confidence rising; none: every factor is 1."""

    points: tuple[tuple[Decimal, Decimal], ...] = ()

    def factor(self, confidence: Decimal | None) -> Decimal:
        """Return the factor of a signal: linear between two points, level before the first and after the last."""
        if not self.points:
            return ONE
        if confidence is None or not ZERO <= confidence <= ONE:
            return min(factor for _, factor in self.points)
        (first, lowest), (_, highest) = self.points[0], self.points[-1]
        if confidence <= first:
            return lowest
        for (left, low), (right, high) in pairwise(self.points):
            if confidence <= right:
                found = low + (high - low) * (confidence - left) / (right - left)
                return found.quantize(_STEP, rounding=ROUND_DOWN)
        return highest

    def __str__(self) -> str:
        """Write it as the setting has it."""
        return ",".join(f"{confidence:f}:{factor:f}" for confidence, factor in self.points) or "off"


LEVEL: Final = ConfidenceScale()  # off


def parse_scale(text: str) -> ConfidenceScale:
    """Read `0.5:0.25,0.9:1`; "" and `off` are none.

    Raises:
        ValueError: naming what is wrong.
    """
    if text.strip().lower() in {"", "off"}:
        return LEVEL
    points: list[tuple[Decimal, Decimal]] = []
    for pair in text.split(","):
        confidence, colon, factor = pair.partition(":")
        if not colon:
            raise ValueError(f"should be CONFIDENCE:FACTOR pairs like 0.5:0.25,0.9:1, or off; {pair.strip()!r} is none")
        points.append((_share(confidence), _share(factor)))
    _require_rising([confidence for confidence, _ in points])
    return ConfidenceScale(tuple(points))


def _share(text: str) -> Decimal:
    try:
        value = parse_number(text)
    except ValueError:
        raise ValueError(f"should have numbers from 0 to 1; {text.strip()!r} is none") from None
    if not ZERO <= value <= ONE:
        raise ValueError(f"should have numbers from 0 to 1, not {text.strip()}")
    return value


def _require_rising(values: Sequence[Decimal]) -> None:
    if any(left >= right for left, right in pairwise(values)):
        raise ValueError("should have confidences that rise from point to point")
