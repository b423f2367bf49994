"""The first order after a worker's start beside the steady state: what is still cold when signals come."""

import os
import signal

from benchmarks.figures import Report, Setup, Table, kept, percentile, quantiles, shown
from benchmarks.load import Load
from benchmarks.stack import BenchStack, Side
from executor import wiring

_RATE = 20
_LIMIT = 2.0  # issue: within 2 x of the steady p99


def first_order(setup: Setup) -> Report:
    """Start the worker again and again; after each start, when it says that it lives, publish."""
    plan = setup.plan
    firsts: list[float] = []
    steady: list[float] = []
    with BenchStack(setup.folder, setup.tell, sides=(Side.OURS,)) as stack:
        load = Load(stack)
        for number in range(plan.rounds):
            markets = load.open_markets(10)
            block = load.fire(Side.OURS, 1, markets=markets)
            firsts += block.latencies_ms
            load.warm_up()
            block = load.fire(Side.OURS, max(20, int(_RATE * plan.block_s)), _RATE)
            steady += block.latencies_ms
            load.settle(block)
            p99 = quantiles(block.latencies_ms)["p99"]
            setup.tell(f"round {number + 1} of {plan.rounds}: first {firsts[-1]:.1f} ms, steady p99 {p99:.1f} ms")
            if number + 1 < plan.rounds:
                _restart_worker(stack)
        fired = load.check()
    p99, middle = percentile(steady, 0.99), percentile(firsts, 0.5)
    row = (shown(middle), shown(max(firsts)), shown(p99), f"{middle / p99:.2f}", kept(middle / p99, _LIMIT))
    table = Table(
        "First order after a worker's start, PUBLISH -> request received, ms",
        ("first, median", "worst", "steady p99", "ratio", f"<= {_LIMIT:g}"),
        [row],
        f"{plan.rounds} starts; {fired}",
    )
    return Report([table], {"first": firsts, "steady": steady})


def _restart_worker(stack: BenchStack) -> None:
    pid = stack.supervisor.pid("worker")
    if pid is None:
        return
    os.kill(pid, signal.SIGTERM)
    stack.until(lambda: stack.supervisor.pid("worker") not in {pid, None}, "the worker's next life")
    pid_text = str(stack.supervisor.pid("worker"))
    state = wiring.state(stack.settings)
    stack.until(
        lambda: any(name.startswith("worker:") and name.endswith(f":{pid_text}") for name in state.read().processes),
        "the worker to say that it lives",
    )
