"""How clients find their way to markets: the lists of what there is, with counts, and the navigation menu.

Owns: listEventTypes, listEvents, listCompetitions, listCountries, listVenues, listMarketTypes, listTimeRanges, the menu
file. Reads only. Units: instants in UTC.
"""

from collections.abc import Callable, Hashable
from datetime import UTC, datetime, timedelta
from typing import Final

from betfair_sandbox.api.market_filter import COMPETITION, chosen_markets, competition_id
from betfair_sandbox.api.wire import Json, Params, format_date, missing
from betfair_sandbox.market.exchange import Exchange
from betfair_sandbox.market.markets import Market

_GRANULARITIES: Final = ("DAYS", "HOURS", "MINUTES")


def _grouped(
    exchange: Exchange, params: Params, key: Callable[[Market], Hashable], row: Callable[[Market], Json]
) -> list[Json]:
    """Return a row with its count of markets for each value of `key`; empty values have none."""
    if not params.has("filter"):
        raise missing()
    found: dict[Hashable, Json] = {}
    for market in chosen_markets(exchange, params):
        value = key(market)
        if value != "":
            entry = found.setdefault(value, {**row(market), "marketCount": 0})
            entry["marketCount"] += 1
    return list(found.values())


def event_row(market: Market) -> Json:
    """Return a market's event."""
    row: Json = {
        "id": market.event_id,
        "name": market.event_name,
        "countryCode": market.country_code,
        "timezone": market.timezone,
        "openDate": format_date(market.open_ms or market.start_ms),
    }
    if market.venue:
        row["venue"] = market.venue
    return row


def _event_types(exchange: Exchange, params: Params) -> list[Json]:
    def row(market: Market) -> Json:
        return {"eventType": {"id": market.event_type_id, "name": market.event_type_name}}

    return _grouped(exchange, params, lambda market: market.event_type_id, row)


def _events(exchange: Exchange, params: Params) -> list[Json]:
    return _grouped(exchange, params, lambda market: market.event_id, lambda market: {"event": event_row(market)})


def _competitions(exchange: Exchange, params: Params) -> list[Json]:
    return _grouped(
        exchange, params, competition_id, lambda _: {"competition": COMPETITION, "competitionRegion": "GBR"}
    )


def _countries(exchange: Exchange, params: Params) -> list[Json]:
    key = lambda market: market.country_code  # noqa: E731 - as below
    return _grouped(exchange, params, key, lambda market: {"countryCode": market.country_code})


def _venues(exchange: Exchange, params: Params) -> list[Json]:
    return _grouped(exchange, params, lambda market: market.venue, lambda market: {"venue": market.venue})


def _market_types(exchange: Exchange, params: Params) -> list[Json]:
    key = lambda market: market.market_type  # noqa: E731 - a field
    return _grouped(exchange, params, key, lambda market: {"marketType": market.market_type})


def _time_ranges(exchange: Exchange, params: Params) -> list[Json]:
    if not params.has("granularity"):
        raise missing()
    granularity = params.choice("granularity", _GRANULARITIES)
    length = timedelta(**{granularity.lower(): 1})

    def begin(market: Market) -> datetime:
        start = datetime.fromtimestamp(market.start_ms // 1000, UTC).replace(second=0)
        if granularity != "MINUTES":
            start = start.replace(minute=0)
        return start.replace(hour=0) if granularity == "DAYS" else start

    def row(market: Market) -> Json:
        start = begin(market)
        bounds = [format_date(int(instant.timestamp()) * 1000) for instant in (start, start + length)]
        return {"timeRange": {"from": bounds[0], "to": bounds[1]}}

    return _grouped(exchange, params, begin, row)


READERS: Final[dict[str, Callable[[Exchange, Params], object]]] = {
    "listEventTypes": _event_types,
    "listEvents": _events,
    "listCompetitions": _competitions,
    "listCountries": _countries,
    "listVenues": _venues,
    "listMarketTypes": _market_types,
    "listTimeRanges": _time_ranges,
}


def menu(exchange: Exchange) -> Json:
    """Return the navigation menu: event types, their events, the events' markets."""
    root: Json = {"children": [], "id": 0, "name": "ROOT", "type": "GROUP"}
    types: dict[str, Json] = {}
    events: dict[str, Json] = {}
    for market in exchange.markets.values():
        if market.status == "CLOSED":
            continue
        kind = _node(types, root, market.event_type_id, {"name": market.event_type_name, "type": "EVENT_TYPE"})
        described = {"name": market.event_name, "countryCode": market.country_code, "type": "EVENT"}
        event = _node(events, kind, market.event_id, described)
        event["children"].append(
            {
                "exchangeId": "1",
                "id": market.market_id,
                "marketStartTime": format_date(market.start_ms),
                "marketType": market.market_type,
                "name": market.name,
                "numberOfWinners": str(market.winners),
                "type": "MARKET",
            }
        )
    return root


def _node(known: dict[str, Json], parent: Json, node_id: str, described: Json) -> Json:
    node = known.get(node_id)
    if node is None:
        node = known[node_id] = {**described, "id": node_id, "children": []}
        parent["children"].append(node)
    return node
