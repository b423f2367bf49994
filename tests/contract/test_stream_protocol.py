"""The stream's protocol: greeting, authentication, statuses, errors, clocks, limits, as Betfair documents them."""

import json
import time
from collections.abc import Iterator

import pytest
from support.sandbox_client import Json, RunningSandbox, limit, wait_for
from support.stream_client import StreamClient, StreamEnded, connect

pytest_plugins = ["support.sandbox_fixtures"]
MARKET = "1.5"


@pytest.fixture
def stream(sandbox: RunningSandbox) -> Iterator[StreamClient]:
    with connect(sandbox) as client:
        yield client


def refused(client: StreamClient, **request: object) -> Json:
    status = client.ask(**request)
    assert status["statusCode"] == "FAILURE"
    assert status["errorMessage"]
    return status


def ended(client: StreamClient) -> bool:
    with pytest.raises(StreamEnded):
        client.read()
    return True


def test_the_server_speaks_first_and_a_connection_is_counted(sandbox: RunningSandbox) -> None:
    with StreamClient(sandbox) as first, StreamClient(sandbox) as second:
        assert first.greeting["op"] == "connection"
        assert first.greeting["connectionId"] != second.greeting["connectionId"]
        assert first.log_in() == {
            "op": "status",
            "id": 1,
            "statusCode": "SUCCESS",
            "connectionClosed": False,
            "connectionsAvailable": 9,
        }
        assert second.log_in()["connectionsAvailable"] == 8


def test_a_connection_beyond_the_tenth_is_refused_and_a_place_comes_back(sandbox: RunningSandbox) -> None:
    clients = [connect(sandbox) for _ in range(10)]
    with StreamClient(sandbox) as eleventh:
        status = eleventh.log_in()
        assert (status["errorCode"], status["connectionClosed"]) == ("MAX_CONNECTION_LIMIT_EXCEEDED", True)
        assert ended(eleventh)
    clients.pop().close()

    def again() -> bool:
        with StreamClient(sandbox) as client:
            return bool(client.log_in()["statusCode"] == "SUCCESS")

    assert wait_for(again)
    for client in clients:
        client.close()


def test_opening_too_fast_is_refused(sandbox: RunningSandbox) -> None:
    for _ in range(100):
        connect(sandbox).close()
    with StreamClient(sandbox) as client:
        status = client.log_in()
        assert (status["errorCode"], status["connectionClosed"]) == ("TOO_MANY_REQUESTS", True)


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"appKey": None}, "NO_APP_KEY"),
        ({"appKey": "nobody's"}, "INVALID_APP_KEY"),
        ({"session": None}, "NO_SESSION"),
        ({"session": "nobody's"}, "INVALID_SESSION_INFORMATION"),
    ],
)
def test_an_authentication_is_refused_by_name(sandbox: RunningSandbox, fields: Json, code: str) -> None:
    with StreamClient(sandbox) as client:
        status = client.log_in(**fields)
        assert status["errorCode"] == code
        assert (status["id"], status["connectionClosed"]) == (1, True)
        assert status["connectionId"] == client.greeting["connectionId"]
        assert ended(client)


def test_nothing_is_processed_before_authentication(sandbox: RunningSandbox) -> None:
    for op in ("orderSubscription", "marketSubscription", "heartbeat"):
        with StreamClient(sandbox) as client:
            assert refused(client, op=op)["errorCode"] == "NOT_AUTHORIZED"
            assert ended(client)


@pytest.mark.parametrize(
    "line",
    [
        b"{",
        b"[]",
        b"1",
        b"\xff",
        b'{"op":"nonsense","id":1}',
        b'{"id":1}',
        b'{"op":"marketSubscription","id":"one"}',
        b'{"op":"marketSubscription","id":1,"marketFilter":[]}',
        b'{"op":"marketSubscription","id":1,"marketFilter":{"marketIds":"1.5"}}',
        b'{"op":"marketSubscription","id":1,"marketDataFilter":{"fields":["EX_NOTHING"]}}',
        b'{"op":"marketSubscription","id":1,"heartbeatMs":"soon"}',
        b'{"op":"orderSubscription","id":1,"orderFilter":{"accountIds":[1]}}',
        b"[" * 3_000,
    ],
)
def test_what_cannot_be_decoded_is_invalid_input(stream: StreamClient, line: bytes) -> None:
    stream.send_bytes(line + b"\r\n")
    status = stream.read()
    assert (status["errorCode"], status["connectionClosed"]) == ("INVALID_INPUT", True)
    assert ended(stream)


