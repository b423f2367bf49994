"""The accounting feed, read by the ledger. Every method may raise `StoreUnavailable`."""

from collections.abc import Mapping, Sequence
from typing import Protocol


class TradeFeed(Protocol):
    """What the ledger has still to book."""

    def read_trades(self, count: int) -> list[tuple[str, Mapping[str, str]]]:
        """Return entries of the feed that the ledger has not acknowledged, oldest first."""

    def acknowledge_trades(self, ids: Sequence[str]) -> None:
        """Say that the ledger has them."""

    def trim_trades(self) -> None:
        """Drop what the ledger acknowledged a week ago."""
