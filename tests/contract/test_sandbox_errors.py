"""What Betfair refuses: the code of each refusal, the envelope it comes in, and that nothing ever ends in HTTP 500."""

import http.client
import json
import ssl
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

import pytest
from betfairlightweight import APIClient as Client
from betfairlightweight.exceptions import APIError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.sandbox_client import Json, RunningSandbox, limit

pytest_plugins = ["support.sandbox_fixtures"]
MARKET = "1.100000001"
GOOD = limit(1, "BACK", 3, 2)


def on_close(order_type: str) -> Json:
    name = {"LIMIT_ON_CLOSE": "limitOnCloseOrder", "MARKET_ON_CLOSE": "marketOnCloseOrder"}[order_type]
    return {"selectionId": 1, "side": "BACK", "orderType": order_type, name: {"liability": 10, "price": 3}}


@pytest.mark.parametrize(
    ("instruction", "code"),
    [
        pytest.param(limit(1, "BACK", 3, "0.99"), "INVALID_BET_SIZE", id="below the minimum"),
        pytest.param(limit(1, "BACK", 100, "0.09"), "INVALID_BET_SIZE", id="payout below the minimum"),
        pytest.param(limit(1, "BACK", 3, "2.001"), "INVALID_BET_SIZE", id="a fraction of a penny"),
        pytest.param(limit(1, "BACK", 3, -2), "INVALID_BET_SIZE", id="negative size"),
        *[
            pytest.param(limit(1, "BACK", 3, size), "INVALID_BET_SIZE", id=f"a size of {size!r}")
            for size in (1e16, 10**16, -1e16, 1e300, 1e-300, "1e99", "1E-99")
        ],
        *[
            pytest.param(limit(1, "BACK", price, 2), "INVALID_ODDS", id=f"a price of {price!r}")
            for price in (1e16, 10**16, -1e300, 1e-300, "1e99")
        ],
        pytest.param(
            limit(1, "BACK", 3, 2, timeInForce="FILL_OR_KILL", minFillSize=1e300), "INVALID_MIN_FILL_SIZE", id="huge"
        ),
        pytest.param(limit(1, "BACK", "3.01", 2), "INVALID_ODDS", id="off the ladder"),
        pytest.param(limit(1, "BACK", 1, 2), "INVALID_ODDS", id="below the ladder"),
        pytest.param(limit(1, "BACK", 1010, 2), "INVALID_ODDS", id="above the ladder"),
        pytest.param(limit(1, "BACK", "1.01", "1.30"), "INVALID_PROFIT_RATIO", id="profit rounds away"),
        pytest.param(limit(3, "BACK", 3, 2), "INVALID_RUNNER", id="no such runner"),
        pytest.param({**GOOD, "handicap": 1.5}, "INVALID_RUNNER", id="a handicap line"),
        pytest.param(limit(1, "BACK", 3, 2, "x" * 33), "INVALID_CUSTOMER_ORDER_REF", id="long reference"),
        pytest.param(limit(1, "BACK", 3, 2, "a b"), "INVALID_CUSTOMER_ORDER_REF", id="reference with a space"),
        pytest.param(
            limit(1, "BACK", 3, 2, persistenceType="MARKET_ON_CLOSE"), "INVALID_PERSISTENCE_TYPE", id="no BSP"
        ),
        pytest.param(limit(1, "BACK", 3, 2, minFillSize=2), "UNEXPECTED_MIN_FILL_SIZE", id="minimum without FOK"),
        pytest.param(
            limit(1, "BACK", 3, 2, timeInForce="FILL_OR_KILL", minFillSize=3), "INVALID_MIN_FILL_SIZE", id="minimum"
        ),
        pytest.param(on_close("LIMIT_ON_CLOSE"), "MARKET_NOT_OPEN_FOR_BSP_BETTING", id="limit on close"),
        pytest.param(on_close("MARKET_ON_CLOSE"), "MARKET_NOT_OPEN_FOR_BSP_BETTING", id="market on close"),
        pytest.param(
            {"selectionId": 1, "side": "BACK", "orderType": "LIMIT"}, "INVALID_ORDER_TYPE", id="no limitOrder"
        ),
    ],
)
def test_one_bad_instruction_refuses_the_whole_request(sandbox: RunningSandbox, instruction: Json, code: str) -> None:
    sandbox.market(MARKET)
    report = sandbox.place(MARKET, GOOD, instruction)
    assert (report["status"], report["errorCode"]) == ("FAILURE", "BET_ACTION_ERROR")
    good, bad = report["instructionReports"]
    assert (good["errorCode"], bad["errorCode"]) == ("ERROR_IN_ORDER", code)
    assert "betId" not in good
    assert sandbox.get("orders") == []


