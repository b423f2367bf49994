"""Whatever the exchange answers, to any call: what is not understood decides nothing, and no amount is made up.

By hand, ten minutes: FUZZ_EXAMPLES=2000 pytest tests/security/test_fuzz_replies.py --timeout 3600
"""

import json
import re
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from structlog.testing import capture_logs
from support.engine_rig import MARKET, Rig
from support.exchange_rig import TOKEN, Answer, MemoryTelemetry, MemoryTokenStore, Request, ScriptedServer, http
from support.hostile import NUMBERS, VALUES, Raw, examples, mutated, sent, written

from executor.adapters.betfair.exchange import BetfairExchange
from executor.adapters.redis.records import decode_order, encode
from executor.domain.exposure import market_exposure
from executor.domain.money import ZERO, to_money
from executor.domain.order import TRANSITIONS, Order, OrderStatus, order_ids
from executor.engine import account, accounting, cancellation, reconciliation, settlement
from executor.errors import ExecutorError
from executor.ports.token_store import LoginBan

pytest_plugins = ["support.exchange_fixtures"]

SLOWEST_S: Final = 10.0  # of processor time in one step; each takes milliseconds, a list without end up to a second
RECORDED: Final = Path(__file__).parents[2].parent / "shared" / "recorded"
ORDER: Final = order_ids("signal-1", 1)[0]
BET: Final = "300000000001"
_IDENTITY: Final = ("certlogin", "keepAlive")
_WHEN: Final = "2023-11-14T22:13:25.000Z"
_UNPLACED: Final = {OrderStatus.RESERVED, OrderStatus.SUBMITTED, OrderStatus.FAILED, OrderStatus.EXPIRED}

_ASKED: Final = {"selectionId": 123456, "side": "BACK", "limitOrder": {"size": 10.0, "price": 3.0}}
_REPORT: Final = {
    "status": "SUCCESS",
    "betId": BET,
    "placedDate": _WHEN,
    "sizeMatched": 4.0,
    "averagePriceMatched": 3.1,
}
_ROW: Final[dict[str, Any]] = {
    "betId": BET,
    "customerOrderRef": ORDER,
    "marketId": MARKET,
    "selectionId": 123456,
    "side": "BACK",
    "orderType": "LIMIT",
    "status": "EXECUTABLE",
    "handicap": 0,
    "placedDate": _WHEN,
    "priceSize": {"price": 3.0, "size": 10.0},
    "averagePriceMatched": 3.05,
    "sizeMatched": 6.0,
    "sizeCancelled": 0.0,
    "sizeLapsed": 0.0,
    "sizeVoided": 0.0,
}
_CLEARED: Final = {
    **{key: _ROW[key] for key in ("betId", "marketId", "selectionId", "side", "customerOrderRef", "placedDate")},
    "settledDate": _WHEN,
    "priceRequested": 3.0,
    "priceMatched": 3.05,
    "sizeSettled": 6.0,
    "profit": 12.3,
}
_ENDED: Final = {key: _CLEARED[key] for key in _CLEARED if key not in {"priceMatched", "profit"}}
_VOID_IN_PART: Final = _ENDED | {"sizeSettled": 2.0}
_LESS_SETTLED: Final = _CLEARED | {"sizeSettled": 4.0, "profit": 8.2}
_REST: Final = _ENDED | {"sizeSettled": 0.0, "sizeCancelled": 4.0}
_BOOK: Final = {
    "marketId": MARKET,
    "status": "OPEN",
    "numberOfWinners": 1,
    "numberOfActiveRunners": 2,
    "runners": [{"selectionId": 123456, "status": "ACTIVE"}, {"selectionId": 123457, "status": "ACTIVE"}],
}
_CHARGED: Final = {"marketId": MARKET, "betCount": 1, "profit": 12.3, "commission": 0.62}


def _error(code: str) -> dict[str, Any]:
    return {"code": -32099, "message": "ANGX-0001", "data": {"APINGException": {"errorCode": code, "requestUUID": "u"}}}


