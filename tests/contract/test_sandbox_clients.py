"""What clients other than ours send: other paths, other forms, other operations, each answered as Betfair would."""

import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import betfairlightweight
import pytest
from betfairlightweight import filters
from support.sandbox_client import Json, RunningSandbox, limit, wait_for

pytest_plugins = ["support.sandbox_fixtures"]
RACE, MATCH = "1.71", "1.72"


@pytest.fixture
def exchange(sandbox: RunningSandbox) -> RunningSandbox:
    race = {
        "eventTypeId": "7",
        "eventId": "30000007",
        "eventName": "Ascot 1st Jan",
        "marketType": "WIN",
        "name": "R1 5f Hcap",
        "venue": "Ascot",
        "countryCode": "IE",
        "raceType": "Flat",
        "bspMarket": True,
    }
    sandbox.control("markets", marketId=RACE, runners=[1, 2], **race)
    sandbox.market(MATCH, [[2, 50]], [[2.1, 50]])
    return sandbox


def rest(sandbox: RunningSandbox, operation: str, values: object, api: str = "betting", **headers: str) -> Any:
    return sandbox.session.post(
        f"{sandbox.api}/exchange/{api}/rest/v1.0/{operation}/",
        data=json.dumps(values),
        headers={**sandbox.headers, **headers},
    )


def test_json_rpc_below_a_method_and_as_a_form(exchange: RunningSandbox) -> None:
    call = {"jsonrpc": "2.0", "method": "SportsAPING/v1.0/listEventTypes", "params": {"filter": {}}, "id": "a-1"}
    for path, content in (
        ("betting/json-rpc/v1/listEventTypes", "application/json"),
        ("betting/json-rpc/v1", "application/x-www-form-urlencoded"),
        ("betting/json-rpc/v1/", "application/x-www-form-urlencoded; charset=utf-8"),
    ):
        headers = {**exchange.headers, "Content-Type": content}
        reply = exchange.session.post(f"{exchange.api}/exchange/{path}", data=json.dumps(call), headers=headers)
        assert reply.status_code == 200, path
        assert (reply.json()["id"], len(reply.json()["result"])) == ("a-1", 2)


@pytest.mark.parametrize(
    ("call", "code"),
    [
        ({"id": 7, "method": 3}, -32600),
        ({"id": 7}, -32600),
        ({"id": 7, "method": "SportsAPING/v1.0/listNothing"}, -32601),
        ({"id": 7, "method": "SportsAPING/v1.0/listMarketCatalogue", "params": {}}, -32602),
        ({"id": 7, "method": "SportsAPING/v1.0/listEvents", "params": {"filter": {"eventIds": 1}}}, -32099),
    ],
)
def test_an_errors_id_is_that_of_its_call(exchange: RunningSandbox, call: Json, code: int) -> None:
    url = f"{exchange.api}/exchange/betting/json-rpc/v1"
    reply = exchange.session.post(url, data=json.dumps(call), headers=exchange.headers).json()
    assert (reply["id"], reply["error"]["code"]) == (7, code)


def test_rest_answers_what_json_rpc_answers(exchange: RunningSandbox) -> None:
    params = {"marketIds": [MATCH], "priceProjection": {"priceData": ["EX_ALL_OFFERS"]}}
    reply = rest(exchange, "listMarketBook", params)
    assert reply.status_code == 200
    assert json.loads(reply.content, parse_float=Decimal) == exchange.call("listMarketBook", **params)
    funds = rest(exchange, "getAccountFunds", {}, api="account")
    assert funds.json()["availableToBetBalance"] == 10_000


