"""Markets on the stream: definitions, ladders by price and by level, filters, merging, what comes after CLOSED."""

import contextlib
import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.sandbox_client import Json, RunningSandbox, limit, wait_for
from support.stream_client import HeldMarkets, StreamClient, connect

pytest_plugins = ["support.sandbox_fixtures"]
MARKET = "1.5"
# Without one of these betfairlightweight's reader dies.
MANDATORY = {
    *("betDelay", "bettingType", "bspMarket", "bspReconciled", "complete", "crossMatching", "discountAllowed"),
    *("eventId", "eventTypeId", "inPlay", "marketBaseRate", "marketTime", "numberOfActiveRunners"),
    *("numberOfWinners", "persistenceEnabled", "regulators", "runnersVoidable", "status", "timezone"),
    *("turnInPlayEnabled", "version", "runners"),
}


@pytest.fixture
def exchange(sandbox: RunningSandbox) -> RunningSandbox:
    sandbox.market(MARKET, to_back=[[2, 50], [1.9, 50]], to_lay=[[2.1, 50]])
    return sandbox


@pytest.fixture
def stream(exchange: RunningSandbox) -> Iterator[StreamClient]:
    with connect(exchange) as client:
        yield client


def row(message: Json, selection_id: int = 1) -> Any:
    rows = [runner for change in message["mc"] for runner in change.get("rc", ()) if runner["id"] == selection_id]
    assert len(rows) <= 1
    return rows[0] if rows else {}


def test_an_image_is_whole(stream: StreamClient) -> None:
    (change,) = stream.markets(MARKET)["mc"]
    definition = change["marketDefinition"]
    assert change["img"]
    assert set(definition) >= MANDATORY
    assert (definition["status"], definition["inPlay"], definition["numberOfActiveRunners"]) == ("OPEN", False, 2)
    assert definition["marketTime"].endswith("Z")
    assert [runner["id"] for runner in definition["runners"]] == [1, 2]
    assert None not in [value for runner in definition["runners"] for value in runner.values()]
    runner = change["rc"][0]
    assert (runner["atb"], runner["atl"]) == ([[2, 50], [1.9, 50]], [[2.1, 50]])
    assert runner["batb"] == runner["bdatb"] == [[0, 2, 50], [1, 1.9, 50]]
    assert "hc" not in runner


def test_deltas_carry_what_changed_and_nothing_else(exchange: RunningSandbox, stream: StreamClient) -> None:
    stream.markets(MARKET)
    exchange.place_one(MARKET, limit(1, "BACK", 2, 50))
    change = stream.change()
    (market,) = change["mc"]
    assert set(market) == {"id", "rc", "tv"}
    assert row(change) == {
        "id": 1,
        "atb": [[2, 0]],
        "batb": [[0, 1.9, 50], [1, 0, 0]],
        "bdatb": [[0, 1.9, 50], [1, 0, 0]],
        "trd": [[2, 100]],
        "ltp": 2,
        "tv": 100,
    }
    assert market["tv"] == 100


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        (["EX_BEST_OFFERS"], {"batb"}),
        (["EX_BEST_OFFERS_DISP"], {"bdatb"}),
        (["EX_ALL_OFFERS"], {"atb"}),
        (["EX_TRADED"], {"trd"}),
        (["EX_TRADED_VOL"], {"tv"}),
        (["EX_LTP"], {"ltp"}),
    ],
)
def test_a_data_filter_restricts_what_is_told(exchange: RunningSandbox, fields: list[str], names: set[str]) -> None:
    with connect(exchange) as client:
        image = client.markets(MARKET, marketDataFilter={"fields": fields})
        assert "marketDefinition" not in image["mc"][0]
        exchange.place_one(MARKET, limit(1, "BACK", 2, 5))
        assert set(row(client.change())) - {"id"} == names
        exchange.control("markets", marketId=MARKET, status="SUSPENDED")
        exchange.control("markets", marketId=MARKET, status="OPEN")
        client.nothing(0.3)


def test_levels_are_as_many_as_asked_for(exchange: RunningSandbox, stream: StreamClient) -> None:
    offers = [[price, 10] for price in (2, 1.99, 1.98, 1.97, 1.96)]
    exchange.control("prices", marketId=MARKET, selectionId=1, availableToBack=offers, availableToLay=[])
    for asked, shown in ((2, 2), (5, 5), (99, 5), (None, 3)):
        image = stream.markets(MARKET, marketDataFilter={"fields": ["EX_BEST_OFFERS"], "ladderLevels": asked})
        assert [level for level, _, _ in row(image)["batb"]] == list(range(shown))


def test_small_stakes_are_rolled_into_the_next_level(exchange: RunningSandbox, stream: StreamClient) -> None:
    offers = [[2, 0.4], [1.99, 0.7], [1.98, 5]]
    exchange.control("prices", marketId=MARKET, selectionId=1, availableToBack=offers, availableToLay=[])
    image = row(stream.markets(MARKET))
    assert image["batb"] == [[0, 1.99, 1.1], [1, 1.98, 5]]
    assert sorted(image["atb"]) == sorted(offers)


