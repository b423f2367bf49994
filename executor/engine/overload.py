"""Early refusal: a signal that cannot be served before its deadline is refused when it arrives, not after the wait.

How: what waits, divided by the best rate at which a busy queue has been served lately, is how long a newcomer will
wait. Invariants, so that nothing is refused that could have been served: while few signals wait nothing is refused; a
rate counts only where it was measured over three seconds or more with the queue never empty; the best of half a minute
is taken, and a quarter more; where none is known (a fresh start, workers that are down) nothing is refused. What was
taken is served first come, first served. While few wait, the queue is looked at behind a signal and not before it: no
order waits for that. Times in milliseconds.
"""

import threading
from collections import deque
from dataclasses import dataclass, field
from typing import Final

import structlog

from executor.errors import StoreUnavailable
from executor.ports import Backlog, Load

log = structlog.get_logger(__name__)

_FEW: Final = 100  # waiting: two seconds' work of a small machine
_LOOK_MS: Final = 250
_SPAN_MS: Final = 3000  # over which a rate is measured, at least: a burst's first second serves nobody yet
_LONGEST_MS: Final = 6000  # and at most: the rate of now, not of the whole burst
_REMEMBERED_MS: Final = 30_000  # a rate; what else the machine does changes about as fast
_HOPE: Final = (
    1.25  # the rate that is counted with, in measured ones: what is measured beside a burst's recording is low
)


@dataclass
class Overload:
    """The estimate of one process; any number of processes come to about the same one."""

    backlog: Backlog
    _busy: deque[Load] = field(default_factory=deque)  # looks since the queue was last short, of the last seconds
    _rates: deque[tuple[int, float]] = field(default_factory=deque)  # when, signals a ms; falling
    _last: Load | None = None
    _asked: int = 0
    _added: int = 0  # by this process since the last look
    _lock: threading.Lock = field(default_factory=threading.Lock)  # each door has a thread of its own

    def wait_ms(self, now: int) -> float:
        """Return how long what arrives now would wait for a worker, at least; 0 where that is short or not known."""
        with self._lock:
            if self._waiting() >= _FEW and self._take_turn(now):  # what is refused by an old look might be served
                self._believe(self._looked())
            waiting = self._waiting()
            if waiting < _FEW or not self._rates:
                return 0.0
            return waiting / (self._rates[0][1] * _HOPE)

    def added(self, signals: int) -> None:
        """Say that so many more wait."""
        with self._lock:
            self._added += signals

    def look_behind(self, now: int) -> None:
        """Look at the queue, where that has not just been done, for what arrives next."""
        with self._lock:
            if not self._take_turn(now):
                return
        load = self._looked()  # without the lock: the other door does not wait for it
        with self._lock:
            self._believe(load)

    def _take_turn(self, now: int) -> bool:
        if 0 <= now - self._asked < _LOOK_MS:
            return False
        self._asked = now
        return True

    def _waiting(self) -> int:
        return self._added + (self._last.waiting if self._last else 0)

    def _looked(self) -> Load | None:
        try:
            return self.backlog.look()
        except StoreUnavailable as error:
            log.debug("backlog_not_seen", error=str(error))
            return None

    def _believe(self, load: Load | None) -> None:
        if load is None:  # who cannot look refuses nothing
            self._last = None
            self._busy.clear()
            return
        self._last, self._added = load, 0
        while self._rates and load.at - self._rates[0][0] > _REMEMBERED_MS:
            self._rates.popleft()
        if load.waiting < _FEW:
            self._busy.clear()
            return
        self._busy.append(load)
        while load.at - self._busy[0].at > _LONGEST_MS:
            self._busy.popleft()
        self._measure(self._busy[0], load)

    def _measure(self, first: Load, last: Load) -> None:
        span_ms = last.at - first.at
        served = (last.recorded - last.waiting) - (first.recorded - first.waiting)
        if span_ms < _SPAN_MS or served <= 0:
            return
        rate = served / span_ms
        while self._rates and self._rates[-1][1] <= rate:
            self._rates.pop()
        self._rates.append((last.at, rate))
