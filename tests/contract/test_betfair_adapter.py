"""The adapter's calls and what it makes of the answers: a server of our own, and the sandbox."""

import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from structlog.testing import capture_logs
from support.exchange_rig import (
    ANY_TIME,
    TOKEN,
    Answer,
    Request,
    ScriptedServer,
    aping,
    caught,
    http,
    live,
    make_instruction,
    rpc,
    run_together,
)
from support.sandbox_client import RunningSandbox

from executor.adapters.betfair.exchange import BetfairExchange
from executor.domain.commission import MarketCharge
from executor.errors import (
    ExecutorError,
    OutcomeUnknown,
    Refused,
    SessionExpired,
    Throttled,
)
from executor.ports import ClearedKind, LegOutcome

pytest_plugins = ["support.exchange_fixtures", "support.sandbox_fixtures"]
MARKET = "1.200000001"


def place(exchange: BetfairExchange) -> Any:
    return exchange.place(MARKET, [make_instruction()], "ref-1", ANY_TIME)


# --- what is sent ----------------------------------------------------------------------------------------------------


def test_what_a_placement_looks_like(server: ScriptedServer, exchange: BetfairExchange) -> None:
    server.script = lambda request: rpc(request, result={"status": "FAILURE", "errorCode": "MARKET_SUSPENDED"})
    [answer] = exchange.place(
        MARKET, [make_instruction(price=Decimal("1.10"), size=Decimal("2.07"))], "ref-1", ANY_TIME
    )
    assert (answer.outcome, answer.code) == (LegOutcome.REFUSED, "MARKET_SUSPENDED")
    [request] = server.requests
    assert request.path == "/exchange/betting/json-rpc/v1"
    assert request.headers["x-authentication"] == TOKEN
    assert request.headers["x-application"] == "the-app-key"
    assert request.headers["accept-encoding"] == "gzip, deflate"
    assert b'"limitOrder":{"size":2.07,"price":1.10,"persistenceType":"LAPSE"}' in request.body
    params = request.call["params"]
    assert request.call["method"] == "SportsAPING/v1.0/placeOrders"
    assert (params["marketId"], params["customerRef"], params["customerStrategyRef"]) == (MARKET, "ref-1", "tests")
    assert params["instructions"][0]["customerOrderRef"] == "order-1"


def test_calls_that_must_not_be_made(server: ScriptedServer, exchange: BetfairExchange) -> None:
    for instructions in ([], [make_instruction(str(n)) for n in range(201)], [make_instruction()] * 2):
        with pytest.raises(ValueError, match="1 to 200"):
            exchange.place(MARKET, instructions, "ref-1", ANY_TIME)
    for market_id, bets in ((MARKET, []), (MARKET, [str(n) for n in range(61)]), (MARKET, [""]), ("", ["1"])):
        with pytest.raises(ValueError, match="1 to 60"):
            exchange.cancel(market_id, bets)
    with pytest.raises(ValueError, match="250"):
        exchange.find_current([str(n) for n in range(251)])
    assert server.requests == []


def test_what_is_logged_of_an_error(server: ScriptedServer, exchange: BetfairExchange) -> None:
    details = f"no\nmarket for {TOKEN} and the-app-key"
    server.script = lambda request: aping(request, "INVALID_INPUT_DATA", errorDetails=details)
    with capture_logs() as logs:
        error = caught(lambda: place(exchange))
    assert str(error) == "INVALID_INPUT_DATA (placeOrders) prdang-1 no market for *** and ***"
    assert [(each["event"], each["log_level"], each["code"]) for each in logs] == [
        ("exchange_error", "warning", "INVALID_INPUT_DATA")
    ]
    server.script = lambda request: rpc(request, result={"status": "FAILURE", "errorCode": "OF_TOMORROW", "x": 1.5})
    with capture_logs() as logs:
        [answer] = place(exchange)
    assert (answer.outcome, answer.code) == (LegOutcome.REFUSED, "OF_TOMORROW")
    assert [(each["log_level"], each["reply"]) for each in logs] == [
        ("error", '{"status":"FAILURE","errorCode":"OF_TOMORROW","x":1.5}')
    ]


# --- lists -----------------------------------------------------------------------------------------------------------


def current(bet_id: str, **more: Any) -> dict[str, Any]:
    row = {"betId": bet_id, "marketId": MARKET, "selectionId": 1, "side": "LAY", "status": "EXECUTABLE"}
    row |= {"orderType": "LIMIT", "placedDate": "2016-07-30T16:21:49.000Z", "sizeMatched": 0.0}
    return row | {"priceSize": {"price": 1.22, "size": 2.0}, "field": "of tomorrow"} | more