@pytest.mark.parametrize(
    ("operation", "values", "headers", "status", "number", "code"),
    [
        ("listEvents", {"filter": {}}, {"X-Authentication": "gone"}, 400, "ANGX-0003", "INVALID_SESSION_INFORMATION"),
        ("listMarketBook", {}, {}, 400, "DSC-0018", None),
        ("listEvents", {"filter": {"eventIds": 1}}, {}, 400, "ANGX-0002", "INVALID_INPUT_DATA"),
        ("listNothing", {}, {}, 404, "DSC-0021", None),
        ("listEvents", {"filter": {}}, {"Content-Type": "text/plain"}, 415, "DSC-0011", None),
    ],
)  # fmt: skip
def test_a_rest_fault_has_the_form_of_betfairs(
    exchange: RunningSandbox, operation: str, values: Json, headers: Json, status: int, number: str, code: str | None
) -> None:
    reply = rest(exchange, operation, values, **headers)
    fault = reply.json()
    assert (reply.status_code, fault["faultcode"], fault["faultstring"]) == (status, "Client", number)
    detail = fault["detail"]
    assert detail.get(detail.get("exceptionname"), {}).get("errorCode") == code
    body = rest(exchange, "listEvents", {}).content
    assert (
        exchange.session.post(
            f"{exchange.api}/exchange/betting/rest/v1.0/listEvents/", data=b"{", headers=exchange.headers
        ).json()["faultstring"]
        == "DSC-0008"
    ), body


@pytest.mark.parametrize(
    ("chosen", "found"),
    [
        ({}, [RACE, MATCH]),
        ({"eventTypeIds": ["7"]}, [RACE]),
        ({"eventTypeIds": ["7", "1"]}, [RACE, MATCH]),
        ({"eventIds": ["30000007"]}, [RACE]),
        ({"competitionIds": ["1"]}, [MATCH]),
        ({"marketIds": [MATCH]}, [MATCH]),
        ({"venues": ["Ascot"]}, [RACE]),
        ({"bspOnly": True}, [RACE]),
        ({"bspOnly": False}, [MATCH]),
        ({"turnInPlayEnabled": True}, [RACE, MATCH]),
        ({"inPlayOnly": True}, []),
        ({"inPlayOnly": False}, [RACE, MATCH]),
        ({"marketBettingTypes": ["ODDS"]}, [RACE, MATCH]),
        ({"marketBettingTypes": ["LINE"]}, []),
        ({"marketCountries": ["GB"]}, [MATCH]),
        ({"marketTypeCodes": ["WIN", "PLACE"]}, [RACE]),
        ({"marketStartTime": {"from": "2020-01-01T00:00:00Z"}}, [RACE, MATCH]),
        ({"marketStartTime": {"to": "2020-01-01T00:00:00Z"}}, []),
        ({"textQuery": "ascot"}, [RACE]),
        ({"textQuery": "*5f*"}, [RACE]),
        ({"raceTypes": ["Flat"]}, [RACE]),
        ({"withOrders": ["EXECUTABLE"]}, []),
        ({"eventTypeIds": [], "venues": None, "exchangeIds": ["1"]}, [RACE, MATCH]),
    ],
)
def test_catalogue_filters(exchange: RunningSandbox, chosen: Json, found: list[str]) -> None:
    rows = exchange.call("listMarketCatalogue", filter=chosen, maxResults=10)
    assert [row["marketId"] for row in rows] == found


def test_closed_markets_are_in_no_list(exchange: RunningSandbox) -> None:
    exchange.control("settle", marketId=MATCH, winners=[1])
    assert [row["eventType"]["id"] for row in exchange.call("listEventTypes", filter={})] == ["7"]
    assert exchange.call("listMarketCatalogue", filter={"marketIds": [MATCH]}, maxResults=1) == []


@pytest.mark.usefixtures("exchange")
def test_betfairlightweight_navigates(betfair: betfairlightweight.APIClient) -> None:
    betting, everything = betfair.betting, filters.market_filter()
    assert {(row.event_type.id, row.market_count) for row in betting.list_event_types(everything)} == {
        ("7", 1),
        ("1", 1),
    }
    events = {row.event.id: row for row in betting.list_events(everything)}
    assert (events["30000007"].event.name, events["30000007"].event.venue) == ("Ascot 1st Jan", "Ascot")
    assert [row.competition.name for row in betting.list_competitions(everything)] == ["Sandbox League"]
    assert {row.country_code for row in betting.list_countries(everything)} == {"IE", "GB"}
    assert [row.venue for row in betting.list_venues(everything)] == ["Ascot"]
    assert {row.market_type for row in betting.list_market_types(everything)} == {"WIN", "MATCH_ODDS"}
    ranges = betting.list_time_ranges(everything, granularity="DAYS")
    assert sum(row.market_count for row in ranges) == 2
    menu = betfair.navigation.list_navigation()
    names = {child["name"]: child for child in menu["children"]}
    (event,) = names["Soccer"]["children"]
    assert (event["type"], event["children"][0]["id"], event["children"][0]["type"]) == ("EVENT", MATCH, "MARKET")


