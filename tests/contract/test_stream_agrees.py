"""What clients hold of the stream is what REST says, after random operations: ours, and betfairlightweight's caches.

STREAM_STEPS=10000 STREAM_SEED=7 makes more of them, others.
"""

import contextlib
import json
import os
from random import Random
from threading import Thread
from typing import Any

import betfairlightweight
import pytest
from betfairlightweight import StreamListener, filters
from betfairlightweight.exceptions import SocketError
from betfairlightweight.streaming.betfairstream import BetfairStream
from support.sandbox_client import RunningSandbox, limit, wait_for
from support.stream_client import HeldMarkets, StreamClient, connect

from betfair_sandbox.options import read_ports

pytest_plugins = ["support.sandbox_fixtures"]
MARKETS = ("1.51", "1.52", "1.53")
RUNNERS = (1, 2, 3)
PRICES = (1.5, 1.51, 1.9, 2, 2.02, 2.1, 3, 3.05, 10)
SEED = int(os.environ.get("STREAM_SEED", "1"))
STEPS = int(os.environ.get("STREAM_STEPS", "600"))
LADDERS = (("atb", "availableToBack"), ("atl", "availableToLay"), ("trd", "tradedVolume"))
BEST = (("batb", "availableToBack"), ("batl", "availableToLay"))


class Operations:
    """Random steps: mostly bets, now and then what the exchange itself does."""

    def __init__(self, sandbox: RunningSandbox, seed: int) -> None:
        self._sandbox = sandbox
        self._rng = Random(seed)  # noqa: S311 - a seeded process is the point
        self._bets: list[tuple[str, str]] = []

    def step(self) -> None:
        weighted = ((self._place, 60), (self._cancel, 12), (self._replace, 8), (self._update, 5), (self._prices, 8))
        rare = ((self._suspend, 3), (self._turn, 1), (self._remove, 1))
        steps = (*weighted, *rare)
        self._rng.choices([step for step, _ in steps], [weight for _, weight in steps])[0]()

    def _market(self) -> str:
        return self._rng.choice(MARKETS)

    def _place(self) -> None:
        rng, market_id = self._rng, self._market()
        order: dict[str, Any] = {"timeInForce": "FILL_OR_KILL", "persistenceType": None} if rng.random() < 0.1 else {}
        order = order or {"persistenceType": rng.choice(["LAPSE", "PERSIST"])}
        size = rng.choice([1, 2, 2.5, 5.55, 20])
        instruction = limit(rng.choice(RUNNERS), rng.choice(["BACK", "LAY"]), rng.choice(PRICES), size, **order)
        report = self._sandbox.place(market_id, instruction, customerStrategyRef=rng.choice(["one", "two", ""]))
        self._bets += [(market_id, item["betId"]) for item in report["instructionReports"] if "betId" in item]

    def _amend(self, method: str, **change: object) -> None:
        if self._bets:
            market_id, bet_id = self._rng.choice(self._bets[-40:])
            self._sandbox.call(method, marketId=market_id, instructions=[{"betId": bet_id, **change}])

    def _cancel(self) -> None:
        self._amend("cancelOrders", **({"sizeReduction": 1} if self._rng.random() < 0.5 else {}))

    def _replace(self) -> None:
        self._amend("replaceOrders", newPrice=self._rng.choice(PRICES))

    def _update(self) -> None:
        self._amend("updateOrders", newPersistenceType=self._rng.choice(["LAPSE", "PERSIST"]))

    def _prices(self) -> None:
        offers = [[2, self._rng.randint(1, 30)], [1.9, 0.4]], [[2.1, self._rng.randint(1, 30)]]
        self._control(
            "prices", selectionId=self._rng.choice(RUNNERS), availableToBack=offers[0], availableToLay=offers[1]
        )

    def _control(self, path: str, **body: object) -> None:
        self._sandbox.session.post(f"{self._sandbox.api}/sandbox/{path}", json={"marketId": self._market(), **body})

    def _suspend(self) -> None:
        self._control("markets", status=self._rng.choice(["SUSPENDED", "OPEN", "OPEN", "OPEN"]))

    def _turn(self) -> None:
        self._control("markets", inplay=self._rng.random() < 0.3, status="OPEN")

    def _remove(self) -> None:
        if self._rng.random() < 0.1:
            self._control("void", selectionId=3)


