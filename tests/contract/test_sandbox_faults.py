"""Each kind of fault: what the client sees, and whether the exchange acted."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from support.sandbox_client import Json, RunningSandbox, limit, wait_for

pytest_plugins = ["support.sandbox_fixtures"]
MARKET = "1.100000001"
GOOD = limit(1, "BACK", 3, 2, "mine")


@pytest.fixture
def exchange(sandbox: RunningSandbox) -> RunningSandbox:
    sandbox.market(MARKET)
    return sandbox


def place(exchange: RunningSandbox) -> Json:
    return exchange.place(MARKET, GOOD)


@pytest.mark.parametrize(("kind", "acted"), [("refuse_connection", False), ("drop_response", True)])
def test_a_broken_connection(exchange: RunningSandbox, kind: str, acted: bool) -> None:
    exchange.control("faults", method="placeOrders", kind=kind)
    with pytest.raises(requests.ConnectionError):
        place(exchange)
    assert len(exchange.get("orders")) == acted
    (line,) = exchange.journal("placeOrders")
    assert (line["fault"], line["status"]) == (kind, "SUCCESS" if acted else "CUT")
    assert place(exchange)["status"] == "SUCCESS"


def test_http_503_is_html_and_nothing_is_done(exchange: RunningSandbox) -> None:
    exchange.control("faults", method="placeOrders", kind="http_503", count=2)
    params = {"marketId": MARKET, "instructions": [GOOD]}
    replies = [exchange.post("placeOrders", params) for _ in range(3)]
    assert [reply.status_code for reply in replies] == [503, 503, 200]
    assert replies[0].headers["Content-Type"].startswith("text/html")
    assert len(exchange.get("orders")) == 1


@pytest.mark.parametrize("code", ["TOO_MANY_REQUESTS", "SERVICE_BUSY", "TIMEOUT_ERROR", "UNEXPECTED_ERROR"])
def test_an_exception(exchange: RunningSandbox, code: str) -> None:
    exchange.control("faults", method="*", kind=f"error:{code}")
    assert exchange.error_code("placeOrders", {"marketId": MARKET, "instructions": [GOOD]}) == code
    assert exchange.journal("placeOrders")[0]["error"] == code
    assert exchange.get("orders") == []


@pytest.mark.parametrize("code", ["ERROR_IN_MATCHER", "MARKET_SUSPENDED", "LOSS_LIMIT_EXCEEDED"])
def test_a_failed_report(exchange: RunningSandbox, code: str) -> None:
    exchange.control("faults", method="placeOrders", kind=f"error:{code}")
    report = place(exchange)
    assert (report["status"], report["errorCode"], report["marketId"]) == ("FAILURE", code, MARKET)
    assert report["instructionReports"][0]["errorCode"] == "ERROR_IN_ORDER"
    assert exchange.get("orders") == []
    bet_id = exchange.place_one(MARKET, GOOD)
    exchange.control("faults", method="cancelOrders", kind=f"error:{code}")
    cancel = {"marketId": MARKET, "instructions": [{"betId": bet_id}]}
    assert exchange.call("cancelOrders", **cancel)["errorCode"] == code
    assert exchange.order(bet_id)["status"] == "EXECUTABLE"


def test_a_timed_out_report_hides_that_it_acted(exchange: RunningSandbox) -> None:
    exchange.control("faults", method="*", kind="report_timeout", count=2)
    report = place(exchange)
    assert (report["status"], report["instructionReports"][0]["status"]) == ("TIMEOUT", "TIMEOUT")
    assert "betId" not in report["instructionReports"][0]
    (order,) = exchange.call("listCurrentOrders", customerOrderRefs=["mine"])["currentOrders"]
    report = exchange.call("cancelOrders", marketId=MARKET, instructions=[{"betId": order["betId"]}])
    assert report["status"] == "TIMEOUT"
    assert exchange.order(order["betId"])["status"] == "EXECUTION_COMPLETE"


@pytest.mark.parametrize(
    ("method", "change"),
    [
        ("cancelOrders", {}),
        ("replaceOrders", {"newPrice": 4}),
        ("updateOrders", {"newPersistenceType": "PERSIST"}),
    ],
)
@pytest.mark.parametrize("kind", ["report_timeout", "error:MARKET_SUSPENDED", "INVALID_BET_ID", "DUPLICATE_BETIDS"])
def test_betfairlightweight_reads_every_report_of_a_change(
    exchange: RunningSandbox, method: str, change: Json, kind: str
) -> None:
    bet_id = exchange.place_one(MARKET, GOOD)
    item = {"betId": "1" if kind == "INVALID_BET_ID" else bet_id, **change}
    if kind.startswith(("report", "error")):
        exchange.control("faults", method=method, kind=kind)
    betfair = exchange.betfair()
    operation = getattr(betfair.betting, method.replace("Orders", "_orders"))
    report = operation(market_id=MARKET, instructions=[item, item] if kind.startswith("DUP") else [item])
    betfair.session.close()
    items = getattr(report, f"{method.removesuffix('Orders')}_instruction_reports")
    assert report.status == items[0].status == ("TIMEOUT" if kind == "report_timeout" else "FAILURE")
    if method == "replaceOrders":
        assert items[0].cancel_instruction_reports.instruction.bet_id == item["betId"]
        assert items[0].place_instruction_reports.status == items[0].status
    else:
        assert items[0].instruction.bet_id == item["betId"]


def test_a_delay(exchange: RunningSandbox) -> None:
    exchange.control("faults", method="placeOrders", kind="delay", seconds=0.3)
    started = time.monotonic()
    assert place(exchange)["status"] == "SUCCESS"
    assert 0.3 <= time.monotonic() - started < 2


def test_an_expired_session_and_a_new_login(exchange: RunningSandbox) -> None:
    exchange.control("faults", method="placeOrders", kind="expire_session")
    params = {"marketId": MARKET, "instructions": [GOOD]}
    for _ in range(2):
        assert exchange.error_code("placeOrders", params) == "INVALID_SESSION_INFORMATION"
    assert exchange.get("orders") == []
    exchange.log_in()
    assert place(exchange)["status"] == "SUCCESS"


def test_faults_of_the_identity_service(exchange: RunningSandbox) -> None:
    url = f"{exchange.cert_api}/api/certlogin"
    form = {"username": exchange.options.username, "password": exchange.options.password}

    def log_in() -> requests.Response:
        return exchange.session.post(url, data=form, cert=str(exchange.paths.client_pem))

    exchange.control("faults", method="certlogin", kind="error:ACCOUNT_NOW_LOCKED")
    assert log_in().json() == {"loginStatus": "ACCOUNT_NOW_LOCKED"}
    exchange.control("faults", method="certlogin", kind="http_503")
    assert log_in().status_code == 503
    exchange.control("faults", method="certlogin", kind="drop_response")
    with pytest.raises(requests.ConnectionError):
        log_in()
    assert log_in().json()["loginStatus"] == "SUCCESS"
    exchange.control("faults", method="keepAlive", kind="error:INTERNAL_ERROR")
    answer = exchange.session.post(f"{exchange.api}/api/keepAlive", headers=exchange.headers).json()
    assert (answer["status"], answer["error"]) == ("FAIL", "INTERNAL_ERROR")


def test_a_probability_strikes_some_calls_and_the_same_ones_after_a_reset(exchange: RunningSandbox) -> None:
    def struck() -> list[bool]:
        exchange.control("faults", method="listCurrentOrders", kind="error:SERVICE_BUSY", probability=0.5)
        return ["error" in exchange.envelope("listCurrentOrders", {}) for _ in range(30)]

    first = struck()
    assert 3 < sum(first) < 27
    exchange.control("reset")
    assert struck() == first


def test_a_fault_waits_for_a_call_that_it_can_befall(exchange: RunningSandbox) -> None:
    exchange.control("faults", method="*", kind="report_timeout")
    assert "result" in exchange.envelope("listCurrentOrders", {})
    assert len(exchange.get("orders")) == 0
    assert place(exchange)["status"] == "TIMEOUT"
    assert place(exchange)["status"] == "SUCCESS"


def test_faults_may_be_disarmed_without_a_reset(exchange: RunningSandbox) -> None:
    place(exchange)
    exchange.control("faults", method="*", kind="http_503", probability=1)
    reply = exchange.session.delete(f"{exchange.api}/sandbox/faults")
    assert (reply.status_code, reply.json()) == (200, [])
    assert place(exchange)["status"] == "SUCCESS"
    assert len(exchange.get("orders")) == 2


def test_a_reset_disarms(exchange: RunningSandbox) -> None:
    assert len(exchange.control("faults", method="*", kind="http_503", count=9)) == 1
    exchange.control("reset")
    assert exchange.control("faults") == []
    assert exchange.journal() == []
    assert exchange.get("orders") == []


@pytest.mark.parametrize(
    ("methods", "book", "refused"),
    [
        (["listCurrentOrders"] * 4, {}, 1),
        (["listCurrentOrders", "listClearedOrders", "listMarketProfitAndLoss", "listMarketBook"], {}, 0),
        (
            ["listCurrentOrders", "listClearedOrders", "listMarketProfitAndLoss", "listMarketBook"],
            {"orderProjection": "ALL"},
            1,
        ),
    ],
)
def test_only_three_reads_may_be_in_flight(
    exchange: RunningSandbox, methods: list[str], book: Json, refused: int
) -> None:
    exchange.control("faults", method="*", kind="delay", seconds=1, count=4)
    params: dict[str, Json] = {
        "listCurrentOrders": {},
        "listClearedOrders": {"betStatus": "SETTLED"},
        "listMarketProfitAndLoss": {"marketIds": [MARKET]},
        "listMarketBook": {"marketIds": [MARKET], **book},
    }

    def read(method: str) -> Json:
        with exchange.new_session() as session:
            body: Json = {"jsonrpc": "2.0", "method": f"SportsAPING/v1.0/{method}", "params": params[method], "id": 1}
            answer: Json = session.post(exchange.url(""), json=body, headers=exchange.headers).json()
            return answer

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(read, methods))
    codes = [answer["error"]["data"]["APINGException"]["errorCode"] for answer in answers if "error" in answer]
    assert codes == ["TOO_MANY_REQUESTS"] * refused
    assert "result" in wait_for(lambda: exchange.envelope("getAccountFunds", {}))


@pytest.mark.parametrize(
    ("path", "body", "named"),
    [
        ("faults", {"method": "placeOrder", "kind": "delay"}, "method"),
        ("faults", {"method": "placeOrders"}, "kind"),
        ("faults", {"method": "placeOrders", "kind": "explode"}, "kind"),
        ("faults", {"method": "listCurrentOrders", "kind": "error:MARKET_SUSPENDED"}, "kind"),
        ("faults", {"method": "placeOrders", "kind": "error:NO_SUCH_CODE"}, "kind"),
        ("faults", {"method": "*", "kind": "delay"}, "seconds"),
        ("faults", {"method": "*", "kind": "http_503", "probability": 2}, "probability"),
        ("faults", {"method": "*", "kind": "http_503", "count": 0}, "count"),
        ("markets", {}, "marketId"),
        ("markets", {"marketId": "x"}, "marketId"),
        ("markets", {"marketId": MARKET, "status": "ASLEEP"}, "status"),
        ("markets", {"marketId": MARKET, "betDelay": -1}, "betDelay"),
        ("markets", {"marketId": MARKET, "betDelayModels": ["SLOW"]}, "betDelayModels"),
        ("markets", {"marketId": MARKET, "betDelayModels": [None]}, "betDelayModels"),
        ("markets", {"marketId": MARKET, "keyLineDefinition": {"kl": [{"id": "x"}]}}, "kl.id"),
        ("markets", {"marketId": MARKET, "keyLineDefinition": {"kl": 1}}, "kl"),
        ("markets", {"marketId": MARKET, "inplay": "perhaps"}, "inplay"),
        ("markets", {"marketId": MARKET, "runners": [{}]}, "selectionId"),
        ("markets", {"marketId": MARKET, "runners": [-1]}, "selectionId"),
        ("prices", {"marketId": MARKET, "selectionId": 1}, "availableToBack"),
        ("prices", {"marketId": MARKET, "selectionId": 9, "availableToBack": []}, "selectionId"),
        ("prices", {"marketId": MARKET, "selectionId": 1, "availableToBack": [[3.01, 2]]}, "availableToBack"),
        ("prices", {"marketId": MARKET, "selectionId": 1, "availableToLay": [[3, 0]]}, "availableToLay"),
        ("prices", {"marketId": MARKET, "selectionId": 1, "availableToLay": [3]}, "availableToLay"),
        (
            "prices",
            {"marketId": MARKET, "selectionId": 1, "availableToBack": [[3, 2]], "availableToLay": [[3, 2]]},
            "cross",
        ),
        ("settle", {"marketId": "1.7", "winners": []}, "marketId"),
        ("settle", {"marketId": MARKET}, "winners"),
        ("settle", {"marketId": MARKET, "winners": [9]}, "winners"),
        ("settle", {"marketId": MARKET, "winners": [1, 2], "placed": [2]}, "placed"),
        ("settle", {"marketId": MARKET, "winners": [1], "deadHeat": [2]}, "deadHeat"),
        ("settle", {"marketId": MARKET, "winners": [1], "reverse": True}, "reverse"),
        ("settle", {"marketId": MARKET, "results": []}, "results"),
        ("remove", {"marketId": MARKET, "selectionId": 1, "adjustmentFactor": 100}, "adjustmentFactor"),
        ("remove", {"marketId": MARKET}, "selectionId"),
        ("bsp", {"marketId": MARKET}, "marketId"),
        ("markets", {"marketId": MARKET, "bettingType": "EVEN"}, "bettingType"),
        ("markets", {"marketId": MARKET, "eachWayDivisor": 0.5}, "eachWayDivisor"),
        ("markets", {"marketId": MARKET, "lineRangeInfo": {"interval": 1}}, "lineRangeInfo"),
        ("markets", {"marketId": MARKET, "marketTime": "soon"}, "marketTime"),
        ("void", {"marketId": MARKET, "selectionId": 9}, "selectionId"),
        ("reset", {"balance": "much"}, "balance"),
        ("reset", [], "body"),
        ("reset", "{", "JSON"),
    ],
)
def test_bad_control_input_names_the_field(exchange: RunningSandbox, path: str, body: object, named: str) -> None:
    url = f"{exchange.api}/sandbox/{path}"
    reply = exchange.session.post(url, data=body) if isinstance(body, str) else exchange.session.post(url, json=body)
    assert reply.status_code == 400
    assert named in reply.json()["error"]


def test_the_journal_has_a_line_per_call(exchange: RunningSandbox) -> None:
    started = time.time()
    place(exchange)
    exchange.place(MARKET, limit(1, "BACK", 3, 0))
    exchange.call("listCurrentOrders")
    lines = [line for line in exchange.journal() if line["method"] != "certlogin"]
    assert [line["method"] for line in lines] == ["placeOrders", "placeOrders", "listCurrentOrders"]
    assert [line["status"] for line in lines] == ["SUCCESS", "FAILURE", "SUCCESS"]
    assert [line["error"] for line in lines] == [None, "BET_ACTION_ERROR", None]
    assert lines[0]["params"]["instructions"][0]["customerOrderRef"] == "mine"
    assert started - 1 < lines[0]["received_at"] < time.time() + 1
    assert len(exchange.journal("listCurrentOrders")) == 1
