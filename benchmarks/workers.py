"""How latency and saturation change with the number of workers, each with its pool, and the floor's too."""

from benchmarks.figures import Bars, Report, Setup, Table, quantiles, shown
from benchmarks.load import Load
from benchmarks.stack import PAIR, BenchStack, Side


def workers(setup: Setup) -> Report:
    """Measure each number of workers with a stack of its own."""
    plan = setup.plan
    rows: list[tuple[str, ...]] = []
    raw: dict[str, object] = {}
    rates: dict[Side, list[float]] = {side: [] for side in PAIR}
    for number in plan.workers:
        folder = setup.folder / str(number)
        folder.mkdir()
        with BenchStack(folder, setup.tell, workers=number) as stack:
            load = Load(stack)
            load.warm_up()
            for side in PAIR:
                found: dict[str, object] = {}
                for rate in plan.rates:
                    block = load.fire(side, max(2, int(rate * plan.block_s)), rate)
                    found[f"{rate}/s"] = quantiles(block.latencies_ms)
                    load.settle(block)
                    told = quantiles(block.latencies_ms)
                    rows.append((f"{number} x {side} {rate}/s", shown(told["p50"]), shown(told["p99"]), ""))
                block = load.fire(side, plan.burst)
                load.settle(block)
                rates[side].append(block.throughput)
                found["saturation"] = block.throughput
                rows.append((f"{number} x {side} burst", "", "", f"{shown(block.throughput, 0)}/s"))
                raw[f"{number} {side}"] = found
            load.check()
        setup.tell(f"{number} workers: " + ", ".join(f"{side} {rates[side][-1]:.0f}/s" for side in PAIR))
    table = Table("By number of worker processes", ("workers and load", "p50 ms", "p99 ms", "saturation"), rows)
    bars = Bars(
        "Saturation by worker processes",
        "signals/s",
        [str(number) for number in plan.workers],
        {str(side): values for side, values in rates.items()},
    )
    return Report([table], raw, [bars])