def test_pages_are_joined_and_a_bet_seen_twice_counts_once(server: ScriptedServer, exchange: BetfairExchange) -> None:
    pages = [[current("1"), current("2")], [current("2", sizeMatched=1.0), current("3")]]

    def script(request: Request) -> Answer:
        at = len(server.requests) - 1
        return rpc(request, result={"currentOrders": pages[at], "moreAvailable": at == 0})

    server.script = script
    bets = exchange.executable_orders()
    assert [(bet.bet_id, bet.size_matched) for bet in bets] == [("1", Decimal(0)), ("2", Decimal(1)), ("3", Decimal(0))]
    windows = [request.call["params"] for request in server.requests]
    assert [(each["fromRecord"], each["recordCount"]) for each in windows] == [(0, 1000), (2, 1000)]
    assert all(each["customerStrategyRefs"] == ["tests"] for each in windows)
    assert all((each["orderBy"], each["sortDir"]) == ("BY_PLACE_TIME", "EARLIEST_TO_LATEST") for each in windows)


def test_settled_bets_come_page_by_page_each_when_it_is_asked_for(
    server: ScriptedServer, exchange: BetfairExchange
) -> None:
    row = {"marketId": MARKET, "selectionId": 1, "side": "BACK", "orderType": "LIMIT", "sizeSettled": 2.0}
    row |= {"settledDate": "2016-07-30T16:21:49.000Z", "priceMatched": 3.0, "profit": 4.0}

    last = 60  # more than any other list may have

    def script(request: Request) -> Answer:
        at = len(server.requests)
        return rpc(request, result={"clearedOrders": [row | {"betId": f"{at}"}], "moreAvailable": at != last})

    server.script = script
    pages = exchange.settled_since(0, ClearedKind.SETTLED)
    for at in range(1, last + 1):
        assert [bet.bet_id for bet in next(pages)] == [f"{at}"]
        assert len(server.requests) == at
    assert list(pages) == []
    assert [request.call["params"]["fromRecord"] for request in server.requests] == list(range(last))
    assert "more than 500000" in str(caught(lambda: list(exchange.settled_since(0, ClearedKind.SETTLED))))


def test_list_without_end_is_no_list(server: ScriptedServer, exchange: BetfairExchange) -> None:
    server.script = lambda request: rpc(request, result={"currentOrders": [current("1")], "moreAvailable": True})
    assert "more than 50000" in str(caught(exchange.current_orders))
    assert len(server.requests) == 50
    server.script = lambda request: rpc(request, result={"currentOrders": [], "moreAvailable": True})
    assert "empty page" in str(caught(exchange.current_orders))


@pytest.mark.parametrize("matched", [10.02, 1e11])
def test_a_bet_matched_beyond_its_size_is_no_answer(
    matched: float, server: ScriptedServer, exchange: BetfairExchange
) -> None:
    leg = {"status": "SUCCESS", "betId": "1", "sizeMatched": matched, "instruction": {"customerOrderRef": "order-1"}}
    server.script = lambda request: rpc(request, result={"status": "SUCCESS", "instructionReports": [leg]})
    [answer] = place(exchange)
    assert (answer.outcome, answer.detail) == (LegOutcome.UNKNOWN, "sizes exceed what was asked for")


def test_a_reply_that_says_something_twice_says_nothing(server: ScriptedServer, exchange: BetfairExchange) -> None:
    twice = b'{"jsonrpc":"2.0","id":%d,"result":{"status":"FAILURE","status":"SUCCESS","errorCode":"INVALID_ODDS"}}'
    server.script = lambda request: http(twice % request.call["id"])
    assert type(caught(lambda: place(exchange))) is OutcomeUnknown


def test_no_more_than_three_order_reads_at_a_time(server: ScriptedServer, exchange: BetfairExchange) -> None:
    busy, most, guard, three = 0, 0, threading.Lock(), threading.Event()

    def script(request: Request) -> Answer:
        nonlocal busy, most
        with guard:
            busy += 1
            most = max(most, busy)
            if busy == 3:
                three.set()
        three.wait(10)
        time.sleep(0.05)  # for a fourth to come
        with guard:
            busy -= 1
        return rpc(request, result={"currentOrders": [], "moreAvailable": False})

    def read() -> None:
        exchange.current_orders()
        exchange.close()

    server.script = script
    run_together(*[read] * 6)
    assert most == 3


# --- whatever comes --------------------------------------------------------------------------------------------------

FIELDS = """result error code message data APINGException errorCode status instructionReports instruction betId
    customerOrderRef sizeMatched currentOrders moreAvailable clearedOrders marketId priceSize side profit exposure
    availableToBetBalance description requestUUID"""
NAMES = st.sampled_from(FIELDS.split())
WORDS = st.sampled_from(["SUCCESS", "FAILURE", "TIMEOUT", "EXECUTABLE", "order-1", MARKET, "LAY", "1", "", "\ud800"])
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | WORDS | st.text(max_size=5)
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=6), max_leaves=20
)


