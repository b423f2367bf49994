"""The sandbox's own benchmark: it runs, counts what was taken, and says when something was not."""

from pathlib import Path

import pytest

from benchmarks import sandbox
from benchmarks.stack import BenchError

pytestmark = pytest.mark.slow  # measures for seconds


def test_it_measures_what_it_says(tmp_path: Path) -> None:
    report = sandbox.measure([2], 0.5, tmp_path, orders=500)
    table, stream = report.tables
    assert [row[0] for row in table.rows] == [
        "matching in process",
        "whole placement in process",
        "HTTPS, 2 clients",
    ]
    (row,) = stream.rows
    assert float(row[-1]) > 0
    assert isinstance(report.raw, dict)
    assert all(rate["orders"] > 0 and rate["core_s"] > 0 for rate in report.raw.values())


def test_an_order_that_is_refused_is_not_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "MONEY", 10)
    with pytest.raises(BenchError, match="INSUFFICIENT_FUNDS"):
        sandbox.placing(20, tmp_path)
    with pytest.raises(BenchError, match="INSUFFICIENT_FUNDS"):
        sandbox.over_https(1, 5, tmp_path)