def test_betfairlightweight_reads_a_runner_and_the_account(
    exchange: RunningSandbox, betfair: betfairlightweight.APIClient
) -> None:
    exchange.place_one(MATCH, limit(1, "BACK", 2, 5))
    data = filters.price_projection(filters.price_data(ex_all_offers=True, ex_traded=True))
    (book,) = betfair.betting.list_runner_book(MATCH, 1, price_projection=data)
    (runner,) = book.runners
    assert runner.selection_id == 1
    assert [(level.price, level.size) for level in runner.ex.traded_volume] == [(2, 10)]
    assert betfair.betting.list_runner_book(MATCH, 99) == []
    exchange.control("settle", marketId=MATCH, winners=[1])
    statement = betfair.account.get_account_statement()
    balance = betfair.account.get_account_funds().available_to_bet_balance
    assert [item.amount for item in statement.account_statement] == [-0.25, 5]
    assert statement.account_statement[0].balance == balance == 10_004.75
    rates = {rate.currency_code: rate.rate for rate in betfair.account.list_currency_rates()}
    assert 0 < rates["EUR"] < 3


def test_best_offers_roll_small_stakes_up_as_the_stream_does(exchange: RunningSandbox) -> None:
    offers = [[2, 0.4], [1.99, 0.7], [1.98, 5]]
    exchange.control("prices", marketId=MATCH, selectionId=1, availableToBack=offers, availableToLay=[])

    def shown(**overrides: object) -> list[tuple[float, float]]:
        projection = {"priceData": ["EX_BEST_OFFERS"], "exBestOffersOverrides": overrides}
        (book,) = exchange.call("listMarketBook", marketIds=[MATCH], priceProjection=projection)
        return [(float(row["price"]), float(row["size"])) for row in book["runners"][0]["ex"]["availableToBack"]]

    assert shown() == [(1.99, 1.1), (1.98, 5)]
    assert shown(rollupModel="NONE") == [(2, 0.4), (1.99, 0.7), (1.98, 5)]
    assert shown(rollupModel="STAKE", rollupLimit=3) == [(1.98, 6.1)]


def test_a_refused_replace_names_its_instruction(
    exchange: RunningSandbox, betfair: betfairlightweight.APIClient
) -> None:
    bet_id = exchange.place_one(MATCH, limit(1, "BACK", 3, 5))
    for refused_id, selection_id in ((bet_id, 1), ("999", 0)):
        report = betfair.betting.replace_orders(
            MATCH, [{"betId": refused_id, "newPrice": 3.01}], customer_ref=f"ref-{refused_id}"
        )
        (item,) = report.replace_instruction_reports
        placed = item.place_instruction_reports
        assert (placed.status, placed.error_code) == ("FAILURE", "RELATED_ACTION_FAILED")
        assert placed.instruction.selection_id == selection_id
        order = placed.instruction.limit_order
        assert (order.price, order.persistence_type, order.size) == (3.01, "LAPSE", 5 if selection_id else 0)


def test_the_statement_has_what_is_asked_for(exchange: RunningSandbox) -> None:
    exchange.place_one(MATCH, limit(1, "BACK", 2, 5))
    exchange.control("settle", marketId=MATCH, winners=[1])

    def rows(**params: object) -> list[str]:
        reply = rest(exchange, "getAccountStatement", params, api="account")
        return [row["legacyData"]["winLose"] for row in reply.json()["accountStatement"]]

    bets = ["RESULT_NOT_APPLICABLE", "RESULT_WON"]
    long_ago = {"to": "2020-01-01T00:00:00Z"}
    assert rows() == rows(includeItem="ALL") == rows(includeItem="EXCHANGE") == bets
    assert rows(includeItem="EXCHANGE", itemDateRange=long_ago) == bets  # Betfair: a range binds ALL only
    assert rows(itemDateRange=long_ago) == []
    assert rows(includeItem="DEPOSITS_WITHDRAWALS") == rows(includeItem="POKER_ROOM") == []


