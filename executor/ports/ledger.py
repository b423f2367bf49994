"""The accounts in SQL, as the engine needs them. Money is Decimal, times are milliseconds since the epoch in UTC."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Protocol


class Ledger(Protocol):
    """The accounts in SQL."""

    def write(self, entries: Sequence[tuple[str, Mapping[str, str]]]) -> None:
        """Book entries of `stream:trades` (id, fields); one booked before changes nothing.

        Raises:
            LedgerUnavailable: the database did not answer; nothing was acknowledged.
        """

    def is_empty(self, identity: str) -> bool:
        """Tell whether nothing was ever booked for this identity."""

    def profits(self, identity: str) -> dict[str, dict[str, Decimal]]:
        """Return UTC day -> bet id -> net profit of every settlement booked for this identity."""

    def oldest_unsettled(self, identity: str) -> int | None:
        """Return when the oldest bet that is matched and not settled was first matched; None where all are settled."""