def test_a_definition_comes_whole_when_it_changes(exchange: RunningSandbox, stream: StreamClient) -> None:
    stream.markets(MARKET)
    for change, expected in (
        ({"status": "SUSPENDED"}, {"status": "SUSPENDED"}),
        ({"inplay": True, "betDelay": 3, "status": "OPEN"}, {"inPlay": True, "betDelay": 3, "status": "OPEN"}),
    ):
        exchange.control("markets", marketId=MARKET, **change)
        definition = stream.change()["mc"][0]["marketDefinition"]
        assert set(definition) >= MANDATORY
        assert {name: definition[name] for name in expected} == expected
    exchange.control("void", marketId=MARKET, selectionId=2)
    removed = next(r for r in stream.change()["mc"][0]["marketDefinition"]["runners"] if r["id"] == 2)
    assert (removed["status"], "removalDate" in removed) == ("REMOVED", True)


def test_a_definition_has_its_rarer_fields(exchange: RunningSandbox, stream: StreamClient) -> None:
    rare = ("suspendReason", "betDelayModels", "keyLineDefinition")
    definition = stream.markets(MARKET)["mc"][0]["marketDefinition"]
    assert not {*rare} & {*definition}

    def told(**change: object) -> list[object]:
        exchange.control("markets", marketId=MARKET, **change)
        (row,) = stream.change("mcm")["mc"]
        return [row["marketDefinition"].get(name) for name in rare]

    lines = {"kl": [{"id": 1, "hc": -0.5}, {"id": 2, "hc": 0.5}]}
    assert told(betDelayModels=["PASSIVE", "DYNAMIC"]) == [None, ["PASSIVE", "DYNAMIC"], None]
    assert told(keyLineDefinition=lines) == [None, ["PASSIVE", "DYNAMIC"], lines]
    assert told(status="SUSPENDED", suspendReason="VAR") == ["VAR", ["PASSIVE", "DYNAMIC"], lines]
    assert told(status="OPEN", betDelayModels=[]) == [None, None, lines]
    (book,) = exchange.call("listMarketBook", marketIds=[MARKET])
    assert book["keyLineDescription"]["keyLine"][0] == {"selectionId": 1, "handicap": -0.5}


def test_a_filter_by_bet_delay_model(exchange: RunningSandbox, stream: StreamClient) -> None:
    exchange.control("markets", marketId="1.6", runners=[1], betDelayModels=["PASSIVE"])
    chosen = {"betDelayModels": ["PASSIVE"]}
    assert [row["id"] for row in stream.markets(marketFilter=chosen)["mc"]] == ["1.6"]
    projections = ["MARKET_DESCRIPTION"]
    found = exchange.call("listMarketCatalogue", filter={}, maxResults=9, marketProjection=projections)
    models = {row["marketId"]: row["description"].get("betDelayModels") for row in found}
    assert models == {MARKET: None, "1.6": ["PASSIVE"]}


def test_nothing_comes_after_closed(exchange: RunningSandbox, stream: StreamClient) -> None:
    held = HeldMarkets()
    held.apply(stream.markets(MARKET, heartbeatMs=500))
    exchange.control("settle", marketId=MARKET, winners=[1])
    last = stream.change()
    held.apply(last)
    definition = last["mc"][0]["marketDefinition"]
    assert (definition["status"], "settledTime" in definition) == ("CLOSED", True)
    assert [runner["status"] for runner in definition["runners"]] == ["WINNER", "LOSER"]
    assert not held.runners[MARKET][1].ladders["atb"]
    exchange.control("settle", marketId=MARKET, winners=[2])
    exchange.control("void", marketId=MARKET)
    stream.nothing(0.7)


@pytest.mark.parametrize(
    ("chosen", "found"),
    [
        ({"eventTypeIds": ["7"]}, {"1.71"}),
        ({"eventIds": ["30000007"]}, {"1.71"}),
        ({"marketTypes": ["WIN"]}, {"1.71"}),
        ({"venues": ["Ascot"]}, {"1.71"}),
        ({"countryCodes": ["GB"]}, {MARKET}),
        ({"raceTypes": ["Flat"]}, {"1.71"}),
        ({"bspMarket": True}, {"1.71"}),
        ({"turnInPlayEnabled": True}, {"1.71", MARKET}),
        ({"bettingTypes": ["ODDS"]}, {"1.71", MARKET}),
        ({"bettingTypes": ["LINE"]}, set()),
        ({"marketIds": [MARKET], "eventTypeIds": ["7"]}, set()),
        ({}, {"1.71", MARKET}),
    ],
)
def test_filters(exchange: RunningSandbox, stream: StreamClient, chosen: Json, found: set[str]) -> None:
    race = {"eventTypeId": "7", "eventId": "30000007", "venue": "Ascot", "countryCode": "IE", "raceType": "Flat"}
    exchange.control("markets", marketId="1.71", runners=[1], marketType="WIN", bspMarket=True, **race)
    image = stream.subscribe("marketSubscription", marketFilter=chosen)
    assert {change["id"] for change in image.get("mc", ())} == found


