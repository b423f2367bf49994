"""betfairlightweight's own caches, fed by the stream, hold what REST says, after thousands of random operations."""

import os
from random import Random
from typing import Any

import pytest
from support.sandbox_client import RunningSandbox, limit, wait_for
from support.stream_client import HeldMarkets, StreamClient, connect

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
            mine = held.runners[row["marketId"]].get(runner["selectionId"])
            if mine is None:
                assert not any(runner["ex"].values())
                continue
            for name, rest in LADDERS:
                assert held_ladder(mine, name) == rows(runner["ex"][rest]), (row["marketId"], name)
            for name, rest in BEST:
                levels = [tuple(level) for _, level in sorted(mine.ladders.get(name, {}).items())]
                shown = [(float(level["price"]), float(level["size"])) for level in best_runner["ex"][rest]]
                assert levels == shown, (row["marketId"], name)
            if "lastPriceTraded" in runner:
                assert mine.values["ltp"] == float(runner["lastPriceTraded"])


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
