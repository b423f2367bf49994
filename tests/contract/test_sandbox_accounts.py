"""Several customers on one sandbox: they trade with each other, and nobody sees or spends what is another's."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import pytest
from support.sandbox_client import Json, RunningSandbox, limit

pytest_plugins = ["support.sandbox_fixtures"]
MARKET = "1.100000001"
START = Decimal(10_000)
Customer = Callable[..., RunningSandbox]


@pytest.fixture
def customer(sandbox: RunningSandbox) -> Iterator[Customer]:
    """Return what opens a further account and logs in as its customer."""
    opened: list[RunningSandbox] = []

    def open_account(name: str, **body: object) -> RunningSandbox:
        sandbox.control("accounts", name=name, **body)
        opened.append(RunningSandbox.at(sandbox.directory, name))
        opened[-1].log_in()
        return opened[-1]

    sandbox.market(MARKET)
    yield open_account
    for account in opened:
        account.session.close()


def money(sandbox: RunningSandbox) -> dict[str, Json]:
    """Return the accounts by name, after checking that no money came or went."""
    answer = sandbox.get("accounts")
    accounts: list[Json] = answer["accounts"]
    total = sum(account["balance"] + account["commission"] for account in accounts)
    assert total + answer["house"] + answer["rounding"] == START * len(accounts)
    assert all(account["available"] == account["balance"] - account["exposure"] for account in accounts)
    return {account["name"]: account for account in accounts}


def test_two_customers_bet_against_each_other(sandbox: RunningSandbox, customer: Customer) -> None:
    backer, layer = customer("backer").betfair(), customer("layer").betfair()
    resting = layer.betting.place_orders(market_id=MARKET, instructions=[limit(1, "LAY", 3.1, 10, "the-lay")])
    assert resting.place_instruction_reports[0].size_matched == 0
    arriving = backer.betting.place_orders(market_id=MARKET, instructions=[limit(1, "BACK", 3, 4, "the-back")])
    report = arriving.place_instruction_reports[0]
    assert (report.size_matched, report.average_price_matched) == (4.0, 3.1)  # the better price, of who came first

    for client, ref, side, matched in ((backer, "the-back", "BACK", 4.0), (layer, "the-lay", "LAY", 4.0)):
        (order,) = client.betting.list_current_orders().orders
        assert (order.customer_order_ref, order.side, order.size_matched) == (ref, side, matched)
        assert order.average_price_matched == 3.1
    assert sandbox.call("listCurrentOrders")["currentOrders"] == []

    # The backer risks his stake; the layer what both her matched and her unmatched part can lose: 10 x 2.1.
    funds = {name: (str(row["exposure"]), str(row["available"])) for name, row in money(sandbox).items()}
    assert {name: funds[name] for name in ("backer", "layer")} == {
        "backer": ("4.0", "9996.0"),
        "layer": ("21.0", "9979.0"),
    }
    assert backer.account.get_account_funds().exposure == -4.0
    assert layer.account.get_account_funds().available_to_bet_balance == 9979.0

    sandbox.control("settle", marketId=MARKET, winners=[1])
    after = money(sandbox)
    # 4 x 2.1 won and 5 % of it paid; lost by the layer, who pays no commission on a loss.
    assert (after["backer"]["balance"], after["backer"]["commission"]) == (Decimal("10007.98"), Decimal("0.42"))
    assert (after["layer"]["balance"], after["layer"]["commission"]) == (Decimal("9991.6"), 0)
    assert after["sandbox"]["balance"] == START
    assert all(account["exposure"] == 0 for account in after.values())
    for client, ref, profit in ((backer, "the-back", 8.4), (layer, "the-lay", -8.4)):
        (cleared,) = client.betting.list_cleared_orders(bet_status="SETTLED").orders
        assert (cleared.customer_order_ref, cleared.profit, cleared.size_settled) == (ref, profit, 4.0)
    (lapsed,) = layer.betting.list_cleared_orders(bet_status="LAPSED").orders
    assert lapsed.size_cancelled == 6.0

    sandbox.control("settle", marketId=MARKET, winners=[2])
    again = money(sandbox)
    assert (again["backer"]["balance"], again["layer"]["balance"]) == (Decimal(9_996), Decimal("10003.8"))
    backer.session.close()
    layer.session.close()


def test_first_come_first_served_among_customers(sandbox: RunningSandbox, customer: Customer) -> None:
    first, second, taker = customer("first"), customer("second"), customer("taker")
    for account in (first, second):
        account.place_one(MARKET, limit(1, "LAY", 3, 5))
    taker.place_one(MARKET, limit(1, "BACK", 3, 7))
    matched = [account.call("listCurrentOrders")["currentOrders"][0]["sizeMatched"] for account in (first, second)]
    assert matched == [5, 2]
    orders = sandbox.get("orders")
    assert [order["account"] for order in orders] == ["first", "second", "taker"]
    assert [order["account"] for order in sandbox.get("orders?account=second")] == ["second"]
    money(sandbox)


def test_nobody_sees_or_changes_what_is_anothers(customer: Customer) -> None:
    owner, other = customer("owner"), customer("other")
    bet_id = owner.place_one(MARKET, limit(1, "BACK", 3, 2, "mine"))
    for params in ({}, {"betIds": [bet_id]}, {"customerOrderRefs": ["mine"]}, {"marketIds": [MARKET]}):
        assert other.call("listCurrentOrders", **params)["currentOrders"] == []
        assert len(owner.call("listCurrentOrders", **params)["currentOrders"]) == 1
    named: Json = {"marketId": MARKET, "instructions": [{"betId": bet_id}]}
    for method, changes in (
        ("cancelOrders", {}),
        ("updateOrders", {"newPersistenceType": "PERSIST"}),
        ("replaceOrders", {"newPrice": 4}),
    ):
        instructions = [{**item, **changes} for item in named["instructions"]]
        report = other.call(method, marketId=MARKET, instructions=instructions)
        assert report["instructionReports"][0]["errorCode"] == "INVALID_BET_ID"
    assert other.call("cancelOrders")["instructionReports"] == []
    book = other.call("listMarketBook", marketIds=[MARKET], orderProjection="ALL")[0]
    assert [runner["orders"] for runner in book["runners"]] == [[], []]
    assert owner.call("cancelOrders", **named)["status"] == "SUCCESS"
    assert other.call("listClearedOrders", betStatus="CANCELLED")["clearedOrders"] == []


def test_each_account_has_its_own_memory_of_references(customer: Customer) -> None:
    one, two = customer("one"), customer("two")
    for client in (one, two):
        assert client.place(MARKET, limit(2, "BACK", 3, 2), customerRef="same")["status"] == "SUCCESS"
    assert one.place(MARKET, limit(2, "BACK", 3, 2), customerRef="same")["errorCode"] == "DUPLICATE_TRANSACTION"


def test_each_account_has_its_own_money(customer: Customer) -> None:
    rich, poor = customer("rich"), customer("poor", balance=5)
    assert poor.place(MARKET, limit(2, "BACK", 3, 6))["errorCode"] == "INSUFFICIENT_FUNDS"
    assert rich.place(MARKET, limit(2, "BACK", 3, 6))["status"] == "SUCCESS"
    assert poor.place(MARKET, limit(2, "BACK", 3, 5))["status"] == "SUCCESS"


def test_three_reads_in_flight_are_counted_per_account(customer: Customer) -> None:
    one, two = customer("one"), customer("two")
    one.control("faults", method="listCurrentOrders", kind="delay", seconds=1, count=7)
    second_session = RunningSandbox.at(one.directory, "one")
    second_session.log_in()

    def read(client: RunningSandbox) -> str:
        body = {"jsonrpc": "2.0", "method": "SportsAPING/v1.0/listCurrentOrders", "params": {}, "id": 1}
        with client.new_session() as session:
            answer = session.post(client.url(""), json=body, headers=client.headers).json()
        return "refused" if "error" in answer else "read"

    calls = [one, one, second_session, second_session, two, two, two]  # four of one account in two sessions
    with ThreadPoolExecutor(len(calls)) as pool:
        answers = list(pool.map(read, calls))
    assert sorted(answers[:4]) == ["read", "read", "read", "refused"]
    assert answers[4:] == ["read"] * 3
    second_session.session.close()


def test_too_many_logins_ban_one_account_only(sandbox: RunningSandbox, customer: Customer) -> None:
    eager = customer("eager")
    form = {"username": "eager", "password": eager.options.password}
    url = f"{sandbox.api}/api/login"
    headers = {"Accept": "application/json", "X-Application": eager.options.app_key}
    answers = [eager.session.post(url, data=form, headers=headers).json()["error"] for _ in range(101)]
    assert answers[-1] == "TEMPORARY_BAN_TOO_MANY_REQUESTS"
    assert customer("calm").token
    assert sandbox.log_in()


def test_an_app_key_belongs_to_its_account(sandbox: RunningSandbox, customer: Customer) -> None:
    one, two = customer("one"), customer("two")
    for key in (two.options.app_key, two.options.delayed_app_key, sandbox.options.app_key):
        assert one.error_code("getAccountFunds", {}, one.headers | {"X-Application": key}) == "INVALID_APP_KEY"
    delayed = one.headers | {"X-Application": one.options.delayed_app_key}
    assert "result" in one.envelope("getAccountFunds", {}, delayed)
    report = one.envelope("placeOrders", {"marketId": MARKET, "instructions": [limit(1, "BACK", 3, 2)]}, delayed)
    assert report["result"]["errorCode"] == "PERMISSION_DENIED"


def test_the_journal_says_whose_call_it_was(sandbox: RunningSandbox, customer: Customer) -> None:
    customer("one").call("getAccountFunds")
    sandbox.call("getAccountFunds")
    sandbox.envelope("getAccountFunds", {}, sandbox.headers | {"X-Authentication": "gone"})
    assert [line["account"] for line in sandbox.journal("getAccountFunds")] == ["one", "sandbox", None]


@pytest.mark.parametrize("name", ["sandbox", "one", "house", "", "a b", "x" * 33, None, 7.5, ["x"]])
def test_a_name_that_cannot_be_is_refused(sandbox: RunningSandbox, customer: Customer, name: object) -> None:
    customer("one")
    reply = sandbox.session.post(f"{sandbox.api}/sandbox/accounts", json={"name": name})
    assert reply.status_code == 400
    assert "name" in reply.json()["error"]
    assert set(money(sandbox)) == {"sandbox", "one"}


@pytest.mark.parametrize("balance", [-1, "0.001", 10**10, "x"])
def test_a_balance_that_cannot_be_is_refused(sandbox: RunningSandbox, balance: object) -> None:
    reply = sandbox.session.post(f"{sandbox.api}/sandbox/accounts", json={"name": "one", "balance": balance})
    assert (reply.status_code, "balance" in reply.json()["error"]) == (400, True)


def test_a_reset_closes_the_accounts_that_came_later(sandbox: RunningSandbox, customer: Customer) -> None:
    gone = customer("gone")
    sandbox.control("reset")
    assert set(money(sandbox)) == {"sandbox"}
    assert gone.error_code("getAccountFunds", {}) == "INVALID_APP_KEY"
    assert "result" in sandbox.envelope("getAccountFunds", {})
    customer("gone")
    assert gone.error_code("getAccountFunds", {}) == "INVALID_SESSION_INFORMATION"  # the old token stays dead


def test_without_further_accounts_there_is_one(sandbox: RunningSandbox) -> None:
    assert list(money(sandbox)) == ["sandbox"]
    reply = sandbox.session.post(
        f"{sandbox.cert_api}/api/certlogin",
        data={"username": "alice", "password": sandbox.options.password},
        cert=str(sandbox.paths.client_pem),
    )
    assert reply.json() == {"loginStatus": "INVALID_USERNAME_OR_PASSWORD"}