def test_a_market_that_begins_to_match_comes_by_itself(exchange: RunningSandbox, stream: StreamClient) -> None:
    assert "mc" not in stream.subscribe("marketSubscription", marketFilter={"marketTypes": ["WIN"]})
    exchange.control("markets", marketId="1.71", runners=[1], marketType="WIN")
    (change,) = stream.change()["mc"]
    assert (change["id"], change["img"], change["marketDefinition"]["marketType"]) == ("1.71", True, "WIN")


def test_merged_changes_say_so(exchange: RunningSandbox) -> None:
    with connect(exchange) as quick, connect(exchange) as conflated:
        quick.markets(MARKET)
        conflated.markets(MARKET, conflateMs=1_000)
        for _ in range(3):
            exchange.place_one(MARKET, limit(1, "BACK", 2, 5))
            assert "con" not in quick.change()["mc"][0]
        (change,) = conflated.change()["mc"]
        assert change["con"]
        assert change["rc"][0]["atb"] == [[2, 35]]


def test_starting_prices_are_told(exchange: RunningSandbox, stream: StreamClient) -> None:
    exchange.control("markets", marketId="1.71", runners=[1, 2], bspMarket=True)
    stream.markets("1.71", marketDataFilter={"fields": ["SP_TRADED", "SP_PROJECTED"]})
    order = {"selectionId": 1, "side": "BACK", "orderType": "MARKET_ON_CLOSE", "marketOnCloseOrder": {"liability": 20}}
    assert exchange.place("1.71", order)["status"] == "SUCCESS"
    assert row(stream.change())["spb"] == [[1.01, 20]]


def test_a_client_that_does_not_read_is_cut_and_others_are_served(exchange: RunningSandbox) -> None:
    asked = [f"1.{number}" for number in range(2000, 2200)]
    for market_id in asked:
        exchange.control("markets", marketId=market_id, runners=[1, 2, 3])
    stuck = connect(exchange)
    stuck.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sent = 0
    with connect(exchange) as other:
        other.orders()
        stuck.socket.settimeout(0.2)
        request = json.dumps({"op": "marketSubscription", "id": 1, "marketFilter": {"marketIds": asked}}).encode()
        with contextlib.suppress(TimeoutError, OSError):  # the server reads no more from one that does not read either
            while sent < 20_000:
                stuck.send_bytes(request + b"\r\n")
                sent += 1
        assert sent < 20_000
        started = time.monotonic()
        for _ in range(5):
            exchange.place_one(MARKET, limit(1, "BACK", 2, 2))
            assert other.change("ocm")
        assert time.monotonic() - started < 5
    stuck.close()


@pytest.mark.slow
def test_a_client_that_stays_stuck_gives_its_place_back(exchange: RunningSandbox) -> None:
    stuck = connect(exchange)
    stuck.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    asked = [f"1.{number}" for number in range(2000, 2200)]
    request = json.dumps({"op": "marketSubscription", "id": 1, "marketFilter": {"marketIds": asked}}).encode()
    stuck.socket.settimeout(0.5)
    with contextlib.suppress(TimeoutError, OSError):
        while True:
            stuck.send_bytes(request + b"\r\n")

    def alone() -> bool:
        time.sleep(0.5)  # opening connections faster is refused
        with StreamClient(exchange) as other:
            return bool(other.log_in()["connectionsAvailable"] == 9)

    assert not alone()
    wait_for(alone, deadline_s=40)
    stuck.close()


RECORDED = Path(__file__).parents[2].parent / "shared" / "recorded" / "stream"


@pytest.mark.parametrize("name", ["ocm-2016-placed.real.json", "order-life.edited.json"])
def test_an_order_has_the_fields_of_the_recorded_ones(
    exchange: RunningSandbox, stream: StreamClient, name: str
) -> None:
    if not RECORDED.is_dir():
        pytest.skip("the folder of recorded replies is not beside the project")
    lines = (RECORDED / name).read_text(encoding="utf-8").splitlines()
    recorded = [order for line in lines if line for change in json.loads(line)["oc"] for runner in change.get("orc", ())
                for order in runner["uo"]]  # fmt: skip
    stream.orders()
    exchange.place_one(MARKET, limit(1, "BACK", 3, 5))
    (ours,) = stream.change()["oc"][0]["orc"][0]["uo"]
    for order in recorded:
        assert set(order) - {"cd", "md", "avp"} <= set(ours)
        assert {name: type(order[name]) for name in ("id", "side", "status", "rfo", "pd")} == {
            name: type(ours[name]) for name in ("id", "side", "status", "rfo", "pd")
        }
