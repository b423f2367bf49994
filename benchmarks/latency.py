"""PUBLISH -> request received, and saturation, beside the floor: alternating blocks in one run on one exchange."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Final

from benchmarks.figures import QUANTILES, Bars, Report, Setup, Table, kept, quantiles, ratio, shown, shown_ratio
from benchmarks.load import Load
from benchmarks.stack import PAIR, BenchStack, Side

# Issue: at 20 and 50 signals/s p50 at most 1.5 x and p99 at most 2 x the floor's, saturation at least 0.6 x.
_JUDGED: Final = (20, 50)
_TARGETS: Final = {"p50": 1.5, "p99": 2.0}
_SATURATION: Final = 0.6
# Reference: 200 ms from signal to order at the 99th percentile, 1,000 signals an hour.
_SIGNAL_TO_ORDER_MS: Final = 200.0
_PER_HOUR: Final = 1000

Rounds = dict[Side, list[list[float]]]  # latencies of each round


def latency(setup: Setup) -> Report:
    """Measure both sides at every rate."""
    plan = setup.plan
    taken: dict[int, Rounds] = {rate: defaultdict(list) for rate in plan.rates}
    with BenchStack(setup.folder, setup.tell) as stack:
        load = Load(stack)
        load.warm_up()
        for number in range(plan.rounds):
            for rate in plan.rates:
                for side in turns(number):
                    block = load.fire(side, max(2, int(rate * plan.block_s)), rate)
                    taken[rate][side].append(block.latencies_ms)
                    load.settle(block)
                setup.tell(_line(f"round {number + 1} of {plan.rounds}, {rate}/s", taken[rate]))
        fired = load.check()
    return _report(taken, fired)


def saturation(setup: Setup) -> Report:
    """Let both sides work through a burst."""
    plan = setup.plan
    rates: dict[Side, list[float]] = defaultdict(list)
    with BenchStack(setup.folder, setup.tell) as stack:
        load = Load(stack)
        load.warm_up()
        for number in range(plan.rounds):
            for side in turns(number):
                block = load.fire(side, plan.burst)
                rates[side].append(block.throughput)
                load.settle(block)
            found = ", ".join(f"{side} {rates[side][-1]:.0f}/s" for side in PAIR)
            setup.tell(f"round {number + 1} of {plan.rounds}, {plan.burst} at once: {found}")
        fired = load.check()
    against = ratio(rates[Side.OURS], rates[Side.FLOOR])
    middle = {side: quantiles(rates[side])["p50"] for side in PAIR}
    row = (
        f"burst of {plan.burst:,}",
        *(f"{shown(middle[side], 0)}/s" for side in PAIR),
        shown_ratio(against),
        f">= {_SATURATION}: {kept(against[0], _SATURATION, at_least=True)}",
    )
    hourly = min(rates[Side.OURS]) * 3600
    table = Table(
        "Saturation: signals a second until the last bet is at the exchange (median of rounds)",
        ("load", "executor", "floor", "ratio (range)", "target"),
        [row],
        f"{plan.rounds} rounds; {fired}",
    )
    promise = Table(
        "The reference's promise",
        ("promise", "limit", "found", ""),
        [("signals an hour", f"{_PER_HOUR:,}+", shown(hourly, 0), kept(hourly, _PER_HOUR, at_least=True))],
    )
    bars = Bars("Saturation", "signals/s", ["burst"], {str(side): [middle[side]] for side in PAIR})
    return Report([table, promise], {str(side): values for side, values in rates.items()}, [bars])


def turns(number: int) -> Sequence[Side]:
    """Return who goes first in a round: each in turn, so that neither always meets the warmer machine."""
    return PAIR if number % 2 == 0 else tuple(reversed(PAIR))


def pooled(rounds: Sequence[Sequence[float]]) -> dict[str, float]:
    """Return the quantiles of all rounds together."""
    return quantiles([value for each in rounds for value in each])


def ratios(taken: Rounds, name: str) -> tuple[float, float, float]:
    """Return how one quantile compares, round by round."""
    ours, floor = ([quantiles(values)[name] for values in taken[side]] for side in PAIR)
    return ratio(ours, floor)


def _line(what: str, taken: Rounds) -> str:
    last = {side: quantiles(taken[side][-1]) for side in PAIR}
    told = ", ".join(f"{side} p50 {last[side]['p50']:.1f} p99 {last[side]['p99']:.1f} ms" for side in PAIR)
    return f"{what}: {told}"


def _report(taken: dict[int, Rounds], fired: str) -> Report:
    rounds = len(next(iter(taken.values()))[Side.OURS])
    table = Table(
        "PUBLISH -> request received at the exchange, ms",
        ("load", "executor", "floor", "ratio (range)", "target"),
        [_row(rate, name, taken[rate]) for rate in taken for name in QUANTILES],
        f"Milliseconds of all rounds together; ratio: median of {rounds} rounds of alternating blocks. Signals are "
        f"evenly spaced, over 50 markets; {fired}.",
    )
    worst = max(pooled(taken[rate][Side.OURS])["p99"] for rate in taken)
    limit = f"{_SIGNAL_TO_ORDER_MS:.0f} ms"
    promise = Table(
        "The reference's promise",
        ("promise", "limit", "found", ""),
        [("signal to order, p99 at the worst rate", limit, f"{shown(worst)} ms", kept(worst, _SIGNAL_TO_ORDER_MS))],
    )
    raw = {str(rate): {str(side): taken[rate][side] for side in PAIR} for rate in taken}
    return Report([table, promise], raw, list(_pictures(taken)))


def _row(rate: int, name: str, taken: Rounds) -> tuple[str, ...]:
    ours, floor = (shown(pooled(taken[side])[name]) for side in PAIR)
    found = ratios(taken, name)
    limit = _TARGETS.get(name) if rate in _JUDGED else None
    target = f"<= {limit:g}: {kept(found[0], limit)}" if limit else ""
    return f"{rate}/s {name}", ours, floor, shown_ratio(found), target


def _pictures(taken: dict[int, Rounds]) -> Iterator[Bars]:
    for name in ("p50", "p99"):
        series = {str(side): [pooled(taken[rate][side])[name] for rate in taken] for side in PAIR}
        yield Bars(f"PUBLISH to request received, {name}", "ms", [f"{rate}/s" for rate in taken], series)
