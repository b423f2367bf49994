"""The page for people at /sandbox: its files, and what it shows.

Owns: GET /sandbox, its style and script, GET /sandbox/state. Invariants: everything comes from this server and no
script is inline (the policy forbids anything else), so the page works offline and what a customer calls a market cannot
run; what it shows is bounded, however many markets, bets and calls there are. Units: as in the control API.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from importlib.resources import files
from itertools import islice
from typing import Final

from tornado.web import RequestHandler

from betfair_sandbox.api.wire import Json, Params, format_date
from betfair_sandbox.control.accounts import account_row
from betfair_sandbox.control.faults import ANY, KINDS, METHODS, STREAM_KINDS
from betfair_sandbox.market.markets import Bet, Market, Runner
from betfair_sandbox.market.money import ZERO, Side
from betfair_sandbox.world import World, clock_ms

_FILES: Final = {"page.html": "text/html", "page.css": "text/css", "page.js": "text/javascript"}
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_MOST_MARKETS: Final = 100
_MOST_BETS: Final = 50
_MOST_CALLS: Final = 30
_MOST_ACCOUNTS: Final = 50
_LEVELS: Final = 3


class PageHandler(RequestHandler):
    """One file of the page."""

    def get(self, name: str = "page.html") -> None:
        """Answer with the file."""
        kind = _FILES.get(name or "page.html")
        if kind is None:
            self.send_error(404)
            return
        self.set_header("Content-Type", f"{kind}; charset=utf-8")
        self.set_header("Content-Security-Policy", _POLICY)
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("Referrer-Policy", "no-referrer")
        self.set_header("Cache-Control", "no-store")
        self.finish(files("betfair_sandbox.control").joinpath("static", name or "page.html").read_bytes())


def page_state(world: World, params: Params) -> Json:
    """Return what the page shows: the markets found, one whole, accounts, faults, the last calls, the replay."""
    exchange = world.exchange
    wanted = params.text("find").strip().lower()
    markets = list(islice((market for market in _latest(world) if _matches(market, wanted)), _MOST_MARKETS))
    chosen = exchange.markets.get(params.text("market")) or (markets[0] if markets else None)
    replay = None
    if world.replay is not None:
        status = world.replay.status()
        replay = {name: status[name] for name in status if name not in {"fills", "skipped", "marketIds", "lastLine"}}
        replay["fillCount"] = len(status["fills"])
    return {
        "now": format_date(clock_ms()),
        "markets": [_listed(market) for market in markets],
        "market": None if chosen is None else _whole(chosen),
        "accounts": [account_row(account) for account in islice(exchange.accounts.values(), _MOST_ACCOUNTS)],
        "faults": [fault.row() for fault in world.faults.armed()[:_MOST_CALLS]],
        "faultMethods": [ANY, *METHODS],
        "faultKinds": [*KINDS, *STREAM_KINDS, "error:TOO_MANY_REQUESTS", "error:MARKET_SUSPENDED"],
        "journal": [
            {
                "received": datetime.fromtimestamp(entry.received_at, UTC).strftime("%H:%M:%S.%f")[:-3],
                "method": entry.method,
                "account": entry.account,
                "status": entry.status,
                "error": entry.error,
                "fault": entry.fault,
            }
            for entry in world.journal.latest(_MOST_CALLS)
        ],
        "replay": replay,
    }


def _latest(world: World) -> Iterable[Market]:
    markets = world.exchange.markets
    return (markets[market_id] for market_id in reversed(markets))


def _matches(market: Market, wanted: str) -> bool:
    return not wanted or wanted in f"{market.market_id} {market.name} {market.event_name}".lower()


def _listed(market: Market) -> Json:
    return {
        "marketId": market.market_id,
        "name": market.name,
        "eventName": market.event_name,
        "status": market.status,
        "inplay": market.inplay,
        "totalMatched": sum((runner.total_matched for runner in market.runners.values()), ZERO),
    }


def _whole(market: Market) -> Json:
    bets = [market.bets[bet_id] for bet_id in islice(reversed(market.bets), _MOST_BETS)]
    return {
        **_listed(market),
        "marketType": market.market_type,
        "bettingType": market.betting_type,
        "numberOfWinners": market.winners,
        "eachWayDivisor": market.each_way_divisor,
        "marketTime": format_date(market.start_ms),
        "recorded": market.recorded,
        "settled": bool(market.results),
        "runners": [_runner(runner) for runner in sorted(market.runners.values(), key=_by_priority)],
        "bets": [_bet(market, bet) for bet in bets],
    }


def _by_priority(runner: Runner) -> tuple[int, int, Decimal]:
    return runner.sort_priority, runner.selection_id, runner.handicap


def _runner(runner: Runner) -> Json:
    return {
        "key": f"{runner.selection_id}/{runner.handicap}",
        "selectionId": runner.selection_id,
        "handicap": runner.handicap,
        "name": runner.name,
        "status": runner.status,
        "bsp": runner.bsp,
        "toBack": runner.book.levels(Side.LAY)[:_LEVELS],
        "toLay": runner.book.levels(Side.BACK)[:_LEVELS],
        "last": runner.last_price,
        "matched": runner.total_matched,
    }


def _bet(market: Market, bet: Bet) -> Json:
    return {
        "betId": str(bet.bet_id),
        "account": bet.account,
        "runner": market.runner_of(bet).name,
        "side": bet.side.value,
        "price": bet.price,
        "size": bet.size,
        "matched": bet.size_matched,
        "average": round(bet.average_price_matched, 2) if bet.size_matched else None,
        "remaining": bet.size_remaining,
        "profit": bet.profit,
        "settled": bool(bet.settled_ms),
        "status": bet.outcome or bet.status,
    }
