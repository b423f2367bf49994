"""Lists with rows that cannot be read, or that our records cannot hold: each is set aside, the others are read."""

import json
from contextlib import closing
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from structlog.testing import capture_logs
from support.exchange_rig import TOKEN, MemoryTelemetry, MemoryTokenStore, ScriptedServer, http, rpc
from support.hostile import VALUES, written

from executor.adapters.betfair import lists
from executor.adapters.betfair.exchange import BetfairExchange
from executor.adapters.betfair.odd_rows import odd_row
from executor.adapters.clock import monotonic
from executor.domain.commission import MarketCharge
from executor.domain.money import ONE, Side
from executor.ports import ClearedKind, Funds, Instruction, OddRow, SendPermit

pytest_plugins = ["support.exchange_fixtures"]
MARKET = "1.200000001"
D = Decimal


def current(bet_id: str, **more: Any) -> dict[str, Any]:
    row = {"betId": bet_id, "marketId": MARKET, "selectionId": 1, "side": "LAY", "status": "EXECUTABLE"}
    row |= {"orderType": "LIMIT", "placedDate": "2016-07-30T16:21:49.000Z", "sizeMatched": 0.0}
    return row | {"priceSize": {"price": 1.22, "size": 2.0}, "customerOrderRef": f"order-{bet_id}"} | more


def cleared(bet_id: str, **more: Any) -> dict[str, Any]:
    row = {"betId": bet_id, "marketId": MARKET, "selectionId": 1, "side": "BACK", "orderType": "LIMIT"}
    row |= {"settledDate": "2016-07-30T16:21:49.000Z", "priceMatched": 3.0, "sizeSettled": 2.0, "profit": 4.0}
    return row | more


STARTING_PRICE = {"orderType": "MARKET_ON_CLOSE", "priceSize": {"price": 0.0, "size": 0.0}}


@pytest.mark.parametrize(
    ("change", "named", "worst"),
    [
        ({"status": "STATUS_OF_TOMORROW"}, "status 'STATUS_OF_TOMORROW'", "0.44"),
        ({"side": "MIDDLE"}, "side 'MIDDLE'", "2.00"),
        ({"orderType": "MARKET_ON_CLOSE"}, "orderType 'MARKET_ON_CLOSE'", None),
        ({**STARTING_PRICE, "bspLiability": 7.5}, "orderType 'MARKET_ON_CLOSE'", "7.50"),
        ({**STARTING_PRICE, "bspLiability": 7.5, "side": "BACK"}, "orderType 'MARKET_ON_CLOSE'", "7.50"),
        ({**STARTING_PRICE, "sizeMatched": 3.0, "averagePriceMatched": 4.5}, "MARKET_ON_CLOSE", "10.50"),
        ({"orderType": "ORDER_TYPE_OF_TOMORROW"}, "orderType 'ORDER_TYPE_OF_TOMORROW'", None),
        ({"orderType": None}, "orderType is missing", None),
        ({"handicap": -1.5}, "handicap -1.5", "0.44"),
        ({"handicap": True}, "handicap", "0.44"),
        ({"sizeMatched": None}, "sizeMatched", "0.44"),
        ({"sizeMatched": -1}, "sizeMatched", None),
        ({"sizeMatched": 1e300}, "sizeMatched", None),
        ({"sizeMatched": "0.5"}, "sizeMatched", "0.44"),
        ({"priceSize": None}, "priceSize", None),
        ({"priceSize": {"price": 0.5, "size": 2.0}}, "price", None),
        ({"priceSize": {"price": 0.5, "size": 2.0}, "side": "BACK"}, "price", "2.00"),
        ({"priceSize": {"price": 1.22, "size": "2.0"}}, "size", "0.44"),
        ({"selectionId": "1"}, "selectionId", "0.44"),
        ({"placedDate": "yesterday"}, "placedDate", "0.44"),
        ({"placedDate": "0001-01-01T00:00:00+14:00"}, "placedDate", "0.44"),
        ({"matchedDate": "9999-12-31T23:59:59-14:00"}, "matchedDate", "0.44"),
        ({"averagePriceMatched": 0.5}, "averagePriceMatched", "0.44"),
        ({"averagePriceMatched": 1000.01}, "averagePriceMatched", "0.44"),
        ({"sizeMatched": 1e12}, "sizeMatched", None),
        ({"sizeMatched": 3.0}, "sizes", "0.66"),
        ({"sizeMatched": 1.0, "sizeCancelled": 1.5}, "sizes", "0.55"),
    ],
)
def test_a_row_that_cannot_be_read_costs_no_other(
    change: dict[str, Any], named: str, worst: str | None, server: ScriptedServer, exchange: BetfairExchange
) -> None:
    rows = [current("1"), current("2", **change), current("3")]
    server.script = lambda request: rpc(request, result={"currentOrders": rows, "moreAvailable": False})
    listing = exchange.current_orders()
    assert [bet.bet_id for bet in listing] == ["1", "3"]
    [odd] = listing.odd
    assert named in odd.problem
    assert (odd.bet_id, odd.order_id, odd.market_id, odd.selection_id) == ("2", "order-2", MARKET, 1)
    assert odd.worst == (None if worst is None else D(worst))


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ("a text", OddRow("a row of currentOrders is no object")),
        (None, OddRow("a row of currentOrders is no object")),
        (current("2", betId=7), "7"),
        (current("2", betId="\ud800"), ""),
        (current("2", betId={"a": 1}), ""),
    ],
)
def test_whose_an_odd_row_is(row: Any, told: Any, server: ScriptedServer, exchange: BetfairExchange) -> None:
    rows = [row, current("3")]
    server.script = lambda request: rpc(request, result={"currentOrders": rows, "moreAvailable": False})
    listing = exchange.executable_orders()
    assert [bet.bet_id for bet in listing] == ["3"]
    assert (listing.odd[0].bet_id if isinstance(told, str) else listing.odd[0]) == told


