"""The rules that move money, over the wire: what betfairlightweight reads of removals, dead heats, starting prices."""

from decimal import Decimal

import pytest
from betfairlightweight import APIClient as Client
from support.sandbox_client import Json, RunningSandbox, limit
from support.stream_client import connect

pytest_plugins = ["support.sandbox_fixtures"]
MARKET = "1.100000001"
START = Decimal(10_000)


def open_market(sandbox: RunningSandbox, **facts: object) -> None:
    runners: list[Json] = [{"selectionId": at, "availableToBack": [], "availableToLay": []} for at in (1, 2, 3, 4)]
    sandbox.control("markets", marketId=MARKET, runners=runners, **facts)


def offer(sandbox: RunningSandbox, selection_id: int, to_back: object = (), to_lay: object = ()) -> None:
    sandbox.control("prices", marketId=MARKET, selectionId=selection_id, availableToBack=to_back, availableToLay=to_lay)


def on_close(selection_id: int, side: str, liability: object, price: object = None) -> Json:
    kind, order = ("MARKET", "marketOnCloseOrder") if price is None else ("LIMIT", "limitOnCloseOrder")
    body = {"liability": liability} if price is None else {"liability": liability, "price": price}
    return {"selectionId": selection_id, "side": side, "orderType": f"{kind}_ON_CLOSE", order: body}


def account(sandbox: RunningSandbox) -> Json:
    (row,) = sandbox.get("accounts")["accounts"]
    return dict(row)


def test_a_removal_reprices_matched_bets(sandbox: RunningSandbox, betfair: Client) -> None:
    open_market(sandbox, marketType="WIN")
    sandbox.control("markets", marketId=MARKET, runners=[{"selectionId": 4, "adjustmentFactor": 25}])
    offer(sandbox, 1, to_back=[[8, 10]])
    offer(sandbox, 4, to_back=[[4, 10]])
    back = sandbox.place_one(MARKET, limit(1, "BACK", 8, 10))
    gone = sandbox.place_one(MARKET, limit(4, "BACK", 4, 10))
    lay = sandbox.place_one(MARKET, limit(2, "LAY", 5, 10))
    (before,) = sandbox.call("listMarketBook", marketIds=[MARKET])
    sandbox.control("remove", marketId=MARKET, selectionId=4)
    orders = {order.bet_id: order for order in betfair.betting.list_current_orders().orders}
    assert (orders[back].average_price_matched, orders[back].size_matched) == (6.0, 10.0)
    assert (orders[gone].size_matched, orders[gone].size_voided) == (0.0, 10.0)
    assert (orders[lay].size_lapsed, orders[lay].size_remaining) == (10.0, 0.0)
    (book,) = betfair.betting.list_market_book([MARKET])
    assert book.version > before["version"]
    removed = book.runners[3]
    assert (removed.status, removed.adjustment_factor, book.number_of_active_runners) == ("REMOVED", 25.0, 3)
    assert removed.removal_date is not None
    sandbox.control("settle", marketId=MARKET, winners=[1])
    (row,) = betfair.betting.list_cleared_orders(bet_status="SETTLED").orders
    assert (row.bet_id, row.price_matched, row.price_reduced, row.profit) == (back, 6.0, True, 50.0)
    assert account(sandbox)["balance"] == START + Decimal("47.50")


@pytest.mark.parametrize(
    ("winners", "dead_heat", "profit", "status"),
    [
        ([1], [], 40, "WINNER"),
        ([1, 2], [], 15, "WINNER"),  # half the stake wins at 5, half is lost
        ([1, 2, 3], [], Decimal("6.67"), "WINNER"),
        ([1, 2, 3, 4], [1, 2, 3, 4], Decimal("2.5"), "WINNER"),
        ([2, 3], [2, 3], -10, "LOSER"),
    ],
)
def test_a_dead_heat_reduces_the_stake(
    sandbox: RunningSandbox, betfair: Client, winners: list[int], dead_heat: list[int], profit: object, status: str
) -> None:
    open_market(sandbox)
    offer(sandbox, 1, to_back=[[5, 10]])
    sandbox.place_one(MARKET, limit(1, "BACK", 5, 10))
    sandbox.control("settle", marketId=MARKET, winners=winners, deadHeat=dead_heat)
    (row,) = betfair.betting.list_cleared_orders(bet_status="SETTLED").orders
    assert Decimal(str(row.profit)) == profit
    (book,) = betfair.betting.list_market_book([MARKET])
    assert book.runners[0].status == status


