"""What customers read about markets: listMarketCatalogue, listMarketBook.

Owns: their filters, limits and fields. Reads only, except that an unknown market asked for by id appears, as it does
when it is bet on. Units: prices and sizes as in the book.
"""

from decimal import Decimal
from typing import Final

from betfair_sandbox.api.order_lists import REGULATOR
from betfair_sandbox.api.wire import ApiError, BadValue, Json, Params, format_date, missing
from betfair_sandbox.market.accounts import Account, Caller
from betfair_sandbox.market.exchange import Exchange
from betfair_sandbox.market.markets import Bet, Market, Runner
from betfair_sandbox.market.money import ZERO, Side

_MAX_RESULTS: Final = 1_000  # Betfair: listMarketCatalogue
_MAX_WEIGHT: Final = 200  # Betfair: Market Data Request Limits, sum of weights x markets
_CATALOGUE_WEIGHTS: Final = {
    "COMPETITION": 0,
    "EVENT": 0,
    "EVENT_TYPE": 0,
    "MARKET_START_TIME": 0,
    "RUNNER_DESCRIPTION": 0,
    "MARKET_DESCRIPTION": 1,
    "RUNNER_METADATA": 1,
}
_BOOK_WEIGHTS: Final = {
    "SP_AVAILABLE": 3,
    "EX_BEST_OFFERS": 5,
    "SP_TRADED": 7,
    "EX_ALL_OFFERS": 17,
    "EX_TRADED": 17,
}
_BOOK_BASE_WEIGHT: Final = 2
_WITH_TRADED: Final = {"EX_BEST_OFFERS": 20, "EX_ALL_OFFERS": 32}  # together with EX_TRADED, less than the sum
_BEST_OFFERS: Final = 3
_FILTERS: Final = ("marketIds", "eventTypeIds", "eventIds", "marketTypeCodes", "inPlayOnly", "marketBettingTypes")
_NO_ORDER_FILTERS: Final = ("customerStrategyRefs", "betIds", "matchedSince", "partitionMatchedByStrategyRef")
_ORDER_PROJECTIONS: Final = ("ALL", "EXECUTABLE", "EXECUTION_COMPLETE")


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
    chosen = params.child("filter")
    unknown = [name for name in chosen.values if name not in _FILTERS and chosen.values[name]]
    if unknown:
        raise BadValue(f"filter {unknown[0]} is not offered")
    market_ids = list(dict.fromkeys(chosen.texts("marketIds")))
    weight = sum(_CATALOGUE_WEIGHTS[name] for name in projections)
    check_weight(Decimal(weight * (min(len(market_ids), limit) if market_ids else limit)))
    markets = known_markets(exchange, market_ids) if market_ids else list(exchange.markets.values())
    found = [market for market in markets if market.status != "CLOSED" and _passes(market, chosen)]
    return [_catalogue_row(market, projections) for market in found[:limit]]


def market_book(exchange: Exchange, caller: Caller, params: Params) -> list[Json]:
    """Answer listMarketBook."""
    if not params.has("marketIds"):
        raise missing()
    market_ids = list(dict.fromkeys(params.texts("marketIds")))
    prices = params.child("priceProjection")
    data = {Params({"p": item}).choice("p", tuple(_BOOK_WEIGHTS)) for item in prices.items("priceData")}
    orders = params.choice("orderProjection", _ORDER_PROJECTIONS)
    if params.has("matchProjection"):
        raise BadValue("matchProjection is not offered")
    unknown = [name for name in _NO_ORDER_FILTERS if params.has(name)]
    if unknown:
        raise BadValue(f"{unknown[0]} is not offered")
    depth = prices.child("exBestOffersOverrides").integer("bestPricesDepth", _BEST_OFFERS)
    if depth < 1:
        raise BadValue("bestPricesDepth is not positive")
    check_weight(_book_weight(data, depth) * len(market_ids))
    offers = None if "EX_ALL_OFFERS" in data else depth
    rows = []
    for market in known_markets(exchange, market_ids):
        row = _book_row(market, delayed=caller.delayed)
        row["runners"] = [_runner_row(runner, offers, data) for runner in market.runners.values()]
        if orders:
            _add_orders(market, caller.account, orders, row["runners"])
        rows.append(row)
    return rows


def _book_weight(data: set[str], depth: int) -> Decimal:
    """Return what one market weighs; Betfair: Market Data Request Limits, the best offers by their depth."""
    weights = {name: _BOOK_WEIGHTS[name] for name in data}
    for offers, together in _WITH_TRADED.items():
        if offers in weights and "EX_TRADED" in weights:
            weights[offers] = together - _BOOK_WEIGHTS["EX_TRADED"]
            break
    total = Decimal(sum(weights.values()) or _BOOK_BASE_WEIGHT)
    return total + weights.get("EX_BEST_OFFERS", 0) * (Decimal(depth) / _BEST_OFFERS - 1)


def check_weight(weight: Decimal) -> None:
    """Refuse a request whose weights are too much together."""
    if weight > _MAX_WEIGHT:
        raise ApiError("TOO_MUCH_DATA")


def known_markets(exchange: Exchange, market_ids: list[str]) -> list[Market]:
    """Return the markets of these ids, unknown ones opened as when they are bet on."""
    found = [exchange.market(market_id) for market_id in market_ids]
    return [market for market in found if market is not None]


def _passes(market: Market, chosen: Params) -> bool:
    wanted = {
        "eventTypeIds": market.event_type_id,
        "eventIds": market.event_id,
        "marketTypeCodes": market.market_type,
        "marketBettingTypes": market.betting_type,
    }
    if any(chosen.texts(name) and value not in chosen.texts(name) for name, value in wanted.items()):
        return False
    return market.inplay or not chosen.flag("inPlayOnly")


