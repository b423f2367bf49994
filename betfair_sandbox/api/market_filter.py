"""Betfair's MarketFilter: which markets a REST call is about.

Owns: its criteria. Invariants: an absent or empty criterion lets everything pass, all others must hold; closed markets
never pass (Betfair: listMarketCatalogue). Units: instants are epoch milliseconds.
"""

from collections.abc import Callable
from typing import Final

from betfair_sandbox.api.wire import BadValue, Json, Params
from betfair_sandbox.market.exchange import Exchange
from betfair_sandbox.market.markets import Market

# A sandbox has one competition; Betfair's races have none.
COMPETITION: Final[Json] = {"id": "1", "name": "Sandbox League"}
_RACING: Final = ("7", "4339")


def competition_id(market: Market) -> str:
    """Return the id of the market's competition, empty when it has none."""
    return "" if market.event_type_id in _RACING else str(COMPETITION["id"])


_SETS: Final[dict[str, Callable[[Market], str]]] = {
    "eventTypeIds": lambda market: market.event_type_id,
    "eventIds": lambda market: market.event_id,
    "competitionIds": competition_id,
    "venues": lambda market: market.venue,
    "marketCountries": lambda market: market.country_code,
    "marketTypeCodes": lambda market: market.market_type,
    "marketBettingTypes": lambda market: market.betting_type,
    "raceTypes": lambda market: market.race_type,
}
_FLAGS: Final[dict[str, Callable[[Market], bool]]] = {
    "bspOnly": lambda market: market.bsp_market,
    "turnInPlayEnabled": lambda market: market.turn_in_play_enabled,
    "inPlayOnly": lambda market: market.inplay,
}
_KNOWN: Final = {*_SETS, *_FLAGS, "marketIds", "marketStartTime", "textQuery", "withOrders", "exchangeIds"}


def chosen_markets(exchange: Exchange, params: Params) -> list[Market]:
    """Return the markets that `filter` is about, in the order in which they appeared; those named by id appear.

    Raises:
        BadValue: a criterion is unknown or cannot be read.

    """
    chosen = params.child("filter")
    unknown = [name for name, value in chosen.values.items() if name not in _KNOWN and value]
    if unknown:
        raise BadValue(f"filter {unknown[0]} is not offered")
    market_ids = list(dict.fromkeys(chosen.texts("marketIds")))
    earliest, latest = chosen.instants("marketStartTime")
    words = chosen.text("textQuery").replace("*", "").lower()
    with_orders = chosen.texts("withOrders")
    sets = [(read, set(chosen.texts(name))) for name, read in _SETS.items() if chosen.items(name)]
    flags = [(read, chosen.flag(name)) for name, read in _FLAGS.items() if chosen.has(name)]
    # Betfair: bspOnly and inPlayOnly restrict when true and exclude when false; so does turnInPlayEnabled.
    candidates = [exchange.market(market_id) for market_id in market_ids] if market_ids else exchange.markets.values()

    def passes(market: Market) -> bool:
        return (
            market.status != "CLOSED"
            and all(read(market) in wanted for read, wanted in sets)
            and all(read(market) is wanted for read, wanted in flags)
            and (earliest is None or market.start_ms >= earliest)
            and (latest is None or market.start_ms <= latest)
            and (not with_orders or bool(market.bets))
            and (not words or words in _text(market))
        )

    return [market for market in candidates if market is not None and passes(market)]


def _text(market: Market) -> str:
    parts = (market.event_type_name, market.event_name, market.name, market.market_type, market.venue)
    return " ".join(parts).lower()
