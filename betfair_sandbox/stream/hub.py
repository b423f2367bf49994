"""What is published: the images of markets and orders that somebody is subscribed to, and the cycle that renews them.

Owns: the images, the sequence of changes, the moment of publishing. Invariants: the first change after a quiet time is
published at once, further ones in cycles, and a cycle never takes more than half of the process's time; a connection
that is slow holds up nobody. Units: milliseconds on the clock of the exchange, seconds on the event loop's.
"""

import asyncio
import logging
import zlib
from collections.abc import Callable
from typing import Final, Protocol

from betfair_sandbox.market.exchange import Exchange
from betfair_sandbox.market.markets import Market
from betfair_sandbox.stream.market_image import MarketImage
from betfair_sandbox.stream.market_subscription import MarketSubscription, Rendered
from betfair_sandbox.stream.order_image import OrderImage
from betfair_sandbox.stream.order_subscription import OrderSubscription
from betfair_sandbox.stream.tokens import LIFE_MS, Clock

_CYCLE_S: Final = 0.01  # far below what a network adds; Betfair's own cycle is about 50 ms
# Heartbeats, time-outs and changes that nobody noted (prices that move by themselves) wait no longer than this.
_LOOK_S: Final = 0.1
_CLEAN_MS: Final = 10_000
_log = logging.getLogger(__name__)


class Peer(Protocol):
    """A connection, as the hub sees it."""

    def pump(self, now_ms: int) -> None:
        """Send what is due."""

    def restart(self) -> None:
        """Start anew on another exchange."""


