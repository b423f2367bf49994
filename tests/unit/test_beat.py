"""What beat finds due depends on how much time has passed, whatever any clock says."""

import inspect
from datetime import UTC, datetime, timedelta

import pytest
from celery import Celery

from executor import beat
from executor.adapters.clock import monotonic
from executor.beat import SteadyEntry, SteadyTime

START = datetime(1970, 1, 1, tzinfo=UTC)


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.at = 5000.0

    def __call__(self) -> float:
        return self.at


def passed(time: SteadyTime) -> float:
    return (time.now() - START).total_seconds()


def test_time_passes_with_the_clock_and_never_goes_back() -> None:
    clock = Clock()
    time = SteadyTime(clock)
    clock.at += 5
    assert passed(time) == 5
    clock.at -= 3600
    assert passed(time) == 5
    clock.at += 2
    assert passed(time) == 7, "what passes after a step back counts"
    clock.at += 3600
    assert passed(time) == 3607


def test_the_clock_of_beat_is_the_one_that_no_pause_stops_and_no_step_moves() -> None:
    assert inspect.signature(SteadyTime).parameters["clock"].default is monotonic
    assert beat._time._clock is monotonic


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(beat, "_time", SteadyTime(clock))
    return clock


class LyingApp(Celery):  # type: ignore[misc]
    """Celery as on a machine whose time of day a test sets."""

    said = datetime(2026, 1, 1, tzinfo=UTC)

    def now(self) -> datetime:
        return self.said


def entry(app: Celery) -> SteadyEntry:
    options = {"queue": "maintenance", "expires": 4.5}
    return SteadyEntry(name="poll", task="executor.poll_orders", schedule=5.0, options=options, app=app)


@pytest.mark.parametrize("step", [timedelta(hours=-1), timedelta(hours=1), timedelta(days=-400)])
def test_a_step_of_the_time_of_day_moves_no_tick(clock: Clock, step: timedelta) -> None:
    with LyingApp("beat", set_as_current=False) as app:
        first = entry(app)
        assert first.is_due() == (True, 5), "due at once at the start, whenever it was sent before"
        sent = next(first)
        clock.at += 4
        assert not sent.is_due().is_due
        app.said += step
        assert not sent.is_due().is_due
        clock.at += 1
        assert sent.is_due() == (True, 5)