def _catalogue_row(market: Market, projections: set[str]) -> Json:
    start = format_date(market.start_ms)
    row: Json = {"marketId": market.market_id, "marketName": market.name, "totalMatched": _total_matched(market)}
    if "MARKET_START_TIME" in projections:
        row["marketStartTime"] = start
    if "MARKET_DESCRIPTION" in projections:
        row["description"] = _description(market)
    if projections & {"RUNNER_DESCRIPTION", "RUNNER_METADATA"}:
        row["runners"] = [_runner_catalogue(runner, projections) for runner in market.runners.values()]
    if "EVENT_TYPE" in projections:
        row["eventType"] = {"id": market.event_type_id, "name": market.event_type_name}
    if "COMPETITION" in projections:
        row["competition"] = {"id": "1", "name": "Sandbox League"}
    if "EVENT" in projections:
        row["event"] = {
            "id": market.event_id,
            "name": market.event_name,
            "countryCode": market.country_code,
            "timezone": market.timezone,
            "openDate": format_date(market.open_ms or market.start_ms),
        }
        if market.venue:
            row["event"]["venue"] = market.venue
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


def _book_row(market: Market, *, delayed: bool) -> Json:
    active = sum(runner.status == "ACTIVE" for runner in market.runners.values())
    row: Json = {
        "marketId": market.market_id,
        "isMarketDataDelayed": delayed,
        "status": market.status,
        "betDelay": market.bet_delay_s,
        "bspReconciled": market.bsp_reconciled,
        "complete": not market.grows,
        "inplay": market.inplay,
        "numberOfWinners": market.winners,
        "numberOfRunners": len(market.runners),
        "numberOfActiveRunners": active,
        "totalMatched": _total_matched(market),
        "totalAvailable": sum((_available(runner) for runner in market.runners.values()), ZERO),
        "crossMatching": market.cross_matching,
        "runnersVoidable": market.runners_voidable,
        "version": market.version,
    }
    if market.last_match_ms:
        row["lastMatchTime"] = format_date(market.last_match_ms)
    return row


def _runner_row(runner: Runner, depth: int | None, data: set[str]) -> Json:
    row: Json = {
        "selectionId": runner.selection_id,
        "handicap": runner.handicap,
        "status": runner.status,
        "totalMatched": runner.total_matched,
    }
    if runner.adjustment_factor is not None:
        row["adjustmentFactor"] = runner.adjustment_factor
    if runner.last_price is not None:
        row["lastPriceTraded"] = runner.last_price
    if runner.removed_ms:
        row["removalDate"] = format_date(runner.removed_ms)
    if data & {"EX_BEST_OFFERS", "EX_ALL_OFFERS", "EX_TRADED"}:
        row["ex"] = {
            "availableToBack": _levels(runner, Side.LAY, depth),
            "availableToLay": _levels(runner, Side.BACK, depth),
            "tradedVolume": _prices_sizes(runner.traded) if "EX_TRADED" in data else [],
        }
    if data & {"SP_AVAILABLE", "SP_TRADED"}:
        row["sp"] = _starting_prices(runner, traded="SP_TRADED" in data)
    return row


def _starting_prices(runner: Runner, *, traded: bool) -> Json:
    """Return what there is of starting prices; Betfair writes "NaN" where a projection has no price."""
    row: Json = {
        "nearPrice": "NaN" if runner.sp_near is None else runner.sp_near,
        "farPrice": "NaN" if runner.sp_far is None else runner.sp_far,
        "backStakeTaken": _prices_sizes(runner.sp_backed) if traded else [],
        "layLiabilityTaken": _prices_sizes(runner.sp_laid) if traded else [],
    }
    if runner.bsp is not None:
        row["actualSP"] = runner.bsp
    return row


def _prices_sizes(sizes: dict[Decimal, Decimal]) -> list[Json]:
    return [{"price": price, "size": size} for price, size in sorted(sizes.items()) if size]


def _levels(runner: Runner, side: Side, depth: int | None) -> list[Json]:
    return [{"price": price, "size": size} for price, size in runner.book.levels(side)[:depth]]


def _add_orders(market: Market, account: Account, projection: str, rows: list[Json]) -> None:
    for row in rows:
        row["orders"] = [
            _book_order(bet)
            for bet in market.bets.values()
            if bet.account == account.name
            and (bet.selection_id, bet.handicap) == (row["selectionId"], row["handicap"])
            and projection in {"ALL", bet.status}
        ]


def _book_order(bet: Bet) -> Json:
    row: Json = {
        "betId": str(bet.bet_id),
        "orderType": bet.order_type,
        "status": bet.status,
        "persistenceType": bet.persistence,
        "side": bet.side.value,
        "price": bet.price,
        "size": bet.size,
        "bspLiability": bet.bsp_liability,
        "placedDate": format_date(bet.placed_ms),
        "avgPriceMatched": bet.average_price_matched,
        "sizeMatched": bet.size_matched,
        "sizeRemaining": bet.size_remaining,
        "sizeLapsed": bet.size_lapsed,
        "sizeCancelled": bet.size_cancelled,
        "sizeVoided": bet.size_voided,
    }
    if bet.customer_order_ref:
        row["customerOrderRef"] = bet.customer_order_ref
    if bet.customer_strategy_ref:
        row["customerStrategyRef"] = bet.customer_strategy_ref
    return row


def _total_matched(market: Market) -> Decimal:
    return sum((runner.total_matched for runner in market.runners.values()), ZERO)


def _available(runner: Runner) -> Decimal:
    return sum((size for side in Side for _, size in runner.book.levels(side)), ZERO)