class Hub:
    """Publishes one exchange to all connections."""

    def __init__(self, exchange: Exchange, clock_ms: Callable[[], int]) -> None:
        self.clock = Clock()
        self.rendered: Rendered = {}
        self.peers: set[Peer] = set()
        self._clock_ms = clock_ms
        self._exchange = exchange
        self._markets: dict[str, MarketImage] = {}
        self._orders: dict[str, OrderImage] = {}
        self._market_subscriptions: set[MarketSubscription] = set()
        self._order_subscriptions: set[OrderSubscription] = set()
        self._handle: asyncio.TimerHandle | None = None
        self._not_before = 0.0
        self._urgent = False
        self._looked = 0.0
        self._cleaned_ms = 0

    # -- connections -------------------------------------------------------------------------------------------------

    def join(self, peer: Peer) -> None:
        """Publish to a further connection."""
        self.peers.add(peer)
        self._exchange.changes.listen(self._wake)
        self._schedule(_LOOK_S)

    def leave(self, peer: Peer) -> None:
        """Publish to it no more."""
        self.peers.discard(peer)

    def adopt(self, exchange: Exchange) -> None:
        """Publish another exchange: every subscription gets a new image, all earlier clocks are worthless."""
        self._exchange.changes.listen(None)
        self._exchange = exchange
        self.clock.restart()
        self._markets.clear()
        self._orders.clear()
        self.rendered.clear()
        if self.peers:
            exchange.changes.listen(self._wake)
        for peer in list(self.peers):
            peer.restart()

    # -- subscriptions -----------------------------------------------------------------------------------------------

    def subscribe_markets(self, subscription: MarketSubscription) -> None:
        """Give a subscription the markets that it asks for; those it names appear, as they do when they are bet on."""
        now_ms = self._renew(everything=False)
        seq = self.clock.tick(now_ms)
        named = [self._exchange.market(market_id) for market_id in subscription.filter.market_ids]
        markets = named or list(self._exchange.markets.values())
        for market in markets:
            if market is not None and subscription.wants(market):
                subscription.add(self._image(market, seq, now_ms))
        self._market_subscriptions.add(subscription)
        self._schedule(0.0)  # for what was renewed just now and concerns others

    def count(self, subscription: MarketSubscription) -> int:
        """Return how many markets that are not closed a subscription asks for."""
        named = subscription.filter.market_ids
        if named:
            known = (self._exchange.markets.get(market_id) for market_id in named)
            return sum(market is None or market.status != "CLOSED" for market in known)
        return sum(subscription.filter.matches(market) for market in self._exchange.markets.values())

    def order_image(self, account: str) -> OrderImage:
        """Return the image of an account's orders, made when missing."""
        now_ms = self._renew(everything=False)
        image = self._orders.get(account)
        if image is None:
            seq = self.clock.tick(now_ms)
            image = self._orders[account] = OrderImage(account, zlib.crc32(account.encode()), seq)
            self._exchange.changes.watch(account)
            image.update(list(self._exchange.registers[account].current.values()), self._exchange.markets, seq, now_ms)
        return image

    def subscribe_orders(self, subscription: OrderSubscription) -> None:
        """Tell a subscription of its orders."""
        self._order_subscriptions.add(subscription)
        self._schedule(0.0)  # as above

    def end(self, subscription: MarketSubscription | OrderSubscription | None) -> None:
        """Tell a subscription nothing more."""
        if isinstance(subscription, MarketSubscription):
            subscription.clear()
            self._market_subscriptions.discard(subscription)
        elif subscription is not None:
            self._order_subscriptions.discard(subscription)

    # -- the cycle ---------------------------------------------------------------------------------------------------

    def stop(self) -> None:
        """Publish nothing more."""
        self._exchange.changes.listen(None)
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _wake(self) -> None:
        if not self._urgent:
            self._urgent = True
            self._schedule(0.0)

    def _schedule(self, delay_s: float) -> None:
        loop = asyncio.get_running_loop()
        at = max(loop.time() + delay_s, self._not_before)
        if self._handle is not None:
            if self._handle.when() <= at:
                return
            self._handle.cancel()
        self._handle = loop.call_at(at, self._run)

    def _run(self) -> None:
        self._handle, self._urgent = None, False
        loop = asyncio.get_running_loop()
        started = loop.time()
        everything = started - self._looked >= _LOOK_S
        try:
            self.publish(everything=everything)
        except Exception:  # noqa: BLE001 - the next cycle must not depend on this one
            _log.exception("publishing failed")
        ended = loop.time()
        if everything:
            self._looked = started
        self._not_before = ended + max(_CYCLE_S, ended - started)
        if self.peers or self._orders or self._markets:
            self._schedule(_LOOK_S)
        else:
            self._exchange.changes.listen(None)

    def publish(self, *, everything: bool) -> None:
        """Renew the images of what changed and let every connection send what is due to it."""
        now_ms = self._renew(everything=everything)
        for peer in list(self.peers):
            peer.pump(now_ms)
        if now_ms - self._cleaned_ms >= _CLEAN_MS:
            self._cleaned_ms = now_ms
            self._clean(now_ms)

    def _renew(self, *, everything: bool) -> int:
        """Renew the images; return as of when."""
        now_ms = self._clock_ms()
        seq = self.clock.tick(now_ms)
        self.rendered.clear()
        changed = self._exchange.changes.take_markets()
        self._publish_markets(changed, seq, now_ms, everything=everything)
        self._publish_orders(changed, seq, now_ms)
        return now_ms

    def _publish_markets(self, changed: set[str], seq: int, now_ms: int, *, everything: bool) -> None:
        for market_id in changed:
            market = self._exchange.markets.get(market_id)
            if market is None:
                continue
            for subscription in self._market_subscriptions:
                image = self._markets.get(market_id)
                if (image is None or subscription not in image.subscriptions) and subscription.wants(market):
                    subscription.add(self._image(market, seq, now_ms))
        held = [image for image in self._markets.values() if image.subscriptions]
        for image in held if everything else [image for image in held if image.market_id in changed]:
            market = self._exchange.markets.get(image.market_id)
            if market is None:
                self._drop(image)
            elif image.update(market, seq, now_ms):
                for reader in image.subscriptions:
                    reader.note(image.market_id)

    def _publish_orders(self, changed: set[str], seq: int, now_ms: int) -> None:
        for account, image in self._orders.items():
            bets = list(self._exchange.changes.take_bets(account).values())
            news = image.update(bets, self._exchange.markets, seq, now_ms) if bets else False
            for market_id in changed:
                market = self._exchange.markets.get(market_id)
                news |= market is not None and image.look(market, seq, now_ms)
            if news:
                for subscription in self._order_subscriptions:
                    if subscription.image is image:
                        subscription.changed = True

    def _image(self, market: Market, seq: int, now_ms: int) -> MarketImage:
        image = self._markets.get(market.market_id)
        if image is None or (image.closed and market.status != "CLOSED"):
            image = self._markets[market.market_id] = MarketImage(market.market_id, seq)
        if image.update(market, seq, now_ms):
            for reader in image.subscriptions:
                reader.note(image.market_id)
        return image

    def _drop(self, image: MarketImage) -> None:
        for reader in list(image.subscriptions):
            reader.remove(image.market_id)
        self._markets.pop(image.market_id, None)

    def _clean(self, now_ms: int) -> None:
        """Forget what nobody can ask for any more."""
        for market_id, image in list(self._markets.items()):
            if image.subscriptions and market_id in self._exchange.markets:
                image.unused_since_ms = now_ms
            elif market_id not in self._exchange.markets or now_ms - image.unused_since_ms > LIFE_MS:
                self._drop(image)
        for account, orders in list(self._orders.items()):
            if any(subscription.image is orders for subscription in self._order_subscriptions):
                orders.unused_since_ms = now_ms
                orders.forget(now_ms - LIFE_MS)
                for market_id in orders.markets():
                    if market_id not in self._exchange.markets:
                        orders.drop(market_id)
            elif now_ms - orders.unused_since_ms > LIFE_MS:
                self._exchange.changes.forget(account)
                del self._orders[account]
