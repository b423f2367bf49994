"""Placing: from a placeOrders request to its report, all instructions or none.

Owns: Betfair's rules for a whole request, in the order in which they are applied, and the memory of customerRefs.
Invariants: a request that is refused changes nothing; no placed bet leaves an account with less than nothing
available. Units: epoch milliseconds, account currency.
"""

from collections import OrderedDict
from dataclasses import dataclass

from betfair_sandbox.api.wire import BadValue, Json, Params, format_date, missing
from betfair_sandbox.market.accounts import EXPOSURE_LIMIT, Account
from betfair_sandbox.market.definition_parts import PASSIVE
from betfair_sandbox.market.exchange import Exchange
from betfair_sandbox.market.markets import LIMIT, LINE_PRICE, MARKET_ON_CLOSE, Bet, Market, runner_key
from betfair_sandbox.market.money import ZERO
from betfair_sandbox.market.rules import (
    DEDUPE_MS,
    LARGEST_VERSION,
    MAX_PLACE_INSTRUCTIONS,
    Instruction,
    back_and_lay_cross,
    limit_size_error,
    read_instruction,
    valid_ref,
    valid_strategy_ref,
)


@dataclass(frozen=True, slots=True)
class PlaceRequest:
    """One placeOrders call as understood."""

    market_id: str
    instructions: list[Instruction]
    customer_ref: str = ""
    strategy_ref: str = ""
    version: int | None = None


def read_place_request(params: Params, currency: str) -> PlaceRequest:
    """Read the parameters of placeOrders of an account in `currency`.

    Raises:
        BadValue: one of them cannot be read.
        RpcError: a mandatory one is absent.

    """
    for name in ("marketId", "instructions"):
        if not params.has(name):
            raise missing()
    items = params.items("instructions")
    if not items:
        raise BadValue("instructions is empty")
    customer_ref = params.text("customerRef")
    if not valid_ref(customer_ref):
        raise BadValue("customerRef is longer than 32 or has other characters")
    version = params.child("marketVersion")
    return PlaceRequest(
        params.text("marketId"),
        [read_instruction(item, currency) for item in items],
        customer_ref,
        params.text("customerStrategyRef"),
        version.integer("version") if version.has("version") else None,
    )


class RecentRefs:
    """The customerRefs of the last 60 seconds; Betfair: placeOrders."""

    def __init__(self) -> None:
        self._claimed: OrderedDict[tuple[str, str], int] = OrderedDict()

    def claim(self, account: Account, customer_ref: str, now_ms: int) -> bool:
        """Remember a reference; False when it is remembered already."""
        while self._claimed and next(iter(self._claimed.values())) <= now_ms - DEDUPE_MS:
            self._claimed.popitem(last=False)
        key = (account.name, customer_ref)
        if key in self._claimed:
            return False
        if customer_ref:
            self._claimed[key] = now_ms
        return True

    def release(self, account: Account, customer_ref: str) -> None:
        """Forget the reference of a request that placed nothing."""
        self._claimed.pop((account.name, customer_ref), None)


def judge(exchange: Exchange, account: Account, request: PlaceRequest) -> tuple[str, list[str]]:
    """Return the ExecutionReportErrorCode a request earns and its instructions' own; ("", []) when it is fine."""
    code, market = _judge_market(exchange, request)
    if code or market is None:
        return code, []
    codes = [_instruction_error(market, request, instruction, account.currency) for instruction in request.instructions]
    crossing = back_and_lay_cross(request.instructions)
    for at, instruction in enumerate(request.instructions):
        if not codes[at] and (instruction.selection_id, instruction.handicap) in crossing:
            codes[at] = "INVALID_BACK_LAY_COMBINATION"
    if any(codes):
        return "BET_ACTION_ERROR", codes
    return ("", []) if _affordable(account, market, request.instructions) else ("INSUFFICIENT_FUNDS", [])


def place(exchange: Exchange, account: Account, request: PlaceRequest) -> Json:
    """Place all instructions or none; return the PlaceExecutionReport."""
    code, codes = judge(exchange, account, request)
    if code:
        return refusal(request, code, codes)
    market = exchange.markets[request.market_id]
    reports = [_place_one(exchange, account, market, request, instruction) for instruction in request.instructions]
    return {**_head(request), "status": "SUCCESS", "instructionReports": reports}


def pending(request: PlaceRequest) -> Json:
    """Return the report of an asynchronous request: taken, no bet ids yet."""
    reports = [
        {"status": "SUCCESS", "instruction": instruction.echo, "orderStatus": "PENDING"}
        for instruction in request.instructions
    ]
    return {**_head(request), "status": "SUCCESS", "instructionReports": reports}


def refusal(request: PlaceRequest, code: str, codes: list[str] | None = None) -> Json:
    """Return the report of a request of which nothing was placed."""
    reports = [
        {
            "status": "FAILURE",
            "errorCode": (codes[at] if codes else "") or "ERROR_IN_ORDER",
            "instruction": instruction.echo,
        }
        for at, instruction in enumerate(request.instructions)
    ]
    return {**_head(request), "status": "FAILURE", "errorCode": code, "instructionReports": reports}


