"""Betfair's operations: from a method's name and parameters to its answer.

Owns: reading the parameters of each operation, its limits per call, and the bet delay. Invariant: every operation
answers with a result or raises ApiError, RpcError or BadValue. Units: seconds of delay.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Final

from executor.domain.money import ZERO
from executor.sandbox.accounts import EXPOSURE_LIMIT, Account
from executor.sandbox.exchange import Exchange, PlaceRequest, refusal
from executor.sandbox.market_lists import market_book, market_catalogue, profit_and_loss
from executor.sandbox.markets import Bet
from executor.sandbox.order_lists import cleared_orders, current_orders
from executor.sandbox.rules import (
    MAX_CANCEL_INSTRUCTIONS,
    bet_size_ok,
    profit_ratio_ok,
    read_instruction,
    valid_ref,
)
from executor.sandbox.wire import BadValue, Json, Params, format_date, missing

BETTING_PREFIX: Final = "SportsAPING/v1.0/"
ACCOUNT_PREFIX: Final = "AccountAPING/v1.0/"
_ID: Final = re.compile(r"[0-9]{1,19}")
Operation = Callable[[Account, Params], Awaitable[object]]


class Operations:
    """The operations of both APIs over one exchange."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._later: set[asyncio.TimerHandle] = set()
        betting: dict[str, Operation] = {
            "placeOrders": self._place_orders,
            "cancelOrders": self._cancel_orders,
            "listCurrentOrders": self._list_current_orders,
            "listClearedOrders": self._list_cleared_orders,
            "listMarketCatalogue": self._list_market_catalogue,
            "listMarketBook": self._list_market_book,
            "listMarketProfitAndLoss": self._list_market_profit_and_loss,
        }
        account: dict[str, Operation] = {
            "getAccountFunds": self._get_account_funds,
            "getAccountDetails": self._get_account_details,
        }
        self._methods = {False: betting, True: account}

    def find(self, method: str, *, account_api: bool) -> tuple[str, Operation] | None:
        """Return (short name, operation) for a JSON-RPC method, None when there is none."""
        prefix = ACCOUNT_PREFIX if account_api else BETTING_PREFIX
        name = method.removeprefix(prefix)
        operation = self._methods[account_api].get(name)
        return (name, operation) if operation is not None and method.startswith(prefix) else None

    def stop(self) -> None:
        """Drop the asynchronous orders that still wait for their bet delay."""
        for handle in self._later:
            handle.cancel()
        self._later.clear()

    # -- orders ------------------------------------------------------------------------------------------------------

    async def _place_orders(self, account: Account, params: Params) -> Json:
        request = read_place_request(params)
        if not self._exchange.claim_ref(account, request.customer_ref):
            return refusal(request, "DUPLICATE_TRANSACTION")
        code, codes = self._exchange.judge(account, request)
        if code:
            self._exchange.release_ref(account, request.customer_ref)
            return refusal(request, code, codes)
        delay_s = self._exchange.bet_delay_s(request.market_id)
        if params.flag("async"):
            self._place_later(account, request, delay_s)
            return _pending(request)
        if delay_s:
            await asyncio.sleep(delay_s)
        return self._place_now(account, request)

    def _place_now(self, account: Account, request: PlaceRequest) -> Json:
        report = self._exchange.place(account, request)
        if report["status"] != "SUCCESS":
            self._exchange.release_ref(account, request.customer_ref)
        return report

    def _place_later(self, account: Account, request: PlaceRequest, delay_s: int) -> None:
        def arrive() -> None:
            self._later.discard(handle)
            self._place_now(account, request)

        handle = asyncio.get_running_loop().call_later(delay_s, arrive)
        self._later.add(handle)

    async def _cancel_orders(self, account: Account, params: Params) -> Json:
        market_id, customer_ref = params.text("marketId"), params.text("customerRef")
        instructions = [Params(item, "instruction") for item in params.items("instructions")]
        head: Json = {"marketId": market_id} if market_id else {}
        if customer_ref:
            if not valid_ref(customer_ref):
                raise BadValue("customerRef is longer than 32 or has other characters")
            head["customerRef"] = customer_ref
        if not instructions:
            return {**head, **self._cancel_all(account, market_id)}
        code = _cancel_error(market_id, instructions)
        if code:
            reports = [
                {"status": "FAILURE", "errorCode": "ERROR_IN_ORDER", "instruction": item.values}
                for item in instructions
            ]
            return {**head, "status": "FAILURE", "errorCode": code, "instructionReports": reports}
        reports = [self._cancel_one(account, market_id, item) for item in instructions]
        return {**head, **_outer_status(reports), "instructionReports": reports}

    def _cancel_all(self, account: Account, market_id: str) -> Json:
        bets = [
            bet
            for bet in self._exchange.registers[account.name].open.values()
            if not market_id or bet.market_id == market_id
        ]
        reports = [self._cancelled(bet, None, {"betId": str(bet.bet_id)}) for bet in bets]
        return {"status": "SUCCESS", "instructionReports": reports}

    def _cancel_one(self, account: Account, market_id: str, item: Params) -> Json:
        bet_id, reduction = item.text("betId"), item.amount("sizeReduction")
        bet = self._exchange.bets.get(int(bet_id)) if _ID.fullmatch(bet_id) else None
        failure = ""
        if bet is None or bet.account != account.name or bet.market_id != market_id:
            failure = "INVALID_BET_ID"
        elif not bet.size_remaining:
            failure = "BET_TAKEN_OR_LAPSED"
        elif reduction is not None and reduction < bet.size_remaining:
            left = bet.size_remaining - reduction
            if reduction <= 0 or not bet_size_ok(bet.price, left + bet.size_matched):
                failure = "INVALID_BET_SIZE"
            elif not profit_ratio_ok(bet.price, left):
                failure = "INVALID_PROFIT_RATIO"
        if failure or bet is None:
            return {"status": "FAILURE", "errorCode": failure, "instruction": item.values}
        return self._cancelled(bet, reduction, item.values)

    def _cancelled(self, bet: Bet, reduction: Decimal | None, instruction: Json) -> Json:
        size = self._exchange.cancel(bet, reduction)
        return {
            "status": "SUCCESS",
            "instruction": instruction,
            "sizeCancelled": size,
            "cancelledDate": format_date(bet.cancelled_ms),
        }

    # -- lists and the account ---------------------------------------------------------------------------------------

    async def _list_current_orders(self, account: Account, params: Params) -> Json:
        return current_orders(self._exchange, account, params)

    async def _list_cleared_orders(self, account: Account, params: Params) -> Json:
        return cleared_orders(self._exchange, account, params)

    async def _list_market_catalogue(self, _account: Account, params: Params) -> list[Json]:
        return market_catalogue(self._exchange, params)

    async def _list_market_book(self, account: Account, params: Params) -> list[Json]:
        return market_book(self._exchange, account, params)

    async def _list_market_profit_and_loss(self, account: Account, params: Params) -> list[Json]:
        return profit_and_loss(self._exchange, account, params)

    async def _get_account_funds(self, account: Account, _params: Params) -> Json:
        return {
            "availableToBetBalance": account.available,
            "exposure": -account.exposure,
            "retainedCommission": ZERO,
            "exposureLimit": -EXPOSURE_LIMIT,
            "discountRate": ZERO,
            "pointsBalance": 0,
            "wallet": "UK",
        }

    async def _get_account_details(self, account: Account, _params: Params) -> Json:
        return {
            "currencyCode": account.currency,
            "firstName": "Sandbox",
            "lastName": "Customer",
            "localeCode": "en",
            "region": "GBR",
            "timezone": "GMT",
            "discountRate": ZERO,
            "pointsBalance": 0,
            "countryCode": "GB",
        }


