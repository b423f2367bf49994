"""One API call from its JSON-RPC envelope to its reply, with the faults it meets on the way.

Owns: envelopes, authentication, limits per account, the journal's lines, faults. Invariants: whatever arrives is
answered with Betfair's own error and never with an exception; a fault that says "not done" strikes before the
operation, one that says "done" after it. Units: seconds.
"""

import asyncio
import logging
from collections.abc import Mapping
from typing import Final

from betfair_sandbox.api.codes import REPORT_CODES, Api
from betfair_sandbox.api.operations import Operation
from betfair_sandbox.api.wire import (
    ApiError,
    BadValue,
    Json,
    Params,
    RpcError,
    api_error,
    result,
    rpc_error,
)
from betfair_sandbox.control.faults import ORDER_METHODS, Fault
from betfair_sandbox.journal import Entry
from betfair_sandbox.market.accounts import Account
from betfair_sandbox.market.amending import failed_replacement, failure
from betfair_sandbox.market.charges import count_transactions
from betfair_sandbox.market.placing import read_place_request
from betfair_sandbox.market.rules import MAX_INSTRUCTIONS_PER_SECOND
from betfair_sandbox.world import World, clock_ms

# Betfair: calls of these in flight per account, together; more answers TOO_MANY_REQUESTS.
_MAX_IN_FLIGHT: Final = 3
_LIMITED: Final = ("listCurrentOrders", "listClearedOrders", "listMarketProfitAndLoss")
_LIMITED_WITH_ORDERS: Final = "listMarketBook"  # when it shall show orders or matches
_METHOD_LENGTH: Final = 100  # what of an unknown method's name goes into the journal
_log = logging.getLogger(__name__)


class ConnectionCut(Exception):
    """The connection shall be closed without an answer."""


class Unavailable(Exception):
    """The call shall be answered with HTTP 503."""