def rows(ladder: Any) -> list[tuple[float, float]]:
    return sorted((float(level["price"]), float(level["size"])) for level in ladder)


@pytest.fixture
def markets(sandbox: RunningSandbox) -> RunningSandbox:
    sandbox.control("reset", balance=100_000)
    for market_id in MARKETS:
        sandbox.control("markets", marketId=market_id, runners=[{"selectionId": runner} for runner in RUNNERS])
    return sandbox


def book(sandbox: RunningSandbox, data: tuple[str, ...]) -> Any:
    return sandbox.call("listMarketBook", marketIds=list(MARKETS), priceProjection={"priceData": list(data)})


def held_ladder(runner: Any, name: str) -> list[tuple[float, float]]:
    return sorted((price, rest[0]) for price, rest in runner.ladders.get(name, {}).items())


def compare_markets(held: HeldMarkets, sandbox: RunningSandbox) -> None:
    everything, best = book(sandbox, ("EX_ALL_OFFERS", "EX_TRADED")), book(sandbox, ("EX_BEST_OFFERS",))
    for row, best_row in zip(everything, best, strict=True):
        definition = held.definitions[row["marketId"]]
        for name, ours in (
            ("status", "status"),
            ("version", "version"),
            ("inplay", "inPlay"),
            ("betDelay", "betDelay"),
        ):
            assert row[name] == definition[ours], name
        assert held.volumes[row["marketId"]] == pytest.approx(float(row["totalMatched"]))
        statuses = {runner["id"]: runner["status"] for runner in definition["runners"]}
        for runner, best_runner in zip(row["runners"], best_row["runners"], strict=True):
            assert runner["status"] == statuses[runner["selectionId"]]
            held_runner = held.runners[row["marketId"]].get(runner["selectionId"])
            if held_runner is None:
                assert not any(runner["ex"].values())
                continue
            for name, rest in LADDERS:
                assert held_ladder(held_runner, name) == rows(runner["ex"][rest]), (row["marketId"], name)
            for name, rest in BEST:
                levels = [tuple(level) for _, level in sorted(held_runner.ladders.get(name, {}).items())]
                shown = [(float(level["price"]), float(level["size"])) for level in best_runner["ex"][rest]]
                assert levels == shown, (row["marketId"], name)
            if "lastPriceTraded" in runner:
                assert held_runner.values["ltp"] == float(runner["lastPriceTraded"])


def caught_up(client: StreamClient, held: HeldMarkets) -> None:
    """Apply what has come so far: whatever was published before the status of a request is read before it."""
    request_id = client.send(op="heartbeat")
    while (message := client.read()).get("id") != request_id or message["op"] != "status":
        held.apply(message)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_fast_a_conflated_and_a_returning_client_hold_what_rest_says(markets: RunningSandbox) -> None:
    operations = Operations(markets, SEED)
    fast, slow, returning = HeldMarkets(), HeldMarkets(), HeldMarkets()
    with connect(markets) as quick, connect(markets) as conflated:
        fast.apply(quick.markets(*MARKETS))
        slow.apply(conflated.markets(*MARKETS, conflateMs=700))
        clocks: dict[str, object] = {}
        away = connect(markets)
        image = away.markets(*MARKETS)
        returning.apply(image)
        clocks = {"initialClk": image["initialClk"], "clk": image["clk"]}
        away.close()
        for step in range(1, STEPS + 1):
            operations.step()
            if step % 60:
                continue
            wait_for(lambda: settled(quick, fast, markets))
            with connect(markets) as back:
                delta = back.markets(*MARKETS, **clocks)
                assert delta["ct"] == "RESUB_DELTA"
                clocks["clk"] = delta["clk"]
                returning.apply(delta)
            compare_markets(returning, markets)
        wait_for(lambda: settled(conflated, slow, markets))


