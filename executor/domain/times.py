"""Moments as milliseconds since the epoch, and how they are written: UTC, ISO 8601."""

from datetime import UTC, datetime, timedelta
from typing import Final

_LONGEST: Final = 15  # digits: milliseconds of 30,000 years
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def iso(ms: int) -> str:
    """Write a moment as 2026-01-31T12:00:00.000Z."""
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def hour(ms: int) -> str:
    """Return the UTC clock hour, yyyy-mm-ddThh."""
    return iso(ms)[:13]


def day(ms: int) -> str:
    """Return the UTC day, yyyy-mm-dd."""
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d")


def from_iso(text: str) -> int:
    """Read a moment that `iso` wrote."""
    return (datetime.fromisoformat(text) - _EPOCH) // timedelta(milliseconds=1)


def whole(text: str, *, unread: int = 0) -> int:
    """Read milliseconds, seconds or a count as they are written; `unread` where it is none, or none of this age."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= _LONGEST else unread
