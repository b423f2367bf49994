"""XADD -> request received beside PUBLISH -> request received: the doors take turns, signal by signal, in one run."""

from typing import Final

from benchmarks.figures import QUANTILES, Bars, Report, Setup, Table, kept, quantiles, ratio, shown, shown_ratio
from benchmarks.load import Load
from benchmarks.stack import BenchStack, Side

_JUDGED: Final = "p50"
_TARGET: Final = 1.1  # issue: XADD at most so many times PUBLISH
_RATE: Final = 20  # signals a second, half of them through each door


def doors(setup: Setup) -> Report:
    """Measure both doors of one bridge."""
    plan = setup.plan
    stream: list[list[float]] = []
    channel: list[list[float]] = []
    with BenchStack(setup.folder, setup.tell, sides=(Side.OURS,)) as stack:
        load = Load(stack)
        load.warm_up()
        for number in range(plan.rounds):
            block = load.fire(Side.OURS, int(2 * plan.block_s * _RATE), _RATE, durable=lambda at: at % 2 == 0)
            took = block.latencies_ms
            stream.append(took[::2])
            channel.append(took[1::2])
            load.settle(block)
            setup.tell(f"round {number + 1} of {plan.rounds}: XADD p50 {quantiles(took[::2])['p50']:.1f} ms, "
                       f"PUBLISH p50 {quantiles(took[1::2])['p50']:.1f} ms")  # fmt: skip
        fired = load.check()
    rows = []
    for name in QUANTILES:
        against = ratio(*([quantiles(taken)[name] for taken in each] for each in (stream, channel)))
        whole = (quantiles([value for each in door for value in each])[name] for door in (stream, channel))
        target = f"<= {_TARGET}: {kept(against[0], _TARGET)}" if name == _JUDGED else ""
        rows.append((name, *map(shown, whole), shown_ratio(against), target))
    table = Table(
        f"The two doors, request received at the exchange after XADD and after PUBLISH, ms, {_RATE} signals/s",
        ("quantile", "XADD", "PUBLISH", "ratio (range)", "target"),
        rows,
        f"{plan.rounds} rounds, the doors in turns; {fired}",
    )
    middle = {name: [quantiles([value for each in door for value in each])["p50"]]
              for name, door in (("XADD", stream), ("PUBLISH", channel))}  # fmt: skip
    return Report([table], {"XADD": stream, "PUBLISH": channel}, [Bars("The two doors, p50", "ms", ["20/s"], middle)])
