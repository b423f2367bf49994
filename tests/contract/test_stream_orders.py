"""Orders on the stream: images, each step of a bet's life, matched sums, what a result does, several accounts."""

import time
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from support.sandbox_client import Json, RunningSandbox, limit
from support.stream_client import StreamClient, connect

pytest_plugins = ["support.sandbox_fixtures"]
MARKET = "1.5"
MANDATORY = {
    "id",
    "p",
    "s",
    "side",
    "status",
    "pt",
    "ot",
    "pd",
    "sm",
    "sr",
    "sl",
    "sc",
    "sv",
    "rfo",
    "rfs",
    "rac",
    "rc",
}


@pytest.fixture
def exchange(sandbox: RunningSandbox) -> RunningSandbox:
    sandbox.market(MARKET, to_back=[[2, 50], [1.9, 50]], to_lay=[[2.1, 50]])
    return sandbox


@pytest.fixture
def stream(exchange: RunningSandbox) -> Iterator[StreamClient]:
    with connect(exchange) as client:
        yield client


def order_of(message: Json, bet_id: str = "") -> Any:
    rows = [row for change in message["oc"] for runner in change["orc"] for row in runner.get("uo", ())]
    (found,) = [row for row in rows if bet_id in {"", row["id"]}]
    assert set(found) >= MANDATORY
    sizes = sum(Decimal(str(found[name])) for name in ("sm", "sr", "sl", "sc", "sv"))
    assert sizes == Decimal(str(found["s"]))
    return found


def runner_of(message: Json) -> Any:
    (change,) = message["oc"]
    (runner,) = change["orc"]
    return runner


def test_an_empty_image_says_so_by_saying_nothing(stream: StreamClient) -> None:
    assert "oc" not in stream.orders()


def test_a_bet_matched_at_once_is_told_of_whole(exchange: RunningSandbox, stream: StreamClient) -> None:
    stream.orders()
    instruction = limit(1, "BACK", 1.9, 70, "a-ref")
    bet_id = exchange.place(MARKET, instruction, customerStrategyRef="mine")["instructionReports"][0]["betId"]
    message = stream.change()
    assert "ct" not in message
    (change,) = message["oc"]
    assert change["id"] == MARKET
    assert isinstance(change["accountId"], int)
    runner = runner_of(message)
    assert (runner["id"], runner["fullImage"]) == (1, True)
    assert runner["mb"] == [[2, 50], [1.9, 20]]
    order = order_of(message)
    expected = {"id": bet_id, "p": 1.9, "s": 70, "side": "B", "status": "EC", "pt": "L", "ot": "L", "rfo": "a-ref"}
    assert {name: order[name] for name in expected} == expected
    assert (order["rfs"], order["sm"], order["rc"], order["rac"]) == ("mine", 70, "REG_GGC", "")
    assert order["avp"] == pytest.approx((2 * 50 + 1.9 * 20) / 70)
    assert order["md"] % 1000 == order["pd"] % 1000 == 0


def test_the_life_of_a_bet_step_by_step(exchange: RunningSandbox, stream: StreamClient) -> None:
    stream.orders()
    bet_id = exchange.place_one(MARKET, limit(1, "LAY", 1.8, 10))
    placed = order_of(stream.change())
    assert (placed["status"], placed["side"], placed["sr"]) == ("E", "L", 10)
    assert not {"avp", "md", "cd", "ld", "lsrc", "bsp"} & set(placed)
    item = {"betId": bet_id}
    exchange.call("updateOrders", marketId=MARKET, instructions=[{**item, "newPersistenceType": "PERSIST"}])
    assert order_of(stream.change())["pt"] == "P"
    exchange.control("prices", marketId=MARKET, selectionId=1, availableToBack=[], availableToLay=[[1.7, 4]])
    partly = stream.change()
    assert (order_of(partly)["sm"], order_of(partly)["sr"], order_of(partly)["status"]) == (4, 6, "E")
    assert runner_of(partly)["ml"] == [[1.8, 4]]
    exchange.call("cancelOrders", marketId=MARKET, instructions=[{**item, "sizeReduction": 2}])
    assert (order_of(stream.change())["sc"], "cd" in order_of(stream.orders())) == (2, True)
    exchange.call("replaceOrders", marketId=MARKET, instructions=[{**item, "newPrice": 1.81}])
    replaced = stream.change()
    rows = {row["id"]: row for row in runner_of(replaced)["uo"]}
    assert (rows[bet_id]["status"], rows[bet_id]["sc"]) == ("EC", 6)
    (new,) = [row for row in rows.values() if row["id"] != bet_id]
    assert (new["status"], new["sr"], new["p"]) == ("E", 4, 1.81)


def test_an_image_holds_what_is_executable_and_all_that_is_matched(
    exchange: RunningSandbox, stream: StreamClient
) -> None:
    exchange.place_one(MARKET, limit(1, "BACK", 2, 5))
    open_id = exchange.place_one(MARKET, limit(1, "BACK", 3, 5))
    exchange.call(
        "cancelOrders", marketId=MARKET, instructions=[{"betId": exchange.place_one(MARKET, limit(2, "LAY", 2, 5))}]
    )
    for _ in range(2):
        image = stream.orders()
        assert image["ct"] == "SUB_IMAGE"
        runner = runner_of(image)
        assert runner["fullImage"]
        assert [row["id"] for row in runner["uo"]] == [open_id]
        assert runner["mb"] == [[2, 5]]


