"""Faults on the stream: what is injected through the control API, and what the client sees of it."""

import time
from collections.abc import Iterator

import pytest
from support.sandbox_client import Json, RunningSandbox, limit, wait_for
from support.stream_client import StreamClient, StreamEnded, connect, is_news

pytest_plugins = ["support.sandbox_fixtures"]
MARKET = "1.5"


@pytest.fixture
def stream(sandbox: RunningSandbox) -> Iterator[StreamClient]:
    sandbox.market(MARKET, [[2, 50]])
    with connect(sandbox) as client:
        yield client


def test_a_dropped_connection_and_the_way_back(sandbox: RunningSandbox, stream: StreamClient) -> None:
    image = stream.orders()
    sandbox.control("faults", method="orderSubscription", kind="drop_connection")
    with pytest.raises(StreamEnded):
        stream.until(lambda _: False)
    sandbox.place(MARKET, limit(1, "BACK", 3, 5))
    with connect(sandbox) as again:
        delta = again.orders(initialClk=image["initialClk"], clk=image["clk"])
        assert (delta["ct"], len(delta["oc"])) == ("RESUB_DELTA", 1)
    assert [line["fault"] for line in sandbox.journal("orderSubscription")] == [None, "drop_connection", None]


def test_only_the_kind_of_subscription_that_is_meant_is_struck(sandbox: RunningSandbox, stream: StreamClient) -> None:
    stream.orders(heartbeatMs=500)
    sandbox.control("faults", method="marketSubscription", kind="drop_connection")
    sandbox.place(MARKET, limit(1, "BACK", 3, 5))
    assert stream.change("ocm")
    stream.nothing(0.5)
    assert len(sandbox.control("faults")) == 1
    stream.send(op="marketSubscription", marketFilter={})
    with pytest.raises(StreamEnded):
        stream.until(lambda _: False)
    assert sandbox.control("faults") == []


def test_silence_hides_heartbeats_and_changes_until_it_ends(sandbox: RunningSandbox, stream: StreamClient) -> None:
    stream.orders(heartbeatMs=500)
    sandbox.control("faults", method="*", kind="silence", seconds=2)
    wait_for(lambda: sandbox.control("faults") == [])
    started = time.monotonic()
    sandbox.place(MARKET, limit(1, "BACK", 3, 5))
    message = stream.change("ocm")
    assert time.monotonic() - started > 1
    assert message["oc"][0]["orc"][0]["uo"][0]["status"] == "E"


def test_status_503_says_that_the_data_are_behind(sandbox: RunningSandbox, stream: StreamClient) -> None:
    image = stream.orders(heartbeatMs=500)
    sandbox.control("faults", method="orderSubscription", kind="status_503", seconds=2)
    first = stream.until(lambda message: message.get("status") == 503)
    assert (first["id"], first["ct"]) == (image["id"], "HEARTBEAT")
    sandbox.place(MARKET, limit(1, "BACK", 3, 5))
    while not is_news(message := stream.read()):
        if "status" in message:
            first = message
    assert "status" not in message
    assert message["oc"]
    assert first["status"] == 503


def test_a_clock_that_is_refused(sandbox: RunningSandbox, stream: StreamClient) -> None:
    image = stream.orders()
    sandbox.control("faults", method="orderSubscription", kind="invalid_clock")
    clocks = {"initialClk": image["initialClk"], "clk": image["clk"]}
    status = stream.ask(op="orderSubscription", **clocks)
    assert (status["errorCode"], status["connectionClosed"]) == ("INVALID_CLOCK", True)
    with connect(sandbox) as again:
        assert again.orders(**clocks)["ct"] == "RESUB_DELTA"


@pytest.mark.parametrize(
    ("method", "code", "closed"),
    [
        ("authentication", "NOT_AUTHORIZED", True),
        ("authentication", "MAX_CONNECTION_LIMIT_EXCEEDED", True),
        ("marketSubscription", "SUBSCRIPTION_LIMIT_EXCEEDED", False),
        ("orderSubscription", "UNEXPECTED_ERROR", True),
    ],
)
def test_an_error_code_on_a_request(sandbox: RunningSandbox, method: str, code: str, closed: bool) -> None:
    with connect(sandbox) as client:
        sandbox.control("faults", method=method, kind=f"error:{code}")
        request: Json = {"appKey": sandbox.options.app_key, "session": sandbox.token} if method[0] == "a" else {}
        status = client.ask(op=method, **request)
        assert (status["errorCode"], status["connectionClosed"]) == (code, closed)


@pytest.mark.parametrize(
    "fault",
    [
        {"method": "placeOrders", "kind": "silence", "seconds": 1},
        {"method": "authentication", "kind": "drop_connection"},
        {"method": "orderSubscription", "kind": "http_503"},
        {"method": "orderSubscription", "kind": "silence"},
        {"method": "orderSubscription", "kind": "drop_connection", "seconds": 1},
        {"method": "orderSubscription", "kind": "error:MARKET_SUSPENDED"},
    ],
)
def test_a_fault_that_cannot_befall_is_refused(sandbox: RunningSandbox, fault: Json) -> None:
    reply = sandbox.session.post(f"{sandbox.api}/sandbox/faults", json=fault)
    assert reply.status_code == 400


def test_a_fault_for_rest_leaves_the_stream_alone(sandbox: RunningSandbox, stream: StreamClient) -> None:
    stream.orders(heartbeatMs=500)
    sandbox.control("faults", method="*", kind="http_503", count=1)
    stream.nothing(0.7)
    assert sandbox.post("listCurrentOrders", {}).status_code == 503
