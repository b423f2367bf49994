"""The benchmarks' harness: it runs, counts every signal once, notices what went wrong, and its tables are whole."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.figures import QUICK, Setup, kept, percentile, ratio
from benchmarks.fills import fills
from benchmarks.latency import latency
from benchmarks.load import Load
from benchmarks.peers import peers
from benchmarks.report import markdown, write
from benchmarks.stack import BenchError, BenchStack, Side
from executor.domain.order import order_ids

pytestmark = pytest.mark.slow  # two stacks of its own

_TINY = replace(QUICK, block_s=0.5, rates=(10,))


def test_percentiles_are_of_the_nearest_rank() -> None:
    values = [float(value) for value in range(100, 0, -1)]
    assert [percentile(values, share) for share in (0.5, 0.95, 0.99, 1.0)] == [50, 95, 99, 100]
    assert percentile([7.0], 0.5) == 7
    with pytest.raises(ValueError, match="no value"):
        percentile([], 0.5)


def test_a_ratio_is_of_each_round_by_itself() -> None:
    # The machine was three times slower in the second round: the ratio does not notice.
    assert ratio([2, 6, 2], [1, 3, 2]) == (2, 1, 2)
    assert (kept(1.5, 1.5), kept(1.6, 1.5), kept(0.5, 0.6, at_least=True)) == ("kept", "MISSED", "MISSED")


def test_both_sides_are_measured_and_every_signal_is_placed_once(tmp_path: Path) -> None:
    told: list[str] = []
    report = latency(Setup(_TINY, tmp_path, told.append))
    table = report.tables[0]
    assert [row[0] for row in table.rows] == ["10/s p50", "10/s p95", "10/s p99", "10/s max"]
    assert "330 signals, each placed exactly once" in table.note  # 160 of each side's warm-up, and 5
    assert all(float(cell) > 0 for row in table.rows for cell in row[1:3])
    assert isinstance(report.raw, dict)
    assert {side: len(rounds[0]) for side, rounds in report.raw["10"].items()} == {"executor": 5, "floor": 5}
    write(tmp_path / "out", {"latency": report}, {"latency": "make bench ONLY=latency"})
    text = (tmp_path / "out" / "benchmarks.md").read_text()
    assert "make bench ONLY=latency" in text
    assert markdown(table) in text
    assert json.loads((tmp_path / "out" / "latency.json").read_text()) == report.raw
    assert {path.name for path in (tmp_path / "out").glob("*.png")} == {"latency-1.png", "latency-2.png"}


def test_fills_are_measured_with_and_without_the_stream_each_recorded_once(tmp_path: Path) -> None:
    report = fills(Setup(replace(_TINY, active=30), tmp_path, lambda _: None))
    (table,) = report.tables
    assert [row[0] for row in table.rows] == ["p50", "p95", "p99", "max"]
    assert "25 fills each way in 1 rounds of alternating blocks, each recorded once" in table.note
    assert isinstance(report.raw, dict)
    stream, poll = sorted(report.raw["stream"][0]), sorted(report.raw["poll"][0])
    assert stream[12] < poll[12]


def test_an_order_that_is_placed_twice_or_never_is_noticed(tmp_path: Path) -> None:
    with BenchStack(tmp_path, lambda _: None) as stack:
        load = Load(stack)
        block = load.fire(Side.OURS, 3, rate=10)
        assert load.check().startswith("3 signals, each placed exactly once")
        twice = order_ids(block.shots[0].signal_id, 1)[0]
        order = {
            "orderType": "LIMIT",
            "selectionId": 1,
            "side": "BACK",
            "limitOrder": {"size": 2, "price": 3, "persistenceType": "LAPSE"},
            "customerOrderRef": twice,
        }
        assert stack.call("placeOrders", {"marketId": block.markets[0], "instructions": [order]})["status"] == "SUCCESS"
        with pytest.raises(BenchError, match="1 of 3 signals were not placed exactly once"):
            load.check()
        stack.sandbox.control("reset", {})
        with pytest.raises(BenchError, match="3 of 3 signals were not placed exactly once"):
            load.check()


def test_the_script_and_the_floor_are_measured_in_turns_with_the_engine(tmp_path: Path) -> None:
    report = peers(Setup(replace(_TINY, burst=20), tmp_path, lambda _: None))
    latencies, saturation = report.tables
    conditions = ("10/s", "20/s, one core busy", "10/s, exchange of 100 ms")
    names = [f"{condition} {name}" for condition in conditions for name in ("p50", "p95", "p99")]
    assert [row[0] for row in latencies.rows] == names
    assert latencies.columns[1:4] == ("executor", "floor", "script")
    assert all(float(cell) > 0 for row in latencies.rows for cell in row[1:4] if cell != "-")
    script = [row[3] for row in latencies.rows]
    assert script.index("-") == len(script) - 3, "one call at a time cannot keep up with a slow exchange"
    assert all(float(cell) > 0 for cell in saturation.rows[0][1:4])
    assert "each placed exactly once" in latencies.note
