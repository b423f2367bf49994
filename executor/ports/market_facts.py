"""What is known of the markets that we have orders in. Every method may raise `StoreUnavailable`."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from executor.domain.market import Market


@dataclass(frozen=True, slots=True)
class Counted:
    """What is known of a market, and what is written down as its exposure: decimal text, "" where nothing is."""

    market: Market | None
    of_rules: str
    of_exchange: str


class MarketFacts(Protocol):
    """Markets' types."""

    def request(self, market_id: str) -> None:
        """Ask for a market's facts."""

    def has_requested(self) -> bool:
        """Tell whether this process has asked for facts since it took what was asked for; asks Redis nothing."""

    def take_requested(self, most: int) -> list[str]:
        """Take markets that were asked for; whoever takes them reads them."""

    def save_facts(self, markets: Sequence[Market], unknown: Sequence[str]) -> dict[str, Market | None]:
        """Remember markets' facts, and which ones the exchange does not know.

        Returns what was known of those that allow other results now. A step that has read the former facts of such a
        market finds its fence changed, and reads again.
        """

    def counted(self, market_ids: Sequence[str]) -> dict[str, Counted]:
        """Return what is known of these markets, and what is written down as their exposure."""

    def exposed_besides(self, known: Collection[str]) -> list[str]:
        """Return markets other than these that have an exposure written down."""

    def sum_up_held(self) -> tuple[str, str] | None:
        """Make the kept sum of what is held over all markets right; returns what it was and is, where it was wrong."""

    def unknown_markets(self) -> list[str]:
        """Return markets with orders whose type is not known yet."""

    def save_market_types(self, types: Mapping[str, str]) -> None:
        """Remember markets' types for metric labels."""