def test_a_dead_heat_for_the_last_of_several_places(sandbox: RunningSandbox) -> None:
    open_market(sandbox, numberOfWinners=2, marketType="PLACE")
    for runner in (1, 2, 3):
        offer(sandbox, runner, to_back=[[3, 10]])
        sandbox.place_one(MARKET, limit(runner, "BACK", 3, 10))
    sandbox.control("settle", marketId=MARKET, winners=[1, 2, 3], deadHeat=[2, 3])
    rows = sandbox.call("listClearedOrders", betStatus="SETTLED")["clearedOrders"]
    assert {row["selectionId"]: row["profit"] for row in rows} == {1: 20, 2: 5, 3: 5}


@pytest.mark.parametrize(
    ("winners", "placed", "profit", "outcome"),
    [([1], [2], 100, "WON"), ([2], [1], 10, "PLACE"), ([2], [3], -20, "LOST"), ([1, 2], [], 55, "WON")],
)
def test_each_way_is_two_bets(
    sandbox: RunningSandbox, betfair: Client, winners: list[int], placed: list[int], profit: float, outcome: str
) -> None:
    open_market(sandbox, marketType="EACH_WAY", eachWayDivisor=4, numberOfWinners=2)
    offer(sandbox, 1, to_back=[[9, 10]])
    sandbox.place_one(MARKET, limit(1, "BACK", 9, 10))
    assert sandbox.call("getAccountFunds")["exposure"] == -20
    sandbox.control("settle", marketId=MARKET, winners=winners, placed=placed)
    (row,) = betfair.betting.list_cleared_orders(bet_status="SETTLED", include_item_description=True).orders
    assert (row.profit, row.bet_outcome) == (profit, outcome)
    assert row.item_description.each_way_divisor == 4


def test_orders_for_the_starting_price(sandbox: RunningSandbox, betfair: Client) -> None:
    open_market(sandbox, bspMarket=True)
    taken = {
        "back": sandbox.place_one(MARKET, on_close(1, "BACK", 20)),
        "lay": sandbox.place_one(MARKET, on_close(1, "LAY", 60)),
        "low": sandbox.place_one(MARKET, on_close(1, "BACK", 5, price=10)),
    }
    kept = sandbox.place_one(MARKET, limit(2, "LAY", 3, 10, persistenceType="MARKET_ON_CLOSE"))
    assert sandbox.call("getAccountFunds")["exposure"] == -60  # if runner 1 wins; 25 if it loses, and 20 if 2 wins
    orders = {order.bet_id: order for order in betfair.betting.list_current_orders().orders}
    order = orders[taken["back"]]
    assert (order.order_type, order.bsp_liability, order.status) == ("MARKET_ON_CLOSE", 20.0, "EXECUTABLE")
    (book,) = betfair.betting.list_market_book([MARKET], price_projection={"priceData": ["SP_TRADED"]})
    sp = book.runners[0].sp
    assert (sp.near_price, sp.far_price, sp.actual_sp) == (4.0, 4.0, None)
    assert [(taken.price, taken.size) for taken in sp.back_stake_taken] == [(1.01, 20.0), (10.0, 5.0)]
    cancelled = sandbox.call("cancelOrders", marketId=MARKET, instructions=[{"betId": taken["back"]}])
    assert cancelled["status"] == "FAILURE"
    sandbox.control("bsp", marketId=MARKET, runners=[{"selectionId": 2, "bsp": 6}])
    orders = {order.bet_id: order for order in betfair.betting.list_current_orders().orders}
    assert [(orders[taken[name]].average_price_matched, orders[taken[name]].size_matched) for name in taken] == [
        (4.0, 20.0),
        (4.0, 20.0),
        (0.0, 0.0),
    ]
    assert orders[taken["low"]].size_lapsed == 5.0
    assert (orders[kept].average_price_matched, orders[kept].size_matched) == (6.0, 4.0)  # 20 of liability at 6
    (book,) = betfair.betting.list_market_book([MARKET], price_projection={"priceData": ["SP_AVAILABLE"]})
    assert (book.bsp_reconciled, book.runners[0].sp.actual_sp) == (True, 4.0)
    refused = sandbox.place(MARKET, on_close(1, "BACK", 20))
    assert refused["instructionReports"][0]["errorCode"] == "MARKET_NOT_OPEN_FOR_BSP_BETTING"


