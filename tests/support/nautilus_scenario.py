"""Nautilus Trader's Betfair adapter as its users run it, in a network namespace where Betfair's names lead here.

`python -m support.nautilus_scenario FOLDER PYTHON` in such a namespace starts the sandbox (with PYTHON, which has what
that needs), lets a live node with the unmodified adapter log in, load instruments, subscribe, reconcile an order placed
before it started, and place, replace and cancel others; what became of each step is printed as JSON, the node's log is
in FOLDER/nautilus.log. Ends by itself.
"""

import asyncio
import json
import os
import sys
import threading
from decimal import Decimal
from pathlib import Path
from typing import Any

from betfair_sandbox.options import nautilus_env
from support.sandbox_client import RunningSandbox, limit
from support.stand_in import lead_names_here, start_stand_in, wait

MARKET = "1.777000002"
_READY_S = 60


def make_node(folder: Path) -> Any:
    from nautilus_trader.adapters.betfair import (  # noqa: PLC0415 - after the environment is set
        BetfairDataClientConfig,
        BetfairExecClientConfig,
        BetfairInstrumentProviderConfig,
        BetfairLiveDataClientFactory,
        BetfairLiveExecClientFactory,
    )
    from nautilus_trader.config import LiveExecEngineConfig, LoggingConfig, TradingNodeConfig  # noqa: PLC0415
    from nautilus_trader.live.node import TradingNode  # noqa: PLC0415

    markets = BetfairInstrumentProviderConfig(account_currency="GBP", market_ids=[MARKET])
    common = {"account_currency": "GBP", "instrument_config": markets}
    config = TradingNodeConfig(
        trader_id="SANDBOX-001",
        logging=LoggingConfig(
            log_level="ERROR", log_level_file="INFO", log_directory=str(folder), log_file_name="nautilus"
        ),
        exec_engine=LiveExecEngineConfig(reconciliation=True),
        data_clients={"BETFAIR": BetfairDataClientConfig(stream_conflate_ms=None, **common)},
        exec_clients={"BETFAIR": BetfairExecClientConfig(**common)},
        timeout_connection=30.0,
        timeout_disconnection=5.0,
        timeout_post_stop=1.0,
    )
    node = TradingNode(config=config)
    node.add_data_client_factory("BETFAIR", BetfairLiveDataClientFactory)
    node.add_exec_client_factory("BETFAIR", BetfairLiveExecClientFactory)
    return node


def make_strategy() -> Any:
    from nautilus_trader.model.data import OrderBookDeltas  # noqa: PLC0415 - after the environment is set
    from nautilus_trader.model.enums import BookType, OrderSide, TimeInForce  # noqa: PLC0415
    from nautilus_trader.model.objects import Price, Quantity  # noqa: PLC0415
    from nautilus_trader.trading.strategy import Strategy  # noqa: PLC0415

    class Scenario(Strategy):  # type: ignore[misc]
        """Notes what it is told; is driven from outside."""

        def __init__(self) -> None:
            super().__init__()
            self.deltas = 0
            self.events: list[str] = []
            self.instrument: Any = None

        def on_start(self) -> None:
            found = self.cache.instruments()
            self.instrument = next(one for one in found if one.selection_id == 1)
            for one in found:
                self.subscribe_order_book_deltas(one.id, book_type=BookType.L2_MBP)

        def on_order_book_deltas(self, deltas: OrderBookDeltas) -> None:
            del deltas
            self.deltas += 1

        def on_order_event(self, event: Any) -> None:
            self.events.append(type(event).__name__)

        def submit(self, side: str, price: str, size: str) -> Any:
            order = self.order_factory.limit(
                self.instrument.id,
                OrderSide[side],
                Quantity(Decimal(size), 2),
                Price(Decimal(price), 2),
                time_in_force=TimeInForce.GTC,
            )
            self.submit_order(order)
            return order

        def reprice(self, order: Any, price: str) -> None:
            self.modify_order(order, price=Price(Decimal(price), 2))

        def shrink(self, order: Any, size: str) -> None:
            self.modify_order(order, quantity=Quantity(Decimal(size), 2))

        def best(self) -> list[float]:
            book = self.cache.order_book(self.instrument.id)
            bid, ask = (book.best_bid_price(), book.best_ask_price()) if book else (None, None)
            return [float(price) for price in (bid, ask) if price is not None]

    return Scenario()


