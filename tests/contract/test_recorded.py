"""The adapter reads what Betfair really sent; the recordings, with a README, lie outside of the project."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from support.exchange_rig import ANY_TIME, Answer, Request, ScriptedServer, http, make_instruction, rpc

from executor.adapters.betfair.exchange import BetfairExchange
from executor.domain.hedge import Quote
from executor.domain.money import Side
from executor.domain.order import BetState
from executor.errors import LoginRefused
from executor.ports import ClearedBet, ClearedKind, LegOutcome, MarketInfo

pytest_plugins = ["support.exchange_fixtures"]
RECORDED = Path(__file__).parents[2].parent / "shared" / "recorded"
pytestmark = pytest.mark.skipif(not RECORDED.is_dir(), reason=f"no recorded replies in {RECORDED}")


def plays(server: ScriptedServer, name: str, **edits: Any) -> None:
    """Answer with a recording; only the id, which belongs to the call, and `edits` of the result are ours."""
    recording = json.loads((RECORDED / name).read_text())
    if isinstance(recording["result"], dict):
        recording["result"] |= edits
    server.script = lambda request: rpc(request, result=recording["result"])


def test_a_bet_placed(server: ScriptedServer, exchange: BetfairExchange) -> None:
    plays(server, "placeOrders/2016-unmatched.real.json")
    asked = make_instruction(selection_id=9486865, side=Side.LAY, price=Decimal("1.01"), size=Decimal("2.00"))
    [answer] = exchange.place("1.125897784", [asked], "ref-1", ANY_TIME)
    assert answer.outcome is LegOutcome.PLACED
    assert answer.bet == BetState(
        bet_id="71962975289",
        order_id="order-1",
        market_id="1.125897784",
        selection_id=9486865,
        side=Side.LAY,
        price=Decimal("1.01"),
        size=Decimal("2.00"),
        executable=True,
        placed_at=1469898280000,
    )


def test_a_bet_cancelled(server: ScriptedServer, exchange: BetfairExchange) -> None:
    plays(server, "cancelOrders/2016-full.real.json")
    [answer] = exchange.cancel("1.125897784", ["71965147269"])
    assert (answer.bet_id, answer.done, answer.size_cancelled) == ("71965147269", True, Decimal("2.00"))


@pytest.mark.parametrize(
    "name", ["2016-one-matched.real.json", "2016-with-auth-code.edited.json", "2016-with-description.edited.json"]
)
def test_a_current_order(name: str, server: ScriptedServer, exchange: BetfairExchange) -> None:
    plays(server, f"listCurrentOrders/{name}")
    assert list(exchange.current_orders()) == [
        BetState(
            bet_id="71958694780",
            order_id="",
            market_id="1.125875592",
            selection_id=6412775,
            side=Side.LAY,
            price=Decimal("1.22"),
            size=Decimal("2.00"),
            executable=False,
            size_matched=Decimal("2.00"),
            average_price_matched=Decimal("1.22"),
            placed_at=1469895709000,
            matched_at=1469895710000,
        )
    ]


def test_a_settled_bet(server: ScriptedServer, exchange: BetfairExchange) -> None:
    # Recorded with a page of one; here nothing follows.
    plays(server, "listClearedOrders/2016-one.real.json", moreAvailable=False)
    [page] = exchange.settled_since(0, ClearedKind.SETTLED)
    assert list(page) == [
        ClearedBet(
            kind=ClearedKind.SETTLED,
            bet_id="71958694780",
            order_id="",
            market_id="1.125875592",
            selection_id=6412775,
            side=Side.LAY,
            price_requested=Decimal("1.22"),
            price_matched=Decimal("1.22"),
            size_settled=Decimal("2.00"),
            size_cancelled=Decimal(0),
            profit=Decimal("-0.44"),
            settled_at=1469895973000,
            placed_at=1469895709000,
        )
    ]


@pytest.mark.parametrize("name", ["2016-winner.real.json", "2016-with-newer-fields.edited.json"])
def test_a_market(name: str, server: ScriptedServer, exchange: BetfairExchange) -> None:
    plays(server, f"listMarketCatalogue/{name}")
    infos = exchange.market_info(["1.125818641"])
    assert MarketInfo("1.125818641", "WINNER") in infos


def test_logins_and_keep_alives(server: ScriptedServer, exchange: BetfairExchange) -> None:
    names = {"/api/keepAlive": "keepAlive/success.edited.json", "/api/certlogin": "certlogin/success.edited.json"}

    def script(request: Request) -> Answer:
        return http((RECORDED / names[request.path]).read_bytes())

    server.script = script
    assert exchange.keep_alive()
    assert exchange.reauthenticate(0)
    assert exchange.session_age_s() == 0
    names = {"/api/keepAlive": "keepAlive/fail.edited.json", "/api/certlogin": "certlogin/fail.edited.json"}
    with pytest.raises(LoginRefused, match="INVALID_USERNAME_OR_PASSWORD"):
        exchange.reauthenticate(0)
    assert exchange.session_age_s() == 0
    assert not exchange.keep_alive()
    assert exchange.session_age_s() is None
    assert server.requests[0].headers["x-authentication"] != server.requests[-1].headers["x-authentication"]
    assert server.requests[-1].headers["x-authentication"] == "session_token"


@pytest.mark.parametrize("name", ["2016-in-play-suspended.real.json", "2016-with-newer-fields.edited.json"])
def test_prices_of_a_book(name: str, server: ScriptedServer, exchange: BetfairExchange) -> None:
    plays(server, f"listMarketBook/{name}")
    quotes = exchange.quotes(["1.125875153"])["1.125875153"]
    assert quotes.status == "SUSPENDED"
    assert quotes.runners[8665860] == Quote(back=Decimal(21), lay=None, last=Decimal(1000))
    assert quotes.runners[7853158] == Quote(back=None, lay=Decimal("1.14"), last=Decimal("1.01"))
    assert len(quotes.runners) == 5  # the sixth has left
