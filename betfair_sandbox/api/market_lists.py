"""What customers read about markets' prices: listMarketBook, listRunnerBook.

Owns: their filters, limits and fields. Reads only, except that an unknown market asked for by id appears, as it does
when it is bet on. Units: prices and sizes as in the book.
"""

from collections.abc import Callable
from decimal import Decimal
from typing import Final

from betfair_sandbox.api.wire import ApiError, BadValue, Json, Params, format_date, missing
from betfair_sandbox.market.accounts import Account, Caller
from betfair_sandbox.market.exchange import Exchange
from betfair_sandbox.market.markets import Bet, Market, Runner, runner_key
from betfair_sandbox.market.money import ZERO, Side
from betfair_sandbox.market.rollup import rolled_up

_MAX_WEIGHT: Final = 200  # Betfair: Market Data Request Limits, sum of weights x markets
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
_NO_ORDER_FILTERS: Final = ("customerStrategyRefs", "betIds", "matchedSince", "partitionMatchedByStrategyRef")
_ORDER_PROJECTIONS: Final = ("ALL", "EXECUTABLE", "EXECUTION_COMPLETE")


def market_book(exchange: Exchange, caller: Caller, params: Params) -> list[Json]:
    """Answer listMarketBook."""
    if not params.has("marketIds"):
        raise missing()
    return _books(exchange, caller, params, lambda _: True)


def runner_book(exchange: Exchange, caller: Caller, params: Params) -> list[Json]:
    """Answer listRunnerBook: a market's book with one runner."""
    for name in ("marketId", "selectionId"):
        if not params.has(name):
            raise missing()
    key = runner_key(params.integer("selectionId"), params.amount("handicap") or ZERO)
    asked = Params({**params.values, "marketIds": [params.text("marketId")]})
    return [row for row in _books(exchange, caller, asked, lambda runner: runner.key == key) if row["runners"]]


def _books(exchange: Exchange, caller: Caller, params: Params, wanted: Callable[[Runner], bool]) -> list[Json]:
    market_ids = list(dict.fromkeys(params.texts("marketIds")))
    prices = params.child("priceProjection")
    data = {Params({"p": item}).choice("p", tuple(_BOOK_WEIGHTS)) for item in prices.items("priceData")}
    orders = params.choice("orderProjection", _ORDER_PROJECTIONS)
    if params.has("matchProjection"):
        raise BadValue("matchProjection is not offered")
    unknown = [name for name in _NO_ORDER_FILTERS if params.has(name)]
    if unknown:
        raise BadValue(f"{unknown[0]} is not offered")
    currency = caller.account.currency
    if params.text("currencyCode") not in {"", currency}:
        raise BadValue(f"currencyCode is not {currency}: there are no exchange rates here")
    depth, least = _read_overrides(prices.child("exBestOffersOverrides"))
    check_weight(_book_weight(data, depth) * len(market_ids))
    offers = None if "EX_ALL_OFFERS" in data else (depth, least)
    rows = []
    for market in known_markets(exchange, market_ids):
        row = _book_row(market, delayed=caller.delayed)
        row["runners"] = [_runner_row(runner, offers, data) for runner in market.runners.values() if wanted(runner)]
        if orders:
            _add_orders(market, caller.account, orders, row["runners"])
        rows.append(row)
    return rows


def _read_overrides(overrides: Params) -> tuple[int, Decimal]:
    """Return how many best offers are shown, and which stake is rolled into the next price."""
    depth = overrides.integer("bestPricesDepth", _BEST_OFFERS)
    if depth < 1:
        raise BadValue("bestPricesDepth is not positive")
    model = overrides.choice("rollupModel", ("STAKE", "PAYOUT", "MANAGED_LIABILITY", "NONE"), "STAKE")
    if model not in {"STAKE", "NONE"}:
        raise BadValue(f"rollupModel {model} is not offered")
    return depth, ZERO if model == "NONE" else Decimal(overrides.integer("rollupLimit", 1))


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
        "totalMatched": total_matched(market),
        "totalAvailable": total_available(market),
        "crossMatching": market.cross_matching,
        "runnersVoidable": market.runners_voidable,
        "version": market.version,
    }
    if market.key_line:
        lines = [{"selectionId": selection_id, "handicap": handicap} for selection_id, handicap in market.key_line]
        row["keyLineDescription"] = {"keyLine": lines}
    if market.last_match_ms:
        row["lastMatchTime"] = format_date(market.last_match_ms)
    return row


def _runner_row(runner: Runner, offers: tuple[int, Decimal] | None, data: set[str]) -> Json:
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
            "availableToBack": _levels(runner, Side.LAY, offers),
            "availableToLay": _levels(runner, Side.BACK, offers),
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


def _levels(runner: Runner, side: Side, offers: tuple[int, Decimal] | None) -> list[Json]:
    levels = runner.book.levels(side)
    if offers is not None:
        depth, least = offers
        levels = rolled_up(levels, least)[:depth]
    return [{"price": price, "size": size} for price, size in levels]


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


def total_matched(market: Market) -> Decimal:
    """Return what was matched on all runners."""
    return sum((runner.total_matched for runner in market.runners.values()), ZERO)


def total_available(market: Market) -> Decimal:
    """Return what is offered on all runners."""
    return sum((_available(runner) for runner in market.runners.values()), ZERO)


def _available(runner: Runner) -> Decimal:
    return sum((size for side in Side for _, size in runner.book.levels(side)), ZERO)