@pytest.mark.parametrize(
    ("setup", "params", "code"),
    [
        ({"status": "SUSPENDED"}, {}, "MARKET_SUSPENDED"),
        ({"status": "INACTIVE"}, {}, "MARKET_NOT_OPEN_FOR_BETTING"),
        ({"status": "CLOSED"}, {}, "MARKET_NOT_OPEN_FOR_BETTING"),
        ({}, {"marketId": "one"}, "INVALID_MARKET_ID"),
        ({}, {"instructions": [GOOD] * 201}, "TOO_MANY_INSTRUCTIONS"),
        ({}, {"marketVersion": {"version": 10**12}}, "INVALID_MARKET_VERSION"),
        ({}, {"marketVersion": {"version": -1}}, "INVALID_MARKET_VERSION"),
        ({}, {"instructions": [limit(1, "BACK", 3, 10_001)]}, "INSUFFICIENT_FUNDS"),
        ({}, {"instructions": [limit(1, "LAY", 3, 5_001)]}, "INSUFFICIENT_FUNDS"),
    ],
)
def test_a_whole_request_is_refused(sandbox: RunningSandbox, setup: Json, params: Json, code: str) -> None:
    sandbox.market(MARKET)
    sandbox.control("markets", marketId=MARKET, **setup)
    report = sandbox.call("placeOrders", **{"marketId": MARKET, "instructions": [GOOD], **params})
    assert (report["status"], report["errorCode"]) == ("FAILURE", code)
    assert {item["errorCode"] for item in report["instructionReports"]} == {"ERROR_IN_ORDER"}
    assert sandbox.get("orders") == []


def test_funds_count_the_worst_result_not_the_sum(sandbox: RunningSandbox) -> None:
    sandbox.market(MARKET)
    both = [limit(1, "LAY", 2, 9_000), limit(2, "LAY", 2, 9_000)]
    assert sandbox.place(MARKET, *both)["status"] == "SUCCESS"  # unmatched lays help nothing, yet only one can lose
    assert sandbox.call("getAccountFunds")["exposure"] == -9_000


def test_the_exposure_limit_holds_however_rich_the_account(sandbox: RunningSandbox) -> None:
    sandbox.control("reset", balance=10**8)
    sandbox.market(MARKET)
    limit_of_account = int(-sandbox.call("getAccountFunds")["exposureLimit"])
    assert sandbox.place(MARKET, limit(1, "BACK", 3, limit_of_account + 1))["errorCode"] == "INSUFFICIENT_FUNDS"
    assert sandbox.place(MARKET, limit(1, "BACK", 3, limit_of_account))["status"] == "SUCCESS"


def test_betfairlightweight_reads_a_refusal(sandbox: RunningSandbox, betfair: Client) -> None:
    sandbox.market(MARKET)
    report = betfair.betting.place_orders(market_id=MARKET, instructions=[limit(1, "BACK", 3, 0)])
    assert (report.status, report.error_code) == ("FAILURE", "BET_ACTION_ERROR")
    assert report.place_instruction_reports[0].error_code == "INVALID_BET_SIZE"