def test_a_line_without_end_is_refused(stream: StreamClient) -> None:
    stream.send_bytes(b"x" * (1024 * 1024 + 1))
    assert stream.read()["errorCode"] == "INVALID_INPUT"


def test_only_crlf_ends_a_request_and_nulls_count_as_absent(stream: StreamClient) -> None:
    nulls = {"clk": None, "initialClk": None, "conflateMs": None, "heartbeatMs": None}
    text = json.dumps({"op": "orderSubscription", "id": 7, **nulls}, indent=1)
    stream.send_bytes(text[:20].encode())
    stream.send_bytes(text[20:].encode() + b"\r")
    stream.send_bytes(b'\n{"op":"heartbeat"}\r\n')
    assert [stream.read().get("id") for _ in range(3)] == [7, 7, None]


def test_a_heartbeat_of_the_client_is_answered(stream: StreamClient) -> None:
    assert stream.ask(op="heartbeat")["statusCode"] == "SUCCESS"


@pytest.mark.parametrize("op", ["marketSubscription", "orderSubscription"])
def test_bounds_are_clamped_and_reported(stream: StreamClient, op: str) -> None:
    image = stream.subscribe(op)
    assert (image["ct"], image["conflateMs"], image["heartbeatMs"]) == ("SUB_IMAGE", 0, 5_000)
    assert {"clk", "initialClk", "pt"} <= set(image)
    image = stream.subscribe(op, conflateMs=10**9, heartbeatMs=1)
    assert (image["conflateMs"], image["heartbeatMs"]) == (120_000, 500)
    assert stream.subscribe(op, conflateMs=-1, heartbeatMs=10**6)["heartbeatMs"] == 5_000


@pytest.mark.parametrize("op", ["marketSubscription", "orderSubscription"])
def test_heartbeats_carry_the_id_of_the_subscription(stream: StreamClient, op: str) -> None:
    image = stream.subscribe(op, heartbeatMs=500)
    for _ in range(2):
        beat = stream.read()
        assert (beat["ct"], beat["id"], beat["op"]) == ("HEARTBEAT", image["id"], image["op"])
        assert {"clk", "pt"} <= set(beat)


def test_a_new_subscription_replaces_the_old_one_of_its_kind(sandbox: RunningSandbox, stream: StreamClient) -> None:
    sandbox.market(MARKET, [[2, 50]])
    sandbox.market("1.6", [[2, 50]])
    old = stream.markets(MARKET)
    orders = stream.orders()
    new = stream.markets("1.6")
    assert [change["id"] for change in new["mc"]] == ["1.6"]
    sandbox.place(MARKET, limit(1, "BACK", 2, 5))
    change = stream.change()
    assert (change["op"], change["id"]) == ("ocm", orders["id"])
    sandbox.place("1.6", limit(1, "BACK", 2, 5))
    assert stream.change("mcm")["id"] == new["id"] != old["id"]


@pytest.mark.parametrize("op", ["marketSubscription", "orderSubscription"])
def test_a_connection_goes_on_where_it_was_with_its_clocks(sandbox: RunningSandbox, op: str) -> None:
    sandbox.market(MARKET, [[2, 50]])
    with connect(sandbox) as client:
        image = client.subscribe(op, conflateMs=0)
        bet_id = sandbox.place_one(MARKET, limit(1, "BACK", 2.2, 5))
        seen = client.change()
    clocks = {"initialClk": image["initialClk"], "clk": seen["clk"], "conflateMs": 0}
    sandbox.call("cancelOrders", marketId=MARKET, instructions=[{"betId": bet_id}])
    with connect(sandbox) as client:
        delta = client.subscribe(op, **clocks)
        assert delta["ct"] == "RESUB_DELTA"
        (change,) = delta["mc" if op == "marketSubscription" else "oc"]
        assert "img" not in change
        if op == "marketSubscription":
            assert change["rc"][0]["atl"] == [[2.2, 0]]
        else:
            assert (change["orc"][0]["uo"][0]["status"], change["orc"][0]["uo"][0]["sc"]) == ("EC", 5)
        assert client.subscribe(op, **{**clocks, "clk": delta["clk"]}).get("mc" if op[0] == "m" else "oc") is None


@pytest.mark.parametrize(
    "change",
    [
        {"clk": None},
        {"initialClk": None},
        {"clk": "AAAA"},
        {"clk": "\u20ac"},
        {"initialClk": "x"},
        {"marketFilter": {"marketIds": ["1.6"]}},
        {"reset": True},
    ],
)
def test_clocks_that_do_not_fit_are_refused(sandbox: RunningSandbox, change: Json) -> None:
    with connect(sandbox) as client:
        image = client.markets(MARKET)
    clocks = {"initialClk": image["initialClk"], "clk": image["clk"], "marketFilter": {"marketIds": [MARKET]}}
    if change.pop("reset", False):
        sandbox.control("reset")
    with connect(sandbox) as client:
        status = refused(client, op="marketSubscription", **{**clocks, **change})
        assert (status["errorCode"], status["connectionClosed"]) == ("INVALID_CLOCK", True)
        assert ended(client)


