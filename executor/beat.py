"""Celery beat's clockwork: what is due by how long ago it was sent, never by the time of day.

Celery's own scheduler compares times of day and keeps them in a file: after a step back it sends nothing until the old
time comes again, restarts included; and a tick's end of validity is a time of day, too, so that a worker whose clock is
ahead throws every tick away. Invariants: a step of any clock delays no tick by more than its period; nothing is
kept in a file; each tick is due once when beat starts (every task may run at any time); a tick that nobody took in its
validity is not run later, by Redis's clock. Units: seconds, `_ms` milliseconds.
"""

import os
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import structlog
from celery.beat import ScheduleEntry, Scheduler
from celery.schedules import schedule

from executor import wiring
from executor.adapters.clock import monotonic
from executor.broker import GOOD_FOR, SENT_AT
from executor.errors import StoreUnavailable

log = structlog.get_logger(__name__)

ALIVE_FILE: Final = "beat-alive"  # in the data folder; touched by each turn of the clockwork, for a health check
_LONGEST_PAUSE_S: Final = 5.0  # between two turns


class SteadyTime:
    """Time that has passed, as a datetime, which is what Celery computes with; whatever the clock does, never back."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._seen = clock()
        self._passed_s = 0.0

    def now(self) -> datetime:
        """Return the start of 1970 plus what has passed since this was made."""
        seen = self._clock()
        self._passed_s += max(0.0, seen - self._seen)
        self._seen = seen
        return datetime.fromtimestamp(self._passed_s, UTC)


_time: Final = SteadyTime()


class SteadyEntry(ScheduleEntry):  # type: ignore[misc]
    """One periodic task; due at once when new."""

    def __init__(self, **fields: Any) -> None:  # noqa: ANN401 - Celery's
        period = fields["schedule"]
        if not isinstance(period, schedule):
            fields["schedule"] = schedule(timedelta(seconds=period), nowfun=_time.now, app=fields["app"])
        fields["last_run_at"] = fields.get("last_run_at") or _time.now() - fields["schedule"].run_every
        super().__init__(**fields)


class SteadyScheduler(Scheduler):  # type: ignore[misc]
    """`beat_scheduler` of celeryconfig."""

    Entry = SteadyEntry

    def __init__(self, *args: Any, **fields: Any) -> None:  # noqa: ANN401 - Celery's
        self._store = wiring.store(wiring.get_settings())
        self._alive = Path(wiring.get_settings().data_dir) / ALIVE_FILE
        super().__init__(*args, **fields)

    def install_default_entries(self, data: object) -> None:
        """Add nothing: Celery's only entry clears results away, and none are kept."""

    def tick(self, *args: Any, **fields: Any) -> float:  # noqa: ANN401 - Celery's
        """Send one task that is due; returns how long to wait for the next."""
        pause_s = float(super().tick(*args, **fields))
        with suppress(OSError):  # a full disk costs the health check, not the ticks
            self._alive.touch()
            os.utime(self._alive)
        return min(pause_s, _LONGEST_PAUSE_S)

    def apply_async(self, entry: SteadyEntry, producer: object = None, advance: bool = True, **options: Any) -> object:  # noqa: ANN401, FBT001, FBT002 - Celery's
        """Send a tick that says when it was sent, by Redis; none while Redis is away, where nobody could run it."""
        try:
            sent_at_ms = self._store.now()
        except StoreUnavailable as error:
            log.warning("tick_left_out", task=entry.task, error=str(error))
            return None
        tick = SteadyEntry(**dict(entry))
        tick.options = dict(entry.options)
        good_for_s = tick.options.pop("expires")
        tick.options["headers"] = {SENT_AT: sent_at_ms, GOOD_FOR: round(good_for_s * 1000)}
        return super().apply_async(tick, producer=producer, advance=advance, **options)
