"""Writing the sandbox's own day in the format of Betfair's historical files (PRO), for a later replay.

Owns: what was last written of each market. Invariants: a line holds what changed since the line before; after a market
is closed nothing more of it is written; a full disk costs the recording, not the sandbox. Units: epoch milliseconds.
"""

import bz2
import gzip
import io
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import IO, Final

from betfair_sandbox.api.wire import Json, dump_json
from betfair_sandbox.market.accounts import RunnerKey
from betfair_sandbox.market.exchange import Exchange
from betfair_sandbox.market.markets import Market, Runner
from betfair_sandbox.market.money import ZERO, Side
from betfair_sandbox.stream.definition import market_definition

_log = logging.getLogger(__name__)
# Prices that move by themselves are not noted as changes; Betfair's ADVANCED files look once a second, too.
_LOOK_AT_ALL_MS: Final = 1_000
_Sizes = Mapping[Decimal, Decimal]


@dataclass(slots=True)
class _WrittenRunner:
    """What was last written of a runner."""

    revision: int = -1
    ladders: dict[str, dict[Decimal, Decimal]] = field(default_factory=dict)
    values: dict[str, Decimal | None] = field(default_factory=dict)


@dataclass(slots=True)
class _WrittenMarket:
    """What was last written of a market."""

    definition: Json | None = None
    runners: dict[RunnerKey, _WrittenRunner] = field(default_factory=dict)


class Recorder:
    """Writes one file."""

    def __init__(self, path: Path, exchange: Exchange, clock_ms: Callable[[], int]) -> None:
        self._file: IO[bytes] | None = _open(path)
        self._path = path
        self._clock_ms = clock_ms
        self._written: dict[str, _WrittenMarket] = {}
        self._closed: set[str] = set()
        self._lines = 0
        self._looked_ms = 0
        self.adopt(exchange)

    def adopt(self, exchange: Exchange) -> None:
        """Record this exchange from now on: it was started anew."""
        self._exchange = exchange
        self._changed = exchange.changes.tap()
        self._written.clear()
        self._closed.clear()

    def write(self) -> None:
        """Write what changed since the last call, as one line."""
        now_ms = self._clock_ms()
        if now_ms - self._looked_ms >= _LOOK_AT_ALL_MS:
            self._looked_ms = now_ms
            self._changed |= set(self._exchange.markets)
        noted, self._changed = self._changed, self._exchange.changes.tap()
        rows = []
        for market_id in noted - self._closed:
            market = self._exchange.markets.get(market_id)
            row = self._row(market, now_ms) if market is not None else None
            if row is not None:
                rows.append(row)
        if rows:
            self._lines += 1
            self._put({"op": "mcm", "clk": str(self._lines), "pt": now_ms, "mc": rows})

    def close(self) -> None:
        """Write the rest and close the file."""
        self.write()
        if self._file is not None:
            try:
                self._file.close()
            except OSError as error:
                _log.warning("recording: %s: %s", self._path, error)
            self._file = None

    def _put(self, line: Json) -> None:
        if self._file is None:
            return
        try:
            self._file.write(dump_json(line) + b"\n")
            self._file.flush()
        except OSError as error:
            _log.warning("recording stops: %s: %s", self._path, error)
            self._file = None

    def _row(self, market: Market, now_ms: int) -> Json | None:
        written = self._written.get(market.market_id)
        first = written is None
        if written is None:
            written = self._written[market.market_id] = _WrittenMarket()
        row: Json = {"id": market.market_id}
        definition = {**market_definition(market, now_ms), "name": market.name, "eventName": market.event_name}
        if definition != written.definition:
            row["marketDefinition"] = written.definition = definition
        changes = []
        for key, runner in market.runners.items():
            change = _runner_change(written.runners.setdefault(key, _WrittenRunner()), runner)
            if change:
                changes.append(change)
        if changes:
            row["rc"] = changes
        if market.status == "CLOSED":
            self._closed.add(market.market_id)
            del self._written[market.market_id]
        return {**row, "con": True, "img": first} if len(row) > 1 else None


def _runner_change(written: _WrittenRunner, runner: Runner) -> Json:
    change: Json = {}
    ladders: dict[str, _Sizes] = {"trd": runner.traded, "spb": runner.sp_backed, "spl": runner.sp_laid}
    if runner.book.revision != written.revision:
        written.revision = runner.book.revision
        ladders["atb"] = dict(runner.book.levels(Side.LAY))
        ladders["atl"] = dict(runner.book.levels(Side.BACK))
    for name, sizes in ladders.items():
        before = written.ladders.get(name, {})
        if sizes == before:
            continue
        moved = sorted(price for price in {*before, *sizes} if before.get(price) != sizes.get(price))
        change[name] = [[price, sizes.get(price, ZERO)] for price in moved]
        written.ladders[name] = dict(sizes)
    if "trd" in change:
        change["tv"] = sum((size for _, size in change["trd"]), ZERO)  # as in PRO files: of this line
    values = (("ltp", runner.last_price), ("spn", runner.sp_near), ("spf", runner.sp_far))
    for name, value in values:
        if value != written.values.get(name):
            change[name] = "NaN" if value is None else value
            written.values[name] = value
    if not change:
        return {}
    return {**change, "id": runner.selection_id, **({"hc": runner.handicap} if runner.handicap else {})}


def _open(path: Path) -> IO[bytes]:
    if path.suffix == ".bz2":
        return bz2.BZ2File(path, "wb")
    if path.suffix == ".gz":
        return io.BufferedWriter(gzip.GzipFile(path, "wb"))
    return path.open("wb")
