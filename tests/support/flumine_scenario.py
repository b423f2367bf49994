"""flumine as its users run it, in a network namespace where Betfair's names lead to the sandbox.

`python -m support.flumine_scenario FOLDER` in such a namespace starts the sandbox with --as-betfair, binds a hosts
file over /etc/hosts, runs flumine unmodified and takes its orders through their lives; what became of each step is
printed as JSON, flumine's log is in FOLDER/flumine.log. Ends by itself.
"""

import json
import logging
import os
import sys
import threading
from pathlib import Path
from typing import Any

from support.sandbox_client import RunningSandbox
from support.stand_in import lead_names_here, start_stand_in, wait

MARKET = "1.777000001"
_CLOSURE_S = 90  # flumine asks for cleared orders once a minute


class Scenario:
    """flumine in a thread, and the steps from outside."""

    def __init__(self, sandbox: RunningSandbox, folder: Path) -> None:
        import betfairlightweight  # noqa: PLC0415 - after the environment is set
        from betfairlightweight.filters import streaming_market_filter  # noqa: PLC0415
        from flumine import BaseStrategy, Flumine, clients  # noqa: PLC0415
        from flumine.streams.betfairmarketstream import BetfairMarketStream  # noqa: PLC0415

        self.sandbox = sandbox
        self.closed: list[str] = []
        self.books = 0
        outer = self

        class Strategy(BaseStrategy):  # type: ignore[misc]
            def check_market_book(self, market: Any, market_book: Any) -> bool:
                del market
                return bool(market_book.status != "CLOSED")

            def process_market_book(self, market: Any, market_book: Any) -> None:
                del market, market_book
                outer.books += 1

            def process_closed_market(self, market: Any, market_book: Any) -> None:
                del market_book
                outer.closed.append(market.market_id)

        trading = betfairlightweight.APIClient(
            sandbox.options.username,
            sandbox.options.password,
            app_key=sandbox.options.app_key,
            cert_files=str(folder / "client.pem"),
        )
        self.framework = Flumine(client=clients.BetfairClient(trading))
        stream = BetfairMarketStream(market_filter=streaming_market_filter(market_ids=[MARKET]))
        self.strategy = Strategy(stream=stream, name="scenario", max_live_trade_count=100, max_order_exposure=1000)
        self.strategy.max_selection_exposure = 10_000
        self.framework.add_strategy(self.strategy)
        self.thread = threading.Thread(target=self.framework.run, name="framework", daemon=True)

    @property
    def market(self) -> Any:
        return self.framework.markets.markets.get(MARKET)

    def order(self, side: str, price: float, size: float, **fields: object) -> Any:
        from flumine.order.ordertype import LimitOrder  # noqa: PLC0415
        from flumine.order.trade import Trade  # noqa: PLC0415

        trade = Trade(MARKET, 1, 0, self.strategy)
        order = trade.create_order(side, LimitOrder(price=price, size=size, **fields))
        self.market.place_order(order)
        return order

    def prices(self, to_back: list[list[float]], to_lay: list[list[float]]) -> None:
        self.sandbox.control("prices", marketId=MARKET, selectionId=1, availableToBack=to_back, availableToLay=to_lay)

    def status(self, order: Any, *wanted: str) -> Any:
        return wait(f"{wanted} of {order.status}", lambda: order.status.name in wanted and order.status.name)

    def subscribed(self, name: str) -> list[dict[str, Any]]:
        return [line for line in self.sandbox.journal(name) if line["status"] == "SUCCESS"]

    def run(self) -> dict[str, Any]:
        seen: dict[str, Any] = {}
        self.sandbox.market(MARKET, [[2, 50]], [[2.1, 50]])
        self.thread.start()
        wait("the first book", lambda: self.books and self.market is not None)
        wait("the catalogue", lambda: self.market.market_catalogue)
        resting = self.order("BACK", 3, 10)
        self.status(resting, "EXECUTABLE")
        wait("the stream's word", lambda: resting.bet_id and resting.current_order)
        self.prices([[3, 4]], [])
        wait("a partial fill", lambda: resting.size_matched == 4)
        seen["partial"] = [resting.status.name, resting.size_matched, resting.size_remaining]
        self.market.cancel_order(resting, 2)
        wait("a partial cancel", lambda: resting.size_cancelled == 2 and resting.status.name == "EXECUTABLE")
        self.market.update_order(resting, "PERSIST")
        wait("an update", lambda: resting.current_order.persistence_type == "PERSIST")
        self.status(resting, "EXECUTABLE")
        self.market.replace_order(resting, 3.2)
        self.status(resting, "EXECUTION_COMPLETE")
        replacement = wait("a replacement", lambda: [o for o in resting.trade.orders if o is not resting])[0]
        self.status(replacement, "EXECUTABLE")
        seen["replacement"] = [replacement.order_type.price, replacement.size_remaining]
        self.market.cancel_order(replacement)
        seen["cancelled"] = self.status(replacement, "EXECUTION_COMPLETE")
        self.prices([[2, 5]], [[2.1, 50]])
        killed = self.order("BACK", 2, 10, time_in_force="FILL_OR_KILL")
        seen["killed"] = [self.status(killed, "EXECUTION_COMPLETE"), killed.size_matched]
        filled = self.order("LAY", 2.1, 10, time_in_force="FILL_OR_KILL")
        self.status(filled, "EXECUTION_COMPLETE")
        wait("a fill", lambda: filled.size_matched == 10)
        seen["filled"] = [filled.status.name, filled.average_price_matched]
        seen["errors_before_the_drop"] = errors(Path(sys.argv[1]))
        self.sandbox.control("faults", method="marketSubscription", kind="drop_connection")
        self.sandbox.control("faults", method="orderSubscription", kind="drop_connection")
        names = ("marketSubscription", "orderSubscription")
        wait("both streams again", lambda: [len(self.subscribed(name)) for name in names] == [2, 2])
        seen["resubscribed_with_clk"] = bool(self.subscribed(names[0])[-1]["params"]["clk"])
        late = self.order("BACK", 5, 3)
        self.status(late, "EXECUTABLE")
        wait("the stream's word again", lambda: late.current_order and late.current_order.size_remaining == 3)
        self.sandbox.control("settle", marketId=MARKET, winners=[1])
        wait("the end", lambda: self.closed)
        self.status(late, "EXECUTION_COMPLETE")
        seen["closed"] = self.closed
        wait("the result", lambda: filled.cleared_order is not None, _CLOSURE_S)
        seen["profit"] = filled.cleared_order.profit
        return seen


def errors(folder: Path) -> list[str]:
    text = (folder / "flumine.log").read_text(encoding="utf-8")
    return [line for line in text.splitlines() if line.startswith(("ERROR", "CRITICAL", "WARNING", "Traceback"))]


def main() -> None:
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    lead_names_here(folder)
    sandbox = start_stand_in(folder)
    os.environ["REQUESTS_CA_BUNDLE"] = str(folder / "ca.pem")
    logging.basicConfig(
        filename=folder / "flumine.log", level=logging.INFO, format="%(levelname)s %(name)s %(message)s"
    )
    try:
        scenario = Scenario(RunningSandbox.at(folder), folder)
        seen = scenario.run()
        seen["errors"] = errors(folder)
        print(json.dumps(seen))  # noqa: T201 - the result
    finally:
        sandbox.terminate()
        sandbox.wait(10)


if __name__ == "__main__":
    main()