class Run:
    """The node in its loop, and the steps from another thread."""

    def __init__(self, folder: Path, sandbox: RunningSandbox) -> None:
        self.folder, self.sandbox = folder, sandbox
        self.seen: dict[str, Any] = {}
        self.node: Any = None
        self.strategy: Any = None
        self.failed: BaseException | None = None

    def on_loop(self, act: Any, *args: Any) -> Any:
        """Run on the node's own thread, as a strategy's code would be."""

        async def call() -> Any:
            return act(*args)

        return asyncio.run_coroutine_threadsafe(call(), self.node.get_event_loop()).result(30)

    def steps(self) -> None:
        try:
            self._steps()
        except BaseException as error:  # noqa: BLE001 - told by main, after the node has ended
            self.failed = error
        finally:
            self.node.get_event_loop().call_soon_threadsafe(self.node.stop)

    def _steps(self) -> None:
        strategy, sandbox, seen = self.strategy, self.sandbox, self.seen
        wait("the strategy's start", lambda: strategy.instrument is not None, _READY_S)
        seen["instruments"] = sorted(one.selection_id for one in strategy.cache.instruments())
        # The image may have come before the strategy asked for the book, which then begins with the next changes.
        for back, lay in ((1.98, 2.14), (2, 2.1)):
            offers = {"availableToBack": [[back, 50]], "availableToLay": [[lay, 50]]}
            sandbox.control("prices", marketId=MARKET, selectionId=1, **offers)
        wait("a book", lambda: strategy.deltas)
        seen["book"] = wait(
            "best prices", lambda: len(self.on_loop(strategy.best)) == 2 and self.on_loop(strategy.best)
        )
        account = strategy.cache.accounts()[0]
        seen["balance"] = float(account.balance_total().as_double())
        seen["reconciled"] = [float(order.price) for order in strategy.cache.orders_open()]

        order = self.on_loop(strategy.submit, "SELL", "3.0", "10")
        wait("acceptance", lambda: order.status.name == "ACCEPTED")
        sandbox.control("prices", marketId=MARKET, selectionId=1, availableToBack=[[3, 4]], availableToLay=[])
        wait("a partial fill", lambda: float(order.filled_qty) == 4)
        seen["partial"] = [order.status.name, float(order.leaves_qty)]
        self.on_loop(strategy.shrink, order, "8")
        wait("a smaller size", lambda: float(order.quantity) == 8)
        first_bet = str(order.venue_order_id)
        self.on_loop(strategy.reprice, order, "3.2")
        wait("a new price", lambda: float(order.price) == 3.2 and str(order.venue_order_id) != first_bet)
        seen["replaced"] = float(sandbox.order(str(order.venue_order_id))["sizeRemaining"])
        self.on_loop(strategy.cancel_order, order)
        wait("the cancel", lambda: order.is_closed)
        seen["cancelled"] = order.status.name
        sandbox.control("prices", marketId=MARKET, selectionId=1, availableToBack=[[2, 50]], availableToLay=[[2.1, 50]])
        filled = self.on_loop(strategy.submit, "BUY", "2.1", "10")
        wait("a fill", lambda: filled.status.name == "FILLED")
        seen["filled"] = [float(filled.filled_qty), float(filled.avg_px)]
        sandbox.control("markets", marketId=MARKET, status="SUSPENDED")
        refused = self.on_loop(strategy.submit, "SELL", "3.0", "5")
        wait("a refusal", lambda: refused.status.name == "REJECTED")
        seen["events"] = sorted(set(strategy.events))
        seen["asked"] = sorted({line["method"] for line in sandbox.journal() if line["status"] == "SUCCESS"})
        seen["failed_calls"] = [
            [line["method"], line["error"]] for line in sandbox.journal() if line["status"] not in {"SUCCESS", None}
        ]


def problems(folder: Path) -> list[str]:
    log = next(folder.glob("nautilus*.log")).read_text(encoding="utf-8")
    return [line for line in log.splitlines() if "[ERROR]" in line or "Traceback" in line]


def main() -> None:
    folder, python = Path(sys.argv[1]), sys.argv[2]
    folder.mkdir(parents=True, exist_ok=True)
    lead_names_here(folder)
    process = start_stand_in(folder, python)
    os.environ.update(nautilus_env(folder))
    try:
        sandbox = RunningSandbox.at(folder)
        sandbox.log_in()
        sandbox.market(MARKET, [[2, 50]], [[2.1, 50]])
        sandbox.place_one(MARKET, limit(2, "BACK", 5, 3))
        run = Run(folder, sandbox)
        run.node, run.strategy = make_node(folder), make_strategy()
        run.node.trader.add_strategy(run.strategy)
        run.node.build()
        steps = threading.Thread(target=run.steps, name="steps", daemon=True)
        steps.start()
        run.node.run()
        steps.join(10)
        run.node.dispose()
        if run.failed is not None:
            raise RuntimeError(f"{run.failed}; so far: {run.seen}; {problems(folder)}") from run.failed
        print(json.dumps({**run.seen, "errors": problems(folder)}))  # noqa: T201 - the result
    finally:
        process.terminate()
        process.wait(10)


if __name__ == "__main__":
    main()
