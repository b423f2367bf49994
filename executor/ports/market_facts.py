"""What is known of the markets that we have orders in. Every method may raise `StoreUnavailable`."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from executor.domain.market import Market


class MarketFacts(Protocol):
    """Markets' types."""

    def want(self, market_id: str) -> None:
        """Ask for a market's facts."""

    def wanted(self, most: int) -> list[str]:
        """Take markets that were asked for; whoever takes them reads them."""

    def save_facts(self, markets: Sequence[Market], unknown: Sequence[str]) -> None:
        """Remember markets' facts, and which ones the exchange does not know."""

    def unknown_markets(self) -> list[str]:
        """Return markets with orders whose type is not known yet."""

    def save_market_types(self, types: Mapping[str, str]) -> None:
        """Remember markets' types for metric labels."""
