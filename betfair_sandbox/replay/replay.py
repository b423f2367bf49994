"""A recording that plays: its clock, its markets, what was skipped.

Owns: which line is next and when it is due. Invariants: lines happen in the order of their time; whatever is in a file,
the sandbox goes on. Units: recorded instants are epoch milliseconds, speed is recorded seconds per second.
"""

import logging
import math
import re
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Final

from betfair_sandbox.api.wire import Json, format_date
from betfair_sandbox.market.exchange import Exchange
from betfair_sandbox.replay.definitions import read_definition
from betfair_sandbox.replay.files import BadLine, Line, read_recording
from betfair_sandbox.replay.offers import Offers
from betfair_sandbox.replay.player import MarketPlayer

_log = logging.getLogger(__name__)
_SKIPS_KEPT: Final = 1_000
_SKIPS_LOGGED: Final = 20
FASTEST: Final = 10_000
_SKIPPED_A_STEP: Final = 5_000
_BEFORE: Final = re.compile(r"-(\d{1,6})(s|m|h)")
_SECONDS: Final = {"s": 1, "m": 60, "h": 3_600}


def seconds_before(start: str) -> int | None:
    """Return how many seconds before the start of the first market `-10m` is; None when it is no such text."""
    found = _BEFORE.fullmatch(start)
    return int(found[1]) * _SECONDS[found[2]] if found else None


class Replay:
    """One recording on one exchange."""

    def __init__(
        self, exchange: Exchange, path: Path, clock_ms: Callable[[], int], speed: Decimal, start: int | str | None
    ) -> None:
        self._exchange = exchange
        self._clock_ms = clock_ms
        self._path = path
        self._players: dict[str, MarketPlayer] = {}
        self._offers = Offers(exchange)
        self._skipped: list[Json] = []
        self._skip_count = 0
        self._played = 0
        self._last: Line | None = None
        self._lines: Iterator[Line] = read_recording(path, self._skip)
        self._next = next(self._lines, None)
        while self._next is not None and not self._next.changes:
            self._next = next(self._lines, None)
        self._speed = speed
        self._paused = False
        first = self._next.pt if self._next is not None else 0
        self._recorded_from = first if start is None else self._start_of(start, first)
        self._real_from = clock_ms()
        self._catch_up()

    @property
    def exhausted(self) -> bool:
        """Tell whether there is no line left."""
        return self._next is None

    @property
    def empty(self) -> bool:
        """Tell whether there was no line to play at all: the file is something else."""
        return self._next is None and not self._played

    def due_s(self) -> float:
        """Return in how many seconds the next line is due; a long time when none is."""
        if self._next is None or self._paused:
            return float(_SECONDS["h"])
        return max(0.0, float((self._next.pt - self._recorded_now()) / self._speed) / 1000)

    def advance(self, limit: int, turn_s: float = math.inf) -> int:
        """Play the lines that are due, `limit` at most, and none after `turn_s`; return how many that were."""
        now, ends = self._recorded_now(), time.perf_counter() + turn_s
        played = 0
        while not self._paused and self._next is not None and self._next.pt <= now and played < limit:
            self._play_next(show=True)
            played += 1
            if time.perf_counter() >= ends:
                break
        return played

    def step(self, lines: int) -> int:
        """Play so many lines whatever the time; the clock goes on from the last of them."""
        played, looked = 0, 0
        while self._next is not None and played < lines and looked < lines + _SKIPPED_A_STEP:
            played += bool(self._next.changes)
            looked += 1
            self._play_next(show=True)
        if self._last is not None:
            self._set_clock(self._last.pt)
        return played

    def set_speed(self, speed: Decimal) -> None:
        """Play faster or slower from now on."""
        self._set_clock(self._recorded_now())
        self._speed = speed

    def pause(self, *, paused: bool) -> None:
        """Let the recording's clock stand still, or go on."""
        self._set_clock(self._recorded_now())
        self._paused = paused

    def close(self) -> None:
        """Play no more, and let go of the file."""
        self._lines, self._next = iter(()), None

    def status(self) -> Json:
        """Return where it is and what became of it so far."""
        last = self._last
        return {
            "file": self._path.name,
            "speed": self._speed,
            "paused": self._paused,
            "finished": self._next is None,
            "recordedTime": format_date(self._recorded_now()),
            "linesPlayed": self._played,
            "lastLine": None if last is None else {"source": last.source, "line": last.number, "pt": last.pt},
            "marketIds": list(self._players),
            "skippedCount": self._skip_count,
            "skipped": self._skipped,
            "fills": list(self._offers.fills),
        }

    def _recorded_now(self) -> int:
        if self._paused:
            return self._recorded_from
        return self._recorded_from + int((self._clock_ms() - self._real_from) * self._speed)

    def _set_clock(self, recorded: int) -> None:
        self._recorded_from, self._real_from = recorded, self._clock_ms()

    def _start_of(self, start: int | str, first: int) -> int:
        if isinstance(start, int):
            return start
        ahead = seconds_before(start) or 0
        for change in self._next.changes if self._next is not None else []:
            try:
                definition = read_definition(change.get("marketDefinition"))
            except BadLine:
                continue
            return int(definition.facts.get("start_ms", first)) - ahead * 1000
        return first

    def _catch_up(self) -> None:
        """Take in what was before the start, without a fill: nobody was there."""
        while self._next is not None and self._next.pt < self._recorded_from:
            self._play_next(show=False)
        if self._last is not None:
            for player in self._players.values():
                player.show_all(self._last)

    def _play_next(self, *, show: bool) -> None:
        line = self._next
        if line is None:
            return
        if not line.changes:
            self._next = next(self._lines, None)
            return
        for change in line.changes:
            try:
                self._play(line, change, show=show)
            except BadLine as error:
                self._skip(line.source, line.number, str(error))
            except Exception:  # noqa: BLE001 - whatever a file makes of us, the sandbox goes on
                _log.exception("replay: %s line %s", line.source, line.number)
                self._skip(line.source, line.number, "it cannot be played")
        self._played += 1
        self._last = line
        self._next = next(self._lines, None)

    def _play(self, line: Line, change: Json, *, show: bool) -> None:
        market_id = change.get("id")
        if not isinstance(market_id, str):
            raise BadLine("mc.id is not a market id")
        player = self._players.get(market_id)
        if player is None:
            player = MarketPlayer(self._exchange, market_id, self._offers)
        player.take(change, line, show=show)
        self._players[market_id] = player

    def _skip(self, source: str, number: int, reason: str) -> None:
        self._skip_count += 1
        if len(self._skipped) < _SKIPS_KEPT:
            self._skipped.append({"source": source, "line": number, "reason": reason})
        if self._skip_count <= _SKIPS_LOGGED:
            _log.warning("replay: %s line %s skipped: %s", source, number, reason)