def _judge_market(exchange: Exchange, request: PlaceRequest) -> tuple[str, Market | None]:
    if len(request.instructions) > MAX_PLACE_INSTRUCTIONS:
        return "TOO_MANY_INSTRUCTIONS", None
    if request.version is not None and not 0 <= request.version <= LARGEST_VERSION:
        return "INVALID_MARKET_VERSION", None
    if not exchange.room_for_bets(len(request.instructions)):
        return "SERVICE_UNAVAILABLE", None
    market = exchange.market(request.market_id)
    if market is None:
        return "INVALID_MARKET_ID", None
    if market.status == "SUSPENDED":
        return "MARKET_SUSPENDED", None
    return ("", market) if market.status == "OPEN" else ("MARKET_NOT_OPEN_FOR_BETTING", None)


def _instruction_error(market: Market, request: PlaceRequest, instruction: Instruction, currency: str) -> str:
    error = instruction.error or _price_or_size_error(market, instruction, currency)
    if error:
        return error
    if not valid_strategy_ref(request.strategy_ref):
        return "INVALID_CUSTOMER_STRATEGY_REF"
    runner = market.runners.get(runner_key(instruction.selection_id, instruction.handicap))
    if runner is None and (not market.grows or instruction.handicap or instruction.selection_id <= 0):
        return "INVALID_RUNNER"
    if runner is not None and runner.status != "ACTIVE":
        return "RUNNER_REMOVED"
    if (instruction.order_type != LIMIT or instruction.persistence == MARKET_ON_CLOSE) and not sp_open(market):
        return "INVALID_PERSISTENCE_TYPE" if instruction.order_type == LIMIT else "MARKET_NOT_OPEN_FOR_BSP_BETTING"
    if instruction.persistence == "PERSIST" and not market.persistence_enabled:
        return "INVALID_PERSISTENCE_TYPE"
    if request.version is not None and request.version < market.version:
        return "BET_TAKEN_OR_LAPSED"
    return ""


def _price_or_size_error(market: Market, instruction: Instruction, currency: str) -> str:
    of_market = instruction.order_type != MARKET_ON_CLOSE
    if of_market and not market.price_allowed(instruction.price):
        return "INVALID_ODDS"
    if market.is_line and instruction.order_type == LIMIT:
        return limit_size_error(LINE_PRICE, instruction.size, currency)
    return instruction.size_error


def sp_open(market: Market) -> bool:
    """Tell whether orders for the starting price are taken."""
    return market.bsp_market and not market.bsp_reconciled and not market.inplay


def waits_for_nobody(exchange: Exchange, request: PlaceRequest) -> bool:
    """Tell whether a request is taken without the bet delay: nothing of it can be matched at once.

    Betfair: the bet delay model PASSIVE.
    """
    market = exchange.markets.get(request.market_id)
    if market is None or PASSIVE not in market.bet_delay_models:
        return False
    for instruction in request.instructions:
        runner = market.runners.get(runner_key(instruction.selection_id, instruction.handicap))
        if runner is None or instruction.order_type != LIMIT or instruction.kill_below is not None:
            return False
        if runner.book.crosses(instruction.side, instruction.price):
            return False
    return True


def _affordable(account: Account, market: Market, instructions: list[Instruction]) -> bool:
    """Tell whether the account can lose what its bets on the market would then lose at worst, none matched against."""
    positions = {key: position.copy() for key, position in account.positions.get(market.market_id, {}).items()}
    for instruction in instructions:
        key = runner_key(instruction.selection_id, instruction.handicap)
        position = positions.setdefault(key, market.new_position())
        if instruction.order_type == LIMIT:
            position.open(instruction.side, instruction.price, instruction.size)
        else:
            position.risk(instruction.side, instruction.size)
    added = market.exposure(list(positions.values())) - account.exposures.get(market.market_id, ZERO)
    return added <= min(account.available, EXPOSURE_LIMIT - account.exposure)


def _place_one(
    exchange: Exchange, account: Account, market: Market, request: PlaceRequest, instruction: Instruction
) -> Json:
    runner = exchange.runner(market, instruction.selection_id, handicap=instruction.handicap)
    bet = Bet(
        exchange.next_bet_id(),
        account.name,
        instruction.side,
        instruction.price,
        instruction.size,
        market_id=market.market_id,
        selection_id=runner.selection_id,
        handicap=runner.handicap,
        order_type=instruction.order_type,
        bsp_liability=ZERO if instruction.order_type == LIMIT else instruction.size,
        persistence=instruction.persistence,
        customer_order_ref=instruction.customer_order_ref,
        customer_strategy_ref=request.strategy_ref,
    )
    exchange.enter(market, runner, bet, instruction.kill_below)
    killed = instruction.kill_below is not None and not bet.size_matched
    return {
        "status": "SUCCESS",
        "instruction": instruction.echo,
        "betId": str(bet.bet_id),
        "placedDate": format_date(bet.placed_ms),
        "averagePriceMatched": bet.average_price_matched,
        "sizeMatched": bet.size_matched,
        "orderStatus": "EXPIRED" if killed else bet.status,
    }


def _head(request: PlaceRequest) -> Json:
    head: Json = {"marketId": request.market_id}
    if request.customer_ref:
        head["customerRef"] = request.customer_ref
    return head
