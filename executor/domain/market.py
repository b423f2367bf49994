"""What a market is, as far as the rules ask: facts of the exchange, read off the order path.

Invariant: a market that our rules do not hold for is refused as soon as that is known, from the exchange's facts or
from what a signal says; what is not known is taken for a market of plain odds, as almost all are. Times in
milliseconds.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

ODDS: Final = "ODDS"  # Betfair: MarketBettingType
LINE: Final = "LINE"
CLASSIC: Final = "CLASSIC"  # Betfair: PriceLadderType
EACH_WAY: Final = "EACH_WAY"  # Betfair: marketType, as far as it is a kind of its own
FRESH_MS: Final = 3600 * 1000  # runners leave, markets close


@dataclass(frozen=True, slots=True)
class Market:
    """A market's facts; "", 0, None or nothing where the exchange did not say. `raw` is its own words, JSON."""

    market_id: str
    market_type: str = ""
    betting_type: str = ""
    ladder: str = ""
    each_way_divisor: Decimal | None = None
    winners: int = 0
    runners: tuple[int, ...] = ()  # selection ids of those that take part
    removed: tuple[int, ...] = ()  # of those that do not: bets on them are void
    others: tuple[int, ...] = ()  # of those that are neither: decided before the market is, or hidden
    complete: bool = False  # no runner will be added
    status: str = ""
    read_at: int = 0
    raw: str = ""


def allows_as(market: Market | None, other: Market | None) -> bool:
    """Tell whether two readings of a market allow the same results."""
    return _results(market) == _results(other)


def _results(market: Market | None) -> tuple[object, ...]:
    if market is None:
        return ()
    kind = (market.market_type, market.betting_type, market.each_way_divisor)
    parts = (frozenset(market.runners), frozenset(market.removed), frozenset(market.others))
    return (*kind, market.winners, market.complete, *parts)


def is_each_way(market: Market) -> bool:
    """Tell whether a bet there holds twice its size."""
    return market.market_type == EACH_WAY or market.each_way_divisor is not None


def has_odds(market: Market) -> bool:
    """Tell whether a bet there is as our records hold it: its size at its price, on a runner without a line."""
    return market.betting_type in {"", ODDS} and not is_each_way(market)


def unsupported(market: Market | None, said_type: str) -> str:
    """Say why the rules do not hold for a market; empty where they do, or where nothing speaks against it.

    `said_type` is what the signal says; the exchange's facts decide where they are known.
    """
    if market is None or not (market.market_type or market.betting_type):
        return _of_type(said_type)
    if market.betting_type not in {"", ODDS}:
        return f"Market is of betting type {market.betting_type}: its prices are no odds"
    if is_each_way(market):
        return "Market is each way: a bet holds twice its size"
    if market.ladder not in {"", CLASSIC}:
        return f"Market has the price ladder {market.ladder}, not {CLASSIC}"
    return ""


def _of_type(market_type: str) -> str:
    kind = market_type.strip().upper()
    if kind == EACH_WAY:
        return "Market is each way, as the signal says: a bet holds twice its size"
    if kind == "LINE" or kind.endswith("_LINE") or kind.startswith("ASIAN_HANDICAP"):
        return f"Market is of type {kind}, as the signal says: its prices are no odds, or have lines"
    return ""
