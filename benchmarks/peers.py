"""The engine beside the floor, a bare script and flumine, in turns: quiet, one core taken, a slow exchange, a burst.

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
from benchmarks.stack import BenchStack, Side, all_sides

_QUANTILES: Final = ("p50", "p95", "p99")
_JUDGED: Final = 20  # signals a second
# Issue: at 20/s p50 at most 2.2 x the script's and 1.0 x the floor's, p99 at most 2 x the script's; saturation 1.0 x.
_TARGETS: Final = {("p50", Side.BARE): 2.2, ("p50", Side.FLOOR): 1.0, ("p99", Side.BARE): 2.0}
_SATURATION: Final = 1.0
_BUSY_ENDS_S: Final = 600  # the loop ends by itself, were it ever left behind
_DELAY_S: Final = 0.1
_CALLS: Final = 1_000_000  # the delay stays armed until it is taken away

Condition = Callable[[BenchStack], AbstractContextManager[None]]
Case = tuple[str, int, Condition]  # name, signals a second, what surrounds it
Taken = dict[str, dict[Side, list[list[float]]]]  # condition -> side -> latencies of each round


def peers(setup: Setup) -> Report:
    """Measure all at every rate, then with one core busy, then beside a slow exchange, then in a burst."""
    plan = setup.plan
    quiet: list[Case] = [(f"{rate}/s", rate, lambda _: nullcontext()) for rate in plan.rates]
    fastest = max(plan.rates)
    cases: list[Case] = [
        *quiet,
        (f"{_JUDGED}/s, one core busy", _JUDGED, _busy),
        (f"{fastest}/s, exchange of 100 ms", fastest, _slow),
    ]
    taken: Taken = {name: defaultdict(list) for name, *_ in cases}
    rates: dict[Side, list[float]] = defaultdict(list)
    sides, fired = all_sides(), ""
    if Side.FLUMINE not in sides:
        setup.tell("without flumine: `make clients` installs it")
    for number in range(plan.rounds):
        # Processes of its own: what the sandbox lists of a hundred thousand bets holds up everybody's orders.
        with BenchStack(setup.folder / f"round-{number + 1}", setup.tell, sides=sides) as stack:
            load = Load(stack)
            load.warm_up()
            for name, rate, condition in cases:
                for side in _turns(sides, number):
                    if condition is _slow and side is Side.BARE:
                        continue  # one call at a time: ten a second, it would never end
                    with condition(stack):
                        block = load.fire(side, max(2, int(rate * plan.block_s)), rate)
                    taken[name][side].append(block.latencies_ms)
                    load.settle(block)
                setup.tell(_line(f"round {number + 1} of {plan.rounds}, {name}", taken[name]))
            for side in _turns(sides, number):
                block = load.fire(side, plan.burst)
                rates[side].append(block.throughput)
                load.settle(block)
            fired = load.check()
    return _report(taken, rates, plan.burst, fired)


def _turns(sides: Sequence[Side], number: int) -> Sequence[Side]:
    """Return who goes first in a round: each in turn."""
    at = number % len(sides)
    return (*sides[at:], *sides[:at])


@contextmanager
def _slow(stack: BenchStack) -> Iterator[None]:
    """Let each placeOrders take a tenth of a second."""
    fault = {"method": "placeOrders", "kind": "delay", "seconds": _DELAY_S, "count": _CALLS}
    stack.sandbox.control("faults", fault)
    try:
        yield
    finally:
        stack.sandbox.disarm()


def _spin() -> None:
    ends = time.monotonic() + _BUSY_ENDS_S
    while time.monotonic() < ends:
        pass


@contextmanager
def _busy(_: BenchStack) -> Iterator[None]:
    spinning = multiprocessing.get_context("spawn").Process(target=_spin, daemon=True)
    spinning.start()
    try:
        yield
    finally:
        spinning.kill()
        spinning.join()


def _line(what: str, taken: Mapping[Side, Sequence[Sequence[float]]]) -> str:
    last = {side: quantiles(rounds[-1]) for side, rounds in taken.items()}
    return f"{what}: " + ", ".join(
        f"{side} p50 {last[side]['p50']:.1f} p99 {last[side]['p99']:.1f} ms" for side in sorted(last)
    )


def _against(rounds: Mapping[Side, Sequence[Sequence[float]]], name: str, other: Side) -> tuple[float, float, float]:
    ours, theirs = ([quantiles(block)[name] for block in rounds[side]] for side in (Side.OURS, other))
    return ratio(ours, theirs)


def _report(taken: Taken, rates: Mapping[Side, Sequence[float]], burst: int, fired: str) -> Report:
    sides = [side for side in Side if side in rates]
    others = [side for side in sides if side is not Side.OURS]
    columns = (*map(str, sides), *(f"of {side}'s (range)" for side in others))
    number = len(rates[Side.OURS])
    rounds = f"ratios: medians of {number} rounds, each with processes of its own"
    table = Table(
        "PUBLISH -> request received at the exchange, ms",
        ("load", *columns),
        [_row(condition, name, taken[condition], sides) for condition in taken for name in _QUANTILES],
        f"Milliseconds of all rounds together; {rounds}; of the last: {fired}.",
    )
    found = {side: ratio(rates[Side.OURS], rates[side]) for side in others}
    told = {side: shown_ratio(found[side]) for side in others}
    told[Side.FLOOR] += f"; target {_SATURATION:g}: {kept(found[Side.FLOOR][0], _SATURATION, at_least=True)}"
    medians = (shown(quantiles(rates[side])["p50"], 0) for side in sides)
    saturation = Table(
        f"{burst:,} signals at once: signals a second until the last bet is at the exchange",
        ("", *columns),
        [("median of the rounds", *medians, *told.values())],
    )
    raw = {
        "latencies_ms": {name: {str(side): values for side, values in taken[name].items()} for name in taken},
        "saturation": {str(side): rates[side] for side in sides},
    }
    quiet = [name for name in taken if set(taken[name]) == set(sides)]
    bars = [
        Bars(f"PUBLISH to request received, {name}", "ms", quiet, _series(taken, quiet, sides, name))
        for name in ("p50", "p99")
    ]
    return Report([table, saturation], raw, bars)


def _series(taken: Taken, conditions: Sequence[str], sides: Sequence[Side], name: str) -> dict[str, list[float]]:
    return {str(side): [pooled(taken[condition][side])[name] for condition in conditions] for side in sides}


def _row(
    condition: str, name: str, rounds: Mapping[Side, Sequence[Sequence[float]]], sides: Sequence[Side]
) -> tuple[str, ...]:
    judged = condition.startswith(f"{_JUDGED}/s")
    figures = (shown(pooled(rounds[side])[name]) if side in rounds else "-" for side in sides)
    cells = []
    for side in sides:
        if side is Side.OURS:
            continue
        if side not in rounds:
            cells.append("-")
            continue
        found = _against(rounds, name, side)
        limit = _TARGETS.get((name, side)) if judged else None
        cells.append(shown_ratio(found) + (f"; target {limit:g}: {kept(found[0], limit)}" if limit else ""))
    return (f"{condition} {name}", *figures, *cells)
