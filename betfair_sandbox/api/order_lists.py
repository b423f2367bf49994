"""What customers read about their bets: listCurrentOrders and listClearedOrders.

Owns: filters, order, pages and fields of the two lists. Reads only. Units: dates on the wire are UTC with
milliseconds, bets' own dates have whole seconds, as at Betfair.
"""

import sys
from collections.abc import Callable, Iterable
from operator import attrgetter
from typing import Any, Final, TypeVar

from betfair_sandbox.api.wire import ApiError, BadValue, Json, Params, format_date, missing
from betfair_sandbox.market.accounts import Account
from betfair_sandbox.market.exchange import Exchange
from betfair_sandbox.market.markets import EXECUTABLE, Bet, Market
from betfair_sandbox.market.money import ZERO
from betfair_sandbox.market.register import CLEARED_STATUSES
from betfair_sandbox.market.rules import MAX_IDS, to_whole

_PAGE: Final = 1_000  # Betfair: the longest page of either list
REGULATOR: Final = "GIBRALTAR REGULATOR"

_T = TypeVar("_T")
_Instant = Callable[[Bet], int]
_ORDERINGS: Final[dict[str, _Instant]] = {
    "BY_BET": lambda bet: bet.placed_ms,
    "BY_PLACE_TIME": lambda bet: bet.placed_ms,
    "BY_MARKET": lambda bet: bet.placed_ms,
    "BY_MATCH_TIME": lambda bet: bet.matched_ms,
    "BY_SETTLED_TIME": lambda bet: bet.settled_ms,
    "BY_VOID_TIME": lambda bet: bet.voided_ms,
}
_CLEARED_MS: Final[dict[str, _Instant]] = {
    "SETTLED": attrgetter("settled_ms"),
    "VOIDED": attrgetter("voided_ms"),
    "LAPSED": attrgetter("lapsed_ms"),
    "CANCELLED": attrgetter("cancelled_ms"),
}
_PROJECTIONS: Final = ("ALL", "EXECUTABLE", "EXECUTION_COMPLETE")
# Clients have these from the stream; Betfair's REST has no such fields (betcode-org/betfair, bettingresources.py).
_STREAM_ONLY: Final = ("cancelledDate", "lapsedDate", "lapseStatusReasonCode")
_SIDES: Final = ("BACK", "LAY")


def current_orders(exchange: Exchange, account: Account, params: Params) -> Json:
    """Answer listCurrentOrders."""
    bet_ids, market_ids = params.texts("betIds"), set(params.texts("marketIds"))
    if len(bet_ids) + len(market_ids) > MAX_IDS:
        raise ApiError("REQUEST_SIZE_EXCEEDS_LIMIT")
    refs, strategies = params.texts("customerOrderRefs"), set(params.texts("customerStrategyRefs"))
    projection = params.choice("orderProjection", _PROJECTIONS, "ALL")
    ordering = params.choice("orderBy", tuple(_ORDERINGS), "BY_PLACE_TIME")
    instant = _ORDERINGS[ordering]
    earliest, latest = params.instants("dateRange")
    register = exchange.registers[account.name]
    if bet_ids:
        candidates: Iterable[Bet] = _by_ids(register.current, bet_ids)
    elif refs:
        candidates = (bet for bet in register.by_refs(refs) if bet.bet_id in register.current)
    else:
        candidates = (register.open if projection == EXECUTABLE else register.current).values()
    wanted_refs = set(refs)
    found = [
        bet
        for bet in candidates
        if (projection in {"ALL", bet.status})
        and (not market_ids or bet.market_id in market_ids)
        and (not wanted_refs or bet.customer_order_ref in wanted_refs)
        and (not strategies or bet.customer_strategy_ref in strategies)
        and instant(bet)
        and _within(instant(bet), earliest, latest)
    ]
    descending = params.choice("sortDir", ("EARLIEST_TO_LATEST", "LATEST_TO_EARLIEST")) == "LATEST_TO_EARLIEST"
    if ordering == "BY_MARKET":
        found.sort(key=lambda bet: (bet.market_id, bet.bet_id), reverse=descending)
    else:
        found.sort(key=lambda bet: (instant(bet), bet.bet_id), reverse=descending)
    page, more = _page(found, params)
    rows = [{name: value for name, value in order_row(bet).items() if name not in _STREAM_ONLY} for bet in page]
    if params.flag("includeItemDescription"):
        for row in rows:
            version = exchange.markets[row["marketId"]].version
            row["currentItemDescription"] = {"marketVersion": {"version": version}}
    return {"currentOrders": rows, "moreAvailable": more}


