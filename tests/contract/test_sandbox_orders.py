"""Placing, cancelling, changing and listing orders, read through betfairlightweight's typed resources."""

import time
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import pytest
from betfairlightweight import APIClient as Client
from support.sandbox_client import Json, RunningSandbox, limit, wait_for

pytest_plugins = ["support.sandbox_fixtures"]
MARKET = "1.100000001"


def parts(order: Json) -> dict[str, str]:
    names = ("sizeMatched", "sizeRemaining", "sizeLapsed", "sizeCancelled", "sizeVoided")
    values = [Decimal(order[name]) for name in names]
    assert sum(values) == order["priceSize"]["size"]
    return {name: str(value.normalize()) for name, value in zip(names, values, strict=True) if value}


def test_an_order_is_placed_matched_in_part_cancelled_and_listed(sandbox: RunningSandbox, betfair: Client) -> None:
    sandbox.market(MARKET, to_back=[[3.1, 4]])
    report = betfair.betting.place_orders(
        market_id=MARKET,
        instructions=[limit(1, "BACK", 3, 10, "order-1")],
        customer_ref="request-1",
        customer_strategy_ref="tests",
    )
    assert (report.status, report.market_id, report.customer_ref) == ("SUCCESS", MARKET, "request-1")
    placed = report.place_instruction_reports[0]
    assert (placed.status, placed.order_status, placed.size_matched) == ("SUCCESS", "EXECUTABLE", 4.0)
    assert placed.average_price_matched == 3.1
    assert placed.instruction.limit_order.price == 3
    listed = betfair.betting.list_current_orders(customer_order_refs=["order-1"])
    assert not listed.more_available
    (order,) = listed.orders
    assert (order.bet_id, order.side, order.size_remaining) == (placed.bet_id, "BACK", 6.0)
    assert (order.customer_strategy_ref, order.matched_date) == ("tests", order.placed_date)
    cancelled = betfair.betting.cancel_orders(market_id=MARKET, instructions=[{"betId": placed.bet_id}])
    assert cancelled.status == "SUCCESS"
    assert cancelled.cancel_instruction_reports[0].size_cancelled == 6.0
    assert cancelled.cancel_instruction_reports[0].cancelled_date is not None
    (order,) = betfair.betting.list_current_orders(bet_ids=[placed.bet_id]).orders
    assert (order.status, order.size_matched, order.size_cancelled) == ("EXECUTION_COMPLETE", 4.0, 6.0)
    (cleared,) = betfair.betting.list_cleared_orders(bet_status="CANCELLED").orders
    assert (cleared.bet_id, cleared.size_cancelled, cleared.customer_order_ref) == (placed.bet_id, 6.0, "order-1")


def test_lays_are_matched_with_what_is_available_to_lay(sandbox: RunningSandbox, betfair: Client) -> None:
    sandbox.market(MARKET, to_lay=[[2.9, 10]])
    report = betfair.betting.place_orders(market_id=MARKET, instructions=[limit(1, "LAY", 3, 10)])
    assert report.place_instruction_reports[0].average_price_matched == 2.9
    funds = betfair.account.get_account_funds()
    assert (funds.exposure, funds.available_to_bet_balance, funds.wallet) == (-19.0, 9981.0, "UK")


def test_moving_prices_match_what_rests(sandbox: RunningSandbox) -> None:
    sandbox.market(MARKET)
    bet_id = sandbox.place_one(MARKET, limit(1, "BACK", 3, 10))
    sandbox.control("prices", marketId=MARKET, selectionId=1, availableToBack=[[3.5, 4]])
    order = sandbox.order(bet_id)
    assert parts(order) == {"sizeMatched": "4", "sizeRemaining": "6"}
    assert order["averagePriceMatched"] == 3


def test_numbers_may_come_as_strings(sandbox: RunningSandbox) -> None:
    sandbox.market(MARKET)
    order = sandbox.order(sandbox.place_one(MARKET, limit("1", "BACK", "3.05", "2.50")))  # type: ignore[arg-type]
    assert order["priceSize"] == {"price": Decimal("3.05"), "size": Decimal("2.5")}


def test_a_partial_cancel_leaves_the_rest(sandbox: RunningSandbox) -> None:
    sandbox.market(MARKET)
    bet_id = sandbox.place_one(MARKET, limit(1, "BACK", 3, 10))
    report = sandbox.call(
        "cancelOrders", marketId=MARKET, instructions=[{"betId": bet_id, "sizeReduction": 4}], customerRef="c"
    )
    assert (report["customerRef"], report["instructionReports"][0]["sizeCancelled"]) == ("c", 4)
    assert parts(sandbox.order(bet_id)) == {"sizeRemaining": "6", "sizeCancelled": "4"}


