"""The P&L picture with nothing, one, two and ten thousand settlements: what there is lies within the axes and shows."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from executor.cli.pnl_picture import draw

image = pytest.importorskip("matplotlib.image")
START = datetime(2026, 11, 29, 12, tzinfo=UTC)


def row(number: int) -> dict[str, Any]:
    return {
        "at": (START + timedelta(seconds=40 * number)).isoformat(),
        "bet_id": str(number),
        "strategy": f"strategy {number % 40}" + "x" * 60 * (number % 40 == 3),
        "market_id": "1.1",
        "profit": Decimal(5),
        "commission": Decimal(1),
        "net_profit": Decimal(4) if number % 3 else Decimal(-5),
    }


def coloured(path: Path, channel: int) -> int:
    """Count the pixels that are clearly of one colour."""
    pixels = image.imread(path)
    others = [each for each in range(3) if each != channel]
    return int(sum((pixels[..., channel] - pixels[..., each] > 0.25).sum() for each in others))


@pytest.mark.parametrize("count", [0, 1, 2, 10_000])
def test_what_is_settled_shows(tmp_path: Path, count: int) -> None:
    path = tmp_path / "pnl.png"
    draw([row(number) for number in range(count)], path)
    blue, bars = coloured(path, 2), coloured(path, 0) + coloured(path, 1)
    assert (blue > 50) == (count > 0), "the curve, a single point among it"
    assert (bars > 1000) == (count > 0), "the strategies' bars"
