"""The accounts in SQL, as the engine needs them. Money is Decimal, times are milliseconds since the epoch in UTC."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Protocol

from executor.domain.ledger_entry import LedgerEntry


class Ledger(Protocol):
    """The accounts in SQL."""

    def write(self, entries: Sequence[tuple[str, LedgerEntry]], *, identity: str = "", generation: str = "") -> None:
        """Book entries of `stream:trades` (id, entry); one booked before changes nothing.

        `identity` and `generation` say whose feed that is, and of which filling of the db: how far it is booked is
        remembered with the entries.

        Raises:
            LedgerUnavailable: the database did not answer; nothing was acknowledged.
        """

    def write_acts(self, entries: Sequence[tuple[str, LedgerEntry]]) -> None:
        """Book entries of `stream:audit`; whatever else stands there is logged and never booked.

        Raises:
            LedgerUnavailable: the database did not answer; nothing was acknowledged.
        """

    def reached_acts(self, identity: str) -> str:
        """Return the id of the newest act that is booked, "" where none is."""

    def reached(self, identity: str, generation: str) -> str:
        """Return the id of the entry up to which this feed is booked, "" where nothing of it is."""

    def knows(self, identity: str, bets: Mapping[str, str], since: int) -> set[str]:
        """Return those of these bets (bet id -> order id) that are booked, or whose signal is, as placed.

        None of them was placed before `since`.
        """

    def matched(self, identity: str, bets: Sequence[str]) -> dict[str, Decimal]:
        """Return bet id -> what is booked as matched, of those of these bets of which something is."""

    def newest_settlement(self, identity: str) -> int | None:
        """Return when what was booked as settled last was settled; None where nothing was."""

    def is_empty(self, identity: str) -> bool:
        """Tell whether nothing was ever booked for this identity."""

    def profits(self, identity: str) -> dict[str, dict[str, Decimal]]:
        """Return UTC day -> bet id -> net profit of every settlement booked for this identity."""

    def oldest_unsettled(self, identity: str) -> int | None:
        """Return when the oldest bet that is matched and not settled was first matched; None where all are settled."""
