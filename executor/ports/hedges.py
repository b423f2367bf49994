"""What is remembered of hedges: the last attempt of each position, and what was said of it.

Every method may raise `StoreUnavailable`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class HedgeNote:
    """The last look at a position: its newest attempt and what that did, whether it waits, and why; `at` in ms."""

    attempt: int = 0
    said: str = ""
    waits: bool = False
    at: int = 0
    done: str = ""  # the explanation of the newest attempt


class Hedges(Protocol):
    """Positions that are hedged, or that should be."""

    def notes(self) -> Mapping[str, HedgeNote]:
        """Return position -> the last look at it."""

    def note(self, position: str, note: HedgeNote) -> None:
        """Remember a look at a position."""

    def forget(self, position: str) -> None:
        """Forget a position that is closed: its attempts begin anew."""

    def explain(self, position: str, signal_id: str, said: str) -> None:
        """Put what is done about a position, and why, on its way to the ledger."""