def _placed(**more: Any) -> dict[str, Any]:
    legs = [{**_REPORT, "instruction": {**_ASKED, "customerOrderRef": ORDER}}]
    return {"result": {"status": "SUCCESS", "marketId": MARKET, "instructionReports": legs} | more}


_NOTHING_DONE: Final = ("MARKET_SUSPENDED", "BET_ACTION_ERROR", "INSUFFICIENT_FUNDS")  # of a whole report
_FAILED_LEG: Final = {"status": "FAILURE", "errorCode": "INVALID_ODDS", "instruction": {"customerOrderRef": ORDER}}
_ERRORS: Final = [
    {"error": _error(code)}
    for code in ("INVALID_SESSION_INFORMATION", "TOO_MANY_REQUESTS", "UNEXPECTED_ERROR", "ACCESS_DENIED")
]


def _cleared(*lists: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"result": {"clearedOrders": rows, "moreAvailable": False}} for rows in lists]


# By question, as `asked` names it; the first of each tell one story: of 10, 6 are matched and settled, 4 are cancelled.
REPLIES: Final[dict[str, list[dict[str, Any]]]] = {
    "placeOrders": [
        *(_placed(), _placed(), {"result": {"status": "FAILURE", "errorCode": "MARKET_SUSPENDED"}}),
        _placed(status="FAILURE", errorCode="BET_ACTION_ERROR", instructionReports=[_FAILED_LEG]),
        _placed(instructionReports=[{**_REPORT, "instruction": _ASKED}]),
        {"result": {"status": "TIMEOUT", "errorCode": "TIMEOUT"}},
    ],
    "cancelOrders": [
        {
            "result": {
                "status": "SUCCESS",
                "instructionReports": [{"status": s, "instruction": {"betId": BET}, "sizeCancelled": 4.0}],
            }
        }
        for s in ("SUCCESS", "FAILURE")
    ],
    "listCurrentOrders": [
        {"result": {"currentOrders": rows, "moreAvailable": False}}
        for rows in ([_ROW], [_ROW | {"status": "EXECUTION_COMPLETE", "sizeCancelled": 4.0}], [])
    ],
    "listClearedOrders SETTLED": _cleared([_CLEARED], [_CLEARED], [_LESS_SETTLED], []),
    "listClearedOrders VOIDED": _cleared([], [_VOID_IN_PART], [_ENDED], [_ENDED | {"sizeSettled": None}]),
    "listClearedOrders CANCELLED": _cleared([_REST], []),
    "listClearedOrders LAPSED": _cleared([], [_REST]),
    "listClearedOrders MARKET": _cleared([_CHARGED], []),
    "getAccountFunds": [{"result": {"availableToBetBalance": 900.5, "exposure": -30.0}}],
    "listCurrencyRates": [{"result": [{"currencyCode": "EUR", "rate": 1.17}, {"currencyCode": "USD", "rate": 1.27}]}],
    "getAccountDetails": [{"result": {"currencyCode": "GBP", "discountRate": 0.0, "pointsBalance": 10}}],
    "listMarketCatalogue": [{"result": [{"marketId": MARKET, "description": {"marketType": "WIN"}}]}],
    "listMarketBook": [{"result": [_BOOK]}, {"result": []}],
    "certlogin": [{"loginStatus": "SUCCESS", "sessionToken": TOKEN}, {"loginStatus": "INVALID_USERNAME_OR_PASSWORD"}],
    "keepAlive": [{"status": "SUCCESS", "token": TOKEN, "error": ""}, {"status": "FAIL", "error": "NO_SESSION"}],
}
for _question, _known in REPLIES.items():
    for _path in sorted(RECORDED.glob(f"{_question.split()[0]}/*.json")):
        _recording = json.loads(_path.read_text())
        _known.append({"result": _recording["result"]} if "result" in _recording else _recording)