def test_backing_and_laying_a_runner_at_crossing_prices(sandbox: RunningSandbox) -> None:
    sandbox.market(MARKET)
    report = sandbox.place(MARKET, limit(1, "BACK", 3, 2), limit(1, "LAY", 3, 2), limit(2, "BACK", 3, 2))
    codes = [item["errorCode"] for item in report["instructionReports"]]
    assert codes == ["INVALID_BACK_LAY_COMBINATION", "INVALID_BACK_LAY_COMBINATION", "ERROR_IN_ORDER"]
    assert sandbox.place(MARKET, limit(1, "BACK", 3.05, 2), limit(1, "LAY", 3, 2))["status"] == "SUCCESS"


def test_an_older_market_version_is_refused(sandbox: RunningSandbox) -> None:
    version = sandbox.market(MARKET)["version"]
    assert sandbox.place(MARKET, GOOD, marketVersion={"version": version})["status"] == "SUCCESS"
    sandbox.control("markets", marketId=MARKET, inplay=True)
    report = sandbox.place(MARKET, GOOD, marketVersion={"version": version})
    assert report["instructionReports"][0]["errorCode"] == "BET_TAKEN_OR_LAPSED"


def test_a_customer_ref_is_taken_once_in_a_minute(sandbox: RunningSandbox) -> None:
    sandbox.market(MARKET)
    refused = sandbox.place(MARKET, limit(1, "BACK", 3, 0), customerRef="same")
    assert refused["errorCode"] == "BET_ACTION_ERROR"
    assert sandbox.place(MARKET, GOOD, customerRef="same")["status"] == "SUCCESS"
    again = sandbox.place(MARKET, GOOD, customerRef="same")
    assert (again["status"], again["errorCode"], again["customerRef"]) == ("FAILURE", "DUPLICATE_TRANSACTION", "same")
    assert len(sandbox.get("orders")) == 1
    assert sandbox.place(MARKET, GOOD, customerRef="another")["status"] == "SUCCESS"


def test_a_strategy_ref_has_at_most_15_characters(sandbox: RunningSandbox) -> None:
    sandbox.market(MARKET)
    assert sandbox.place(MARKET, GOOD, customerStrategyRef="x" * 15)["status"] == "SUCCESS"
    report = sandbox.place(MARKET, GOOD, customerStrategyRef="x" * 16)
    assert report["instructionReports"][0]["errorCode"] == "INVALID_CUSTOMER_STRATEGY_REF"


@pytest.mark.parametrize(
    ("params", "outer", "inner"),
    [
        ({"instructions": [{"betId": "1"}]}, "BET_ACTION_ERROR", "INVALID_BET_ID"),
        ({"instructions": [{"betId": "x"}]}, "BET_ACTION_ERROR", "INVALID_BET_ID"),
        ({"instructions": [{"betId": "1"}, {"betId": "1"}]}, "DUPLICATE_BETIDS", "ERROR_IN_ORDER"),
        ({"instructions": [{"betId": str(n)} for n in range(61)]}, "TOO_MANY_INSTRUCTIONS", "ERROR_IN_ORDER"),
        ({"instructions": [{"betId": "1"}], "marketId": None}, "INVALID_MARKET_ID", "ERROR_IN_ORDER"),
    ],
)
def test_cancels_are_refused(sandbox: RunningSandbox, params: Json, outer: str, inner: str) -> None:
    report = sandbox.call("cancelOrders", **{"marketId": MARKET, **params})
    assert (report["status"], report["errorCode"]) == ("FAILURE", outer)
    assert report["instructionReports"][0]["errorCode"] == inner