def test_a_killed_order_is_told_of_once(exchange: RunningSandbox, stream: StreamClient) -> None:
    stream.orders(heartbeatMs=500)
    exchange.place(MARKET, limit(1, "BACK", 5, 5, timeInForce="FILL_OR_KILL", persistenceType=None))
    killed = order_of(stream.change())
    assert (killed["status"], killed["sl"], killed["lsrc"]) == ("EC", 5, "TIME_ELAPSED")
    stream.nothing(0.6)


def test_a_refused_order_is_never_told_of(exchange: RunningSandbox, stream: StreamClient) -> None:
    stream.orders(heartbeatMs=500)
    assert exchange.place(MARKET, limit(1, "BACK", 5.01, 5))["status"] == "FAILURE"
    stream.nothing(0.6)


def test_filters_of_strategies_and_sums(exchange: RunningSandbox, stream: StreamClient) -> None:
    with connect(exchange) as other, connect(exchange) as every:
        stream.orders(orderFilter={"customerStrategyRefs": ["mine"], "partitionMatchedByStrategyRef": True})
        other.orders(orderFilter={"includeOverallPosition": False, "customerStrategyRefs": ["mine"]})
        every.orders()
        exchange.place(MARKET, limit(1, "BACK", 2, 5), customerStrategyRef="theirs")
        theirs = stream.change()
        assert "uo" not in runner_of(theirs)
        assert runner_of(theirs)["mb"] == [[2, 5]]
        assert "smc" not in runner_of(theirs)
        assert order_of(every.change())["rfs"] == "theirs"
        exchange.place(MARKET, limit(1, "BACK", 2, 3), customerStrategyRef="mine")
        runner = runner_of(stream.change())
        assert runner["uo"][0]["rfs"] == "mine"
        assert runner["mb"] == [[2, 8]]
        assert runner["smc"] == {"mine": {"mb": [[2, 3]]}}
        runner = runner_of(other.change())
        assert "mb" not in runner
        assert [row["rfs"] for row in runner["uo"]] == ["mine"]


def test_a_result_closes_the_market_once(exchange: RunningSandbox, stream: StreamClient) -> None:
    exchange.place_one(MARKET, limit(1, "BACK", 2, 5))
    bet_id = exchange.place_one(MARKET, limit(1, "BACK", 3, 5))
    stream.orders(heartbeatMs=500)
    exchange.control("settle", marketId=MARKET, winners=[1])
    message = stream.change()
    assert message["oc"][0]["closed"]
    assert (order_of(message)["id"], order_of(message)["sl"]) == (bet_id, 5)
    exchange.control("settle", marketId=MARKET, winners=[2])
    stream.nothing(0.6)
    (kept,) = stream.orders()["oc"]
    assert (kept["closed"], kept["orc"][0]["mb"]) == (True, [[2, 5]])


def test_a_void_takes_matches_back(exchange: RunningSandbox, stream: StreamClient) -> None:
    bet_id = exchange.place_one(MARKET, limit(1, "BACK", 2, 5))
    stream.orders()
    exchange.control("void", marketId=MARKET, selectionId=1)
    message = stream.change()
    order = order_of(message)
    assert (order["id"], order["status"], order["sm"], order["sv"]) == (bet_id, "EC", 0, 5)
    assert runner_of(message)["mb"] == [[2, 0]]


def test_every_account_hears_of_its_own_bets_only(exchange: RunningSandbox, stream: StreamClient) -> None:
    if "ann" not in {account["name"] for account in exchange.get("accounts")["accounts"]}:
        exchange.control("accounts", name="ann")
    ann = RunningSandbox.at(exchange.directory, "ann")
    ann.log_in()
    with connect(ann) as hers:
        stream.orders(heartbeatMs=500)
        hers.orders(heartbeatMs=500)
        exchange.place_one(MARKET, limit(1, "BACK", 2.02, 5))
        assert order_of(stream.change())["status"] == "E"
        hers.nothing(0.3)
        ann.place_one(MARKET, limit(1, "LAY", 2.02, 5))
        assert order_of(hers.change())["side"] == "L"
        assert order_of(stream.change())["status"] == "EC"
    ann.session.close()


def test_a_conflated_client_gets_the_last_state_only(exchange: RunningSandbox, stream: StreamClient) -> None:
    stream.orders(conflateMs=1_000)
    ids = [exchange.place_one(MARKET, limit(1, "BACK", 3, 5)) for _ in range(3)]
    exchange.call("cancelOrders", marketId=MARKET, instructions=[{"betId": ids[0]}])
    message = stream.change()
    assert [(row["id"], row["status"]) for row in runner_of(message)["uo"]] == [
        (ids[0], "EC"),
        (ids[1], "E"),
        (ids[2], "E"),
    ]


def test_a_fill_reaches_the_client_soon(exchange: RunningSandbox, stream: StreamClient) -> None:
    stream.orders()
    delays = []
    for _ in range(20):
        exchange.place_one(MARKET, limit(1, "BACK", 3, 5))
        delays.append(time.time() * 1000 - stream.change()["pt"])
    assert sorted(delays)[10] < 50
