"""flumine against the sandbox on its own ports; by Betfair's names it needs none of this (docs/sandbox-clients.md).

set -a; eval "$(betfair-sandbox env --for flumine)"; set +a; python flumine_bot.py
"""

import os

import betfairlightweight
from betfairlightweight.filters import streaming_market_filter
from betfairlightweight.streaming.betfairstream import BetfairStream
from flumine import BaseStrategy, Flumine, clients
from flumine.order.ordertype import LimitOrder
from flumine.order.trade import Trade
from flumine.streams.betfairmarketstream import BetfairMarketStream

MARKET = os.environ.get("MARKET", "1.999000002")


class OneBet(BaseStrategy):
    """Places one bet that rests and ends when the stream tells of it."""

    placed = False

    def check_market_book(self, market, market_book):
        return market_book.status == "OPEN" and not self.placed

    def process_market_book(self, market, market_book):
        self.placed = True
        trade = Trade(market_book.market_id, 1, 0, self)
        market.place_order(trade.create_order("BACK", LimitOrder(price=1000, size=2)))

    def process_orders(self, market, orders):
        for order in orders:
            if order.bet_id and order.status.name == "EXECUTABLE":
                print("on the stream", order.bet_id, flush=True)
                os._exit(0)  # a real bot goes on


trading = betfairlightweight.APIClient(
    os.environ["BETFAIR_USERNAME"],
    os.environ["BETFAIR_PASSWORD"],
    app_key=os.environ["BETFAIR_APP_KEY"],
    cert_files=os.environ["BETFAIR_CERTIFICATE"],
)
trading.api_uri = os.environ["BETFAIR_API_URI"]
trading.identity_uri = os.environ["BETFAIR_IDENTITY_URI"]
trading.identity_cert_uri = os.environ["BETFAIR_IDENTITY_CERT_URI"]
BetfairStream.HOSTS.default_factory = lambda: os.environ["BETFAIR_STREAM_HOST"]  # flumine names no host
BetfairStream._BetfairStream__port = int(os.environ["BETFAIR_STREAM_PORT"])

framework = Flumine(client=clients.BetfairClient(trading))
framework.add_strategy(OneBet(stream=BetfairMarketStream(market_filter=streaming_market_filter(market_ids=[MARKET]))))
framework.run()