def test_some_cancels_may_fail(sandbox: RunningSandbox) -> None:
    sandbox.market(MARKET)
    bet_id = sandbox.place_one(MARKET, GOOD)
    thin = sandbox.place_one(MARKET, limit(1, "BACK", "1.01", 2))
    report = sandbox.call("cancelOrders", marketId=MARKET, instructions=[{"betId": thin, "sizeReduction": "0.70"}])
    assert report["instructionReports"][0]["errorCode"] == "INVALID_PROFIT_RATIO"
    for reduction, code in (("1.50", "INVALID_BET_SIZE"), (0, "INVALID_BET_SIZE")):
        item = {"betId": bet_id, "sizeReduction": reduction}
        report = sandbox.call("cancelOrders", marketId=MARKET, instructions=[item])
        assert report["instructionReports"][0]["errorCode"] == code
    report = sandbox.call("cancelOrders", marketId=MARKET, instructions=[{"betId": "7"}, {"betId": bet_id}])
    assert (report["status"], report["errorCode"]) == ("PROCESSED_WITH_ERRORS", "PROCESSED_WITH_ERRORS")
    assert [item["status"] for item in report["instructionReports"]] == ["FAILURE", "SUCCESS"]


def test_a_replacement_that_cannot_be_placed_leaves_the_bet_cancelled(sandbox: RunningSandbox) -> None:
    sandbox.market(MARKET)
    bet_id = sandbox.place_one(MARKET, limit(1, "LAY", 3, 5_000))
    change = [{"betId": bet_id, "newPrice": 4}]
    report = sandbox.call("replaceOrders", marketId=MARKET, instructions=change)
    assert report["instructionReports"][0]["errorCode"] == "CANCELLED_NOT_PLACED"
    assert sandbox.order(bet_id)["sizeCancelled"] == 5_000
    report = sandbox.call("replaceOrders", marketId=MARKET, instructions=change)
    assert report["instructionReports"][0]["errorCode"] == "BET_TAKEN_OR_LAPSED"


@pytest.mark.parametrize(
    ("method", "params", "code"),
    [
        ("placeOrders", {"marketId": MARKET, "instructions": []}, "INVALID_INPUT_DATA"),
        ("placeOrders", {"marketId": MARKET, "instructions": "x"}, "INVALID_INPUT_DATA"),
        ("placeOrders", {"marketId": MARKET, "instructions": [7]}, "INVALID_INPUT_DATA"),
        ("placeOrders", {"marketId": MARKET, "instructions": [{**GOOD, "side": "UP"}]}, "INVALID_INPUT_DATA"),
        ("placeOrders", {"marketId": MARKET, "instructions": [limit(1, "BACK", "x", 2)]}, "INVALID_INPUT_DATA"),
        ("placeOrders", {"marketId": MARKET, "instructions": [limit(1, "BACK", "NaN", 2)]}, "INVALID_INPUT_DATA"),
        ("placeOrders", {"marketId": MARKET, "instructions": [limit(1, "BACK", 3, "1e999")]}, "INVALID_INPUT_DATA"),
        ("placeOrders", {"marketId": MARKET, "instructions": [{**GOOD, "selectionId": 1e16}]}, "INVALID_INPUT_DATA"),
        ("listCurrentOrders", {"fromRecord": 1e300}, "INVALID_INPUT_DATA"),
        ("placeOrders", {"marketId": MARKET, "instructions": [GOOD], "customerRef": "x" * 33}, "INVALID_INPUT_DATA"),
        ("placeOrders", {"marketId": MARKET, "instructions": [GOOD], "customerRef": "ü"}, "INVALID_INPUT_DATA"),
        ("listCurrentOrders", {"betIds": ["1"] * 251}, "REQUEST_SIZE_EXCEEDS_LIMIT"),
        ("listCurrentOrders", {"orderBy": "BY_LUCK"}, "INVALID_INPUT_DATA"),
        ("listMarketBook", {"marketIds": [MARKET], "currencyCode": "EUR"}, "INVALID_INPUT_DATA"),
        ("listCurrentOrders", {"dateRange": {"from": "soon"}}, "INVALID_INPUT_DATA"),
        ("listCurrentOrders", {"fromRecord": -1}, "INVALID_INPUT_DATA"),
        ("listClearedOrders", {"betStatus": "LOST"}, "INVALID_INPUT_DATA"),
        ("listClearedOrders", {"betStatus": "VOIDED", "groupBy": "MARKET"}, "INVALID_INPUT_DATA"),
        ("listMarketBook", {"marketIds": [f"1.{n}" for n in range(101)]}, "TOO_MUCH_DATA"),
        ("listMarketProfitAndLoss", {"marketIds": [f"1.{n}" for n in range(51)]}, "TOO_MUCH_DATA"),
        ("listMarketBook", {"marketIds": ["1.1"], "matchProjection": "NO_ROLLUP"}, "INVALID_INPUT_DATA"),
        ("listMarketBook", {"marketIds": ["1.1"], "customerStrategyRefs": ["x"]}, "INVALID_INPUT_DATA"),
        ("placeOrders", {"marketId": MARKET, "instructions": [GOOD] * 1_001}, "TOO_MANY_REQUESTS"),
        (
            "listMarketCatalogue",
            {"filter": {}, "maxResults": 201, "marketProjection": ["MARKET_DESCRIPTION"]},
            "TOO_MUCH_DATA",
        ),
        ("listMarketCatalogue", {"filter": {}, "maxResults": 1_001}, "INVALID_INPUT_DATA"),
        ("listMarketCatalogue", {"filter": {"colours": ["x"]}, "maxResults": 1}, "INVALID_INPUT_DATA"),
        ("getAccountFunds", [], "INVALID_INPUT_DATA"),
        ("getAccountFunds", {"wallet": "MINE"}, "INVALID_INPUT_DATA"),
        ("getAccountFunds", {"wallet": "AUSTRALIAN"}, "INVALID_INPUT_DATA"),
        ("getAccountFunds", {"wallet": 7}, "INVALID_INPUT_DATA"),
        ("getAccountStatement", {"wallet": "MINE"}, "INVALID_INPUT_DATA"),
    ],
)
def test_the_exception_of_a_bad_call(sandbox: RunningSandbox, method: str, params: object, code: str) -> None:
    assert sandbox.error_code(method, params) == code