def test_a_market_with_starting_prices_is_reconciled_as_it_turns_in_play(sandbox: RunningSandbox) -> None:
    open_market(sandbox, bspMarket=True)
    offer(sandbox, 1, to_back=[[3, 10]], to_lay=[[4, 10]])  # what rests pays for half of it, the house for the rest
    bet_id = sandbox.place_one(MARKET, on_close(1, "BACK", 20))
    answer = sandbox.control("markets", marketId=MARKET, inplay=True)
    assert (answer["bspReconciled"], answer["runners"][0]["bsp"]) == (True, 3)
    assert sandbox.order(bet_id)["averagePriceMatched"] == 3


@pytest.mark.parametrize(
    ("instruction", "code"),
    [
        (on_close(1, "BACK", 20), "MARKET_NOT_OPEN_FOR_BSP_BETTING"),
        (limit(1, "BACK", 3, 10, persistenceType="MARKET_ON_CLOSE"), "INVALID_PERSISTENCE_TYPE"),
    ],
)
def test_a_market_without_starting_prices_takes_no_orders_for_them(
    sandbox: RunningSandbox, instruction: Json, code: str
) -> None:
    open_market(sandbox)
    assert sandbox.place(MARKET, instruction)["instructionReports"][0]["errorCode"] == code


@pytest.mark.parametrize(
    ("instruction", "code"),
    [
        (on_close(1, "LAY", "9.99"), "INVALID_BET_SIZE"),
        (on_close(1, "BACK", "0.99"), "INVALID_BET_SIZE"),
        (on_close(1, "BACK", 20, price="3.01"), "INVALID_ODDS"),
        ({**limit(1, "BACK", 3, 2), "orderType": "LIMIT_ON_CLOSE"}, "INVALID_ORDER_TYPE"),
    ],
)
def test_what_an_order_for_the_starting_price_must_not_be(
    sandbox: RunningSandbox, instruction: Json, code: str
) -> None:
    open_market(sandbox, bspMarket=True)
    assert sandbox.place(MARKET, instruction)["instructionReports"][0]["errorCode"] == code


def test_a_limit_on_close_order_can_be_replaced(sandbox: RunningSandbox) -> None:
    open_market(sandbox, bspMarket=True)
    bet_id = sandbox.place_one(MARKET, on_close(1, "BACK", 20, price=3))
    report = sandbox.call("replaceOrders", marketId=MARKET, instructions=[{"betId": bet_id, "newPrice": 5}])
    new_id = report["instructionReports"][0]["placeInstructionReport"]["betId"]
    order = sandbox.order(new_id)
    assert (order["orderType"], order["priceSize"]["price"], order["bspLiability"]) == ("LIMIT_ON_CLOSE", 5, 20)


def test_a_result_can_be_taken_back(sandbox: RunningSandbox) -> None:
    open_market(sandbox)
    offer(sandbox, 1, to_back=[[5, 10]])
    bet_id = sandbox.place_one(MARKET, limit(1, "BACK", 5, 10))
    sandbox.control("settle", marketId=MARKET, winners=[1])
    assert sandbox.control("settle", marketId=MARKET, reverse=True)["status"] == "SUSPENDED"
    assert account(sandbox)["balance"] == START
    assert sandbox.call("getAccountFunds")["exposure"] == -10
    assert sandbox.call("listClearedOrders", betStatus="SETTLED")["clearedOrders"] == []
    assert [order["betId"] for order in sandbox.call("listCurrentOrders")["currentOrders"]] == [bet_id]
    sandbox.control("settle", marketId=MARKET, winners=[2])
    assert account(sandbox)["balance"] == START - 10