def settled(client: StreamClient, held: HeldMarkets, sandbox: RunningSandbox) -> bool:
    caught_up(client, held)
    try:
        compare_markets(held, sandbox)
    except AssertionError:
        return False
    return True


TYPED = ("price", "size", "side", "status", "persistence_type", "order_type", "size_matched", "size_remaining")
SIZES = ("average_price_matched", "size_lapsed", "size_cancelled", "size_voided", "customer_strategy_ref")


def shown(order: Any) -> dict[str, object]:
    """Return what REST and the stream must agree on, whichever resource it came in."""
    fields = {name: getattr(order, name) for name in (*TYPED[2:], *SIZES) if hasattr(order, name)}
    fields |= {"price": order.price_size.price, "size": order.price_size.size, "selection_id": order.selection_id}
    return {name: round(value, 6) if isinstance(value, float) else value or "" for name, value in fields.items()}


def snapped(listener: StreamListener) -> dict[str, Any]:
    books: list[Any] = listener.snap()
    return {book.market_id: book for book in books}


def books_agree(listener: StreamListener, client: betfairlightweight.APIClient) -> bool:
    data = filters.price_projection(filters.price_data(ex_all_offers=True, ex_traded=True))
    held = snapped(listener)
    for book in client.betting.list_market_book(list(MARKETS), price_projection=data):
        ours = held.get(book.market_id)
        if ours is None or (ours.status, ours.version, ours.inplay) != (book.status, book.version, book.inplay):
            return False
        if abs(ours.total_matched - book.total_matched) > 0.001:
            return False
        runners = {runner.selection_id: runner for runner in ours.runners}
        for runner in book.runners:
            held_runner = runners[runner.selection_id]
            if (held_runner.status, held_runner.last_price_traded) != (runner.status, runner.last_price_traded):
                return False
            for name in ("available_to_back", "available_to_lay", "traded_volume"):
                levels = [
                    sorted((level.price, level.size) for level in getattr(r.ex, name)) for r in (held_runner, runner)
                ]
                if levels[0] != levels[1]:
                    return False
    return True


def orders_agree(listener: StreamListener, client: betfairlightweight.APIClient) -> bool:
    rest = client.betting.list_current_orders(order_projection="EXECUTABLE")
    held = {order.bet_id: order for book in listener.snap() for order in book.orders if order.status == "EXECUTABLE"}
    return {bet_id: shown(order) for bet_id, order in held.items()} == {
        order.bet_id: shown(order) for order in rest.orders
    }


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.filterwarnings("ignore:ssl:DeprecationWarning")  # how betfairlightweight connects
def test_betfairlightweight_snaps_what_rest_says(markets: RunningSandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BetfairStream, "_BetfairStream__port", read_ports(markets.directory)["stream_port"])
    monkeypatch.setitem(BetfairStream.HOSTS, "sandbox", "localhost")
    client = markets.betfair()
    listeners = [StreamListener(max_latency=None) for _ in range(2)]
    streams = [client.streaming.create_stream(listener=listener, host="sandbox") for listener in listeners]
    fields = ["EX_ALL_OFFERS", "EX_TRADED", "EX_TRADED_VOL", "EX_LTP", "EX_MARKET_DEF"]
    streams[0].subscribe_to_markets({"marketIds": list(MARKETS)}, {"fields": fields})
    streams[1].subscribe_to_orders(filters.streaming_order_filter())

    def read(stream: BetfairStream) -> None:
        with contextlib.suppress(SocketError):  # the end of the test closes it
            stream.start()

    threads = [Thread(target=read, args=(stream,)) for stream in streams]
    for thread in threads:
        thread.start()
    try:
        operations = Operations(markets, SEED)
        for step in range(1, STEPS + 1):
            operations.step()
            if step % 100 == 0:
                wait_for(lambda: books_agree(listeners[0], client), deadline_s=20)
                wait_for(lambda: orders_agree(listeners[1], client), deadline_s=20)
        assert all(thread.is_alive() for thread in threads)
        for listener in listeners:
            json.dumps([book._data for book in listener.snap()], default=str)
    finally:
        for stream in streams:
            stream.stop()
        for thread in threads:
            thread.join(10)
        client.session.close()