@pytest.mark.parametrize(
    ("data", "depth", "most"),
    [
        ([], 3, 100),
        (["SP_AVAILABLE"], 3, 66),
        (["EX_BEST_OFFERS"], 3, 40),
        (["EX_BEST_OFFERS"], 10, 12),
        (["EX_ALL_OFFERS"], 3, 11),
        (["EX_BEST_OFFERS", "EX_TRADED"], 3, 10),
        (["EX_ALL_OFFERS", "EX_TRADED"], 3, 6),
    ],
)
def test_a_market_book_weighs_what_it_shows(sandbox: RunningSandbox, data: list[str], depth: int, most: int) -> None:
    shown = {"priceData": data, "exBestOffersOverrides": {"bestPricesDepth": depth}}
    market_ids = [f"1.{n}" for n in range(most + 1)]
    params = {"marketIds": market_ids[:most], "priceProjection": shown}
    assert len(sandbox.call("listMarketBook", **params)) == most
    assert sandbox.error_code("listMarketBook", {**params, "marketIds": market_ids}) == "TOO_MUCH_DATA"


@pytest.mark.parametrize(
    ("headers", "status", "message"),
    [
        ({"Content-Type": "application/x-www-form-urlencoded"}, 200, None),
        ({"Content-Type": "text/plain"}, 415, "DSC-0011"),
        ({"Accept": "text/html"}, 406, "DSC-0013"),
        ({"Content-Type": "application/json; charset=utf-8"}, 200, None),
        ({"Accept": "text/html, */*;q=0.1"}, 200, None),
        ({"Accept": "*/*"}, 200, None),
    ],
)
def test_only_json_comes_in_and_goes_out(
    sandbox: RunningSandbox, headers: dict[str, str], status: int, message: str | None
) -> None:
    reply = sandbox.post("listCurrentOrders", {}, sandbox.headers | headers)
    assert (reply.status_code, reply.json().get("error", {}).get("message")) == (status, message)
    assert sandbox.journal()[-1]["error"] == message


