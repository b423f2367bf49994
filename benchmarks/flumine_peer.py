"""flumine with a thread that hears signals, as a peer: its order stream, its controls, its own pool of threads.

Runs in `.venv/clients` (`make clients`) and imports nothing of ours. A market is known to it from its first signal on,
where a bot of flumine's would have subscribed to its prices: so it pays for no market stream. Orders carry the
reference that the signal names. Reads what `betfair-sandbox env --for flumine` prints, and BENCH_FLUMINE_*.
"""

import json
import os
import threading
import time
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import betfairlightweight
import redis
from betfairlightweight.streaming.betfairstream import BetfairStream
from flumine import BaseStrategy, Flumine, clients
from flumine.clients import VenueType
from flumine.order.ordertype import LimitOrder
from flumine.order.trade import Trade
from flumine.streams.betfairorderstream import BetfairOrderStream

_STREAM = 0  # no market stream: the id that a book would name
_WIDE = 1_000_000_000
_LOOK_S = 0.1
# What flumine reads of a market when it fetches its catalogue, after a minute or two: without it, it ends.
_DEFINITION = SimpleNamespace(
    event_id="",
    event_type_id="",
    event_name="",
    market_type="",
    market_time=datetime.now(UTC),
    country_code="",
    venue="",
    race_type="",
)


def _framework() -> tuple[Any, Any]:
    """Return flumine and a strategy that places whatever it is told to."""
    trading = betfairlightweight.APIClient(
        os.environ["BETFAIR_USERNAME"],
        os.environ["BETFAIR_PASSWORD"],
        app_key=os.environ["BETFAIR_APP_KEY"],
        cert_files=os.environ["BETFAIR_CERTIFICATE"],
    )
    trading.api_uri = os.environ["BETFAIR_API_URI"]
    trading.identity_uri = os.environ["BETFAIR_IDENTITY_URI"]
    trading.identity_cert_uri = os.environ["BETFAIR_IDENTITY_CERT_URI"]
    BetfairStream.HOSTS.default_factory = lambda: os.environ["BETFAIR_STREAM_HOST"]
    BetfairStream._BetfairStream__port = int(os.environ["BETFAIR_STREAM_PORT"])  # noqa: SLF001 - flumine names no port
    framework = Flumine(client=clients.BetfairClient(trading, transaction_limit=None))
    strategy = BaseStrategy(
        name="bench", max_live_trade_count=_WIDE, max_order_exposure=_WIDE, max_selection_exposure=_WIDE
    )
    framework.add_strategy(strategy)
    return framework, strategy


def _place(framework: Flumine, strategy: BaseStrategy, market_id: str, number: str) -> None:
    market = framework.markets.markets.get(market_id)
    if market is None:
        book = SimpleNamespace(
            market_id=market_id,
            status="OPEN",
            streaming_unique_id=_STREAM,
            publish_time=datetime.now(UTC),
            market_definition=_DEFINITION,
            bet_delay=0,
            version=0,
            runners=[],
        )
        market = framework._add_market(market_id, book, VenueType.BETFAIR)  # noqa: SLF001 - as its market stream does
    order = Trade(market_id, 1, 0, strategy).create_order("BACK", LimitOrder(price=3, size=2))
    order.id = number
    market.place_order(order)


def main() -> None:
    """Place a bet for every message, until killed."""
    framework, strategy = _framework()
    strategy.name_hash = os.environ["BENCH_FLUMINE_NAME"]
    threading.Thread(target=framework.run, daemon=True).start()
    while not any(isinstance(stream, BetfairOrderStream) and stream.stream_running for stream in framework.streams):
        time.sleep(_LOOK_S)  # without it, flumine places nothing
    listening = redis.Redis.from_url(os.environ["BENCH_FLUMINE_REDIS"]).pubsub()  # type: ignore[no-untyped-call]
    listening.subscribe(os.environ["BENCH_FLUMINE_CHANNEL"])
    for message in listening.listen():
        if message["type"] == "message":
            signal = json.loads(message["data"])
            _place(framework, strategy, signal["marketId"], signal["reference"])


if __name__ == "__main__":
    main()