def order_row(bet: Bet) -> Json:
    """Return a bet in listCurrentOrders' fields."""
    row: Json = {
        "betId": str(bet.bet_id),
        "marketId": bet.market_id,
        "selectionId": bet.selection_id,
        "handicap": bet.handicap,
        "priceSize": {"price": bet.price, "size": bet.size},
        "bspLiability": bet.bsp_liability,
        "side": bet.side.value,
        "status": bet.status,
        "persistenceType": bet.persistence,
        "orderType": bet.order_type,
        "placedDate": format_date(bet.placed_ms),
        "averagePriceMatched": bet.average_price_matched,
        "sizeMatched": bet.size_matched,
        "sizeRemaining": bet.size_remaining,
        "sizeLapsed": bet.size_lapsed,
        "sizeCancelled": bet.size_cancelled,
        "sizeVoided": bet.size_voided,
        "regulatorCode": REGULATOR,
    }
    for name, instant_ms in (
        ("matchedDate", bet.matched_ms),
        ("cancelledDate", bet.cancelled_ms),
        ("lapsedDate", bet.lapsed_ms),
    ):
        if instant_ms:
            row[name] = format_date(instant_ms)
    if bet.lapse_reason:
        row["lapseStatusReasonCode"] = bet.lapse_reason
    if bet.customer_order_ref:
        row["customerOrderRef"] = bet.customer_order_ref
    if bet.customer_strategy_ref:
        row["customerStrategyRef"] = bet.customer_strategy_ref
    return row


def cleared_orders(exchange: Exchange, account: Account, params: Params) -> Json:
    """Answer listClearedOrders."""
    if not params.has("betStatus"):
        raise missing()
    status = params.choice("betStatus", CLEARED_STATUSES)
    group = params.choice("groupBy", tuple(_GROUPS), "BET")
    if params.has("groupBy") and status != "SETTLED":
        raise BadValue("groupBy is for betStatus SETTLED only")
    register = exchange.registers[account.name]
    cleared = register.cleared[status]
    bet_ids, refs = params.texts("betIds"), params.texts("customerOrderRefs")
    if bet_ids:
        candidates: Iterable[Bet] = _by_ids(cleared, bet_ids)
    elif refs:
        candidates = (bet for bet in register.by_refs(refs) if bet.bet_id in cleared)
    else:
        candidates = cleared.values()
    cleared_ms = _CLEARED_MS[status]
    earliest, latest = params.instants("settledDateRange")
    # By time first, and cheaply: clients ask for the last minutes, again and again, of all that was ever cleared.
    first, last = earliest or 0, sys.maxsize if latest is None else latest
    in_time = [bet for bet in candidates if first <= cleared_ms(bet) <= last]
    found = sorted(_selected(exchange, in_time, params), key=attrgetter("bet_id"))
    found.sort(key=cleared_ms)
    describe = params.flag("includeItemDescription")
    if group != "BET":
        rows, more = _page(_grouped(exchange, found, group, describe=describe), params)
        return {"clearedOrders": rows, "moreAvailable": more}
    page, more = _page(found, params)
    rows = [_cleared_row(exchange.markets[bet.market_id], bet, status, describe=describe) for bet in page]
    return {"clearedOrders": rows, "moreAvailable": more}


def _selected(exchange: Exchange, bets: list[Bet], params: Params) -> list[Bet]:
    """Return the bets that pass the filters, one filter after the other: each is a loop that costs next to nothing."""
    runners = {
        (runner.text("marketId"), runner.integer("selectionId"))
        for runner in (Params(value, "runnerIds") for value in params.items("runnerIds"))
    }
    side = params.choice("side", _SIDES)
    wanted: list[tuple[set[Any], Callable[[Bet], Any]]] = [
        (set(params.texts("customerStrategyRefs")), attrgetter("customer_strategy_ref")),
        (set(params.texts("customerOrderRefs")), attrgetter("customer_order_ref")),
        (set(params.texts("marketIds")), attrgetter("market_id")),
        (set(params.texts("eventTypeIds")), lambda bet: exchange.markets[bet.market_id].event_type_id),
        (set(params.texts("eventIds")), lambda bet: exchange.markets[bet.market_id].event_id),
        (runners, attrgetter("market_id", "selection_id")),
        ({side} if side else set(), attrgetter("side")),
    ]
    for allowed, value_of in wanted:
        if allowed:
            bets = [bet for bet in bets if value_of(bet) in allowed]
    return bets


