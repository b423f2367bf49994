"""What waited for the bridges, and what comes too fast for the workers: how long it takes, and who is served."""

import json
import os
import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any, Final, cast

from benchmarks.figures import Report, Setup, Table, shown
from benchmarks.load import SELECTION, Load
from benchmarks.stack import BenchStack, Side
from executor import keys
from executor.adapters.redis.records import decode_signal
from executor.domain.signal_record import SignalRecord

_FRESH: Final = 100  # signals that are still valid, behind the others
_OLD_MS: Final = 600_000  # longer ago than any signal is valid
_PIPED: Final = 1000
_WITHIN_S: Final = 600.0
_MARKETS: Final = 50


def backlog(setup: Setup) -> Report:
    """Let a backlog of expired signals and then a flood of valid ones come."""
    with BenchStack(setup.folder, setup.tell, sides=(Side.OURS,)) as stack:
        load = Load(stack)
        load.warm_up()
        markets = load.open_markets(_MARKETS)
        waited = _waited(stack, setup.plan.backlog, markets)
        setup.tell(f"{setup.plan.backlog:,} waited: {waited}")
        flooded = _flooded(stack, setup.plan.flood, markets)
        setup.tell(f"{setup.plan.flood:,} at once: {flooded}")
    tables = [
        Table(
            f"{setup.plan.backlog:,} signals waiting when the bridge comes back", ("", "found"), list(waited.items())
        ),
        Table(f"{setup.plan.flood:,} published at once, valid for a minute", ("", "found"), list(flooded.items())),
    ]
    return Report(tables, {"waited": waited, "flooded": flooded})


def _message(name: str, market: str) -> str:
    bet = {"selectionId": SELECTION, "recommendedOdds": 3, "stake": 2, "betType": "Back"}
    return json.dumps({"signalId": name, "marketId": market, "validityWindow": 60, "primarySelection": bet})


def _waited(stack: BenchStack, count: int, markets: list[str]) -> dict[str, str]:
    bridge = next(pid for name, pid in stack.pids().items() if name.startswith("bridge"))
    os.kill(bridge, signal.SIGSTOP)
    began = int(stack.redis.time()[0]) * 1000 - _OLD_MS
    stack.redis.delete(keys.SIGNALS)  # ids of long ago are taken by a stream that had none yet
    pipe = stack.redis.pipeline(transaction=False)
    for at in range(count):
        fields: Any = {"kind": "strategy", "payload": _message(f"old-{at}", markets[at % len(markets)])}
        pipe.xadd(keys.SIGNALS, fields, id=f"{began + at // _PIPED}-{at % _PIPED + 1}")
        if at % _PIPED == _PIPED - 1:
            pipe.execute()
    pipe.execute()
    for at in range(_FRESH):
        fields = {"kind": "strategy", "payload": _message(f"fresh-{at}", markets[at % len(markets)])}
        stack.redis.xadd(keys.SIGNALS, fields)
    os.kill(bridge, signal.SIGCONT)
    start = time.monotonic()
    stack.until(lambda: stack.redis.exists(keys.signal(f"fresh-{_FRESH - 1}")), "the fresh ones", _WITHIN_S)
    fresh_s = time.monotonic() - start
    stack.until(lambda: not stack.redis.xlen(keys.SIGNALS), "the backlog's end", _WITHIN_S)
    closed_s = time.monotonic() - start
    return {
        f"{_FRESH} valid ones behind them, all recorded after": f"{shown(fresh_s)} s",
        "all closed after": f"{shown(closed_s)} s",
        "memory of the bridge, most": f"{_peak_mb(bridge)} MB",
    }


def _flooded(stack: BenchStack, count: int, markets: list[str]) -> dict[str, str]:
    pipe = stack.redis.pipeline(transaction=False)
    for at in range(count):
        pipe.publish(keys.STRATEGY_SIGNALS, _message(f"flood-{at}", markets[at % len(markets)]))
    start = time.monotonic()
    pipe.execute()
    names = [keys.signal(f"flood-{at}") for at in range(count)]
    stack.until(lambda: _ended(stack, names) == count, "the flood's end", _WITHIN_S)
    records = _records(stack, names)
    ends = Counter(record.reason or str(record.status) for record in records)
    refused = [record.finished_at - record.received_at for record in records if record.reason == "OVERLOADED"]
    return {
        "all ended after": f"{shown(time.monotonic() - start)} s",
        **{reason: f"{number:,}" for reason, number in sorted(ends.items())},
        "OVERLOADED, told within": f"{max(refused, default=0)} ms",
    }


def _ended(stack: BenchStack, names: list[str]) -> int:
    return sum(bool(record.finished_at) for record in _records(stack, names))


def _records(stack: BenchStack, names: list[str]) -> list[SignalRecord]:
    found: list[str | None] = []
    for at in range(0, len(names), _PIPED):
        found += cast("list[str | None]", stack.redis.mget(names[at : at + _PIPED]))
    return [decode_signal(text) for text in found if text]


def _peak_mb(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) // 1024