BY_BETFAIRLIGHTWEIGHT: list[tuple[str, str, Json, str]] = [
    ("betting", "place_orders", {"market_id": MARKET, "instructions": []}, "INVALID_INPUT_DATA"),
    ("betting", "cancel_orders", {"market_id": MARKET, "customer_ref": "x" * 33}, "INVALID_INPUT_DATA"),
    ("betting", "replace_orders", {"market_id": MARKET, "instructions": [7]}, "INVALID_INPUT_DATA"),
    ("betting", "update_orders", {"market_id": MARKET, "instructions": [7]}, "INVALID_INPUT_DATA"),
    ("betting", "list_current_orders", {"order_by": "BY_LUCK"}, "INVALID_INPUT_DATA"),
    ("betting", "list_cleared_orders", {"bet_status": "LOST"}, "INVALID_INPUT_DATA"),
    ("betting", "list_market_catalogue", {"filter": {"colours": ["x"]}}, "INVALID_INPUT_DATA"),
    ("betting", "list_market_book", {"market_ids": [f"1.{n}" for n in range(101)]}, "TOO_MUCH_DATA"),
    ("betting", "list_market_profit_and_loss", {"market_ids": [f"1.{n}" for n in range(51)]}, "TOO_MUCH_DATA"),
    ("betting", "list_event_types", {"filter": {"eventIds": 1}}, "INVALID_INPUT_DATA"),
    ("account", "get_account_statement", {"from_record": -1}, "INVALID_INPUT_DATA"),
]


@pytest.mark.parametrize(("part", "operation", "params", "code"), BY_BETFAIRLIGHTWEIGHT)
def test_betfairlightweight_raises_the_code(
    betfair: Client, part: str, operation: str, params: Json, code: str
) -> None:
    with pytest.raises(APIError, match=code):
        getattr(getattr(betfair, part), operation)(**params)


@pytest.mark.parametrize("operation", ["get_account_funds", "get_account_details"])
def test_betfairlightweight_reads_that_a_session_ended(
    sandbox: RunningSandbox, betfair: Client, operation: str
) -> None:
    sandbox.control("faults", method="*", kind="expire_session")
    with pytest.raises(APIError, match="INVALID_SESSION_INFORMATION"):
        getattr(betfair.account, operation)()


def test_an_exception_has_betfairs_envelope(sandbox: RunningSandbox, betfair: Client) -> None:
    with pytest.raises(APIError) as caught:
        betfair.betting.list_current_orders(bet_ids=["1"] * 251)
    assert "REQUEST_SIZE_EXCEEDS_LIMIT" in str(caught.value)
    for none in ("9" * 5000, "\u00b2", "\u0663"):
        assert sandbox.envelope("listCurrentOrders", {"betIds": [none]})["result"]["currentOrders"] == []
    reply = sandbox.envelope("listCurrentOrders", {"betIds": ["1"] * 251})
    assert (reply["jsonrpc"], reply["id"]) == ("2.0", 1)
    assert (reply["error"]["code"], reply["error"]["message"]) == (-32099, "ANGX-0014")
    assert reply["error"]["data"]["exceptionname"] == "APINGException"
    account = sandbox.envelope("getAccountFunds", [])["error"]
    assert (account["message"], account["data"]["exceptionname"]) == ("AANGX-0001", "AccountAPINGException")


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ("", 400, -32700),
        ("{", 400, -32700),
        ("[]", 400, -32600),
        ("[7" + ",7" * 200 + "]", 400, -32600),
        ("7", 200, -32600),
        ('{"method": 7}', 200, -32600),
        ('{"method": "SportsAPING/v1.0/listEverything"}', 200, -32601),
        ('{"method": "AccountAPING/v1.0/getAccountFunds"}', 200, -32601),
        ('{"method": "SportsAPING/v1.0/placeOrders", "params": {}}', 200, -32602),
        ('{"method": "SportsAPING/v1.0/updateOrders", "params": {"instructions": [{"betId": 1}]}}', 200, -32602),
        ('{"method": "SportsAPING/v1.0/listClearedOrders"}', 200, -32602),
        ('{"method": "x", "id": NaN}', 400, -32700),
        ('{"method": "x", "method": "x"}', 400, -32700),
        ('{"method": "SportsAPING/v1.0/placeOrders", "params": {"marketId": "1.1", "marketId": "1.2"}}', 400, -32700),
        ('{"method": "x", "id": 1e999}', 400, -32700),
        ('{"method": "x", "id": ' + "[" * 500 + "]" * 500 + "}", 400, -32700),
        ("[" * 100_000, 400, -32700),
    ],
)
def test_what_is_no_call_gets_a_json_rpc_error(sandbox: RunningSandbox, body: str, status: int, code: int) -> None:
    reply = sandbox.session.post(sandbox.url("placeOrders"), data=body, headers=sandbox.headers)
    assert (reply.status_code, reply.json()["error"]["code"]) == (status, code)
    (line,) = [line for line in sandbox.journal() if line["method"] != "certlogin"]
    assert line["error"].startswith("DSC-")


