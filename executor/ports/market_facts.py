"""What is known of the markets that we have orders in. Every method may raise `StoreUnavailable`."""

from collections.abc import Mapping
from typing import Protocol


class MarketFacts(Protocol):
    """Markets' types."""

    def unknown_markets(self) -> list[str]:
        """Return markets with orders whose type is not known yet."""

    def save_market_types(self, types: Mapping[str, str]) -> None:
        """Remember markets' types for metric labels."""