def test_odd_rows_are_part_of_their_page(server: ScriptedServer, exchange: BetfairExchange) -> None:
    pages = [[current("1"), "odd"], [current("2", status="X")], [current("2"), current("3")]]

    def script(request: Any) -> Any:
        at = len(server.requests) - 1
        return rpc(request, result={"currentOrders": pages[at], "moreAvailable": at < 2})

    server.script = script
    listing = exchange.current_orders()
    assert [request.call["params"]["fromRecord"] for request in server.requests] == [0, 2, 3]
    assert [bet.bet_id for bet in listing] == ["1", "2", "3"]
    assert [row.bet_id for row in listing.odd] == [""], "bet 2 could be read on the later page"


def test_parts_that_rounding_in_pounds_explains_are_read_by_the_accounts_currency(server: ScriptedServer) -> None:
    rows = [current("1", priceSize={"price": 1.22, "size": 400.0}, sizeMatched=200.0, sizeCancelled=207.0)]
    server.script = lambda request: rpc(request, result={"currentOrders": rows, "moreAvailable": False})
    known = ""
    with closing(
        BetfairExchange(server.settings(), MemoryTokenStore(TOKEN), MemoryTelemetry(), known_currency=lambda: known)
    ) as exchange:
        assert [row.bet_id for row in exchange.current_orders().odd] == ["1"]
        known = "HUF"  # asked for by another process
        assert [bet.bet_id for bet in exchange.current_orders()] == ["1"]


@pytest.mark.parametrize(
    ("change", "named"),
    [({"profit": None}, "profit"), ({"settledDate": None}, "settledDate"), ({"sizeSettled": "2"}, "sizeSettled")],
)
def test_a_settled_row_that_cannot_be_read_costs_no_other(
    change: dict[str, Any], named: str, server: ScriptedServer, exchange: BetfairExchange
) -> None:
    rows = [cleared("1"), cleared("2", **change), cleared("3")]
    server.script = lambda request: rpc(request, result={"clearedOrders": rows, "moreAvailable": False})
    [page] = exchange.settled_since(0, ClearedKind.SETTLED)
    assert [bet.bet_id for bet in page] == ["1", "3"]
    assert [(row.bet_id, named in row.problem) for row in page.odd] == [("2", True)]


def test_a_settled_row_of_another_kind_is_read_and_says_so(server: ScriptedServer, exchange: BetfairExchange) -> None:
    rows = [cleared("1"), cleared("2", orderType="MARKET_ON_CLOSE"), cleared("3", handicap=0.5)]
    server.script = lambda request: rpc(request, result={"clearedOrders": rows, "moreAvailable": False})
    assert [bool(bet.foreign) for bet in exchange.settled_in([MARKET], ClearedKind.SETTLED)] == [False, True, True]


