"""Cancels that the exchange refused: how often, and when they may be tried again. May raise `StoreUnavailable`.

Times in milliseconds since the epoch, UTC.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class RefusedCancel:
    """A bet whose cancel was refused `times` times in a row, the last with `code`; not tried again before `next_at`."""

    bet_id: str
    code: str
    times: int
    next_at: int


class CancelAttempts(Protocol):
    """What outlives a process of cancels that were refused."""

    def refused(self, codes: Mapping[str, str], *, failed: int) -> list[RefusedCancel]:
        """Remember refusals (bet id -> code), each waiting twice as long as the one before; returns how they stand.

        `failed` instructions count among the hour's transactions, as the exchange counts them.
        """

    def standing(self) -> list[RefusedCancel]:
        """Return all that were refused and have not ended since."""

    def forget(self, bet_ids: Collection[str]) -> None:
        """Say that these have ended, or were cancelled."""