def test_commission_is_the_markets_and_has_the_accounts_discount(sandbox: RunningSandbox, betfair: Client) -> None:
    open_market(sandbox)
    assert sandbox.control("accounts", name="sandbox", discountRate=20)["discountRate"] == 20
    assert betfair.account.get_account_funds().discount_rate == 20.0
    offer(sandbox, 1, to_back=[[5, 10]])
    offer(sandbox, 2, to_back=[[5, 10]])
    sandbox.place(MARKET, limit(1, "BACK", 5, 10), customerStrategyRef="one")
    sandbox.place(MARKET, limit(2, "BACK", 5, 10), customerStrategyRef="two")
    sandbox.control("settle", marketId=MARKET, winners=[1])
    for refs in (["one"], ["two"], []):
        (row,) = betfair.betting.list_cleared_orders(
            bet_status="SETTLED", group_by="MARKET", customer_strategy_refs=refs
        ).orders
        assert row.commission == 1.2  # 5 % of the 30 that the account won there, a fifth off
    assert account(sandbox)["commission"] == Decimal("1.2")
    sandbox.control("markets", marketId="1.2", discountAllowed=False)
    sandbox.control("prices", marketId="1.2", selectionId=1, availableToBack=[[5, 10]])
    sandbox.place_one("1.2", limit(1, "BACK", 5, 10))
    sandbox.control("settle", marketId="1.2", winners=[1])
    assert account(sandbox)["commission"] == Decimal("3.2")


def test_transactions_are_counted_as_the_charge_counts_them(sandbox: RunningSandbox) -> None:
    open_market(sandbox)
    bet_id = sandbox.place_one(MARKET, limit(1, "BACK", 5, 10))
    sandbox.place(MARKET, limit(1, "BACK", 5, 10), limit(9, "BACK", 5, 10))  # both fail: one for the other
    sandbox.call("replaceOrders", marketId=MARKET, instructions=[{"betId": bet_id, "newPrice": 6}])
    sandbox.call("cancelOrders", marketId=MARKET, instructions=[{"betId": bet_id}])  # replaced: fails
    sandbox.call("cancelOrders", marketId=MARKET)  # what succeeds is free
    row = account(sandbox)
    assert (row["transactions"], row["transactionCharge"]) == (5, 0)


def test_a_market_shows_what_it_is(sandbox: RunningSandbox, betfair: Client) -> None:
    facts: Json = {
        "name": "Winning margin",
        "bettingType": "ASIAN_HANDICAP_DOUBLE_LINE",
        "marketType": "ASIAN_HANDICAP",
        "numberOfWinners": 2,
        "eventTypeId": "7",
        "eventTypeName": "Horse Racing",
        "eventId": "77",
        "eventName": "Moe 7th Nov",
        "countryCode": "AU",
        "timezone": "Australia/Sydney",
        "venue": "Moe",
        "raceType": "Flat",
        "marketTime": "2026-12-01T10:00:00Z",
        "turnInPlayEnabled": False,
        "persistenceEnabled": False,
        "discountAllowed": False,
        "marketBaseRate": 7,
        "priceLadder": "FINEST",
    }
    runners = [{"selectionId": 5, "handicap": line, "name": f"Home {line}"} for line in (-0.5, 0.5)]
    sandbox.control("markets", marketId=MARKET, runners=runners, **facts)
    (row,) = betfair.betting.list_market_catalogue(
        {"marketIds": [MARKET]},
        max_results=1,
        market_projection=["MARKET_DESCRIPTION", "EVENT", "EVENT_TYPE", "RUNNER_DESCRIPTION", "MARKET_START_TIME"],
    )
    told = row.description
    assert (told.betting_type, told.market_type, told.market_base_rate) == (
        "ASIAN_HANDICAP_DOUBLE_LINE",
        "ASIAN_HANDICAP",
        7.0,
    )
    assert (told.turn_in_play_enabled, told.persistence_enabled, told.discount_allowed) == (False, False, False)
    assert (told.price_ladder_description.type, told.race_type) == ("FINEST", "Flat")
    assert (row.event.id, row.event.venue, row.event.country_code) == ("77", "Moe", "AU")
    assert (row.event_type.id, row.event_type.name) == ("7", "Horse Racing")
    assert [(runner.selection_id, runner.handicap) for runner in row.runners] == [(5, -0.5), (5, 0.5)]
    (book,) = betfair.betting.list_market_book([MARKET])
    assert (book.number_of_winners, [runner.handicap for runner in book.runners]) == (2, [-0.5, 0.5])
    line = {**limit(5, "BACK", "3.01", 10), "handicap": -0.5}
    assert sandbox.order(sandbox.place_one(MARKET, line))["handicap"] == Decimal("-0.5")
    unknown = sandbox.place(MARKET, {**line, "handicap": 1.5})
    assert unknown["instructionReports"][0]["errorCode"] == "INVALID_RUNNER"
    kept = sandbox.place(MARKET, {**line, "limitOrder": {"price": 3, "size": 10, "persistenceType": "PERSIST"}})
    assert kept["instructionReports"][0]["errorCode"] == "INVALID_PERSISTENCE_TYPE"