def test_bets_are_asked_for_by_bet_id(server: ScriptedServer, exchange: BetfairExchange) -> None:
    server.script = lambda request: rpc(
        request, result={"currentOrders": [], "clearedOrders": [], "moreAvailable": False}
    )
    exchange.find_bets(["1", "2"])
    exchange.find_cleared_bets(["3"], ClearedKind.VOIDED)
    asked = [request.call["params"] for request in server.requests]
    assert [(params["betIds"], params["customerStrategyRefs"]) for params in asked] == [
        (["1", "2"], ["tests"]),
        (["3"], ["tests"]),
    ]
    assert (asked[0]["orderProjection"], asked[1]["betStatus"]) == ("ALL", "VOIDED")
    with pytest.raises(ValueError, match="250"):
        exchange.find_bets([str(number) for number in range(251)])


def test_other_lists_lose_no_more_than_their_odd_row(server: ScriptedServer, exchange: BetfairExchange) -> None:
    good = {"marketId": MARKET, "description": {"marketType": "WIN"}}
    server.script = lambda request: rpc(request, result=[good, 7, {"description": {"marketType": "WIN"}}])
    with capture_logs() as logs:
        assert [info.market_id for info in exchange.market_info([MARKET, "1.2"])] == [MARKET]
    assert [entry["event"] for entry in logs] == ["market_not_readable"] * 2
    charge: dict[str, object] = {"marketId": MARKET, "commission": 1.5, "profit": 30.0}
    rows = [charge, {**charge, "marketId": "1.2", "commission": "much"}, None]
    server.script = lambda request: rpc(request, result={"clearedOrders": rows, "moreAvailable": False})
    with capture_logs() as logs:
        assert exchange.commissions([MARKET, "1.2"]) == {MARKET: MarketCharge(D("1.5"), D(30))}
    assert [entry["event"] for entry in logs] == ["commission_not_readable"] * 2


def test_a_cancel_report_that_cannot_be_read_costs_no_other(server: ScriptedServer, exchange: BetfairExchange) -> None:
    legs = [
        "a text",
        {"status": "SUCCESS", "sizeCancelled": 2.0},
        {"status": "SUCCESS", "instruction": {"betId": "1"}, "sizeCancelled": "much"},
        {"status": "SUCCESS", "instruction": {"betId": "2"}, "sizeCancelled": 2.0},
    ]
    server.script = lambda request: rpc(request, result={"status": "SUCCESS", "instructionReports": legs})
    reports = exchange.cancel(MARKET, ["1", "2", "3"])
    assert [(report.done, report.size_cancelled) for report in reports] == [(True, D(0)), (True, D(2)), (False, D(0))]


@pytest.mark.parametrize("size", ["NaN", "1e9999999"])
def test_a_cancel_report_that_says_something_twice_costs_no_other(
    server: ScriptedServer, exchange: BetfairExchange, size: str
) -> None:
    legs = f"""[{{"status": "SUCCESS", "instruction": {{"betId": "1"}}, "sizeCancelled": {size}}},
        {{"status": "SUCCESS", "instruction": {{"betId": "2", "betId": "9"}}}},
        {{"status": "SUCCESS", "instruction": {{"betId": "3"}}, "sizeCancelled": 2.0}}]"""
    body = '{"jsonrpc": "2.0", "id": %d, "result": {"status": "SUCCESS", "instructionReports": %s}}'
    server.script = lambda request: http((body % (request.call["id"], legs)).encode())
    reports = exchange.cancel(MARKET, ["1", "2", "3"])
    assert [(report.done, report.size_cancelled) for report in reports] == [(False, D(0)), (False, D(0)), (True, D(2))]


@pytest.mark.parametrize("limit", ["NaN", '"-1000"', "[]", "-1e9999999", "1e-9999999", "0e9999999"])
def test_an_exposure_limit_that_is_none_costs_no_other_amount(
    server: ScriptedServer, exchange: BetfairExchange, limit: str
) -> None:
    money = f'{{"availableToBetBalance": 10, "exposure": -2, "exposureLimit": {limit}}}'
    body = '{"jsonrpc": "2.0", "id": %d, "result": %s}'
    server.script = lambda request: http((body % (request.call["id"], money)).encode())
    assert exchange.funds() == Funds(D(10), D(2))


