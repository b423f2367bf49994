"""Whether a process grows: memory of each over many signals, after the first fifth, which fills caches and pools."""

from typing import Final

from benchmarks.figures import Report, Setup, Table, kept, shown
from benchmarks.load import Load
from benchmarks.machine import memory_mb
from benchmarks.stack import BenchStack, Side

_STEPS: Final = 20
_WARM: Final = _STEPS // 5
_BATCH: Final = 500  # at once; then the markets are settled
_GROWTH_MB: Final = 5.0  # per 50,000 signals: pages that the allocator keeps, and noise
_SIGNALS: Final = 50_000
# What holds records or markets grows with them, by design.
_HOLDS: Final = ("redis", "sandbox")


def memory(setup: Setup) -> Report:
    """Fire bursts and read every process's memory after each twentieth of them."""
    total = setup.plan.soak
    seen: dict[str, list[float]] = {}
    with BenchStack(setup.folder, setup.tell, sides=(Side.OURS,)) as stack:
        load = Load(stack)
        load.warm_up()
        fired = 0
        for step in range(1, _STEPS + 1):
            while fired < total * step // _STEPS:
                count = min(_BATCH, total * step // _STEPS - fired)
                load.settle(load.fire(Side.OURS, count))
                fired += count
            for name, pid in stack.pids().items():
                seen.setdefault(name, []).append(memory_mb(pid))
            setup.tell(f"{fired:,} signals: " + ", ".join(f"{name} {sizes[-1]:.0f}" for name, sizes in seen.items()))
        checked = load.check()
    rows = []
    for name, sizes in seen.items():
        slope = _slope(sizes[_WARM:]) * _STEPS * _SIGNALS / total
        judged = "" if name in _HOLDS else kept(slope, _GROWTH_MB)
        rows.append((name, shown(sizes[0]), shown(sizes[_WARM]), shown(sizes[-1]), shown(slope), judged))
    columns = ("process", "start", "after warm-up", "end", f"MB per {_SIGNALS:,}", f"<= {_GROWTH_MB:g}")
    note = f"MB, with children; growth is the slope of a line through what follows the warm-up; {checked}"
    return Report([Table(f"Memory over {total:,} signals", columns, rows, note)], seen)


def _slope(values: list[float]) -> float:
    """Return the growth per step of the straight line nearest to the values."""
    middle, mean = (len(values) - 1) / 2, sum(values) / len(values)
    over = sum((at - middle) * (value - mean) for at, value in enumerate(values))
    return over / sum((at - middle) ** 2 for at in range(len(values)))
