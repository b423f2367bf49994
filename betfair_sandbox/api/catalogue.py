"""What customers read about markets: listMarketCatalogue.

Owns: its projections, order, limits and fields. Reads only; an unknown market asked for by id appears. Units:
instants in UTC.
"""

from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final

from betfair_sandbox.api.market_filter import COMPETITION, chosen_markets, competition_id
from betfair_sandbox.api.market_lists import check_weight, total_available, total_matched
from betfair_sandbox.api.navigation import event_row
from betfair_sandbox.api.order_lists import REGULATOR
from betfair_sandbox.api.wire import BadValue, Json, Params, format_date, missing
from betfair_sandbox.market.exchange import Exchange
from betfair_sandbox.market.markets import Market, Runner

_MAX_RESULTS: Final = 1_000  # Betfair: listMarketCatalogue
_CATALOGUE_WEIGHTS: Final = {
    "COMPETITION": 0,
    "EVENT": 0,
    "EVENT_TYPE": 0,
    "MARKET_START_TIME": 0,
    "RUNNER_DESCRIPTION": 0,
    "MARKET_DESCRIPTION": 1,
    "RUNNER_METADATA": 1,
}
# Betfair: MarketSort; without one the order is not stated, here it is that of appearing.
_SORTS: Final[dict[str, Callable[[Market], Any] | None]] = {
    "": None,
    "FIRST_TO_START": lambda market: market.start_ms,
    "LAST_TO_START": lambda market: -market.start_ms,
    "MINIMUM_TRADED": total_matched,
    "MAXIMUM_TRADED": lambda market: -total_matched(market),
    "MINIMUM_AVAILABLE": total_available,
    "MAXIMUM_AVAILABLE": lambda market: -total_available(market),
}


def market_catalogue(exchange: Exchange, params: Params) -> list[Json]:
    """Answer listMarketCatalogue; closed markets are not listed."""
    for name in ("filter", "maxResults"):
        if not params.has(name):
            raise missing()
    limit = params.integer("maxResults")
    if not 1 <= limit <= _MAX_RESULTS:
        raise BadValue("maxResults is not in 1..1000")
    projections = {
        Params({"p": item}).choice("p", tuple(_CATALOGUE_WEIGHTS)) for item in params.items("marketProjection")
    }
    named = dict.fromkeys(params.child("filter").texts("marketIds"))
    weight = sum(_CATALOGUE_WEIGHTS[name] for name in projections)
    check_weight(Decimal(weight * (min(len(named), limit) if named else limit)))
    order = _SORTS[params.choice("sort", tuple(_SORTS), "")]
    found = chosen_markets(exchange, params)
    if order is not None:
        found.sort(key=order)
    return [_catalogue_row(market, projections) for market in found[:limit]]


def _catalogue_row(market: Market, projections: set[str]) -> Json:
    start = format_date(market.start_ms)
    row: Json = {"marketId": market.market_id, "marketName": market.name, "totalMatched": total_matched(market)}
    if "MARKET_START_TIME" in projections:
        row["marketStartTime"] = start
    if "MARKET_DESCRIPTION" in projections:
        row["description"] = _description(market)
    if projections & {"RUNNER_DESCRIPTION", "RUNNER_METADATA"}:
        row["runners"] = [_runner_catalogue(runner, projections) for runner in market.runners.values()]
    if "EVENT_TYPE" in projections:
        row["eventType"] = {"id": market.event_type_id, "name": market.event_type_name}
    if "COMPETITION" in projections and competition_id(market):
        row["competition"] = COMPETITION
    if "EVENT" in projections:
        row["event"] = event_row(market)
    return row


def _description(market: Market) -> Json:
    described: Json = {
        "persistenceEnabled": market.persistence_enabled,
        "bspMarket": market.bsp_market,
        "marketTime": format_date(market.start_ms),
        "suspendTime": format_date(market.suspend_ms or market.start_ms),
        "bettingType": market.betting_type,
        "turnInPlayEnabled": market.turn_in_play_enabled,
        "marketType": market.market_type,
        "regulator": REGULATOR,
        "marketBaseRate": market.base_rate,
        "discountAllowed": market.discount_allowed,
        "wallet": "UK wallet",
        "rules": "A market of the sandbox.",
        "rulesHasDate": False,
        "priceLadderDescription": {"type": market.ladder_type},
    }
    if market.settled_ms:
        described["settleTime"] = format_date(market.settled_ms)
    if market.each_way_divisor is not None:
        described["eachWayDivisor"] = market.each_way_divisor
    if market.bet_delay_models:
        described["betDelayModels"] = list(market.bet_delay_models)
    if market.race_type:
        described["raceType"] = market.race_type
    if market.line_interval is not None:
        described["lineRangeInfo"] = {
            "maxUnitValue": market.line_max,
            "minUnitValue": market.line_min,
            "interval": market.line_interval,
            "marketUnit": "Units",
        }
    return described


def _runner_catalogue(runner: Runner, projections: set[str]) -> Json:
    row: Json = {
        "selectionId": runner.selection_id,
        "runnerName": runner.name,
        "handicap": runner.handicap,
        "sortPriority": runner.sort_priority,
    }
    if "RUNNER_METADATA" in projections:
        row["metadata"] = {"runnerId": str(runner.selection_id)}
    return row
