"""What the engine may rely on of any exchange: the same for paper of both kinds and for Betfair's adapter."""

from collections.abc import Iterator
from contextlib import closing
from decimal import Decimal

import pytest
from support.exchange_rig import ANY_TIME, live, make_instruction
from support.memory_redis import Memory, MemoryStore
from support.sandbox_client import RunningSandbox

from executor.adapters.paper import PaperExchange
from executor.adapters.paper_book import PaperBookExchange
from executor.domain.money import Side
from executor.ports import ClearedKind, Exchange, LegOutcome

pytest_plugins = ["support.sandbox_fixtures"]
MARKET = "1.200000001"
BANKROLL = Decimal(10_000)


@pytest.fixture(params=["paper", "paper against the book", "betfair"])
def any_exchange(request: pytest.FixtureRequest) -> Iterator[Exchange]:
    if request.param == "paper":
        yield PaperExchange(BANKROLL)
        return
    sandbox: RunningSandbox = request.getfixturevalue("sandbox")
    offers = {"availableToBack": [[3.0, 500]], "availableToLay": [[3.1, 500]]}
    sandbox.control("markets", marketId=MARKET, runners=[{"selectionId": 1} | offers, {"selectionId": 2} | offers])
    with closing(live(sandbox)) as real:
        exchange = real if request.param == "betfair" else PaperBookExchange(BANKROLL, real, MemoryStore(Memory()))
        exchange.prepare()
        yield exchange
        assert request.param == "betfair" or not sandbox.get("orders")


def test_every_instruction_gets_one_answer(any_exchange: Exchange) -> None:
    back = make_instruction("back", selection_id=1, price=Decimal("2.90"))
    lay = make_instruction("lay", selection_id=2, side=Side.LAY, price=Decimal("3.20"), size=Decimal("5.55"))
    answers = {answer.order_id: answer for answer in any_exchange.place(MARKET, [back, lay], "ref-1", ANY_TIME)}
    assert set(answers) == {"back", "lay"}
    for asked in (back, lay):
        answer = answers[asked.order_id]
        assert (answer.outcome, answer.code) == (LegOutcome.PLACED, "")
        bet = answer.bet
        assert bet is not None
        assert (bet.order_id, bet.market_id, bet.selection_id) == (asked.order_id, MARKET, asked.selection_id)
        assert (bet.side, bet.price, bet.size) == (asked.side, asked.price, asked.size)
        assert (bet.size_matched, bet.executable) == (asked.size, False)
        better = bet.average_price_matched - asked.price
        assert better >= 0 if asked.side is Side.BACK else better <= 0
    bets = [answer.bet.bet_id for answer in answers.values() if answer.bet]
    assert len(set(bets)) == 2
    assert all(bets)


def test_empty_lists_never_reach_an_exchange(any_exchange: Exchange) -> None:
    with pytest.raises(ValueError, match="place"):
        any_exchange.place(MARKET, [], "ref-1", ANY_TIME)
    with pytest.raises(ValueError, match="cancel"):
        any_exchange.cancel(MARKET, [])
    assert list(any_exchange.find_current([])) == []
    assert list(any_exchange.find_cleared([], ClearedKind.SETTLED)) == []
    assert list(any_exchange.find_bets([])) == []
    assert list(any_exchange.find_cleared_bets([], ClearedKind.SETTLED)) == []
    assert any_exchange.market_info([]) == []
    assert any_exchange.commissions([]) == {}


def test_cancels_are_answered_one_by_one(any_exchange: Exchange) -> None:
    [answer] = any_exchange.place(MARKET, [make_instruction(selection_id=1)], "ref-1", ANY_TIME)
    assert answer.bet is not None
    [report] = any_exchange.cancel(MARKET, [answer.bet.bet_id])
    assert report.bet_id == answer.bet.bet_id
    assert report.size_cancelled == 0
    assert report.done == (report.code == "")


def test_a_fresh_account_has_money_and_no_bets(any_exchange: Exchange) -> None:
    assert list(any_exchange.executable_orders()) == []
    assert list(any_exchange.current_orders()) == []
    assert list(any_exchange.find_current(["nobody's"])) == []
    assert list(any_exchange.find_cleared(["nobody's"], ClearedKind.CANCELLED)) == []
    assert list(any_exchange.find_bets(["1"])) == []
    assert list(any_exchange.find_cleared_bets(["1"], ClearedKind.SETTLED)) == []
    assert not any(any_exchange.settled_since(0, ClearedKind.VOIDED))
    funds = any_exchange.funds()
    assert (funds.available, funds.exposure) == (BANKROLL, Decimal(0))


def test_the_session_is_alive(any_exchange: Exchange) -> None:
    any_exchange.prepare()
    assert any_exchange.keep_alive()
    assert any_exchange.reauthenticate(3600) is False
    age = any_exchange.session_age_s()
    assert age is None or 0 <= age < 60
