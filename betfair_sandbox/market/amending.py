"""Changing what rests: cancelOrders, updateOrders, replaceOrders.

Owns: which change of which bet is allowed, and their reports. Invariants: each instruction succeeds or fails alone; a
cancellation is not undone when its replacement cannot be placed, as at Betfair. Units: account currency.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from betfair_sandbox.api.wire import BadValue, Json, Params, format_date, in_range, missing
from betfair_sandbox.market.accounts import Account
from betfair_sandbox.market.exchange import Exchange
from betfair_sandbox.market.markets import LIMIT, LIMIT_ON_CLOSE, LINE_PRICE, MARKET_ON_CLOSE, Bet
from betfair_sandbox.market.money import ZERO
from betfair_sandbox.market.placing import PlaceRequest, place, sp_open
from betfair_sandbox.market.rules import (
    MAX_CANCEL_INSTRUCTIONS,
    PERSISTENCE_TYPES,
    Instruction,
    bet_size_ok,
    judged_price,
    profit_ratio_ok,
    valid_ref,
)

# What a report says of an order that it does not know; clients count on the fields.
_UNKNOWN_BET: Final = {"selectionId": 0, "side": "BACK"}
_BET_ID: Final = re.compile(r"[0-9]{1,19}")


@dataclass(frozen=True, slots=True)
class AmendRequest:
    """A call that names bets of one market."""

    market_id: str
    items: list[Params]
    head: Json


def read_amend_request(params: Params) -> AmendRequest:
    """Read the parameters that the three operations share.

    Raises:
        BadValue: one of them cannot be read.
        RpcError: an instruction names no bet.

    """
    market_id, customer_ref = params.text("marketId"), params.text("customerRef")
    if not valid_ref(customer_ref):
        raise BadValue("customerRef is longer than 32 or has other characters")
    items = [Params(item, "instruction") for item in params.items("instructions")]
    if not all(item.text("betId") for item in items):
        raise missing()
    head: Json = {"marketId": market_id} if market_id else {}
    return AmendRequest(market_id, items, {**head, "customerRef": customer_ref} if customer_ref else head)


def cancel_orders(exchange: Exchange, account: Account, params: Params) -> Json:
    """Answer cancelOrders; without instructions it cancels all bets of the market, without a market all bets."""
    request = read_amend_request(params)
    if not request.items:
        register = exchange.registers[account.name]
        bets = [bet for bet in register.open.values() if request.market_id in {"", bet.market_id}]
        bets = [bet for bet in bets if bet.order_type == LIMIT]
        reports = [_cancel(exchange, bet, None, {"betId": str(bet.bet_id)}) for bet in bets]
        return {**request.head, "status": "SUCCESS", "instructionReports": reports}
    return _request_refusal(request, failure) or _report(
        request, [_cancel_one(exchange, account, request.market_id, item) for item in request.items]
    )


def update_orders(exchange: Exchange, account: Account, params: Params) -> Json:
    """Answer updateOrders: change the persistence of bets."""
    request = read_amend_request(params)
    if not request.items:
        raise missing()
    for item in request.items:
        if not item.choice("newPersistenceType", PERSISTENCE_TYPES):
            raise missing()
    return _request_refusal(request, failure) or _report(
        request, [_update_one(exchange, account, request.market_id, item) for item in request.items]
    )


def replace_orders(exchange: Exchange, account: Account, request: AmendRequest) -> Json:
    """Answer replaceOrders: cancel bets and place what remained of them at new prices, under new ids."""
    if not request.items:
        raise missing()
    prices = [judged_price(price) for item in request.items if (price := item.double("newPrice")) is not None]
    if len(prices) < len(request.items):
        raise missing()
    return _request_refusal(request, failed_replacement) or _report(
        request,
        [
            _replace_one(exchange, account, request.market_id, item, price)
            for item, price in zip(request.items, prices, strict=True)
        ],
    )


def _request_refusal(request: AmendRequest, failed: Callable[[str, Json], Json]) -> Json | None:
    bet_ids = [item.text("betId") for item in request.items]
    if len(bet_ids) > MAX_CANCEL_INSTRUCTIONS:
        code = "TOO_MANY_INSTRUCTIONS"
    elif not request.market_id:
        code = "INVALID_MARKET_ID"
    elif len(set(bet_ids)) < len(bet_ids):
        code = "DUPLICATE_BETIDS"
    else:
        return None
    reports = [failed("ERROR_IN_ORDER", item.values) for item in request.items]
    return {**request.head, "status": "FAILURE", "errorCode": code, "instructionReports": reports}


def _report(request: AmendRequest, reports: list[Json]) -> Json:
    failed = sum(report["status"] != "SUCCESS" for report in reports)
    outer: Json = {"status": "SUCCESS"}
    if failed:
        code = "BET_ACTION_ERROR" if failed == len(reports) else "PROCESSED_WITH_ERRORS"
        outer = {"status": "FAILURE" if failed == len(reports) else code, "errorCode": code}
    return {**request.head, **outer, "instructionReports": reports}


def _find(
    exchange: Exchange, account: Account, market_id: str, item: Params, types: tuple[str, ...] = (LIMIT,)
) -> tuple[Bet | None, str]:
    """Return (bet, "") when it can still be changed, else (None, why not); Betfair: LIMIT orders only."""
    bet_id = item.text("betId")
    bet = exchange.bets.get(int(bet_id)) if _BET_ID.fullmatch(bet_id) else None
    if bet is None or bet.account != account.name or bet.market_id != market_id:
        return None, "INVALID_BET_ID"
    return (bet, "") if bet.size_remaining and bet.order_type in types else (None, "BET_TAKEN_OR_LAPSED")


def _cancel_one(exchange: Exchange, account: Account, market_id: str, item: Params) -> Json:
    reduction = item.double("sizeReduction")
    if reduction is not None and not in_range(reduction):
        return failure("INVALID_BET_SIZE", item.values)
    bet, code = _find(exchange, account, market_id, item)
    if bet is None:
        return failure(code, item.values)
    if reduction is not None and reduction < bet.size_remaining:
        left = bet.size_remaining - reduction
        price = LINE_PRICE if exchange.markets[bet.market_id].is_line else bet.price
        if reduction <= 0 or not bet_size_ok(price, left + bet.size_matched, account.currency):
            return failure("INVALID_BET_SIZE", item.values)
        if not profit_ratio_ok(price, left):
            return failure("INVALID_PROFIT_RATIO", item.values)
    return _cancel(exchange, bet, reduction, item.values)


def _cancel(exchange: Exchange, bet: Bet, reduction: Decimal | None, instruction: Json) -> Json:
    size = exchange.cancel(bet, reduction)
    return {
        "status": "SUCCESS",
        "instruction": instruction,
        "sizeCancelled": size,
        "cancelledDate": format_date(bet.cancelled_ms),
    }


def _update_one(exchange: Exchange, account: Account, market_id: str, item: Params) -> Json:
    persistence = item.choice("newPersistenceType", PERSISTENCE_TYPES)
    bet, code = _find(exchange, account, market_id, item)
    if bet is None:
        return failure(code, item.values)
    market = exchange.markets[bet.market_id]
    if (persistence == MARKET_ON_CLOSE and not sp_open(market)) or (
        persistence == "PERSIST" and not market.persistence_enabled
    ):
        return failure("INVALID_PERSISTENCE_TYPE", item.values)
    if persistence == bet.persistence:
        return failure("NO_ACTION_REQUIRED", item.values)
    bet.persistence = persistence
    exchange.changes.bet(bet)
    return {"status": "SUCCESS", "instruction": item.values}


def _replace_one(exchange: Exchange, account: Account, market_id: str, item: Params, price: Decimal) -> Json:
    bet, code = _find(exchange, account, market_id, item, (LIMIT, LIMIT_ON_CLOSE))
    if bet is not None and not exchange.markets[bet.market_id].price_allowed(price):
        return failed_replacement("INVALID_ODDS", item.values, bet)
    if bet is None:
        return failed_replacement(code, item.values)
    size = bet.size_remaining
    cancelled = _cancel(exchange, bet, None, {"betId": str(bet.bet_id)})
    placed = _place_again(exchange, account, bet, size, price)
    report: Json = {"status": placed["status"], "cancelInstructionReport": cancelled, "placeInstructionReport": placed}
    return report if placed["status"] == "SUCCESS" else {**report, "errorCode": "CANCELLED_NOT_PLACED"}


def _place_again(exchange: Exchange, account: Account, bet: Bet, size: Decimal, price: Decimal) -> Json:
    limit: Json = {"size": size, "price": price, "persistenceType": bet.persistence}
    echo: Json = {"selectionId": bet.selection_id, "handicap": bet.handicap}
    if bet.order_type == LIMIT:
        echo |= {"limitOrder": limit, "orderType": LIMIT, "side": bet.side.value}
    else:
        on_close = {"liability": size, "price": price}
        echo |= {"limitOnCloseOrder": on_close, "orderType": LIMIT_ON_CLOSE, "side": bet.side.value}
    instruction = Instruction(
        echo,
        bet.selection_id,
        bet.side,
        price,
        size,
        bet.persistence,
        None,
        bet.customer_order_ref,
        "",
        "" if bet.order_type != LIMIT or profit_ratio_ok(price, size) else "INVALID_PROFIT_RATIO",
        bet.handicap,
        bet.order_type,
    )
    request = PlaceRequest(bet.market_id, [instruction], "", bet.customer_strategy_ref)
    report: Json = place(exchange, account, request)["instructionReports"][0]
    return report


def failure(code: str, instruction: Json) -> Json:
    """Return the report of an instruction that was not done."""
    return {"status": "FAILURE", "errorCode": code, "instruction": instruction}


def failed_replacement(code: str, instruction: Json, bet: Bet | None = None) -> Json:
    """Return the report of a replacement of which neither half was done; clients' types count on a whole order."""
    placed = {"selectionId": bet.selection_id, "side": bet.side.value} if bet is not None else _UNKNOWN_BET
    size, persistence = (bet.size_remaining, bet.persistence) if bet is not None else (ZERO, "LAPSE")
    order = {"size": size, "price": instruction.get("newPrice"), "persistenceType": persistence}
    placed = {**placed, "orderType": LIMIT, "limitOrder": order}
    return {
        "status": "FAILURE",
        "errorCode": code,
        "cancelInstructionReport": failure(code, {"betId": instruction.get("betId")}),
        "placeInstructionReport": failure("RELATED_ACTION_FAILED", placed),
    }
