"""What a signal costs: CPU time of each process, round trips to Redis, memory; what runs anyway is taken off.

CPU in milliseconds a signal, memory in MB. A round trip is one read of a client's socket by
Redis: a pipeline or a transaction is one, commands inside a script are none.
"""

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from benchmarks.figures import Report, Setup, Table, shown
from benchmarks.load import Load
from benchmarks.machine import cpu_s, memory_mb
from benchmarks.stack import PAIR, BenchStack, Side

_RATE: Final = 20
_MIN_S: Final = 10.0  # CPU is counted in ticks of 10 ms


@dataclass(frozen=True, slots=True)
class Meter:
    """What was used up to a moment."""

    at: float
    cpu_s: Mapping[str, float]
    round_trips: int
    commands: Mapping[str, int]


def read_meter(stack: BenchStack) -> Meter:
    """Read every process's clock and Redis's counters."""
    stats: dict[str, Any] = stack.redis.info("stats")
    found: dict[str, Any] = stack.redis.info("commandstats")
    commands = {name.removeprefix("cmdstat_"): int(fields["calls"]) for name, fields in found.items()}
    cpu = {name: cpu_s(pid) for name, pid in stack.pids().items()}
    return Meter(time.monotonic(), cpu, int(stats["total_reads_processed"]), commands)


def cost(setup: Setup) -> Report:
    """Meter a quiet stretch and a busy one for each side."""
    seconds = max(_MIN_S, setup.plan.block_s * setup.plan.rounds)
    count = int(_RATE * seconds)
    used: dict[Side, dict[str, float]] = {}
    commands: dict[Side, Counter[str]] = {}
    with BenchStack(setup.folder, setup.tell) as stack:
        load = Load(stack)
        load.warm_up()
        setup.tell(f"{seconds:.0f} s of quiet")
        before = read_meter(stack)
        time.sleep(seconds)
        quiet = _difference(before, read_meter(stack))
        for side in PAIR:
            setup.tell(f"{count} signals to the {side}")
            markets = load.open_markets(50)
            before = read_meter(stack)
            block = load.fire(side, count, _RATE, markets=markets)
            busy = _difference(before, read_meter(stack))
            load.settle(block)
            used[side] = {name: (busy.cpu_s[name] - _share(quiet, busy, name)) * 1000 / count for name in busy.cpu_s}
            idle = quiet.round_trips * busy.at / quiet.at
            used[side]["round trips"] = (busy.round_trips - idle) / count
            commands[side] = Counter(
                {
                    name: round(100 * (calls - quiet.commands.get(name, 0) * busy.at / quiet.at) / count)
                    for name, calls in busy.commands.items()
                }
            )
        memory = {name: memory_mb(pid) for name, pid in stack.pids().items()}
        fired = load.check()
    note = f"{_RATE} signals/s for {seconds:.0f} s, less a quiet stretch; {fired}"
    return _report(used, commands, memory, note)


def _difference(before: Meter, after: Meter) -> Meter:
    return Meter(
        after.at - before.at,
        {name: after.cpu_s[name] - before.cpu_s.get(name, 0.0) for name in after.cpu_s},
        after.round_trips - before.round_trips,
        {name: calls - before.commands.get(name, 0) for name, calls in after.commands.items()},
    )


def _share(quiet: Meter, busy: Meter, name: str) -> float:
    """Return what a process would have used in the busy stretch without a signal."""
    return quiet.cpu_s.get(name, 0.0) * busy.at / quiet.at


def _report(
    used: Mapping[Side, Mapping[str, float]],
    commands: Mapping[Side, Counter[str]],
    memory: Mapping[str, float],
    note: str,
) -> Report:
    ours, floor = used[Side.OURS], used[Side.FLOOR]
    names = [name for name in ours if name not in {"round trips", "sandbox"}]
    engine = sum(ours[name] for name in names if not name.startswith("floor") and name != "redis")
    bare = sum(floor[name] for name in names if name.startswith("floor"))
    rows = [(f"CPU of {name}, ms", shown(ours[name], 2), shown(floor[name], 2)) for name in (*names, "sandbox")]
    rows += [
        ("CPU of its own processes, ms", shown(engine, 2), shown(bare, 2)),
        ("round trips to Redis", shown(ours["round trips"]), shown(floor["round trips"])),
    ]
    top = [
        (name, *(f"{commands[side][name] / 100:.2f}" for side in PAIR))
        for name, calls in commands[Side.OURS].most_common()
        if calls > 1
    ]
    held = [(name, shown(size)) for name, size in memory.items()]
    tables = [
        Table("Cost of one signal", ("what", *map(str, PAIR)), rows, note),
        Table("Redis commands of one signal, those in scripts too", ("command", *map(str, PAIR)), top),
        Table("Memory at the end, MB; with children, what they share counted once", ("process", "MB"), held),
    ]
    raw = {str(side): {"used": used[side], "commands_x100": commands[side]} for side in PAIR}
    return Report(tables, {**raw, "memory_mb": memory})