def test_facts_that_bets_were_taken_under_stay(sandbox: RunningSandbox) -> None:
    open_market(sandbox)
    sandbox.place_one(MARKET, limit(1, "BACK", 5, 10))
    reply = sandbox.session.post(f"{sandbox.api}/sandbox/markets", json={"marketId": MARKET, "eachWayDivisor": 4})
    assert (reply.status_code, "bets" in reply.json()["error"]) == (400, True)


def test_a_line_market_over_the_wire(sandbox: RunningSandbox) -> None:
    info = {"minUnitValue": 0.5, "maxUnitValue": 99.5, "interval": 1}
    sandbox.control(
        "markets",
        marketId=MARKET,
        bettingType="LINE",
        lineRangeInfo=info,
        runners=[{"selectionId": 1, "availableToBack": [[40.5, 50]], "availableToLay": [[42.5, 50]]}],
    )
    bought = sandbox.place_one(MARKET, limit(1, "LAY", "42.5", 10))
    off = sandbox.place(MARKET, limit(1, "LAY", 42, 10))
    assert off["instructionReports"][0]["errorCode"] == "INVALID_ODDS"
    assert sandbox.call("getAccountFunds")["exposure"] == -10
    sandbox.control("settle", marketId=MARKET, line=50)
    (row,) = sandbox.call("listClearedOrders", betStatus="SETTLED")["clearedOrders"]
    assert (row["betId"], row["profit"], row["betOutcome"]) == (bought, 10, "WON")


def updates(message: Json) -> dict[str, Json]:
    return {row["id"]: row for change in message["oc"] for runner in change["orc"] for row in runner.get("uo", ())}


def test_the_order_stream_tells_of_a_reduction(sandbox: RunningSandbox) -> None:
    open_market(sandbox, marketType="WIN")
    offer(sandbox, 1, to_back=[[8, 10]])
    with connect(sandbox) as stream:
        stream.orders()
        back = sandbox.place_one(MARKET, limit(1, "BACK", 8, 10))
        first = stream.until(lambda message: back in updates(message) if message.get("oc") else False)
        (runner,) = first["oc"][0]["orc"]
        assert (updates(first)[back]["avp"], runner["mb"]) == (8, [[8, 10]])
        sandbox.control("remove", marketId=MARKET, selectionId=4, adjustmentFactor=25)
        reduced = stream.until(lambda message: back in updates(message) if message.get("oc") else False)
    (runner,) = reduced["oc"][0]["orc"]
    row = updates(reduced)[back]
    assert (row["status"], row["avp"], row["sm"]) == ("EC", 6, 10)
    assert sorted(runner["mb"]) == [[6, 10], [8, 0]]


def test_the_order_stream_tells_of_orders_for_the_close(sandbox: RunningSandbox) -> None:
    open_market(sandbox, bspMarket=True)
    with connect(sandbox) as stream:
        stream.orders()
        bet_id = sandbox.place_one(MARKET, on_close(1, "BACK", 20))
        waiting = updates(stream.until(lambda message: message.get("oc")))[bet_id]
        assert (waiting["ot"], waiting["status"], waiting["p"], waiting["sr"]) == ("MOC", "E", 1.01, 20)
        sandbox.control("bsp", marketId=MARKET, runners=[{"selectionId": 1, "bsp": 4}])
        matched = updates(stream.until(lambda message: message.get("oc")))[bet_id]
    assert (matched["status"], matched["avp"], matched["sm"], matched["sr"]) == ("EC", 4, 20, 0)
