"""The accounting feed, and that of what was done by hand, read by the ledger. All may raise `StoreUnavailable`."""

from collections.abc import Sequence
from typing import Protocol

from executor.domain.ledger_entry import LedgerEntry
from executor.domain.order import Trade


class TradeFeed(Protocol):
    """What the ledger has still to book."""

    def generation(self) -> str:
        """Name this filling of the db: after a loss the feed begins anew, under another name."""

    def read_trades(self, count: int) -> list[tuple[str, LedgerEntry]]:
        """Return entries of the feed that the ledger has not acknowledged, oldest first."""

    def acknowledge_trades(self, ids: Sequence[str]) -> None:
        """Say that the ledger has them."""

    def rewind_trades(self, reached: str) -> bool:
        """Have everything after this entry read again, if more than that was acknowledged; tells whether it was."""

    def read_acts(self, count: int) -> list[tuple[str, LedgerEntry]]:
        """Return what was done by hand and the ledger has not acknowledged, oldest first."""

    def acknowledge_acts(self, ids: Sequence[str]) -> None:
        """Say that the ledger has them."""

    def rewind_acts(self, reached: str) -> bool:
        """Have every act after this one read again, if more than that was acknowledged; tells whether it was."""

    def delivered_trades(self) -> str:
        """Return the id of the newest entry that was ever read for the ledger, "" where none was."""

    def delivered_acts(self) -> str:
        """Return that of what was done by hand."""

    def append(self, trades: Sequence[Trade], identity: str) -> None:
        """Tell entries once more, of changes that are in the orders' records already."""

    def trim_trades(self) -> None:
        """Drop what the ledger acknowledged a week ago."""