def test_a_rate_that_nothing_can_be_computed_with_costs_no_other(
    server: ScriptedServer, exchange: BetfairExchange
) -> None:
    rates = '[{"currencyCode": "EUR", "rate": 1e9999999}, {"currencyCode": "USD", "rate": 1.27}]'
    body = '{"jsonrpc": "2.0", "id": %d, "result": %s}'
    server.script = lambda request: http((body % (request.call["id"], rates)).encode())
    assert exchange.currency_rates() == {"USD": D("1.27")}


def test_a_row_nested_deeper_than_can_be_looked_through_costs_no_other(
    server: ScriptedServer, exchange: BetfairExchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sound(row: object, _what: str) -> None:
        if isinstance(row, dict) and row.get("betId") == "2":
            raise RecursionError

    monkeypatch.setattr(lists, "sound", sound)
    rows = [current("1"), current("2"), current("3")]
    server.script = lambda request: rpc(request, result={"currentOrders": rows, "moreAvailable": False})
    assert [bet.bet_id for bet in exchange.current_orders()] == ["1", "3"]


@pytest.mark.parametrize(("currency", "outcome"), [("HUF", "PLACED"), ("GBP", "UNKNOWN")])
def test_a_match_that_rounding_in_pounds_explains_is_placed(
    server: ScriptedServer, currency: str, outcome: str
) -> None:
    leg = {"status": "SUCCESS", "betId": "1", "sizeMatched": 203.0, "averagePriceMatched": 2.0}
    leg |= {"instruction": {"customerOrderRef": "o1"}}
    report = {"status": "SUCCESS", "marketId": MARKET, "instructionReports": [leg]}
    server.script = lambda request: rpc(request, result=report)
    asked = [Instruction("o1", 1, Side.BACK, D(2), D(200))]
    with closing(
        BetfairExchange(server.settings(), MemoryTokenStore(TOKEN), MemoryTelemetry(), known_currency=lambda: currency)
    ) as exchange:
        [answer] = exchange.place(MARKET, asked, "ref", SendPermit(monotonic() + 60, lambda: None))
    assert answer.outcome == outcome


FIELDS = st.sampled_from(sorted([*current("1"), "averagePriceMatched", "bspLiability", "handicap", "sizeRemaining"]))


@hypothesis_settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(changes=st.lists(st.tuples(FIELDS, VALUES), max_size=4))
def test_whatever_a_row_says_the_others_are_read(
    changes: list[tuple[str, Any]], server: ScriptedServer, exchange: BetfairExchange
) -> None:
    row = current("2", **dict(changes))
    rows = [current("1"), row, current("3")]
    result = {"currentOrders": rows, "moreAvailable": False}
    try:
        json.loads(written(row))
    except (ValueError, RecursionError):  # no JSON at all: then there are no rows
        assume(condition=False)
    server.script = lambda request: http(
        written({"jsonrpc": "2.0", "id": request.call["id"], "result": result}).encode()
    )
    listing = exchange.current_orders()
    assert {"1", "3"} <= {bet.bet_id for bet in listing}
    assert len(listing) + len(listing.odd) in {2, 3}


@given(
    side=st.sampled_from(list(Side)),
    price=st.decimals("1.01", "1000", places=2),
    size=st.integers(200, 100_000),
    matched=st.integers(0, 100),
    average=st.sampled_from([None, "0", "x", "1.5"]),
)
def test_the_worst_case_told_is_never_below_the_truth(
    side: Side, price: Decimal, size: int, matched: int, average: str | None
) -> None:
    asked = {"price": price, "size": D(size) / 100}
    part = D(size) * matched / 10_000
    row = current("1", side=side, priceSize=asked, sizeMatched=part, averagePriceMatched=average, status="X")
    truth = D(size) / 100 if side is Side.BACK else D(size) / 100 * (price - ONE)  # all of it at the price asked for
    worst = odd_row(row, "status").worst
    assert worst is not None
    assert worst >= truth
