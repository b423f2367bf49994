"""Settling, settling again and voiding: what each bet, the account and the house get, and that money is conserved."""

from decimal import Decimal
from typing import Any

import pytest
from betfairlightweight import APIClient as Client
from support.sandbox_client import Json, RunningSandbox, limit

pytest_plugins = ["support.sandbox_fixtures"]
MARKET = "1.100000001"
START = Decimal(10_000)


def balance(sandbox: RunningSandbox) -> Decimal:
    """Return the balance, after checking that no money came or went."""
    money = sandbox.get("accounts")
    (account,) = money["accounts"]
    assert account["balance"] + account["commission"] + money["house"] + money["rounding"] == START
    assert account["available"] == account["balance"] - account["exposure"]
    amount: Decimal = account["balance"]
    return amount


def cleared(sandbox: RunningSandbox, status: str, **params: object) -> list[Json]:
    rows: list[Json] = sandbox.call("listClearedOrders", betStatus=status, **params)["clearedOrders"]
    return rows


@pytest.fixture
def three(sandbox: RunningSandbox) -> dict[str, str]:
    """Return bet ids: a back of runner 1 at 3.0, a lay of runner 2 at 4.0, and a back that is matched in part."""
    sandbox.market(MARKET, to_back=[[3, 14]])
    sandbox.control("prices", marketId=MARKET, selectionId=2, availableToLay=[[4, 5]])
    return {
        "back": sandbox.place_one(MARKET, limit(1, "BACK", 3, 10, "back")),
        "lay": sandbox.place_one(MARKET, limit(2, "LAY", 4, 5, "lay")),
        "part": sandbox.place_one(MARKET, limit(1, "BACK", 3, 10, "part")),
    }


def test_a_settled_market(sandbox: RunningSandbox, betfair: Client, three: dict[str, str]) -> None:
    sandbox.control("settle", marketId=MARKET, winners=[1])
    bets = {row.bet_id: row for row in betfair.betting.list_cleared_orders(bet_status="SETTLED").orders}
    assert {name: bets[bet_id].profit for name, bet_id in three.items()} == {"back": 20.0, "lay": 5.0, "part": 8.0}
    assert {bets[bet_id].bet_outcome for bet_id in three.values()} == {"WON"}
    assert (bets[three["part"]].size_settled, bets[three["part"]].price_matched) == (4.0, 3.0)
    assert bets[three["back"]].commission is None
    (group,) = betfair.betting.list_cleared_orders(bet_status="SETTLED", group_by="MARKET").orders
    assert (group.market_id, group.bet_count, group.profit, group.commission) == (MARKET, 3, 33.0, 1.65)
    assert balance(sandbox) == START + Decimal("31.35")
    (lapsed,) = betfair.betting.list_cleared_orders(bet_status="LAPSED").orders
    assert (lapsed.bet_id, lapsed.size_cancelled) == (three["part"], 6.0)
    assert sandbox.call("getAccountFunds")["exposure"] == 0
    (book,) = sandbox.call("listMarketBook", marketIds=[MARKET])
    assert (book["status"], [runner["status"] for runner in book["runners"]]) == ("CLOSED", ["WINNER", "LOSER"])


def test_a_lost_market_pays_no_commission(sandbox: RunningSandbox, three: dict[str, str]) -> None:
    sandbox.control("settle", marketId=MARKET, winners=[2])
    profits = {row["betId"]: (row["profit"], row["betOutcome"]) for row in cleared(sandbox, "SETTLED")}
    assert profits == {three["back"]: (-10, "LOST"), three["lay"]: (-15, "LOST"), three["part"]: (-4, "LOST")}
    (group,) = cleared(sandbox, "SETTLED", groupBy="MARKET")
    assert (group["profit"], group["commission"]) == (-29, 0)
    assert balance(sandbox) == START - 29


def test_settling_again_corrects_everything(sandbox: RunningSandbox, three: dict[str, str]) -> None:
    for winners, net in (([1], "31.35"), ([2], "-29"), ([], "-9"), ([1], "31.35")):
        sandbox.control("settle", marketId=MARKET, winners=winners)
        assert balance(sandbox) == START + Decimal(net)
        assert {row["betId"] for row in cleared(sandbox, "SETTLED")} == set(three.values())


def test_a_void_market(sandbox: RunningSandbox, three: dict[str, str]) -> None:
    sandbox.control("settle", marketId=MARKET, winners=[1])
    sandbox.control("void", marketId=MARKET)
    assert balance(sandbox) == START
    assert cleared(sandbox, "SETTLED") == []
    assert {row["betId"]: row["sizeSettled"] for row in cleared(sandbox, "VOIDED")} == {
        three["back"]: 10,
        three["lay"]: 5,
        three["part"]: 4,
    }
    order = sandbox.order(three["part"])
    assert (order["sizeMatched"], order["sizeVoided"], order["sizeLapsed"]) == (0, 4, 6)


