"""The picture of `executor pnl --plot`: equity over time, and each strategy's net.

Invariant: whatever there is can be seen: nothing settled says so, a single settlement is a point, ten thousand are a
line. Amounts in account currency, times UTC.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Final

from executor.domain.money import ZERO
from executor.operations.pnl import By, Row, grouped

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MARKED: Final = 60  # points that are told apart; of more only the line is
_BARS: Final = 15  # strategies with a bar of their own
_NAME: Final = 24  # characters of a strategy's name beside its bar
_SPAN_DAYS: Final = 30 / 1440  # half an hour around a single moment; a scale of its own would show years
_GOOD, _BAD = "tab:green", "tab:red"


def draw(rows: Sequence[Row], path: Path) -> None:
    """Draw it to a PNG.

    Raises:
        ImportError: matplotlib is not installed.
        OSError: the file cannot be written.
    """
    from matplotlib.figure import Figure  # noqa: PLC0415 - an optional extra

    figure = Figure(figsize=(10, 8), layout="constrained")
    equity, strategies = figure.subplots(2, 1)
    if rows:
        _equity(equity, sorted(rows, key=lambda row: (row["at"], row["bet_id"])))
        _strategies(strategies, rows)
    else:
        for axes in (equity, strategies):
            axes.set(xticks=[], yticks=[])
            axes.text(0.5, 0.5, "Nothing is settled yet", ha="center", va="center", transform=axes.transAxes)
    equity.set(title="Settled net P&L (UTC)", ylabel="account currency")
    strategies.set(title="By strategy", xlabel="account currency")
    figure.savefig(path, format="png")


def _equity(axes: "Axes", ordered: Sequence[Row]) -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, date2num  # noqa: PLC0415 - an optional extra

    total, curve = ZERO, []
    for row in ordered:
        total += row["net_profit"]
        curve.append(float(total))
    moments = [float(date2num(datetime.fromisoformat(row["at"]))) for row in ordered]  # type: ignore[no-untyped-call]
    first, last = moments[0], moments[-1]
    # From nothing to the first: a step that begins at its own end would not be seen.
    axes.step([first, *moments], [0.0, *curve], where="post", color="tab:blue")
    if len(moments) <= _MARKED:
        axes.plot(moments, curve, "o", color="tab:blue", markersize=5)
    axes.annotate(f"{total:+.2f}", (last, curve[-1]), textcoords="offset points", xytext=(6, 6), fontweight="bold")
    axes.axhline(0, color="grey", linewidth=0.8)
    if last - first < _SPAN_DAYS:
        axes.set_xlim(first - _SPAN_DAYS, last + _SPAN_DAYS)
    axes.margins(y=0.15)
    locator = AutoDateLocator(tz=UTC)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator, tz=UTC))  # type: ignore[no-untyped-call]


def _strategies(axes: "Axes", rows: Sequence[Row]) -> None:
    nets = sorted(((str(line["strategy"]), line["net_profit"]) for line in grouped(rows, By.STRATEGY)), key=_weight)
    shown, others = nets[:_BARS], nets[_BARS:]
    if others:
        shown = [*shown, (f"{len(others)} others", sum((net for _, net in others), ZERO))]
    names = [name if len(name) <= _NAME else f"{name[: _NAME - 1]}…" for name, _ in shown]
    places = range(len(shown))  # two strategies may be cut to one name
    bars = axes.barh(places, [float(net) for _, net in shown], color=[_GOOD if net >= 0 else _BAD for _, net in shown])
    axes.bar_label(bars, [f"{net:+.2f}" for _, net in shown], padding=3)
    axes.set_yticks(places, names)
    axes.invert_yaxis()
    axes.set_ylim(max(len(shown), 3) - 0.5, -0.5)  # one bar is a bar and no wall
    axes.margins(x=0.15)
    axes.axvline(0, color="grey", linewidth=0.8)


def _weight(strategy: tuple[str, Decimal]) -> tuple[Decimal, str]:
    name, net = strategy
    return -abs(net), name
