"""betfairlightweight against the sandbox: log in, hear of orders, place one, see it on the stream.

set -a; eval "$(betfair-sandbox env --for betfairlightweight)"; set +a; python betfairlightweight_stream.py
"""

import os
import queue
import threading

import betfairlightweight
from betfairlightweight import StreamListener, filters
from betfairlightweight.streaming.betfairstream import BetfairStream

# Where the sandbox is: only these six lines differ from a program for Betfair.
trading = betfairlightweight.APIClient(
    os.environ["BETFAIR_USERNAME"],
    os.environ["BETFAIR_PASSWORD"],
    app_key=os.environ["BETFAIR_APP_KEY"],
    cert_files=os.environ["BETFAIR_CERTIFICATE"],
)
trading.api_uri = os.environ["BETFAIR_API_URI"]
trading.identity_uri = os.environ["BETFAIR_IDENTITY_URI"]
trading.identity_cert_uri = os.environ["BETFAIR_IDENTITY_CERT_URI"]
trading.navigation_uri = os.environ["BETFAIR_NAVIGATION_URI"]
BetfairStream.HOSTS["sandbox"] = os.environ["BETFAIR_STREAM_HOST"]
BetfairStream._BetfairStream__port = int(os.environ["BETFAIR_STREAM_PORT"])  # a name-mangled constant of the class

trading.login()
orders: queue.Queue = queue.Queue()
stream = trading.streaming.create_stream(listener=StreamListener(output_queue=orders), host="sandbox")
stream.subscribe_to_orders(order_filter=filters.streaming_order_filter())
threading.Thread(target=stream.start, daemon=True).start()

instruction = filters.place_instruction(
    order_type="LIMIT",
    selection_id=1,
    side="BACK",
    limit_order=filters.limit_order(size=2.0, price=1000, persistence_type="LAPSE"),
)
report = trading.betting.place_orders(market_id="1.999000001", instructions=[instruction])
bet_id = report.place_instruction_reports[0].bet_id
print("placed", bet_id, report.status)

seen: set[str] = set()
while bet_id not in seen:
    for update in orders.get(timeout=10):
        seen |= {order.bet_id for order in update.orders}
print("on the stream", bet_id)
trading.logout()  # first: a connection opened now could get the number of a socket that the other thread still reads
stream.stop()
