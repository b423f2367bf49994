"""Where a signal's time goes, stage by stage, in the engine's own processes with a probe in them."""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from benchmarks.figures import Report, Setup, Table, kept, percentile, quantiles, shown
from benchmarks.load import Block, Load
from benchmarks.stack import BenchError, BenchStack, Side

_RATE: Final = 20
# From one point to the next, in a signal's order.
_WAY: Final = (
    ("pub/sub: PUBLISH -> bridge", "PUBLISH", "heard"),
    ("bridge: parse, record and start the chain", "heard", "recorded"),
    ("hop: recorded -> validate_risk", "recorded", "start validate_risk"),
    ("validate_risk: all of it", "start validate_risk", "start place_order"),
    ("place_order: before the call", "start place_order", "call"),
    ("exchange: call -> received", "call", "received"),
    ("PUBLISH -> received", "PUBLISH", "received"),
    ("exchange: received -> answer", "received", "answer"),
    ("place_order: after the call", "answer", "start log_trade"),
    ("log_trade: all of it", "start log_trade", "end log_trade"),
    ("PUBLISH -> log_trade ended", "PUBLISH", "end log_trade"),
)
# Reference: 10 ms for pub/sub, 50 ms for risk validation, 500 ms for placement at the exchange, all at the 99th.
_PROMISES: Final = (
    ("pub/sub", _WAY[0][0], 10.0),
    ("risk validation", _WAY[3][0], 50.0),
    ("placement: call -> answer", "exchange: call -> answer", 500.0),
)

Stages = dict[str, list[float]]


def stages(setup: Setup) -> Report:
    """Fire at one rate and add up the points."""
    folder = setup.folder / "probe"
    folder.mkdir()
    blocks: list[Block] = []
    with BenchStack(setup.folder, setup.tell, sides=(Side.OURS,), probe=folder) as stack:
        load = Load(stack)
        load.warm_up()
        for number in range(setup.plan.rounds):
            blocks.append(load.fire(Side.OURS, int(_RATE * setup.plan.block_s), _RATE))
            load.settle(blocks[-1])
            setup.tell(f"round {number + 1} of {setup.plan.rounds}")
        fired = load.check()
    found = _stages(folder, blocks)
    return _report(found, f"{_RATE} signals/s; {fired}; with the probe's own cost")


def _stages(folder: Path, blocks: Sequence[Block]) -> Stages:
    points, durations = _read(folder)
    found: Stages = defaultdict(list)
    for shot in (shot for block in blocks for shot in block.shots):
        moments = {**points[shot.signal_id], "PUBLISH": shot.published_at, "received": shot.received_at}
        for name, begin, end in (*_WAY, ("exchange: call -> answer", "call", "answer")):
            if begin in moments and end in moments:
                found[name].append((moments[end] - moments[begin]) * 1000)
        for name, seconds in durations[shot.signal_id]:
            found[f"of it {name}"].append(seconds * 1000)
    if not found:
        raise BenchError(f"the probes noted nothing in {folder}")
    return found


def _read(folder: Path) -> tuple[Mapping[str, dict[str, float]], Mapping[str, list[tuple[str, float]]]]:
    points: dict[str, dict[str, float]] = defaultdict(dict)
    durations: dict[str, list[tuple[str, float]]] = defaultdict(list)
    for path in folder.glob("probe-*.json"):
        noted = json.loads(path.read_text(encoding="utf-8"))
        for point, signal_id, moment in noted["moments"]:
            points[signal_id].setdefault(point, moment)
        for name, signal_id, seconds in noted["durations"]:
            times = sum(known.startswith(name) for known, _ in durations[signal_id])
            durations[signal_id].append((f"{name} {times + 1}" if times else name, seconds))
    return points, durations


def _report(found: Stages, note: str) -> Report:
    total = percentile(found["PUBLISH -> received"], 0.5)
    named = [name for name, *_ in _WAY if name in found]
    parts = sorted(name for name in found if name.startswith("of it "))
    rows = [_row(name, found[name], total) for name in (*named, *parts)]
    columns = ("stage", "p50 ms", "p95 ms", "p99 ms", "max ms", "share of p50")
    promises = [_promise(found, *promise) for promise in _PROMISES]
    return Report(
        [
            Table("Time per stage", columns, rows, note),
            Table("The reference's promises, p99", ("promise", "limit", "found", ""), promises),
        ],
        found,
    )


def _row(name: str, values: Sequence[float], total: float) -> tuple[str, ...]:
    found = quantiles(values)
    return name, *(shown(figure, 2) for figure in found.values()), f"{100 * found['p50'] / total:.0f} %"


def _promise(found: Stages, name: str, stage: str, limit: float) -> tuple[str, ...]:
    p99 = percentile(found[stage], 0.99)
    return name, f"{limit:.0f} ms", f"{shown(p99, 2)} ms", kept(p99, limit)