def test_there_are_no_scores(exchange: RunningSandbox) -> None:
    for operation in ("listAvailableEvents", "listIncidents", "listRaceDetails", "listScores"):
        assert rest(exchange, operation, {}, api="scores").json() == []


def test_current_orders_have_no_fields_of_the_stream(exchange: RunningSandbox) -> None:
    bet_id = exchange.place_one(MATCH, limit(1, "BACK", 3, 5))
    exchange.call("cancelOrders", marketId=MATCH, instructions=[{"betId": bet_id, "sizeReduction": 2}])
    (row,) = exchange.call("listCurrentOrders")["currentOrders"]
    assert not {"cancelledDate", "lapsedDate", "lapseStatusReasonCode"} & set(row)


@pytest.mark.parametrize(
    ("method", "api", "code"),
    [
        ("setExposureLimitForMarketGroup", "SportsAPING", "ACCESS_DENIED"),
        ("unblockMarketGroup", "SportsAPING", "ACCESS_DENIED"),
        ("transferFunds", "AccountAPING", "INVALID_APP_KEY"),
        ("token", "AccountAPING", "INVALID_APP_KEY"),
    ],
)
def test_what_betfair_has_and_few_may_use_is_refused(
    exchange: RunningSandbox, method: str, api: str, code: str
) -> None:
    path = "betting" if api == "SportsAPING" else "account"
    call = {"jsonrpc": "2.0", "method": f"{api}/v1.0/{method}", "params": {}, "id": 1}
    reply = exchange.session.post(
        f"{exchange.api}/exchange/{path}/json-rpc/v1", data=json.dumps(call), headers=exchange.headers
    ).json()
    data = reply["error"]["data"]
    assert data[data["exceptionname"]]["errorCode"] == code


# -- Heartbeat API ----------------------------------------------------------------------------------------------------


def beat(sandbox: RunningSandbox, seconds: object, **headers: str) -> Json:
    call = {
        "jsonrpc": "2.0",
        "method": "HeartbeatAPING/v1.0/heartbeat",
        "params": {"preferredTimeoutSeconds": seconds},
        "id": 1,
    }
    url = f"{sandbox.api}/exchange/heartbeat/json-rpc/v1"
    reply: Json = sandbox.session.post(url, data=json.dumps(call), headers={**sandbox.headers, **headers}).json()
    return reply


@pytest.fixture
def beating(exchange: RunningSandbox) -> Iterator[RunningSandbox]:
    yield exchange
    beat(exchange, 0)


@pytest.mark.parametrize(("asked", "given"), [(0, 0), (1, 10), (10, 10), (120, 120), (1000, 300)])
def test_a_heartbeat_is_clamped(beating: RunningSandbox, asked: int, given: int) -> None:
    assert beat(beating, asked)["result"] == {"actionPerformed": "NONE", "actualTimeoutSeconds": given}


def test_heartbeat_errors_have_their_own_numbers(beating: RunningSandbox) -> None:
    for reply, number, code in (
        (beat(beating, -1), "HBT-0001", "INVALID_INPUT_DATA"),
        (beat(beating, 10, **{"X-Authentication": "gone"}), "HBT-0002", "INVALID_SESSION_INFORMATION"),
        (beat(beating, 10, **{"X-Application": ""}), "HBT-0003", "NO_APP_KEY"),
    ):
        error = reply["error"]
        assert (error["message"], error["data"]["APINGException"]["errorCode"]) == (number, code)


@pytest.mark.slow
def test_a_heartbeat_that_stops_cancels_what_is_unmatched_and_says_so_once(beating: RunningSandbox) -> None:
    beating.place_one(MATCH, limit(1, "BACK", 2, 5))
    open_id = beating.place_one(MATCH, limit(1, "BACK", 3, 5))
    beat(beating, 10)
    assert beating.order(open_id)["status"] == "EXECUTABLE"
    wait_for(lambda: beating.order(open_id)["sizeCancelled"] == 5, deadline_s=20)
    again = beating.place_one(MATCH, limit(1, "BACK", 3, 5))
    assert beat(beating, 0)["result"] == {"actionPerformed": "ALL_BETS_CANCELLED", "actualTimeoutSeconds": 0}
    assert beat(beating, 0)["result"]["actionPerformed"] == "NONE"
    assert beating.order(again)["status"] == "EXECUTABLE"
