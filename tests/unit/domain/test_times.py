"""Moments are written in UTC, to the millisecond."""

from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from executor.domain.times import day, iso, whole


def test_a_moment_and_its_day() -> None:
    assert iso(1_767_225_599_999) == "2025-12-31T23:59:59.999Z"
    assert (day(1_767_225_599_999), day(1_767_225_600_000)) == ("2025-12-31", "2026-01-01")


@settings(deadline=None)
@given(st.integers(0, 4_102_444_800_000))
def test_no_millisecond_is_lost(ms: int) -> None:
    written = datetime.fromisoformat(iso(ms))
    assert written - datetime(1970, 1, 1, tzinfo=UTC) == timedelta(milliseconds=ms)
    assert iso(ms).startswith(day(ms))


def test_a_number_as_text_is_read_or_is_none() -> None:
    assert [whole(text) for text in ("0", "7", "1767225599999")] == [0, 7, 1_767_225_599_999]
    for text in ("", "-1", "1.5", "x", "1e400", "\u0663", " 7", "9" * 16, "9" * 5000):
        assert (whole(text), whole(text, unread=5)) == (0, 5)
