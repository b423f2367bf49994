"""A subscription to markets.

Owns: which markets it holds and which of them have something to tell. Invariant: a market that begins to match later
comes by itself, with its whole image. Units: sequence numbers.
"""

from typing import Final

from betfair_sandbox.api.wire import Json, dump_json
from betfair_sandbox.market.markets import Market
from betfair_sandbox.stream.filters import DataFilter, MarketFilter
from betfair_sandbox.stream.market_image import MarketImage
from betfair_sandbox.stream.subscription import Pace, Subscription
from betfair_sandbox.stream.tokens import Clock

MAX_MARKETS: Final = 200  # Betfair: per subscription, by default
Rendered = dict[tuple[str, int, DataFilter, bool], bytes | None]


class MarketSubscription(Subscription):
    """What one client sees of the markets it asked for."""

    op = "mcm"
    items = "mc"

    def __init__(
        self,
        request_id: object,
        request: Json,
        pace: Pace,
        clock: Clock,
        criteria: tuple[MarketFilter, DataFilter],
        rendered: Rendered,
    ) -> None:
        super().__init__(request_id, request, pace, clock)
        self.filter, self._data = criteria
        self._rendered = rendered  # shared by all who are equally far: a change is written once
        self._markets: dict[str, tuple[MarketImage, int]] = {}  # the image, its revision when last sent
        self._pending: dict[str, None] = {}
        self._new: set[str] = set()

    def wants(self, market: Market) -> bool:
        """Tell whether a market that it does not hold belongs to it."""
        return self.filter.matches(market) and self.held() < MAX_MARKETS

    def held(self) -> int:
        """Return how many markets it holds that are not closed, which is what Betfair limits."""
        return sum(not image.closed for image, _ in self._markets.values())

    def add(self, image: MarketImage) -> None:
        """Hold a market; what it is comes with the next message."""
        self._markets[image.market_id] = (image, image.revision)
        image.subscriptions.add(self)
        self._new.add(image.market_id)
        self._pending[image.market_id] = None

    def note(self, market_id: str) -> None:
        """Note that a market that it holds has something to tell."""
        self._pending[market_id] = None

    def remove(self, market_id: str) -> None:
        """Hold a market no more."""
        image, _ = self._markets.pop(market_id)
        image.subscriptions.discard(self)
        self._pending.pop(market_id, None)
        self._new.discard(market_id)

    def clear(self) -> None:
        """Hold nothing."""
        for market_id in list(self._markets):
            self.remove(market_id)

    def resume(self, since: int) -> None:
        """Go on after `since`: what it holds now was held then, too."""
        super().resume(since)
        self._new.clear()

    def _take(self) -> list[bytes]:
        found: list[bytes] = []
        for market_id in self._pending:
            image, revision = self._markets[market_id]
            since = -1 if market_id in self._new else self.since
            merged = since >= 0 and not self._first and image.revision - revision > 1
            self._markets[market_id] = (image, image.revision)
            key = (market_id, since, self._data, merged)
            if key not in self._rendered:
                change = image.change(since, self._data, merged=merged)
                self._rendered[key] = None if change is None else dump_json(change)
            fragment = self._rendered[key]
            if fragment is not None:
                found.append(fragment)
        self._pending.clear()
        self._new.clear()
        self.since = self._clock.seq
        return found
