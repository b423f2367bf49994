"""The engine beside the floor and a bare script, in turns: quiet, with one core taken, in a burst.

A ratio of one run says what durability, limits and at-most-once cost: nobody needs fewer milliseconds than the script.
Units: milliseconds.
"""

import multiprocessing
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Final

from benchmarks.figures import Bars, Report, Setup, Table, kept, quantiles, ratio, shown, shown_ratio
from benchmarks.latency import pooled
from benchmarks.load import Load
from benchmarks.stack import BenchStack, Side

_SIDES: Final = tuple(Side)
_OTHERS: Final = (Side.BARE, Side.FLOOR)
_JUDGED: Final = 20  # signals a second
_QUANTILES: Final = ("p50", "p95", "p99")
# Issue: at 20/s p50 at most 2.2 x the script's and 1.0 x the floor's, p99 at most 2 x the script's; saturation 1.0 x.
_TARGETS: Final = {("p50", Side.BARE): 2.2, ("p50", Side.FLOOR): 1.0, ("p99", Side.BARE): 2.0}
_SATURATION: Final = 1.0
_BUSY_ENDS_S: Final = 600  # the loop ends by itself, were it ever left behind

Case = tuple[str, int, Callable[[], AbstractContextManager[None]]]  # name, signals a second, what surrounds it
Taken = dict[str, dict[Side, list[list[float]]]]  # condition -> side -> latencies of each round


def peers(setup: Setup) -> Report:
    """Measure all three at every rate, then with one core busy, then in a burst."""
    plan = setup.plan
    quiet: list[Case] = [(f"{rate}/s", rate, nullcontext) for rate in plan.rates]
    cases: list[Case] = [*quiet, (f"{_JUDGED}/s, one core busy", _JUDGED, _busy)]
    taken: Taken = {name: defaultdict(list) for name, *_ in cases}
    rates: dict[Side, list[float]] = defaultdict(list)
    with BenchStack(setup.folder, setup.tell, sides=_SIDES) as stack:
        load = Load(stack)
        load.warm_up()
        for number in range(plan.rounds):
            for name, rate, condition in cases:
                for side in _turns(number):
                    with condition():
                        block = load.fire(side, max(2, int(rate * plan.block_s)), rate)
                    taken[name][side].append(block.latencies_ms)
                    load.settle(block)
                setup.tell(_line(f"round {number + 1} of {plan.rounds}, {name}", taken[name]))
            for side in _turns(number):
                block = load.fire(side, plan.burst)
                rates[side].append(block.throughput)
                load.settle(block)
        fired = load.check()
    return _report(taken, rates, plan.burst, fired)


def _turns(number: int) -> Sequence[Side]:
    """Return who goes first in a round: each in turn."""
    at = number % len(_SIDES)
    return (*_SIDES[at:], *_SIDES[:at])


def _spin() -> None:
    ends = time.monotonic() + _BUSY_ENDS_S
    while time.monotonic() < ends:
        pass


@contextmanager
def _busy() -> Iterator[None]:
    spinning = multiprocessing.get_context("spawn").Process(target=_spin, daemon=True)
    spinning.start()
    try:
        yield
    finally:
        spinning.kill()
        spinning.join()


def _line(what: str, taken: Mapping[Side, Sequence[Sequence[float]]]) -> str:
    last = {side: quantiles(taken[side][-1]) for side in _SIDES}
    return f"{what}: " + ", ".join(
        f"{side} p50 {last[side]['p50']:.1f} p99 {last[side]['p99']:.1f} ms" for side in last
    )


def _against(rounds: Mapping[Side, Sequence[Sequence[float]]], name: str, other: Side) -> tuple[float, float, float]:
    ours, theirs = ([quantiles(block)[name] for block in rounds[side]] for side in (Side.OURS, other))
    return ratio(ours, theirs)


def _report(taken: Taken, rates: Mapping[Side, Sequence[float]], burst: int, fired: str) -> Report:
    rows = [_row(condition, name, taken[condition]) for condition in taken for name in _QUANTILES]
    number = len(rates[Side.OURS])
    table = Table(
        "PUBLISH -> request received at the exchange, ms",
        ("load", *map(str, _SIDES), "of the script (range)", "of the floor (range)"),
        rows,
        f"Milliseconds of all rounds together; ratios: medians of {number} rounds; {fired}.",
    )
    script, floor = (ratio(rates[Side.OURS], rates[side]) for side in _OTHERS)
    saturation = Table(
        f"{burst:,} signals at once: signals a second until the last bet is at the exchange",
        ("", *map(str, _SIDES), "of the script (range)", "of the floor (range)"),
        [
            (
                "median of the rounds",
                *(shown(quantiles(rates[side])["p50"], 0) for side in _SIDES),
                shown_ratio(script),
                f"{shown_ratio(floor)}; target {_SATURATION:g}: {kept(floor[0], _SATURATION, at_least=True)}",
            )
        ],
    )
    raw = {
        "latencies_ms": {name: {str(side): taken[name][side] for side in _SIDES} for name in taken},
        "saturation": {str(side): rates[side] for side in _SIDES},
    }
    bars = [
        Bars(f"PUBLISH to request received, {name}", "ms", list(taken), _series(taken, name)) for name in ("p50", "p99")
    ]
    return Report([table, saturation], raw, bars)


def _series(taken: Taken, name: str) -> dict[str, list[float]]:
    return {str(side): [pooled(taken[condition][side])[name] for condition in taken] for side in _SIDES}


def _row(condition: str, name: str, rounds: Mapping[Side, Sequence[Sequence[float]]]) -> tuple[str, ...]:
    judged = condition.startswith(f"{_JUDGED}/s")
    cells = []
    for side in _OTHERS:
        found = _against(rounds, name, side)
        limit = _TARGETS.get((name, side)) if judged else None
        cells.append(shown_ratio(found) + (f"; target {limit:g}: {kept(found[0], limit)}" if limit else ""))
    return (f"{condition} {name}", *(shown(pooled(rounds[side])[name]) for side in _SIDES), *cells)