@pytest.mark.parametrize("size", ["1e16", "1e300"])
def test_what_is_odd_in_one_call_costs_no_other_call_of_its_batch(sandbox: RunningSandbox, size: str) -> None:
    sandbox.market(MARKET)
    call = {"jsonrpc": "2.0", "method": "SportsAPING/v1.0/placeOrders", "id": 1}
    calls = [{**call, "params": {"marketId": MARKET, "instructions": [limit(1, "BACK", 3, at)]}} for at in (77, 2)]
    body = json.dumps(calls).replace("77", size)
    odd, good = sandbox.session.post(sandbox.url(""), data=body, headers=sandbox.headers).json()
    assert odd["result"]["instructionReports"][0]["errorCode"] == "INVALID_BET_SIZE"
    assert odd["result"]["instructionReports"][0]["instruction"]["limitOrder"]["size"] == float(size)
    assert good["result"]["status"] == "SUCCESS"


def test_a_name_that_is_there_twice_places_nothing(sandbox: RunningSandbox) -> None:
    sandbox.market(MARKET)
    call = {"method": "SportsAPING/v1.0/placeOrders", "params": {"marketId": MARKET, "instructions": [GOOD]}}
    body = json.dumps(call).replace('"size": 2', '"size": 200, "size": 2')
    reply = sandbox.session.post(sandbox.url("placeOrders"), data=body, headers=sandbox.headers)
    assert (reply.status_code, reply.json()["error"]["message"]) == (400, "DSC-0008")
    rest = f"{sandbox.api}/exchange/betting/rest/v1.0/placeOrders/"
    assert (
        sandbox.session.post(rest, data=body.partition('"params": ')[2][:-1], headers=sandbox.headers).status_code
        == 400
    )
    assert sandbox.get("orders") == []


def test_amending_by_odd_numbers_costs_their_own_instruction(sandbox: RunningSandbox) -> None:
    sandbox.market(MARKET)
    first, second = (sandbox.place_one(MARKET, limit(1, "BACK", 1000, 2)) for _ in range(2))
    items = [{"betId": first, "sizeReduction": 1e16}, {"betId": second}]
    report = sandbox.call("cancelOrders", marketId=MARKET, instructions=items)
    assert [item.get("errorCode") for item in report["instructionReports"]] == ["INVALID_BET_SIZE", None]
    for price in (1e16, 1e300, -1e300, 1e-300):
        report = sandbox.call("replaceOrders", marketId=MARKET, instructions=[{"betId": first, "newPrice": price}])
        assert report["instructionReports"][0]["errorCode"] == "INVALID_ODDS"
    assert sandbox.order(first)["sizeRemaining"] == 2


def test_funds_are_those_of_the_one_wallet(sandbox: RunningSandbox) -> None:
    assert sandbox.call("getAccountFunds", wallet="UK") == sandbox.call("getAccountFunds")
    assert sandbox.call("getAccountFunds")["wallet"] == "UK"


