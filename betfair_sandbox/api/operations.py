"""Betfair's operations: from a method's name and parameters to its answer.

Owns: reading the parameters of each operation, its limits per call, and the bet delay. Invariant: every operation
answers with a result or raises ApiError, RpcError or BadValue. Units: seconds of delay.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from betfair_sandbox.api import navigation
from betfair_sandbox.api.account_lists import WALLETS, account_statement, currency_rates, developer_app_keys
from betfair_sandbox.api.catalogue import market_catalogue
from betfair_sandbox.api.codes import Api
from betfair_sandbox.api.heartbeats import Heartbeats
from betfair_sandbox.api.market_lists import market_book, runner_book
from betfair_sandbox.api.order_lists import cleared_orders, current_orders
from betfair_sandbox.api.profit_lists import profit_and_loss
from betfair_sandbox.api.wire import ApiError, Json, Params
from betfair_sandbox.market.accounts import EXPOSURE_LIMIT, Account, Caller
from betfair_sandbox.market.amending import (
    cancel_orders,
    read_amend_request,
    replace_orders,
    update_orders,
)
from betfair_sandbox.market.exchange import Exchange
from betfair_sandbox.market.money import ZERO
from betfair_sandbox.market.placing import (
    PlaceRequest,
    RecentRefs,
    judge,
    pending,
    place,
    read_place_request,
    refusal,
    waits_for_nobody,
)

# Betfair offers these to accounts that have asked for it: limits per event, and what vendors' programs do.
_FORBIDDEN: Final = (
    "setDefaultExposureLimitForMarketGroups",
    "setExposureLimitForMarketGroup",
    "removeDefaultExposureLimitForMarketGroups",
    "removeExposureLimitForMarketGroup",
    "unblockMarketGroup",
    "getExposureReuseEnabledEvents",
    "addExposureReuseEnabledEvents",
    "removeExposureReuseEnabledEvents",
)
_VENDORS_ONLY: Final = (
    "createDeveloperAppKeys",
    "activateApplicationSubscription",
    "cancelApplicationSubscription",
    "getApplicationSubscriptionHistory",
    "getApplicationSubscriptionToken",
    "getAffiliateRelation",
    "getAuthorisationCode",
    "getVendorClientId",
    "getVendorDetails",
    "isAccountSubscribedToWebApp",
    "listAccountSubscriptionTokens",
    "listApplicationSubscriptionTokens",
    "listAuthorizedWebApps",
    "revokeAccessToWebApp",
    "token",
    "transferFunds",
    "updateApplicationSubscription",
)
# There is no feed of scores and race states here: these know of no event.
_SCORES: Final = ("listAvailableEvents", "listIncidents", "listRaceDetails", "listScores")
Operation = Callable[[Caller, Params], Awaitable[object]]


class Operations:
    """The operations of both APIs over one exchange."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._refs = RecentRefs()
        self._later: set[asyncio.TimerHandle] = set()
        self._heartbeats = Heartbeats(exchange)
        betting: dict[str, Operation] = {
            **self._readers(navigation.READERS),
            **dict.fromkeys(_FORBIDDEN, self._forbidden),
            "listExposureLimitsForMarketGroups": self._list_nothing,
            "listRunnerBook": self._list_runner_book,
            "placeOrders": self._place_orders,
            "cancelOrders": self._cancel_orders,
            "replaceOrders": self._replace_orders,
            "updateOrders": self._update_orders,
            "listCurrentOrders": self._list_current_orders,
            "listClearedOrders": self._list_cleared_orders,
            "listMarketCatalogue": self._list_market_catalogue,
            "listMarketBook": self._list_market_book,
            "listMarketProfitAndLoss": self._list_market_profit_and_loss,
        }
        account: dict[str, Operation] = {
            "getAccountFunds": self._get_account_funds,
            "getAccountDetails": self._get_account_details,
            "getAccountStatement": self._get_account_statement,
            "listCurrencyRates": self._list_currency_rates,
            "getDeveloperAppKeys": self._get_developer_app_keys,
            **dict.fromkeys(_VENDORS_ONLY, self._vendors_only),
        }
        self._methods: dict[str, dict[str, Operation]] = {
            "betting": betting,
            "account": account,
            "heartbeat": {"heartbeat": self._heartbeat},
            "scores": dict.fromkeys(_SCORES, self._list_nothing),
        }

    def names(self) -> dict[str, tuple[str, ...]]:
        """Return the names of the operations of each API."""
        return {api: tuple(methods) for api, methods in self._methods.items()}

    def find(self, method: str, api: Api) -> tuple[str, Operation] | None:
        """Return (short name, operation) for a JSON-RPC method, None when there is none."""
        name = method.removeprefix(api.prefix)
        operation = self._methods[api.name].get(name)
        return (name, operation) if operation is not None and method.startswith(api.prefix) else None

    def tick(self) -> None:
        """Do what is due: cancel for customers whose heartbeat has stopped."""
        self._heartbeats.tick()

    def stop(self) -> None:
        """Drop the asynchronous orders that still wait for their bet delay."""
        for handle in self._later:
            handle.cancel()
        self._later.clear()

    # -- orders ------------------------------------------------------------------------------------------------------

    async def _place_orders(self, caller: Caller, params: Params) -> Json:
        account = caller.account
        request = read_place_request(params, account.currency)
        if not self._refs.claim(account, request.customer_ref, self._exchange.now_ms()):
            return refusal(request, "DUPLICATE_TRANSACTION")
        code, codes = judge(self._exchange, account, request)
        if code:
            self._refs.release(account, request.customer_ref)
            return refusal(request, code, codes)
        delay_s = 0 if waits_for_nobody(self._exchange, request) else self._exchange.bet_delay_s(request.market_id)
        if params.flag("async"):
            self._place_later(account, request, delay_s)
            return pending(request)
        if delay_s:
            await asyncio.sleep(delay_s)
        return self._place_now(account, request)

    def _place_now(self, account: Account, request: PlaceRequest) -> Json:
        report = place(self._exchange, account, request)
        if report["status"] != "SUCCESS":
            self._refs.release(account, request.customer_ref)
        return report

    def _place_later(self, account: Account, request: PlaceRequest, delay_s: int) -> None:
        def arrive() -> None:
            self._later.discard(handle)
            self._place_now(account, request)

        handle = asyncio.get_running_loop().call_later(delay_s, arrive)
        self._later.add(handle)

    async def _cancel_orders(self, caller: Caller, params: Params) -> Json:
        return cancel_orders(self._exchange, caller.account, params)

    async def _update_orders(self, caller: Caller, params: Params) -> Json:
        return update_orders(self._exchange, caller.account, params)

    async def _replace_orders(self, caller: Caller, params: Params) -> Json:
        request = read_amend_request(params)
        delay_s = self._exchange.bet_delay_s(request.market_id)
        if delay_s:
            await asyncio.sleep(delay_s)
        return replace_orders(self._exchange, caller.account, request)

    # -- lists and the account ---------------------------------------------------------------------------------------

    async def _list_current_orders(self, caller: Caller, params: Params) -> Json:
        return current_orders(self._exchange, caller.account, params)

    async def _list_cleared_orders(self, caller: Caller, params: Params) -> Json:
        return cleared_orders(self._exchange, caller.account, params)

    async def _list_market_catalogue(self, _caller: Caller, params: Params) -> list[Json]:
        return market_catalogue(self._exchange, params)

    async def _list_market_book(self, caller: Caller, params: Params) -> list[Json]:
        return market_book(self._exchange, caller, params)

    async def _list_market_profit_and_loss(self, caller: Caller, params: Params) -> list[Json]:
        return profit_and_loss(self._exchange, caller.account, params)

    async def _list_runner_book(self, caller: Caller, params: Params) -> list[Json]:
        return runner_book(self._exchange, caller, params)

    def _readers(self, readers: Mapping[str, Callable[[Exchange, Params], object]]) -> dict[str, Operation]:
        def operation(read: Callable[[Exchange, Params], object]) -> Operation:
            async def act(_caller: Caller, params: Params) -> object:
                return read(self._exchange, params)

            return act

        return {name: operation(read) for name, read in readers.items()}

    async def _forbidden(self, _caller: Caller, _params: Params) -> object:
        raise ApiError("ACCESS_DENIED")

    async def _vendors_only(self, _caller: Caller, _params: Params) -> object:
        raise ApiError("INVALID_APP_KEY", "the application key is not one of a vendor's")

    async def _list_nothing(self, _caller: Caller, _params: Params) -> list[Json]:
        return []

    async def _heartbeat(self, caller: Caller, params: Params) -> Json:
        return self._heartbeats.beat(caller.account, params)

    async def _get_account_statement(self, caller: Caller, params: Params) -> Json:
        return account_statement(self._exchange, caller.account, params)

    async def _list_currency_rates(self, _caller: Caller, params: Params) -> list[Json]:
        return currency_rates(params)

    async def _get_developer_app_keys(self, caller: Caller, _params: Params) -> list[Json]:
        return developer_app_keys(caller.account)

    async def _get_account_funds(self, caller: Caller, params: Params) -> Json:
        account = caller.account
        wallet = params.choice("wallet", WALLETS, "UK")
        return {
            "availableToBetBalance": account.available,
            "exposure": -account.exposure,
            "retainedCommission": ZERO,
            "exposureLimit": -EXPOSURE_LIMIT,
            "discountRate": account.discount_rate,
            "pointsBalance": 0,
            "wallet": wallet,
        }

    async def _get_account_details(self, caller: Caller, _params: Params) -> Json:
        return {
            "currencyCode": caller.account.currency,
            "firstName": "Sandbox",
            "lastName": "Customer",
            "localeCode": "en",
            "region": "GBR",
            "timezone": "GMT",
            "discountRate": caller.account.discount_rate,
            "pointsBalance": 0,
            "countryCode": "GB",
        }
