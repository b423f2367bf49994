"""What is published of one market: its definition, offers, traded volume, each with the sequence of its last change.

Owns: comparing the market with what was last published. Invariants: all subscriptions of a market share one image,
whatever they ask for and however far behind they are; nothing moves in an image after CLOSED. Units: sequence numbers,
JSON numbers.
"""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Final, Protocol

from betfair_sandbox.api.wire import Json
from betfair_sandbox.market.accounts import RunnerKey
from betfair_sandbox.market.markets import Market, Runner
from betfair_sandbox.market.money import ZERO, Side
from betfair_sandbox.market.rollup import rolled_up
from betfair_sandbox.stream.definition import market_definition
from betfair_sandbox.stream.filters import DataFilter
from betfair_sandbox.stream.versioned import Ladder, Levels, Value

_ALL: Final = -1  # before every sequence


class Reader(Protocol):
    """A subscription that holds a market."""

    def note(self, market_id: str) -> None:
        """Note that the market has something to tell."""

    def remove(self, market_id: str) -> None:
        """Hold the market no more."""


class RunnerImage:
    """What is published of one runner."""

    def __init__(self, runner: Runner) -> None:
        self.seq = _ALL
        self._id: Json = {"id": runner.selection_id}
        if runner.handicap:
            self._id["hc"] = float(runner.handicap)
        self._seen: tuple[object, ...] = ()
        self._to_back, self._to_lay, self._traded = Ladder(), Ladder(), Ladder()
        self._best_back, self._best_lay = Levels(), Levels()
        self._sp_backed, self._sp_laid = Ladder(), Ladder()
        self._last_price, self._volume, self._sp_near, self._sp_far = Value(), Value(), Value(), Value()

    def update(self, runner: Runner, seq: int) -> bool:
        """Take the runner as it is now; tell whether anything is to be told."""
        changed = [
            self._sp_backed.update(runner.sp_backed, seq),
            self._sp_laid.update(runner.sp_laid, seq),
            self._sp_near.update(runner.sp_near, seq),
            self._sp_far.update(runner.sp_far, seq),
        ]
        seen = (runner.book.revision, runner.total_matched, runner.last_price)
        if seen != self._seen:
            self._seen = seen
            back, lay = runner.book.levels(Side.LAY), runner.book.levels(Side.BACK)
            changed += [
                self._to_back.update(dict(back), seq),
                self._to_lay.update(dict(lay), seq),
                self._best_back.update(rolled_up(back), seq),
                self._best_lay.update(rolled_up(lay), seq),
                self._traded.update(runner.traded, seq),
                self._last_price.update(runner.last_price, seq),
                self._volume.update(runner.total_matched, seq),
            ]
        if any(changed):
            self.seq = seq
        return any(changed)

    def change(self, since: int, data: DataFilter) -> Json | None:
        """Return the runner's row of a change message, None when it would say nothing."""
        row: Json = {name: ladder for name, ladder in self._ladders(since, data) if ladder}
        values = (
            ("EX_LTP", "ltp", self._last_price),
            ("EX_TRADED_VOL", "tv", self._volume),
            ("SP_PROJECTED", "spn", self._sp_near),
            ("SP_PROJECTED", "spf", self._sp_far),
        )
        for field, name, value in values:
            if field in data.fields and value.seq > since:
                row[name] = "NaN" if value.value is None else float(value.value)
        return {**row, **self._id} if row else None

    def _ladders(self, since: int, data: DataFilter) -> Iterator[tuple[str, list[list[float]]]]:
        fields = data.fields
        if "EX_BEST_OFFERS" in fields:
            yield "batb", self._best_back.since(since, data.levels)
            yield "batl", self._best_lay.since(since, data.levels)
        if "EX_BEST_OFFERS_DISP" in fields:  # no cross-matching here: nothing virtual is displayed
            yield "bdatb", self._best_back.since(since, data.levels)
            yield "bdatl", self._best_lay.since(since, data.levels)
        if "EX_ALL_OFFERS" in fields:
            yield "atb", self._to_back.since(since)
            yield "atl", self._to_lay.since(since)
        if "EX_TRADED" in fields:
            yield "trd", self._traded.since(since)
        if "SP_TRADED" in fields:
            yield "spb", self._sp_backed.since(since)
            yield "spl", self._sp_laid.since(since)


class MarketImage:
    """What is published of one market."""

    def __init__(self, market_id: str, born: int) -> None:
        self.market_id = market_id
        self.born = born  # a reader who looked last before this gets everything
        self.seq = born
        self.revision = 0  # how often it changed: a reader who missed one is told that changes were merged
        self.closed = False
        self.subscriptions: set[Reader] = set()
        self.unused_since_ms = 0
        self._runners: dict[RunnerKey, RunnerImage] = {}
        self._definition, self._volume = Value(), Value()
        self._defined: tuple[object, ...] = ()

    def update(self, market: Market, seq: int, now_ms: int) -> bool:
        """Take the market as it is now; tell whether anything is to be told."""
        if self.closed:
            return False
        changed = self._define(market, seq, now_ms)
        for key, runner in list(market.runners.items()):
            image = self._runners.get(key)
            if image is None:
                image = self._runners[key] = RunnerImage(runner)
            changed |= image.update(runner, seq)
        changed |= self._volume.update(_matched(market.runners), seq)
        self.closed = market.status == "CLOSED"
        if changed:
            self.seq = seq
            self.revision += 1
        return changed

    def change(self, since: int, data: DataFilter, *, merged: bool) -> Json | None:
        """Return the market's part of a change message, None when it would say nothing."""
        whole = since < self.born
        change: Json = {"id": self.market_id}
        if whole:
            since = _ALL
            change["img"] = True
        if "EX_MARKET_DEF" in data.fields and self._definition.seq > since:
            change["marketDefinition"] = self._definition.value
        rows = [
            row
            for runner in self._runners.values()
            if runner.seq > since and (row := runner.change(since, data)) is not None
        ]
        if rows:
            change["rc"] = rows
        if "EX_TRADED_VOL" in data.fields and self._volume.seq > since:
            change["tv"] = float(self._volume.value)
        if len(change) == 1:
            return None
        if merged:
            change["con"] = True
        return change

    def _define(self, market: Market, seq: int, now_ms: int) -> bool:
        # Building a definition costs more than all else here: only when something that it tells of may have changed.
        defined = (
            market.version,
            market.status,
            market.inplay,
            market.bet_delay_s,
            market.winners,
            market.base_rate,
            market.grows,
            market.market_type,
            market.start_ms,
            market.bsp_reconciled,
            market.suspend_reason,
            market.bet_delay_models,
            market.key_line,
            tuple(
                (key, runner.status, runner.name, runner.bsp, runner.adjustment_factor)
                for key, runner in market.runners.items()
            ),
        )
        if defined == self._defined:
            return False
        self._defined = defined
        return self._definition.update(market_definition(market, now_ms), seq)


def _matched(runners: Mapping[RunnerKey, Runner]) -> Decimal:
    return sum((runner.total_matched for runner in runners.values()), ZERO)