def test_a_batch_is_answered_by_a_batch(sandbox: RunningSandbox) -> None:
    calls = [
        {"jsonrpc": "2.0", "method": "SportsAPING/v1.0/listCurrentOrders", "params": {}, "id": "a"},
        {"jsonrpc": "2.0", "method": "SportsAPING/v1.0/nothing", "id": "b"},
    ]
    reply = sandbox.session.post(sandbox.url(""), data=json.dumps(calls), headers=sandbox.headers).json()
    assert [("result" in answer, answer["id"]) for answer in reply] == [(True, "a"), (False, "b")]


def test_http_is_as_betfairs(sandbox: RunningSandbox) -> None:
    session = sandbox.session
    assert session.post(f"{sandbox.api}/exchange/betting/rest/v1.0/listNothing/").status_code == 404
    assert session.get(sandbox.url("placeOrders")).status_code == 405
    expecting = session.post(sandbox.url("placeOrders"), data="{}", headers={"Expect": "100-continue"})
    assert expecting.status_code == 417
    for ref in range(20):
        sandbox.place("1.5", limit(1, "BACK", 3, 2, f"{ref}"))
    assert sandbox.post("listCurrentOrders", {}).headers["Content-Encoding"] == "gzip"


def test_one_connection_serves_many_calls(sandbox: RunningSandbox) -> None:
    address = urlsplit(sandbox.url("listCurrentOrders"))
    context = ssl.create_default_context(cafile=str(sandbox.paths.ca))
    connection = http.client.HTTPSConnection(address.hostname or "", address.port, context=context)
    body = json.dumps({"jsonrpc": "2.0", "method": "SportsAPING/v1.0/listCurrentOrders", "params": {}, "id": 1})
    sockets = set()
    for _ in range(3):
        connection.request("POST", address.path, body, sandbox.headers)
        assert "result" in json.loads(connection.getresponse().read())
        sockets.add(connection.sock)
    assert len(sockets) == 1
    connection.close()


_scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.text(max_size=8), st.sampled_from([MARKET, "BACK", "LIMIT", "ALL", "3"])
)
_names = st.sampled_from(
    [
        "marketId",
        "instructions",
        "selectionId",
        "side",
        "orderType",
        "limitOrder",
        "price",
        "size",
        "customerRef",
        "betIds",
        "marketIds",
        "dateRange",
        "from",
        "orderBy",
        "fromRecord",
        "betStatus",
        "filter",
        "maxResults",
        "priceProjection",
        "marketVersion",
        "version",
        "betId",
        "sizeReduction",
        "newPrice",
        "newPersistenceType",
        "groupBy",
        "runnerIds",
        "async",
        "customerOrderRef",
        "timeInForce",
        "minFillSize",
    ]
)
_values = st.recursive(
    _scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(_names, inner, max_size=6)),
    max_leaves=20,
)
_methods = st.sampled_from(
    [
        "placeOrders",
        "cancelOrders",
        "replaceOrders",
        "updateOrders",
        "listCurrentOrders",
        "listClearedOrders",
        "listMarketCatalogue",
        "listMarketBook",
        "listMarketProfitAndLoss",
        "getAccountFunds",
    ]
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(method=_methods, params=st.dictionaries(_names, _values, max_size=8))
def test_whatever_is_sent_gets_an_answer_of_betfairs(sandbox: RunningSandbox, method: str, params: Any) -> None:
    reply = sandbox.envelope(method, params)
    assert ("result" in reply) is not ("error" in reply)
    if "error" in reply and "data" in reply["error"]:
        data = reply["error"]["data"]
        assert data[data["exceptionname"]]["errorCode"] != "UNEXPECTED_ERROR"


def test_money_leaves_as_numbers(sandbox: RunningSandbox) -> None:
    funds = sandbox.call("getAccountFunds")
    assert funds["availableToBetBalance"] == Decimal(10_000)