def read_place_request(params: Params) -> PlaceRequest:
    """Read the parameters of placeOrders.

    Raises:
        BadValue: one of them cannot be read.
        RpcError: a mandatory one is absent.

    """
    for name in ("marketId", "instructions"):
        if not params.has(name):
            raise missing(name)
    items = params.items("instructions")
    if not items:
        raise BadValue("instructions is empty")
    customer_ref = params.text("customerRef")
    if not valid_ref(customer_ref):
        raise BadValue("customerRef is longer than 32 or has other characters")
    version = params.child("marketVersion")
    return PlaceRequest(
        params.text("marketId"),
        [read_instruction(item) for item in items],
        customer_ref,
        params.text("customerStrategyRef"),
        version.integer("version") if version.has("version") else None,
    )


def _pending(request: PlaceRequest) -> Json:
    reports = [
        {"status": "SUCCESS", "instruction": instruction.raw, "orderStatus": "PENDING"}
        for instruction in request.instructions
    ]
    head: Json = {"customerRef": request.customer_ref} if request.customer_ref else {}
    return {**head, "marketId": request.market_id, "status": "SUCCESS", "instructionReports": reports}


def _cancel_error(market_id: str, instructions: list[Params]) -> str:
    bet_ids = [item.text("betId") for item in instructions]
    if not all(bet_ids):
        raise missing("betId")
    if len(instructions) > MAX_CANCEL_INSTRUCTIONS:
        return "TOO_MANY_INSTRUCTIONS"
    if not market_id:
        return "INVALID_MARKET_ID"
    return "DUPLICATE_BETIDS" if len(set(bet_ids)) < len(bet_ids) else ""


def _outer_status(reports: list[Json]) -> Json:
    failed = sum(report["status"] != "SUCCESS" for report in reports)
    if not failed:
        return {"status": "SUCCESS"}
    if failed == len(reports):
        return {"status": "FAILURE", "errorCode": "BET_ACTION_ERROR"}
    return {"status": "PROCESSED_WITH_ERRORS", "errorCode": "PROCESSED_WITH_ERRORS"}