@hypothesis_settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(result=JSON, envelope=st.dictionaries(NAMES, JSON, max_size=3))
def test_no_answer_makes_the_adapter_raise_anything_but_our_errors(
    server: ScriptedServer, exchange: BetfairExchange, result: object, envelope: dict[str, object]
) -> None:
    server.script = lambda request: rpc(request, **{"result": result} | envelope)
    # Only Betfair's own errors say that nothing was done.
    expected = ExecutorError if "error" in envelope else OutcomeUnknown
    with suppress(expected):
        assert [answer.order_id for answer in place(exchange)] == ["order-1"]
    reads: list[Callable[[], object]] = [
        exchange.current_orders,
        exchange.funds,
        lambda: exchange.cancel(MARKET, ["1"]),
        lambda: exchange.find_cleared(["order-1"], ClearedKind.SETTLED),
        lambda: exchange.commissions([MARKET]),
        lambda: exchange.market_info([MARKET]),
    ]
    for read in reads:
        with suppress(ExecutorError):
            read()


# --- the sandbox -----------------------------------------------------------------------------------------------------


def test_a_life_at_the_sandbox(sandbox: RunningSandbox) -> None:
    started = time.time_ns() // 1_000_000 - 5_000
    with closing(live(sandbox)) as exchange:
        exchange.prepare()
        sandbox.market(MARKET, to_back=[[3.0, 50]], to_lay=[[3.1, 50]])
        matched = make_instruction("matched", selection_id=1)
        resting = make_instruction("resting", selection_id=1, price=Decimal("50.00"), size=Decimal("2.00"))
        wrong = make_instruction("wrong", selection_id=1, price=Decimal("3.01"))
        placed = exchange.place(MARKET, [matched, resting], "ref-1", ANY_TIME)
        assert [answer.outcome for answer in placed] == [LegOutcome.PLACED] * 2
        assert [answer.outcome for answer in exchange.place(MARKET, [wrong], "ref-2", ANY_TIME)] == [LegOutcome.REFUSED]
        [again] = exchange.place(MARKET, [make_instruction("again", selection_id=1)], "ref-1", ANY_TIME)
        assert (again.outcome, again.code) == (LegOutcome.UNKNOWN, "DUPLICATE_TRANSACTION")
        assert [bet.order_id for bet in exchange.executable_orders()] == ["resting"]
        sizes = {bet.order_id: bet.size_matched for bet in exchange.current_orders()}
        assert sizes == {"matched": Decimal(10), "resting": Decimal(0)}
        [found] = exchange.find_current(["resting", "nobody's"])
        [cancelled] = exchange.cancel(MARKET, [found.bet_id])
        assert (cancelled.done, cancelled.size_cancelled) == (True, Decimal(2))
        assert list(exchange.executable_orders()) == []
        assert [each.market_id for each in exchange.market_info([MARKET])] == [MARKET]
        sandbox.control("settle", marketId=MARKET, winners=[1])
        [[settled]] = exchange.settled_since(started, ClearedKind.SETTLED)
        assert (settled.order_id, settled.profit) == ("matched", Decimal(20))
        assert list(exchange.find_cleared(["matched"], ClearedKind.SETTLED)) == [settled]
        assert list(exchange.find_cleared_bets([settled.bet_id], ClearedKind.SETTLED)) == [settled]
        assert list(exchange.find_bets([settled.bet_id])) == []
        assert list(exchange.settled_in([MARKET], ClearedKind.SETTLED)) == [settled]
        assert list(exchange.settled_in(["1.999"], ClearedKind.SETTLED)) == []
        assert exchange.commissions([MARKET]) == {MARKET: MarketCharge(Decimal(1), Decimal(20))}
        assert exchange.funds().exposure == 0


@pytest.mark.parametrize(
    ("kind", "error", "placed"),
    [
        ("refuse_connection", OutcomeUnknown, False),
        ("http_503", OutcomeUnknown, False),
        ("drop_response", OutcomeUnknown, True),
        ("expire_session", SessionExpired, False),
        ("error:SERVICE_BUSY", Throttled, False),
        ("error:TOO_MANY_REQUESTS", Throttled, False),
        ("error:TIMEOUT_ERROR", OutcomeUnknown, None),
        ("error:INVALID_APP_KEY", Refused, False),
    ],
)
def test_faults_of_the_sandbox(kind: str, error: type[Exception], placed: bool | None, sandbox: RunningSandbox) -> None:
    with closing(live(sandbox)) as exchange:
        exchange.prepare()
        sandbox.control("faults", method="placeOrders", kind=kind, count=1)
        assert type(caught(lambda: place(exchange))) is error
        found = exchange.find_current(["order-1"])
        if placed is not None:
            assert bool(found) == placed


def test_report_that_timed_out_is_unknown_and_the_bet_is_found(sandbox: RunningSandbox) -> None:
    with closing(live(sandbox)) as exchange:
        exchange.prepare()
        sandbox.control("faults", method="placeOrders", kind="report_timeout", count=1)
        [answer] = place(exchange)
        assert (answer.outcome, answer.code) == (LegOutcome.UNKNOWN, "TIMEOUT")
        assert [bet.order_id for bet in exchange.find_current(["order-1"])] == ["order-1"]
