"""The figures behind the charts."""

from decimal import Decimal

from executor.console.pages import charts


def test_a_curve_begins_at_zero_and_ends_at_the_sum() -> None:
    shape = charts.curve([Decimal(10), Decimal(-25), Decimal(5)])
    assert shape is not None
    assert (shape.low, shape.high, shape.last) == (Decimal(-15), Decimal(10), Decimal(-10))
    points = [point.split(",") for point in shape.line.split()]
    assert points[0] == ["0.0", shape.zero]
    assert points[-1][0] == f"{charts.WIDTH:.1f}"
    assert charts.curve([]) is None


def test_a_long_curve_is_thinned_and_keeps_its_end() -> None:
    shape = charts.curve([Decimal(1)] * 5000)
    assert shape is not None
    assert len(shape.line.split()) == 400
    assert shape.last == 5000


def test_columns_are_stacked_to_the_tallest() -> None:
    bars, most = charts.columns(["12:00", "12:01"], [("executed", [3, 1]), ("rejected", [1, 0])])
    assert most == 4
    assert [(bar.kind, bar.label) for bar in bars] == [
        ("executed", "12:00: 3 executed"),
        ("rejected", "12:00: 1 rejected"),
        ("executed", "12:01: 1 executed"),
    ]
    heights = [float(bar.height) for bar in bars]
    assert abs(heights[0] + heights[1] - 4 * heights[2]) < 0.5
    assert charts.columns(["12:00"], [("executed", [0])]) == ([], 0)


def test_shares_and_percentiles() -> None:
    assert charts.share(Decimal(250), Decimal(500)) == 50
    assert charts.share(Decimal(900), Decimal(500)) == 100
    assert charts.share(Decimal(1), None) is None
    assert charts.share(Decimal(1), Decimal(0)) is None
    assert charts.percentile(range(100), 99) == 99
    assert charts.percentile([], 50) is None