def test_cancel_without_instructions_cancels_the_market_and_without_market_all(sandbox: RunningSandbox) -> None:
    other = "1.100000002"
    for market in (MARKET, other):
        sandbox.market(market)
    first, second = (sandbox.place_one(MARKET, limit(runner, "BACK", 3, 2)) for runner in (1, 2))
    third = sandbox.place_one(other, limit(1, "BACK", 3, 2))
    report = sandbox.call("cancelOrders", marketId=MARKET, instructions=[])
    assert {item["instruction"]["betId"] for item in report["instructionReports"]} == {first, second}
    assert sandbox.order(third)["status"] == "EXECUTABLE"
    sandbox.call("cancelOrders")
    assert sandbox.order(third)["status"] == "EXECUTION_COMPLETE"


def test_an_asynchronous_order_has_no_bet_id_yet(sandbox: RunningSandbox, betfair: Client) -> None:
    sandbox.market(MARKET)
    report = sandbox.place(MARKET, limit(1, "BACK", 3, 2, "later"), **{"async": True})
    (item,) = report["instructionReports"]
    assert (item["orderStatus"], "betId" in item, "sizeMatched" in item) == ("PENDING", False, False)
    (order,) = wait_for(lambda: betfair.betting.list_current_orders(customer_order_refs=["later"]).orders)
    assert order.status == "EXECUTABLE"


def test_in_play_an_order_waits_for_the_bet_delay(sandbox: RunningSandbox) -> None:
    sandbox.market(MARKET, to_back=[[3, 10]], inplay=True, betDelay=1)
    started = time.monotonic()
    assert sandbox.place(MARKET, limit(1, "BACK", 3, 2))["status"] == "SUCCESS"
    assert time.monotonic() - started >= 1


def test_in_play_what_cannot_be_matched_does_not_wait_where_the_model_is_passive(sandbox: RunningSandbox) -> None:
    sandbox.market(MARKET, to_back=[[3, 10]], inplay=True, betDelay=2, betDelayModels=["PASSIVE"])
    started = time.monotonic()
    assert sandbox.place(MARKET, limit(1, "BACK", 3.05, 2))["status"] == "SUCCESS"
    assert time.monotonic() - started < 2
    for waiting in (limit(1, "BACK", 3, 2), limit(1, "BACK", 3.05, 2, timeInForce="FILL_OR_KILL")):
        started = time.monotonic()
        assert sandbox.place(MARKET, waiting)["status"] == "SUCCESS"
        assert time.monotonic() - started >= 2


def test_in_play_a_cancel_does_not_wait(sandbox: RunningSandbox) -> None:
    sandbox.market(MARKET)
    resting = sandbox.place_one(MARKET, limit(1, "BACK", 3, 2, persistenceType="PERSIST"))
    sandbox.control("markets", marketId=MARKET, inplay=True, betDelay=3)
    with ThreadPoolExecutor(1) as pool, sandbox.new_session() as session:
        body = {"jsonrpc": "2.0", "method": "SportsAPING/v1.0/placeOrders", "id": 1}
        params = {"marketId": MARKET, "instructions": [limit(1, "BACK", 3, 2)]}
        placing = pool.submit(session.post, sandbox.url(""), json={**body, "params": params}, headers=sandbox.headers)
        wait_for(lambda: len(sandbox.journal("placeOrders")) == 2)
        cancelled = sandbox.call("cancelOrders", marketId=MARKET, instructions=[{"betId": resting}])
        assert cancelled["status"] == "SUCCESS"
        assert sandbox.journal("placeOrders")[1]["status"] is None  # still waits
        assert placing.result().json()["result"]["status"] == "SUCCESS"


def test_turning_in_play_lapses_what_may_not_persist(sandbox: RunningSandbox) -> None:
    sandbox.market(MARKET)
    lapsing = sandbox.place_one(MARKET, limit(1, "BACK", 3, 2))
    persisting = sandbox.place_one(MARKET, limit(1, "BACK", 3, 2, persistenceType="PERSIST"))
    before = sandbox.call("listMarketBook", marketIds=[MARKET])[0]["version"]
    assert sandbox.control("markets", marketId=MARKET, inplay=True)["version"] > before
    order = sandbox.order(lapsing)
    assert (parts(order), order["lapseStatusReasonCode"]) == ({"sizeLapsed": "2"}, "SP_IN_PLAY")
    assert parts(sandbox.order(persisting)) == {"sizeRemaining": "2"}
    (cleared,) = sandbox.call("listClearedOrders", betStatus="LAPSED")["clearedOrders"]
    assert cleared["betId"] == lapsing