@pytest.mark.parametrize("settled_first", [False, True])
def test_a_void_runner(sandbox: RunningSandbox, three: dict[str, str], settled_first: bool) -> None:
    if settled_first:
        sandbox.control("settle", marketId=MARKET, winners=[1])
    sandbox.control("void", marketId=MARKET, selectionId=1)
    if not settled_first:
        current = {order["betId"]: order for order in sandbox.call("listCurrentOrders")["currentOrders"]}
        assert (current[three["back"]]["sizeMatched"], current[three["back"]]["sizeVoided"]) == (0, 10)
        assert sandbox.call("getAccountFunds")["exposure"] == -15
        voided = sandbox.call("listCurrentOrders", orderBy="BY_VOID_TIME")["currentOrders"]
        assert {order["betId"] for order in voided} == {three["back"], three["part"]}
        report = sandbox.place(MARKET, limit(1, "BACK", 3, 2))
        assert report["instructionReports"][0]["errorCode"] == "RUNNER_REMOVED"
        sandbox.control("settle", marketId=MARKET, winners=[])
    assert balance(sandbox) == START + Decimal("4.75")
    assert [row["betId"] for row in cleared(sandbox, "SETTLED")] == [three["lay"]]
    assert {row["betId"] for row in cleared(sandbox, "VOIDED")} == {three["back"], three["part"]}


def test_pennies_that_rounding_leaves_are_accounted_for(sandbox: RunningSandbox) -> None:
    sandbox.market(MARKET, to_back=[["1.03", "1.33"], ["1.02", "1.11"], ["1.01", "99.99"]])
    for size in ("2.40", "1.70", "2.31"):
        sandbox.place_one(MARKET, limit(1, "BACK", "1.01", size))
    sandbox.control("settle", marketId=MARKET, winners=[1])
    profits = [row["profit"] for row in cleared(sandbox, "SETTLED")]
    assert all(profit == round(profit, 2) for profit in profits)
    assert balance(sandbox) > START
    assert sandbox.get("accounts")["rounding"] != 0


@pytest.mark.parametrize(
    ("group", "rows"),
    [
        ("BET", 3),
        ("SIDE", 2),
        ("RUNNER", 2),
        ("STRATEGY", 1),
        ("MARKET", 1),
        ("EVENT", 1),
        ("EVENT_TYPE", 1),
    ],
)
def test_grouping(sandbox: RunningSandbox, three: dict[str, str], group: str, rows: int) -> None:
    sandbox.control("settle", marketId=MARKET, winners=[1])
    found = cleared(sandbox, "SETTLED", groupBy=group, includeItemDescription=True)
    assert len(found) == rows
    assert sum(row["profit"] for row in found) == 33
    assert sum(row["betCount"] for row in found) == len(three)
    assert ("commission" in found[0]) is (group in {"MARKET", "EVENT", "EVENT_TYPE"})


@pytest.mark.parametrize(
    ("params", "found"),
    [
        ({"betIds": ["{lay}", "1"]}, ["lay"]),
        ({"customerOrderRefs": ["back", "part"]}, ["back", "part"]),
        ({"marketIds": ["1.2"]}, []),
        ({"side": "LAY"}, ["lay"]),
        ({"runnerIds": [{"marketId": MARKET, "selectionId": 2}]}, ["lay"]),
        ({"settledDateRange": {"from": "2020-01-01T00:00:00Z"}}, ["back", "lay", "part"]),
        ({"settledDateRange": {"to": "2020-01-01T00:00:00Z"}}, []),
        ({"customerStrategyRefs": ["none"]}, []),
        ({"recordCount": 2}, ["back", "lay"]),
        ({"fromRecord": 2}, ["part"]),
    ],
)
def test_cleared_filters(sandbox: RunningSandbox, three: dict[str, str], params: Json, found: list[str]) -> None:
    sandbox.control("settle", marketId=MARKET, winners=[1])
    if "betIds" in params:
        params = {"betIds": [value.format(**three) for value in params["betIds"]]}
    assert [row["betId"] for row in cleared(sandbox, "SETTLED", **params)] == [three[name] for name in found]


def test_several_winners(sandbox: RunningSandbox) -> None:
    sandbox.control("markets", marketId=MARKET, numberOfWinners=2, runners=[1, 2, 3])
    for runner in (1, 2, 3):
        sandbox.control("prices", marketId=MARKET, selectionId=runner, availableToBack=[[2, 10]])
        sandbox.place_one(MARKET, limit(runner, "BACK", 2, 10))
    assert sandbox.call("getAccountFunds")["exposure"] == 0  # two of three win: +20 -10
    sandbox.control("settle", marketId=MARKET, winners=[1, 2])
    assert balance(sandbox) == START + Decimal("9.50")


def test_a_market_without_prices_is_settled_with_a_runner_nobody_bet_on(sandbox: RunningSandbox) -> None:
    for at in range(12):
        sandbox.place_one("1.42", limit(7, "LAY", 3, 5, f"l{at}"))
        sandbox.place_one("1.42", limit(8, "BACK", 5, 2, f"b{at}"))
    for winners in ([99], [7], [8]):
        sandbox.control("settle", marketId="1.42", winners=winners)
        balance(sandbox)