def _cleared_row(market: Market, bet: Bet, status: str, *, describe: bool) -> Json:
    row: Json = {
        "eventTypeId": market.event_type_id,
        "eventId": market.event_id,
        "marketId": bet.market_id,
        "selectionId": bet.selection_id,
        "handicap": bet.handicap,
        "betId": str(bet.bet_id),
        "placedDate": format_date(bet.placed_ms),
        "persistenceType": bet.persistence,
        "orderType": bet.order_type,
        "side": bet.side.value,
        "priceRequested": bet.price,
        "settledDate": format_date(_CLEARED_MS[status](bet)),
        "betCount": 1,
        "priceReduced": bet.price_reduced,
    }
    if bet.customer_order_ref:
        row["customerOrderRef"] = bet.customer_order_ref
    if bet.customer_strategy_ref:
        row["customerStrategyRef"] = bet.customer_strategy_ref
    if status == "SETTLED":
        row["betOutcome"] = bet.outcome
        row["lastMatchedDate"] = format_date(bet.matched_ms)
        row["priceMatched"] = bet.average_price_matched
        row["sizeSettled"] = bet.size_matched
        row["profit"] = bet.profit
    elif status == "VOIDED":
        row["sizeSettled"] = bet.size_voided
        row["profit"] = ZERO
    else:
        row["sizeCancelled"] = bet.size_cancelled if status == "CANCELLED" else bet.size_lapsed
    if describe:
        row["itemDescription"] = _description(market, market.runner_of(bet).name)
    return row


def _description(market: Market, runner_name: str | None) -> Json:
    described: Json = {
        "eventTypeDesc": market.event_type_name,
        "eventDesc": market.event_name,
        "marketDesc": market.name,
        "marketType": market.market_type,
        "marketStartTime": format_date(market.start_ms),
        "numberOfWinners": market.winners,
    }
    if market.each_way_divisor is not None:
        described["eachWayDivisor"] = market.each_way_divisor
    if runner_name is not None:
        described["runnerDesc"] = runner_name
    return described


_GROUPS: Final[dict[str, Callable[[Market, Bet], Json]]] = {
    "BET": lambda _, bet: {"betId": str(bet.bet_id)},
    "EVENT_TYPE": lambda market, _: {"eventTypeId": market.event_type_id},
    "EVENT": lambda market, _: {"eventTypeId": market.event_type_id, "eventId": market.event_id},
    "MARKET": lambda market, _: {
        "eventTypeId": market.event_type_id,
        "eventId": market.event_id,
        "marketId": market.market_id,
    },
    "RUNNER": lambda market, bet: {
        "eventTypeId": market.event_type_id,
        "eventId": market.event_id,
        "marketId": bet.market_id,
        "selectionId": bet.selection_id,
        "handicap": bet.handicap,
    },
    "SIDE": lambda _, bet: {"side": bet.side.value},
    "STRATEGY": lambda _, bet: {"customerStrategyRef": bet.customer_strategy_ref},
}
# Betfair: commission belongs to a market and to what is above it.
_WITH_COMMISSION: Final = ("EVENT_TYPE", "EVENT", "MARKET")


def _grouped(exchange: Exchange, bets: list[Bet], group: str, *, describe: bool) -> list[Json]:
    members: dict[tuple[Any, ...], list[Bet]] = {}
    for bet in bets:
        members.setdefault(tuple(_GROUPS[group](exchange.markets[bet.market_id], bet).values()), []).append(bet)
    return [_group_row(exchange, same, group, describe=describe) for same in members.values()]


def _group_row(exchange: Exchange, bets: list[Bet], group: str, *, describe: bool) -> Json:
    profit = sum((bet.profit for bet in bets), ZERO)
    row: Json = {
        **_GROUPS[group](exchange.markets[bets[0].market_id], bets[0]),
        "betCount": len(bets),
        "settledDate": format_date(max(bet.settled_ms for bet in bets)),
        "lastMatchedDate": format_date(max(bet.matched_ms for bet in bets)),
        "profit": profit,
    }
    if group in _WITH_COMMISSION:
        # Of the market, whatever part of the account's bets there a filter left.
        settled = {bet.market_id: exchange.markets[bet.market_id].results[bet.account] for bet in bets}
        row["commission"] = sum((result.commission for result in settled.values()), ZERO)
    if describe and group in {"MARKET", "RUNNER"}:
        market = exchange.markets[bets[0].market_id]
        name = market.runner_of(bets[0]).name if group == "RUNNER" else None
        row["itemDescription"] = _description(market, name)
    return row


def _by_ids(bets: dict[int, Bet], bet_ids: list[str]) -> list[Bet]:
    wanted = {to_whole(bet_id) for bet_id in bet_ids}
    return [bets[bet_id] for bet_id in sorted(bets.keys() & wanted)]


def _within(instant_ms: int, earliest: int | None, latest: int | None) -> bool:
    return (earliest is None or instant_ms >= earliest) and (latest is None or instant_ms <= latest)


def _page(found: list[_T], params: Params) -> tuple[list[_T], bool]:
    start, length = params.integer("fromRecord"), params.integer("recordCount")
    if start < 0 or length < 0:
        raise BadValue("fromRecord and recordCount are not negative")
    end = start + (min(length, _PAGE) or _PAGE)
    return found[start:end], len(found) > end
