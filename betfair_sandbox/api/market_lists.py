"""What customers read about markets: listMarketCatalogue, listMarketBook, listMarketProfitAndLoss.

Owns: their filters, limits and fields. Reads only, except that an unknown market asked for by id appears, as it does
when it is bet on. Units: prices and sizes as in the book.
"""

from decimal import Decimal
from typing import Final

from betfair_sandbox.api.order_lists import EVENT_ID, EVENT_TYPE_ID, REGULATOR
from betfair_sandbox.api.wire import ApiError, BadValue, Json, Params, format_date, missing
from betfair_sandbox.market.accounts import Account, Caller, Position
from betfair_sandbox.market.exchange import Exchange
from betfair_sandbox.market.markets import Bet, Market, Runner
from betfair_sandbox.market.money import ZERO, Side
from betfair_sandbox.market.settlement import commission_on

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
_PROFIT_WEIGHT: Final = 4
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
    _check_weight(Decimal(weight * (min(len(market_ids), limit) if market_ids else limit)))
    markets = _known(exchange, market_ids) if market_ids else list(exchange.markets.values())
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
    _check_weight(_book_weight(data, depth) * len(market_ids))
    offers = None if "EX_ALL_OFFERS" in data else depth
    show = bool(data & {"EX_BEST_OFFERS", "EX_ALL_OFFERS", "EX_TRADED"})
    rows = []
    for market in _known(exchange, market_ids):
        row = _book_row(market, delayed=caller.delayed)
        row["runners"] = [_runner_row(runner, offers, show=show) for runner in market.runners.values()]
        if orders:
            _add_orders(market, caller.account, orders, row["runners"])
        rows.append(row)
    return rows


def profit_and_loss(exchange: Exchange, account: Account, params: Params) -> list[Json]:
    """Answer listMarketProfitAndLoss: matched bets of markets that are not settled."""
    if not params.has("marketIds"):
        raise missing()
    market_ids = list(dict.fromkeys(params.texts("marketIds")))
    _check_weight(Decimal(_PROFIT_WEIGHT * len(market_ids)))
    net = params.flag("netOfCommission")
    rows: list[Json] = []
    for market in _known(exchange, market_ids):
        if market.status == "CLOSED":
            continue
        positions = account.positions.get(market.market_id, {})
        total = sum((position.lose for position in positions.values()), ZERO)
        results: list[Json] = []
        for runner in market.runners.values():
            if runner.status == "REMOVED":
                continue
            position = positions.get(runner.selection_id, Position())
            result: Json = {"selectionId": runner.selection_id}
            if market.winners == 1:
                result["ifWin"] = position.win + total - position.lose
            else:
                result["ifWin"], result["ifLose"] = position.win, position.lose
            if net:
                result["ifWin"] -= commission_on(result["ifWin"], market.base_rate)
            results.append(result)
        row: Json = {"marketId": market.market_id, "profitAndLosses": results}
        if net:
            row["commissionApplied"] = market.base_rate
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


def _check_weight(weight: Decimal) -> None:
    if weight > _MAX_WEIGHT:
        raise ApiError("TOO_MUCH_DATA")


def _known(exchange: Exchange, market_ids: list[str]) -> list[Market]:
    found = [exchange.market(market_id) for market_id in market_ids]
    return [market for market in found if market is not None]


def _passes(market: Market, chosen: Params) -> bool:
    wanted = {
        "eventTypeIds": EVENT_TYPE_ID,
        "eventIds": EVENT_ID,
        "marketTypeCodes": market.market_type,
        "marketBettingTypes": "ODDS",
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
        row["description"] = {
            "persistenceEnabled": True,
            "bspMarket": False,
            "marketTime": start,
            "suspendTime": start,
            "bettingType": "ODDS",
            "turnInPlayEnabled": True,
            "marketType": market.market_type,
            "regulator": REGULATOR,
            "marketBaseRate": market.base_rate,
            "discountAllowed": True,
            "wallet": "UK wallet",
            "rules": "A market of the sandbox.",
            "rulesHasDate": False,
            "priceLadderDescription": {"type": "CLASSIC"},
        }
    if projections & {"RUNNER_DESCRIPTION", "RUNNER_METADATA"}:
        row["runners"] = [_runner_catalogue(runner, projections) for runner in market.runners.values()]
    if "EVENT_TYPE" in projections:
        row["eventType"] = {"id": EVENT_TYPE_ID, "name": "Soccer"}
    if "COMPETITION" in projections:
        row["competition"] = {"id": "1", "name": "Sandbox League"}
    if "EVENT" in projections:
        row["event"] = {
            "id": EVENT_ID,
            "name": market.event_name,
            "countryCode": "GB",
            "timezone": "GMT",
            "openDate": start,
        }
    return row


def _runner_catalogue(runner: Runner, projections: set[str]) -> Json:
    row: Json = {
        "selectionId": runner.selection_id,
        "runnerName": runner.name,
        "handicap": ZERO,
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
        "bspReconciled": False,
        "complete": not market.grows,
        "inplay": market.inplay,
        "numberOfWinners": market.winners,
        "numberOfRunners": len(market.runners),
        "numberOfActiveRunners": active,
        "totalMatched": _total_matched(market),
        "totalAvailable": sum((_available(runner) for runner in market.runners.values()), ZERO),
        "crossMatching": False,
        "runnersVoidable": False,
        "version": market.version,
    }
    if market.last_match_ms:
        row["lastMatchTime"] = format_date(market.last_match_ms)
    return row


def _runner_row(runner: Runner, depth: int | None, *, show: bool) -> Json:
    row: Json = {
        "selectionId": runner.selection_id,
        "handicap": ZERO,
        "status": runner.status,
        "totalMatched": runner.total_matched,
    }
    if runner.last_price is not None:
        row["lastPriceTraded"] = runner.last_price
    if runner.removed_ms:
        row["removalDate"] = format_date(runner.removed_ms)
    if show:
        row["ex"] = {
            "availableToBack": _levels(runner, Side.LAY, depth),
            "availableToLay": _levels(runner, Side.BACK, depth),
            "tradedVolume": [],
        }
    return row


def _levels(runner: Runner, side: Side, depth: int | None) -> list[Json]:
    return [{"price": price, "size": size} for price, size in runner.book.levels(side)[:depth]]


def _add_orders(market: Market, account: Account, projection: str, rows: list[Json]) -> None:
    for row in rows:
        row["orders"] = [
            _book_order(bet)
            for bet in market.bets.values()
            if bet.account == account.name
            and bet.selection_id == row["selectionId"]
            and projection in {"ALL", bet.status}
        ]


def _book_order(bet: Bet) -> Json:
    row: Json = {
        "betId": str(bet.bet_id),
        "orderType": "LIMIT",
        "status": bet.status,
        "persistenceType": bet.persistence,
        "side": bet.side.value,
        "price": bet.price,
        "size": bet.size,
        "bspLiability": ZERO,
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