def test_fill_or_kill(sandbox: RunningSandbox) -> None:
    sandbox.market(MARKET, to_back=[[3, 4]])
    killed = sandbox.place(MARKET, limit(1, "BACK", 3, 5, timeInForce="FILL_OR_KILL"))
    assert killed["instructionReports"][0]["orderStatus"] == "EXPIRED"
    filled = sandbox.place(MARKET, limit(1, "BACK", 3, 5, timeInForce="FILL_OR_KILL", minFillSize=2))
    (report,) = filled["instructionReports"]
    assert (report["orderStatus"], report["sizeMatched"]) == ("EXECUTION_COMPLETE", 4)
    assert parts(sandbox.order(report["betId"])) == {"sizeMatched": "4", "sizeLapsed": "1"}
    assert sandbox.call("getAccountFunds")["exposure"] == -4


def test_replace_gives_a_new_bet_under_the_same_reference(sandbox: RunningSandbox, betfair: Client) -> None:
    sandbox.market(MARKET, to_back=[[2.9, 10]])
    bet_id = sandbox.place_one(MARKET, limit(1, "BACK", 3, 10, "mine"))
    report = betfair.betting.replace_orders(market_id=MARKET, instructions=[{"betId": bet_id, "newPrice": 2.9}])
    assert report.status == "SUCCESS"
    (item,) = report.replace_instruction_reports
    assert item.cancel_instruction_reports.size_cancelled == 10.0
    assert item.place_instruction_reports.size_matched == 10.0
    both = betfair.betting.list_current_orders(customer_order_refs=["mine"]).orders
    assert [order.bet_id for order in both] == [bet_id, item.place_instruction_reports.bet_id]


def test_update_changes_the_persistence(sandbox: RunningSandbox, betfair: Client) -> None:
    sandbox.market(MARKET)
    bet_id = sandbox.place_one(MARKET, limit(1, "BACK", 3, 10))
    change = {"betId": bet_id, "newPersistenceType": "PERSIST"}
    assert betfair.betting.update_orders(market_id=MARKET, instructions=[change]).status == "SUCCESS"
    assert sandbox.order(bet_id)["persistenceType"] == "PERSIST"
    again = betfair.betting.update_orders(market_id=MARKET, instructions=[change])
    assert again.update_instruction_reports[0].error_code == "NO_ACTION_REQUIRED"


@pytest.fixture
def five(sandbox: RunningSandbox) -> list[str]:
    """Five orders: matched, open, cancelled, of another strategy, of another market."""
    sandbox.market(MARKET, to_back=[[3, 2]])
    sandbox.market("1.100000002")
    bets = [sandbox.place_one(MARKET, limit(1, "BACK", 3, 2, f"ref-{at}")) for at in range(3)]
    sandbox.call("cancelOrders", marketId=MARKET, instructions=[{"betId": bets[2]}])
    other = sandbox.place(MARKET, limit(2, "LAY", 3, 2, "ref-3"), customerStrategyRef="other")
    bets.append(other["instructionReports"][0]["betId"])
    bets.append(sandbox.place_one("1.100000002", limit(1, "BACK", 3, 2, "ref-4")))
    return bets


@pytest.mark.parametrize(
    ("params", "found"),
    [
        ({}, [0, 1, 2, 3, 4]),
        ({"orderProjection": "EXECUTABLE"}, [1, 3, 4]),
        ({"orderProjection": "EXECUTION_COMPLETE"}, [0, 2]),
        ({"customerOrderRefs": ["ref-1", "ref-4", "nobody's"]}, [1, 4]),
        ({"customerStrategyRefs": ["other"]}, [3]),
        ({"marketIds": ["1.100000002"]}, [4]),
        ({"orderBy": "BY_MATCH_TIME"}, [0]),
        ({"orderBy": "BY_VOID_TIME"}, []),
        ({"orderBy": "BY_MARKET", "sortDir": "LATEST_TO_EARLIEST"}, [4, 3, 2, 1, 0]),
        ({"sortDir": "LATEST_TO_EARLIEST", "recordCount": 2}, [4, 3]),
        ({"fromRecord": 3}, [3, 4]),
        ({"dateRange": {"from": "2020-01-01T00:00:00Z"}}, [0, 1, 2, 3, 4]),
        ({"dateRange": {"to": "2020-01-01T00:00:00Z"}}, []),
    ],
)
def test_current_orders_filters(sandbox: RunningSandbox, five: list[str], params: Json, found: list[int]) -> None:
    orders = sandbox.call("listCurrentOrders", **params)["currentOrders"]
    assert [five.index(order["betId"]) for order in orders] == found