def sizes(sandbox: RunningSandbox, bet_id: str) -> tuple[Any, ...]:
    order = sandbox.order(bet_id)
    names = ("sizeMatched", "sizeVoided", "sizeRemaining", "averagePriceMatched")
    return tuple(float(order[name]) for name in names)


@pytest.mark.parametrize("settled_first", [False, True])
def test_one_bet_is_void_in_part_as_a_whole_and_not_after_all(
    sandbox: RunningSandbox, three: dict[str, str], settled_first: bool
) -> None:
    back = three["back"]
    if settled_first:
        sandbox.control("settle", marketId=MARKET, winners=[1])

    def earned() -> Decimal:
        if not settled_first:
            sandbox.control("settle", marketId=MARKET, winners=[1])
        money = balance(sandbox) - START
        if not settled_first:
            sandbox.control("settle", marketId=MARKET, reverse=True)
            balance(sandbox)
        return money

    def voided() -> dict[str, Any]:
        return {row["betId"]: row["sizeSettled"] for row in cleared(sandbox, "VOIDED")}

    before = sandbox.call("getAccountFunds")
    assert earned() == Decimal("31.35")
    sandbox.control("void", marketId=MARKET, betId=back, size=4)
    assert (sizes(sandbox, back), voided()) == ((6, 4, 0, 3), {back: 4})
    assert earned() == Decimal("23.75")
    sandbox.control("void", marketId=MARKET, betId=int(back))
    assert (sizes(sandbox, back), voided()) == ((0, 10, 0, 0), {back: 10})
    assert sizes(sandbox, three["part"])[:2] == (4, 0), "the others stand"
    assert earned() == Decimal("12.35")
    sandbox.control("void", marketId=MARKET, betId=back, reverse=True)
    assert (sizes(sandbox, back), voided()) == ((10, 0, 0, 3), {})
    assert earned() == Decimal("31.35")
    if not settled_first:
        sandbox.control("markets", marketId=MARKET, status="OPEN")
        assert sandbox.call("getAccountFunds")["exposure"] in {before["exposure"], before["exposure"] + 6}


def test_voids_of_a_runner_and_of_a_market_are_taken_back_bet_by_bet(
    sandbox: RunningSandbox, three: dict[str, str]
) -> None:
    sandbox.control("void", marketId=MARKET, selectionId=1)
    sandbox.control("void", marketId=MARKET, betId=three["part"], reverse=True)
    assert sizes(sandbox, three["part"]) == (4, 0, 0, 3)
    sandbox.control("void", marketId=MARKET)
    assert balance(sandbox) == START
    sandbox.control("void", marketId=MARKET, betId=three["back"], reverse=True)
    current = {row["betId"]: row["sizeMatched"] for row in sandbox.call("listCurrentOrders")["currentOrders"]}
    assert current == {three["back"]: 10, three["lay"]: 0, three["part"]: 0}
    assert sandbox.call("getAccountFunds")["exposure"] == -10
    assert {row["betId"] for row in cleared(sandbox, "VOIDED")} == {three["lay"], three["part"]}
    sandbox.control("settle", marketId=MARKET, winners=[2])
    assert balance(sandbox) == START - 10


def test_the_other_side_of_a_void_bet_keeps_its_own(sandbox: RunningSandbox) -> None:
    sandbox.market(MARKET)
    laid = sandbox.place_one(MARKET, limit(1, "LAY", 3, 10))
    backed = sandbox.place_one(MARKET, limit(1, "BACK", 3, 10))
    for bet_id, reverse in ((laid, False), (backed, False), (laid, True), (backed, True)):
        sandbox.control("void", marketId=MARKET, betId=bet_id, **({"reverse": True} if reverse else {}))
        sandbox.control("settle", marketId=MARKET, winners=[1])
        balance(sandbox)
        sandbox.control("settle", marketId=MARKET, reverse=True)
    assert balance(sandbox) == START
    assert sizes(sandbox, backed)[:2] == (10, 0)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ({"betId": "1"}, "betId"),
        ({"betId": "{back}", "size": 11}, "size"),
        ({"betId": "{back}", "size": 0}, "size"),
        ({"betId": "{back}", "size": "0.005"}, "size"),
        ({"betId": "{back}", "reverse": True}, "reverse"),
        ({"size": 1}, "betId"),
        ({"reverse": True}, "betId"),
        ({"betId": []}, "betId"),
    ],
)
def test_a_void_that_cannot_be_changes_nothing(
    sandbox: RunningSandbox, three: dict[str, str], body: Json, why: str
) -> None:
    body = {key: value.format(**three) if isinstance(value, str) else value for key, value in body.items()}
    reply = sandbox.session.post(f"{sandbox.api}/sandbox/void", json={"marketId": MARKET, **body})
    assert (reply.status_code, reply.json()["error"].startswith(why)) == (400, True), reply.text
    assert sizes(sandbox, three["back"])[:2] == (10, 0)