class Calls:
    """Answers API calls."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._in_flight: dict[str, int] = {}

    async def answer(self, call: object, headers: Mapping[str, str], received_at: float, api: Api) -> Json:
        """Answer one JSON-RPC call.

        Raises:
            ConnectionCut: a fault wants it.
            Unavailable: a fault wants it.

        """
        if not isinstance(call, dict) or not isinstance(call.get("method"), str):
            self._world.journal.open(received_at, "", None).error = "DSC-0008"
            return rpc_error(call.get("id") if isinstance(call, dict) else None, RpcError(-32600, "DSC-0008"))
        call_id = call.get("id")
        try:
            return result(call_id, await self.perform(api, call["method"], call.get("params"), headers, received_at))
        except RpcError as error:
            return rpc_error(call_id, error)
        except ApiError as error:
            return api_error(call_id, error, api)

    async def perform(
        self, api: Api, method: str, values: object, headers: Mapping[str, str], received_at: float
    ) -> object:
        """Do what a method with its prefix says and return its result.

        Raises:
            RpcError: the call was not understood.
            ApiError: it was refused.
            ConnectionCut: a fault wants it.
            Unavailable: a fault wants it.

        """
        found = self._world.operations.find(method, api)
        name = found[0] if found else method[:_METHOD_LENGTH]
        entry = self._world.journal.open(received_at, name, values)
        try:
            if found is None:
                raise RpcError(-32601, "DSC-0021")
            return await self._with_faults(entry, found[1], values, headers)
        except RpcError as error:
            entry.status, entry.error = "ERROR", error.dsc
            raise
        except (ApiError, BadValue) as error:
            refused = error if isinstance(error, ApiError) else ApiError("INVALID_INPUT_DATA", str(error))
            entry.status, entry.error = "ERROR", refused.code
            raise refused from None
        except (ConnectionCut, Unavailable):
            entry.status = entry.status or "CUT"
            raise
        except Exception:  # noqa: BLE001 - a fault of the sandbox's own must look like Betfair's, never HTTP 500
            _log.exception("%s failed", name)
            entry.status, entry.error = "ERROR", "UNEXPECTED_ERROR"
            raise ApiError("UNEXPECTED_ERROR") from None

    async def meet_faults(self, entry: Entry) -> Fault | None:
        """Let a call wait and strike it with what happens before it is acted on; return what comes after.

        Raises:
            ConnectionCut: refuse_connection.
            Unavailable: http_503.

        """
        strike: Fault | None = None
        for fault in self._world.faults.take(entry.method):
            entry.fault = fault.kind
            if fault.kind == "delay":
                await asyncio.sleep(fault.seconds)
            else:
                strike = fault
        if strike is not None and strike.kind == "refuse_connection":
            raise ConnectionCut
        if strike is not None and strike.kind == "http_503":
            raise Unavailable
        return strike

    async def _with_faults(
        self, entry: Entry, operation: Operation, values: object, headers: Mapping[str, str]
    ) -> object:
        # A call that waits here or inside the operation is in flight: that is what the limit of three counts.
        token = headers.get("X-Authentication", "")
        owner = self._world.sessions.owner(token)
        entry.account = owner.name if owner is not None else None
        counted = entry.account if _is_limited(entry.method, values) else None
        if counted is not None:
            if self._in_flight.get(counted, 0) >= _MAX_IN_FLIGHT:
                raise ApiError("TOO_MANY_REQUESTS")
            self._in_flight[counted] = self._in_flight.get(counted, 0) + 1
        try:
            fault = await self.meet_faults(entry)
            if fault is not None and fault.kind == "expire_session":
                self._world.sessions.expire(token)
            caller = self._world.sessions.caller(headers)
            if fault is not None and fault.code and fault.code not in REPORT_CODES:
                raise ApiError(fault.code)
            params = Params({} if values is None else values)
            refused = fault.code if fault is not None else ""
            if caller.delayed and entry.method in ORDER_METHODS:
                refused = "PERMISSION_DENIED"
            if refused:
                value: object = refused_report(entry.method, params, refused, caller.account.currency)
            else:
                _charge(caller.account, entry.method, params)
                value = await operation(caller, params)
                if isinstance(value, dict):
                    count_transactions(caller.account, entry.method, value, clock_ms())
            return _seen(entry, value, fault)
        finally:
            if counted is not None:
                self._in_flight[counted] -= 1


def _is_limited(method: str, values: object) -> bool:
    if method == _LIMITED_WITH_ORDERS and isinstance(values, dict):
        return values.get("orderProjection") is not None
    return method in _LIMITED


def _charge(account: Account, method: str, params: Params) -> None:
    """Count instructions; Betfair: more than 1,000 in one second answer TOO_MANY_REQUESTS."""
    if method not in ORDER_METHODS:
        return
    second, used = account.instructions
    now_s = clock_ms() // 1000
    used = (used if second == now_s else 0) + len(params.items("instructions"))
    if used > MAX_INSTRUCTIONS_PER_SECOND:
        raise ApiError("TOO_MANY_REQUESTS")
    account.instructions = (now_s, used)


def _seen(entry: Entry, value: object, fault: Fault | None) -> object:
    """Note the outcome and let the faults strike that come after the act."""
    if isinstance(value, dict) and fault is not None and fault.kind == "report_timeout":
        value = _timed_out(value)
    report = value if isinstance(value, dict) else {}
    entry.status, entry.error = report.get("status", "SUCCESS"), report.get("errorCode")
    if fault is not None and fault.kind == "drop_response":
        raise ConnectionCut
    return value


def _timed_out(report: Json) -> Json:
    """Return the report as Betfair writes it when it does not know the outcome itself."""
    known = ("status", "errorCode", "instructionReports")
    reports = [_timed_out_item(item) for item in report["instructionReports"]]
    head = {key: value for key, value in report.items() if key not in known}
    return {**head, "status": "TIMEOUT", "instructionReports": reports}


def _timed_out_item(item: Json) -> Json:
    """Return an instruction's report, or both halves of a replacement's, without what became of it."""
    halves = {name: _timed_out_item(half) for name, half in item.items() if name.endswith("InstructionReport")}
    instruction = {"instruction": item["instruction"]} if "instruction" in item else {}
    return {"status": "TIMEOUT", **instruction, **halves}


def refused_report(method: str, params: Params, code: str, currency: str) -> Json:
    """Return the execution report of an order call of which nothing was done."""
    if method == "placeOrders":
        items: list[Json] = [instruction.echo for instruction in read_place_request(params, currency).instructions]
    else:
        items = [Params(item, "instruction").values for item in params.items("instructions")]
    head = {key: params.text(key) for key in ("customerRef", "marketId") if params.has(key)}
    failed = failed_replacement if method == "replaceOrders" else failure
    reports = [failed("ERROR_IN_ORDER", item) for item in items]
    return {**head, "status": "FAILURE", "errorCode": code, "instructionReports": reports}