def test_current_orders_pages(sandbox: RunningSandbox, five: list[str]) -> None:
    seen: list[str] = []
    more = True
    while more:
        page = sandbox.call("listCurrentOrders", fromRecord=len(seen), recordCount=2)
        seen += [order["betId"] for order in page["currentOrders"]]
        more = page["moreAvailable"]
    assert seen == five
    by_id = sandbox.call("listCurrentOrders", betIds=[five[3], five[1]], includeItemDescription=True)["currentOrders"]
    assert [order["betId"] for order in by_id] == [five[1], five[3]]
    assert by_id[0]["currentItemDescription"]["marketVersion"]["version"] > 0


def test_markets_are_described(sandbox: RunningSandbox, betfair: Client) -> None:
    sandbox.market(MARKET, to_back=[[3, 4], [2.9, 5]], to_lay=[[3.1, 6]], marketType="WIN", name="To win")
    bet_id = sandbox.place_one(MARKET, limit(1, "BACK", 3, 2, "shown"))
    projection = ["MARKET_DESCRIPTION", "RUNNER_DESCRIPTION", "EVENT", "EVENT_TYPE", "COMPETITION", "MARKET_START_TIME"]
    (catalogue,) = betfair.betting.list_market_catalogue(
        filter={"marketIds": [MARKET]}, market_projection=projection, max_results=1
    )
    assert (catalogue.market_name, catalogue.description.market_type) == ("To win", "WIN")
    assert catalogue.description.market_base_rate == 5
    assert [runner.selection_id for runner in catalogue.runners] == [1, 2]
    (book,) = betfair.betting.list_market_book(
        market_ids=[MARKET], price_projection={"priceData": ["EX_BEST_OFFERS"]}, order_projection="ALL"
    )
    assert (book.status, book.inplay, book.number_of_runners) == ("OPEN", False, 2)
    runner = book.runners[0]
    assert [(level.price, level.size) for level in runner.ex.available_to_back] == [(3.0, 2.0), (2.9, 5.0)]
    assert [(level.price, level.size) for level in runner.ex.available_to_lay] == [(3.1, 6.0)]
    assert (runner.last_price_traded, runner.orders[0].bet_id) == (3.0, bet_id)
    (result,) = betfair.betting.list_market_profit_and_loss(market_ids=[MARKET])
    assert [(row.selection_id, row.if_win) for row in result.profit_and_losses] == [(1, 4.0), (2, -2.0)]
    (net,) = betfair.betting.list_market_profit_and_loss(market_ids=[MARKET], net_of_commission=True)
    assert net.profit_and_losses[0].if_win == 3.8


def test_the_account_is_described(betfair: Client) -> None:
    details = betfair.account.get_account_details()
    assert (details.currency_code, details.discount_rate) == ("GBP", 0.0)


def test_an_unknown_market_appears_when_it_is_used(sandbox: RunningSandbox) -> None:
    report = sandbox.place("1.999999", limit(47972, "BACK", 2.5, 10))
    assert report["status"] == "SUCCESS"
    (book,) = sandbox.call("listMarketBook", marketIds=["1.999999"])
    assert [runner["selectionId"] for runner in book["runners"]] == [47972]
    catalogue: list[Any] = sandbox.call("listMarketCatalogue", filter={"marketIds": ["1.5555"]}, maxResults=1)
    assert catalogue[0]["marketId"] == "1.5555"


def test_orders_cancel_at_most_once_and_settled_markets_are_gone(sandbox: RunningSandbox) -> None:
    sandbox.market(MARKET)
    bet_id = sandbox.place_one(MARKET, limit(1, "BACK", 3, 2))
    cancel = {"marketId": MARKET, "instructions": [{"betId": bet_id}]}
    assert sandbox.call("cancelOrders", **cancel)["status"] == "SUCCESS"
    again = sandbox.call("cancelOrders", **cancel)
    assert again["instructionReports"][0]["errorCode"] == "BET_TAKEN_OR_LAPSED"
    sandbox.control("settle", marketId=MARKET, winners=[1])
    assert sandbox.call("listCurrentOrders")["currentOrders"] == []
    assert sandbox.call("listMarketCatalogue", filter={"marketIds": [MARKET]}, maxResults=1) == []
