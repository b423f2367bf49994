"""A notice: something a person may have to know, as it is written into the stream of notices.

Invariant: a notice with a key tells that something began or, where `over`, ended; one without a key happened at a
moment. Times in milliseconds since the epoch, UTC.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from executor.domain.times import from_iso, iso

BREAKER_KEY: Final = "alert:circuit_breaker"  # a trip and the watchdog's alert about it are the same news
_MOST_TEXT: Final = 600  # characters: more is read at the machine
_MOST_KEY: Final = 120


class Level(StrEnum):
    """How much it matters."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        """Return a number that grows with what it matters."""
        return list(Level).index(self)


class Kind(StrEnum):
    """What it is about; the closed set of kinds."""

    ALERT = "alert"  # of the watchdog: begins and ends
    BREAKER = "breaker"  # tripped
    HALT = "halt"
    RESUME = "resume"
    LIMITS = "limits"
    FAILED_TASK = "failed_task"
    PROCESS = "process"  # died, or is back
    SUMMARY = "summary"  # of a day; goes out whatever the level
    TEST = "test"


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """One notice; `key` is what it begins or ends, "" for what just happened."""

    kind: Kind
    level: Level
    text: str
    at: int
    key: str = ""
    over: bool = False

    def wanted(self, least: Level) -> bool:
        """Tell whether who wants to hear from this level on wants this."""
        return self.kind is Kind.SUMMARY or self.level.rank >= least.rank


def notice_fields(notice: Notice, identity: str) -> dict[str, str]:
    """Return a notice as fields of the stream."""
    return {
        "kind": notice.kind,
        "level": notice.level,
        "text": notice.text[:_MOST_TEXT],
        "at": iso(notice.at),
        "key": notice.key[:_MOST_KEY],
        "over": "true" if notice.over else "",
        "identity": identity,
    }


def read_notice(fields: Mapping[str, str], at: int) -> Notice:
    """Read the fields of an entry that was written `at`.

    Raises:
        ValueError: they are no notice.
    """
    try:
        said = from_iso(fields["at"])
        return Notice(
            kind=Kind(fields["kind"]),
            level=Level(fields["level"]),
            text=_one_line(fields["text"][:_MOST_TEXT]),
            at=said if said > 0 else at,
            key=_one_line(fields.get("key", "")[:_MOST_KEY]),
            over=fields.get("over") == "true",
        )
    except (KeyError, OverflowError) as error:
        raise ValueError(f"no notice: {error}") from None


def _one_line(text: str) -> str:
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())