_WORDS: Final = (
    *("SUCCESS", "FAILURE", "TIMEOUT", "PROCESSED_WITH_ERRORS", "EXECUTABLE", "EXECUTION_COMPLETE", "OF_TOMORROW"),
    *("LAY", "BACK", "LIMIT", "MARKET_ON_CLOSE", "7", "1.3", "300000000002", "another-order", "SETTLED", "VOIDED"),
    *("INSUFFICIENT_FUNDS", "ERROR_IN_MATCHER", "SERVICE_BUSY"),
)
_AMOUNTS: st.SearchStrategy[Any] = st.sampled_from(
    [-4.0, 4.005, 9.999, 10.0, 10.01, 12.0, 1e11, 0.5, 1.0, 1.01, 1001.0, 1e-7, True]
)
_AMOUNTS |= st.sampled_from(NUMBERS).map(Raw)
ANYTHING: Final = st.sampled_from([_AMOUNTS] * 3 + [st.sampled_from(_WORDS)] * 2 + [VALUES] * 2).flatmap(
    lambda document: document
)
_HTML: Final = b"<html><body>502 Bad Gateway</body></html>"


@dataclass(frozen=True)
class Reply:
    """A body, and how it is sent; the id of the call is put in when it is known."""

    body: bytes
    frame: str = "whole"
    status: int = 200
    kind: str = "application/json"

    def answer(self, call_id: object) -> Answer:
        body = self.body.replace(b'"@id"', written(call_id).encode())
        if self.frame == "gzip":
            return http(zlib.compress(body, wbits=31), self.status, Content_Encoding="gzip")
        if self.frame == "no gzip":
            return replace(http(body, self.status, Content_Encoding="gzip"), then="close")
        whole = http(body, self.status, Content_Type=self.kind)
        if self.frame == "cut":
            return replace(whole, raw=whole.raw[: len(whole.raw) - 1 - len(body) // 2], then="close")
        if self.frame in {"chunked", "bad chunks"}:
            head = f"HTTP/1.1 {self.status} X\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
            size = f"{len(body):x}" if self.frame == "chunked" else "-zz"
            return Answer(head + size.encode() + b"\r\n" + body + b"\r\n0\r\n\r\n", then="close")
        if self.frame == "garbage":
            return Answer(body or b"\x00", then="close")
        return Answer(then="close") if self.frame == "nothing" else whole


_FRAMES: Final = ["whole"] * 60 + ["gzip", "no gzip", "cut", "chunked", "bad chunks", "garbage", "nothing"]
_STATUSES: Final = [200] * 90 + [201, 204, 301, 400, 401, 403, 404, 429, 500, 503, 599]


_KINDS: Final = ["application/json"] * 3 + ["text/html", "x"]


def replies(question: str) -> st.SearchStrategy[Reply]:
    """Return what may come of a call; every fifth or so is as it should be."""
    documents = REPLIES[question]
    if question not in _IDENTITY:
        documents = [{"jsonrpc": "2.0", "id": "@id"} | document for document in documents + _ERRORS]
    bodies = st.sampled_from(documents).flatmap(lambda document: mutated(document, ANYTHING)).flatmap(sent)
    whole_or_html = st.sampled_from([False] * 15 + [True]).flatmap(lambda html: st.just(_HTML) if html else bodies)
    frames, statuses = st.sampled_from(_FRAMES), st.sampled_from(_STATUSES)
    return st.builds(Reply, whole_or_html, frames, statuses, st.sampled_from(_KINDS))


def plain(question: str, number: int = 0) -> Reply:
    envelope = {} if question in _IDENTITY else {"jsonrpc": "2.0", "id": "@id"}
    return Reply(written(envelope | REPLIES[question][number]).encode())


def asked(call: dict[str, Any]) -> str:
    """Name a call by its method, and of the cleared lists by which one: a bet that is settled is in no other whole."""
    method = str(call["method"]).rsplit("/", 1)[-1]
    params = call["params"]
    if method != "listClearedOrders":
        return method
    return f"{method} {params.get('groupBy') or params['betStatus']}"


def answers(question: str) -> st.SearchStrategy[Reply]:
    """Return a reply as it should be, or every third time whatever comes: so some get far."""
    return st.integers(0, 2).flatmap(lambda n: replies(question) if n == 0 else st.just(plain(question)))


ANSWERS: Final = st.fixed_dictionaries({question: answers(question) for question in REPLIES})


# --- a second reading, as plain as can be ----------------------------------------------------------------------------


def _strict(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) != len(pairs):
        raise ValueError
    return dict(pairs)


def understood(reply: Reply) -> dict[str, Any] | None:
    """Return what a reply says, or None when a careful reader would not rely on it."""
    if reply.status >= 500 or reply.frame in {"no gzip", "cut", "bad chunks", "garbage", "nothing"}:
        return None
    try:
        said = json.loads(reply.body, parse_float=Decimal, parse_constant=lambda _: 1 / 0, object_pairs_hook=_strict)
    except (ValueError, RecursionError, ArithmeticError):
        return None
    return said if isinstance(said, dict) else None


def reports(said: dict[str, Any]) -> list[dict[str, Any]]:
    result = said.get("result")
    legs = result.get("instructionReports") if isinstance(result, dict) else None
    return [leg for leg in legs if isinstance(leg, dict)] if isinstance(legs, list) else []


def may_be_placed(said: dict[str, Any] | None, order: Order) -> bool:
    """Tell whether a reply names a bet of this order, as the order has it, and does not deny it elsewhere."""
    legs = [leg for leg in reports(said or {}) if leg.get("status") == "SUCCESS" and leg.get("betId") == order.bet_id]
    for leg in legs:
        echoed = leg.get("instruction")
        ref = echoed.get("customerOrderRef") if isinstance(echoed, dict) else None
        matched = leg.get("sizeMatched") or 0
        if ref in {ORDER, None, ""} and 0 <= matched <= 10 and order.size_matched == to_money(Decimal(matched)):
            outer = said["result"] if said else {}
            return not (outer.get("status") == "FAILURE" and outer.get("errorCode") in _NOTHING_DONE)
    return False


def may_be_refused(said: dict[str, Any] | None) -> bool:
    """Tell whether a reply says that nothing was done."""
    if said is None:
        return False
    result = said.get("result")
    outer = isinstance(result, dict) and result.get("status") == "FAILURE"
    return outer or said.get("error") is not None or any(leg.get("status") == "FAILURE" for leg in reports(said))


_NUMBER: Final = re.compile(rb"-?[0-9]{1,20}(?:\.[0-9]{0,60})?(?:[eE][+-]?[0-9]{1,3})?")


def amounts(answers: dict[str, Reply]) -> set[Decimal]:
    """Return every number in the replies, as money."""
    found = {ZERO}
    for reply in answers.values():
        for text in _NUMBER.findall(reply.body):
            with suppress(ArithmeticError):
                found.add(to_money(Decimal(text.decode())))
    return found


# --- the engine against such an exchange -----------------------------------------------------------------------------


@dataclass
class Stage:
    """The engine, the real adapter, and a server that answers whatever it is told to."""

    server: ScriptedServer
    tokens: MemoryTokenStore
    exchange: BetfairExchange
    answers: dict[str, Reply] = field(default_factory=dict)
    then: dict[str, dict[str, Reply]] = field(default_factory=dict)  # question -> what is answered once it was asked
    calls: list[str] = field(default_factory=list)

    def respond(self, request: Request) -> Answer:
        login = request.path.rsplit("/", 1)[-1]
        if login in self.answers:
            self.calls.append(login)
            return self.answers[login].answer(0)
        question = asked(request.call)
        self.calls.append(question)
        answer = self.answers[question].answer(request.call["id"])
        self.answers = self.answers | self.then.get(question, {})
        return answer

    def rig(self) -> Rig:
        """Return an engine of its own, with a session."""
        self.tokens.put_ban(LoginBan("", 0))
        self.tokens.put(TOKEN, self.tokens.now())
        self.calls.clear()
        rig = Rig()
        rig.engine = replace(rig.engine, exchange=self.exchange)
        return rig


@pytest.fixture
def stage(server: ScriptedServer) -> Iterator[Stage]:
    tokens = MemoryTokenStore(TOKEN)
    with closing(BetfairExchange(server.settings(api_timeout_seconds=5), tokens, MemoryTelemetry())) as exchange:
        made = Stage(server, tokens, exchange)
        server.script = made.respond
        yield made


def _reach(status: OrderStatus) -> set[OrderStatus]:
    reached, more = {status}, True
    while more:
        new = {after for status in reached for after in TRANSITIONS[status]} - reached
        more = bool(new)
        reached |= new
    return reached


def check_order(before: Order | None, order: Order, known: set[Decimal]) -> None:
    """Hold an order to what may become of it, whatever was said."""
    sizes = (order.size_matched, order.size_cancelled, order.size_lapsed, order.size_voided)
    assert all(size >= 0 and size in known for size in sizes), sizes
    assert order.profit in known
    assert order.average_price_matched == 0 or order.average_price_matched >= 1
    assert decode_order(encode(order)) == order
    assert len(encode(order)) < 4000
    if before is not None:
        assert order.status in _reach(before.status)
        assert order.bet_id == before.bet_id or not before.bet_id
        assert order.size_matched + order.size_voided >= before.size_matched + before.size_voided
        same = ("market_id", "selection_id", "side", "price", "size", "signal_id", "created_at")
        assert all(getattr(order, name) == getattr(before, name) for name in same)


def step(rig: Rig, call: Callable[[], object], known: set[Decimal]) -> bool:
    """Run one step; return whether it got through, having checked what it left."""
    before, mark, began = dict(rig.memory.orders), rig.memory.reconciled_until, time.process_time()
    done = False
    with suppress(ExecutorError):
        call()
        done = True
    assert time.process_time() - began < SLOWEST_S
    assert done or rig.memory.reconciled_until == mark
    for order in rig.memory.orders.values():
        check_order(before.get(order.order_id), order, known)
    assert market_exposure(rig.memory.orders.values()) >= 0
    for entry in rig.trades():
        assert {to_money(Decimal(entry[name])) for name in ("size_matched",)} <= known
    return done


_FINE: Final = plain("placeOrders").body
_ODD_ENVELOPE: Final = Reply(_FINE.replace(b'"2.0"', b"1e99999999999999999999"))
_ODD_NEIGHBOUR: Final = Reply(_FINE[:-1] + b',"more":{"of":NaN}}')


@pytest.mark.filterwarnings("ignore:Generating overly large repr")
@examples(250)
@example(reply=_ODD_ENVELOPE, login=plain("certlogin"))
@example(reply=_ODD_NEIGHBOUR, login=plain("certlogin"))
@given(reply=replies("placeOrders"), login=replies("certlogin"))
def test_any_answer_to_a_placement(stage: Stage, reply: Reply, login: Reply) -> None:
    rig = stage.rig()
    stage.answers = {"placeOrders": reply, "certlogin": login}
    rig.accepted()
    step(rig, rig.place, amounts(stage.answers))
    check_placed(rig, stage, reply)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Generating overly large repr")
@examples(60)
@given(first=ANSWERS, then=ANSWERS, login=st.integers(0, 9))
def test_any_reply(stage: Stage, first: dict[str, Reply], then: dict[str, Reply], login: int) -> None:
    rig = stage.rig()
    known = amounts(first) | amounts(then) | {Decimal("4.00")}
    stage.answers = first
    with capture_logs() as logs:
        rig.accepted()
        step(rig, rig.place, known)
        check_placed(rig, stage, first["placeOrders"])
        for answers in (first, then):
            stage.answers = answers
            trade_on(rig, known)
        if login == 0:  # reading the certificate takes longer than all the rest
            step(rig, lambda: stage.exchange.reauthenticate(0), known)
    assert stage.calls.count("placeOrders") <= 3
    for line in logs:
        assert all(len(str(value)) <= 25_000 and TOKEN not in str(value) for value in line.values()), line["event"]


def check_placed(rig: Rig, stage: Stage, reply: Reply) -> None:
    """Hold the answer of placeOrders to what the reply said."""
    order, said = rig.order(), understood(reply)
    if order.status is OrderStatus.SUBMITTED:
        assert market_exposure([order]) == order.size
    elif order.status in _UNPLACED:
        assert may_be_refused(said) or "placeOrders" not in stage.calls, "given up though nobody said no"
    else:
        assert may_be_placed(said, order), "placed though nobody said so"
    # None: it went into a connection that the server was closing after the reply before.
    assert stage.calls.count("placeOrders") <= 1 or may_be_refused(said), "sent again without a no"


def trade_on(rig: Rig, known: set[Decimal]) -> list[bool]:
    """Run everything that beat would; returns of each step whether it got through."""
    engine, exchange = rig.engine, rig.engine.exchange
    through = [step(rig, lambda: reconciliation.poll(engine), known)]
    rig.clock.tick(31)
    calls: list[Callable[[], object]] = [
        lambda: cancellation.cancel_unmatched(engine),
        lambda: reconciliation.poll(engine),
        lambda: settlement.settle(engine),
        lambda: accounting.write_ledger(engine),
        lambda: account.refresh_account(engine),
        exchange.keep_alive,
        exchange.prepare,
    ]
    through += [step(rig, call, known) for call in calls]
    rig.clock.tick(61)
    return through


_CURRENT: Final = "listCurrentOrders"
_UP_TO_DATE: Final = {
    "cancelOrders": {_CURRENT: plain(_CURRENT, 1)},
    "listClearedOrders SETTLED": {_CURRENT: plain(_CURRENT, 2)},
}


def traded(stage: Stage, answers: dict[str, Reply], then: dict[str, dict[str, Reply]]) -> Rig:
    """Trade one order to its end against an exchange that answers so, and let nothing fail."""
    rig = stage.rig()
    stage.answers, stage.then = {question: plain(question) for question in REPLIES} | answers, then
    known = amounts(stage.answers)
    rig.accepted()
    assert step(rig, rig.place, known)
    check_placed(rig, stage, stage.answers["placeOrders"])
    assert (rig.order().status, rig.order().size_matched) == (OrderStatus.PENDING, Decimal("4.00"))
    assert all(trade_on(rig, known))
    return rig


@pytest.mark.parametrize("then", [_UP_TO_DATE, {}], ids=["list up to date", "list behind"])
def test_honest_replies_trade(stage: Stage, then: dict[str, dict[str, Reply]]) -> None:
    order = traded(stage, {}, then).order()
    assert (order.status, order.profit, order.commission) == (OrderStatus.SETTLED, Decimal("12.30"), Decimal("0.62"))
    assert (order.size_matched, order.size_cancelled, order.size_voided) == (Decimal("6.00"), Decimal("4.00"), ZERO)


def test_a_bet_void_in_part_is_settled_for_the_rest(stage: Stage) -> None:
    settled, voided = plain("listClearedOrders SETTLED", 2), plain("listClearedOrders VOIDED", 1)
    answers = {"listClearedOrders SETTLED": settled, "listClearedOrders VOIDED": voided}
    order = traded(stage, answers, _UP_TO_DATE).order()
    assert (order.status, order.profit) == (OrderStatus.SETTLED, Decimal("8.20"))
    assert (order.size_matched, order.size_cancelled, order.size_voided) == (Decimal(4), Decimal(4), Decimal(2))


def test_a_bet_both_settled_and_void_as_a_whole_waits(stage: Stage) -> None:
    whole = {"listClearedOrders VOIDED": plain("listClearedOrders VOIDED", 2)}  # 6 settled and 6 void, of 10
    rig = traded(stage, whole, {})
    assert (rig.order().status, rig.order().profit, rig.order().size_voided) == (OrderStatus.PENDING, ZERO, ZERO)
    stage.answers = stage.answers | {"listClearedOrders VOIDED": plain("listClearedOrders VOIDED")}
    assert all(trade_on(rig, amounts(stage.answers)))
    assert (rig.order().status, rig.order().profit) == (OrderStatus.SETTLED, Decimal("12.30"))
