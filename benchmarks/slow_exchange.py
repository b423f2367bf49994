"""Latency beside an exchange that takes 100 ms per call: whether waiting calls hold up what comes after them."""

from typing import Final

from benchmarks.figures import QUANTILES, Bars, Report, Setup, Table, kept, quantiles, shown
from benchmarks.load import Load
from benchmarks.stack import BenchStack, Side

_RATE: Final = 50
_DELAY_S: Final = 0.1
_CALLS: Final = 1_000_000  # the delay stays armed until the reset
_PART_S: Final = 30.0  # markets are settled in between, or their orders would be what is measured
_LIMIT: Final = 2.0  # issue: p99 below 2 x its value without the delay
_OVERLOADED_MS: Final = 500.0  # a p50 of this is a queue that grows: the delay is not what decides


def slow_exchange(setup: Setup) -> Report:
    """Fire at 50 a second, without and with the delay, in turns."""
    seconds = setup.plan.slow_s
    parts = max(1, round(seconds / _PART_S))
    count = int(_RATE * seconds / parts)
    taken: dict[str, list[float]] = {"without": [], "with 100 ms": []}
    with BenchStack(setup.folder, setup.tell, sides=(Side.OURS,)) as stack:
        load = Load(stack)
        load.warm_up()
        for name, values in taken.items():
            if name != "without":
                stack.sandbox.control("faults", {"method": "*", "kind": "delay", "seconds": _DELAY_S, "count": _CALLS})
            for number in range(parts):
                block = load.fire(Side.OURS, count, _RATE)
                values.extend(block.latencies_ms)
                load.settle(block)
                found = quantiles(block.latencies_ms)
                setup.tell(f"{name}, part {number + 1} of {parts}: p50 {found['p50']:.1f} p99 {found['p99']:.1f} ms")
        fired = load.check()
    plain, slow = (quantiles(values) for values in taken.values())
    rows = [
        (
            f"{_RATE}/s {name}",
            shown(plain[name]),
            shown(slow[name]),
            f"{slow[name] / plain[name]:.2f}",
            _verdict(plain, slow) if name == "p99" else "",
        )
        for name in QUANTILES
    ]
    table = Table(
        "PUBLISH -> request received, ms, by what a call to the exchange takes",
        ("load", *taken, "ratio", "target"),
        rows,
        f"{parts} x {seconds / parts:.0f} s each; {fired}",
    )
    bars = Bars(
        "A slow exchange", "ms", list(QUANTILES), {"without": list(plain.values()), "with": list(slow.values())}
    )
    return Report([table], taken, [bars])


def _verdict(plain: dict[str, float], slow: dict[str, float]) -> str:
    if plain["p50"] > _OVERLOADED_MS:
        return "overloaded without it: no verdict"
    return f"< {_LIMIT:g}: {kept(slow['p99'] / plain['p99'], _LIMIT)}"