def test_too_many_markets_keep_the_connection_and_the_old_subscription(
    sandbox: RunningSandbox, stream: StreamClient
) -> None:
    sandbox.market(MARKET, [[2, 50]])
    kept = stream.markets(MARKET)
    asked = [f"1.{number}" for number in range(1000, 1201)]
    status = refused(stream, op="marketSubscription", marketFilter={"marketIds": asked})
    assert (status["errorCode"], status["connectionClosed"]) == ("SUBSCRIPTION_LIMIT_EXCEEDED", False)
    assert "201" in status["errorMessage"]
    assert "200" in status["errorMessage"]
    sandbox.place(MARKET, limit(1, "BACK", 2, 5))
    assert stream.change()["id"] == kept["id"]
    assert len(stream.markets(*asked[:200])["mc"]) == 200


def test_a_delayed_key_is_conflated_to_three_minutes(sandbox: RunningSandbox) -> None:
    with StreamClient(sandbox) as client:
        assert client.log_in(appKey=sandbox.options.delayed_app_key)["statusCode"] == "SUCCESS"
        assert client.markets(MARKET, conflateMs=50)["conflateMs"] == 180_000


def test_segments_make_one_image(stream: StreamClient) -> None:
    asked = [f"1.{number}" for number in range(60)]
    stream.send(op="marketSubscription", segmentationEnabled=True, marketFilter={"marketIds": asked})
    assert stream.read()["statusCode"] == "SUCCESS"
    segments = [stream.read() for _ in range(3)]
    assert [segment["segmentType"] for segment in segments] == ["SEG_START", "SEG", "SEG_END"]
    assert [segment["ct"] for segment in segments] == ["SUB_IMAGE"] * 3
    assert ["clk" in segment for segment in segments] == [False, False, True]
    assert all("pt" in segment and segment["id"] == segments[0]["id"] for segment in segments)
    assert [change["id"] for segment in segments for change in segment["mc"]] == asked


def test_a_session_that_ended_opens_no_connection_but_keeps_an_open_one(
    sandbox: RunningSandbox, stream: StreamClient
) -> None:
    stream.orders(heartbeatMs=500)
    sandbox.session.post(f"{sandbox.api}/api/logout", headers=sandbox.headers)
    with StreamClient(sandbox) as client:
        assert client.log_in()["errorCode"] == "INVALID_SESSION_INFORMATION"
    sandbox.log_in()
    sandbox.place(MARKET, limit(1, "BACK", 2, 5))
    assert stream.change()["op"] == "ocm"


def test_a_reset_replaces_what_every_client_holds(sandbox: RunningSandbox, stream: StreamClient) -> None:
    sandbox.market(MARKET, [[2, 50]])
    held = stream.markets()
    sandbox.control("reset")
    image = stream.change("mcm")
    assert (image["ct"], image["id"], image.get("mc")) == ("SUB_IMAGE", held["id"], None)
    sandbox.market(MARKET, [[3, 50]])
    change = stream.change("mcm")["mc"][0]
    assert change["img"]
    assert "ct" not in change


def test_requests_are_in_the_journal_without_secrets(sandbox: RunningSandbox, stream: StreamClient) -> None:
    stream.orders()
    lines = sandbox.journal("authentication") + sandbox.journal("orderSubscription")
    assert [(line["status"], line["account"]) for line in lines] == [("SUCCESS", "sandbox")] * 2
    assert sandbox.token not in json.dumps(lines)


@pytest.mark.slow
def test_a_connection_that_is_not_subscribed_ends_after_15_seconds(sandbox: RunningSandbox) -> None:
    with StreamClient(sandbox) as silent, connect(sandbox) as unsubscribed, connect(sandbox) as subscribed:
        subscribed.orders()
        started = time.monotonic()
        for client in (silent, unsubscribed):
            status = client.read(deadline_s=20)
            assert (status["errorCode"], status["connectionClosed"]) == ("TIMEOUT", True)
            assert "id" not in status
            assert status["connectionId"] == client.greeting["connectionId"]
            assert "15000 ms" in status["errorMessage"]
            assert ended(client)
        assert time.monotonic() - started > 10
        assert subscribed.ask(op="heartbeat")["statusCode"] == "SUCCESS"
