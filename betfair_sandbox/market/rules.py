"""What Betfair accepts: the checks of one placeOrders instruction and of the references a client gives.

Owns: reading an instruction and the InstructionReportErrorCode it earns. Pure. Units: sizes and payouts in account
currency, prices are decimal odds on the CLASSIC ladder.
"""

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, NamedTuple

from betfair_sandbox.api.wire import BadValue, Json, Params, in_range, missing
from betfair_sandbox.market.markets import LIMIT, LIMIT_ON_CLOSE, MARKET_ON_CLOSE, sp_price
from betfair_sandbox.market.money import PENNY, ZERO, Side, to_money

MAX_PLACE_INSTRUCTIONS: Final = 200  # Betfair: placeOrders, per request
MAX_CANCEL_INSTRUCTIONS: Final = 60  # Betfair: cancelOrders, updateOrders, replaceOrders
_LONGEST_WHOLE: Final = 19
MAX_IDS: Final = 250  # Betfair: listCurrentOrders, bet and market ids together
MAX_INSTRUCTIONS_PER_SECOND: Final = 1_000  # Betfair: placeOrders, cancelOrders, replaceOrders, updateOrders together
LARGEST_VERSION: Final = 10**12 - 1  # Betfair: INVALID_MARKET_VERSION, 12 digits
DEDUPE_MS: Final = 60_000  # Betfair: how long a customerRef is remembered

_RATIO_LOW: Final = Decimal("0.8")  # Betfair: INVALID_PROFIT_RATIO, 20 % less
_RATIO_HIGH: Final = Decimal("1.25")  # or 25 % more than the exact return
# Betfair: letters, digits and - . _ + * : ; ~
_REF: Final = re.compile(r"[A-Za-z0-9\-._+*:;~]*")
_MAX_REF: Final = 32
_MAX_JUDGED_PRICE: Final = Decimal(10) ** 9  # beyond every ladder and line
_MAX_STRATEGY_REF: Final = 15
_MARKET_ID: Final = re.compile(r"[12]\.[0-9]{1,15}")
_ORDER_TYPES: Final = (LIMIT, LIMIT_ON_CLOSE, MARKET_ON_CLOSE)
_ON_CLOSE_FIELDS: Final = {LIMIT_ON_CLOSE: "limitOnCloseOrder", MARKET_ON_CLOSE: "marketOnCloseOrder"}
PERSISTENCE_TYPES: Final = ("LAPSE", "PERSIST", "MARKET_ON_CLOSE")


class Minimum(NamedTuple):
    """The smallest stake of a currency; a smaller one is valid when it returns `payout`.

    `payout` is in every currency also the least liability of a lay order for the starting price.
    """

    size: Decimal
    payout: Decimal


# Betfair: Additional Information, Currency Parameters.
MINIMUMS: Final = {
    currency: Minimum(Decimal(size), Decimal(payout))
    for currency, size, payout in (
        ("ARS", 100, 500),
        ("AUD", 5, 30),
        ("BRL", 5, 50),
        ("CAD", 2, 30),
        ("DKK", 15, 150),
        ("EUR", 1, 20),
        ("GBP", 1, 10),
        ("GEL", 10, 50),
        ("HKD", 10, 125),
        ("HUF", 400, 4000),
        ("ISK", 350, 1750),
        ("MXN", 30, 300),
        ("NOK", 10, 150),
        ("NZD", 2, 10),
        ("PEN", 5, 50),
        ("RON", 5, 50),
        ("SEK", 15, 150),
        ("SGD", 2, 30),
        ("USD", 1, 20),
    )
}


@dataclass(frozen=True, slots=True)
class Instruction:
    """A placeOrders instruction as understood; `error` is set when it cannot be placed."""

    echo: Json  # as reports repeat it: numbers as numbers
    selection_id: int
    side: Side
    price: Decimal
    size: Decimal
    persistence: str
    kill_below: Decimal | None  # FILL_OR_KILL: nothing unless at least this much is matched at once
    customer_order_ref: str
    error: str
    size_error: str = ""  # what is wrong with its size, should its price be allowed
    handicap: Decimal = ZERO
    order_type: str = LIMIT


def valid_ref(ref: str) -> bool:
    """Tell whether a customerRef or customerOrderRef keeps to Betfair's length and characters."""
    return len(ref) <= _MAX_REF and _REF.fullmatch(ref) is not None


def valid_strategy_ref(ref: str) -> bool:
    """Tell whether a customerStrategyRef keeps to Betfair's length and characters."""
    return len(ref) <= _MAX_STRATEGY_REF and _REF.fullmatch(ref) is not None


def valid_market_id(market_id: str) -> bool:
    """Tell whether this looks like a market of Betfair's."""
    return _MARKET_ID.fullmatch(market_id) is not None


def profit_ratio_ok(price: Decimal, size: Decimal) -> bool:
    """Tell whether rounding leaves the bet's return within Betfair's INVALID_PROFIT_RATIO bounds."""
    exact = size * (price - 1)
    return exact <= 0 or _RATIO_LOW <= to_money(exact) / exact <= _RATIO_HIGH


def bet_size_ok(price: Decimal, size: Decimal, currency: str) -> bool:
    """Tell whether a stake is in pennies and large enough, or small but returning enough."""
    minimum = MINIMUMS[currency]
    return size > 0 and size == size.quantize(PENNY) and (size >= minimum.size or price * size >= minimum.payout)


def read_instruction(value: object, currency: str) -> Instruction:
    """Read one element of placeOrders' `instructions` and judge all that needs no market.

    Raises:
        BadValue: a field cannot be read at all.
        RpcError: a mandatory field is absent.

    """
    params = Params(value, "instruction")
    for name in ("selectionId", "side", "orderType"):
        if not params.has(name):
            raise missing()
    side = Side(params.choice("side", [side.value for side in Side]))
    order_type = params.choice("orderType", _ORDER_TYPES)
    selection_id = params.integer("selectionId")
    field = _ON_CLOSE_FIELDS.get(order_type, "limitOrder")
    if not params.has(field):
        echo = {**_echo(params, selection_id, side), "orderType": order_type}
        return Instruction(echo, selection_id, side, ZERO, ZERO, "LAPSE", None, "", "INVALID_ORDER_TYPE")
    if order_type == LIMIT:
        return _limit_order(params, selection_id, side, currency)
    return _on_close_order(params, selection_id, side, currency, order_type)


def _on_close_order(params: Params, selection_id: int, side: Side, currency: str, order_type: str) -> Instruction:
    field = _ON_CLOSE_FIELDS[order_type]
    order = params.child(field)
    liability = order.double("liability")
    price = order.double("price") if order_type == LIMIT_ON_CLOSE else sp_price(side)
    if liability is None or price is None:
        raise missing()
    minimum = MINIMUMS[currency]
    least = minimum.size if side is Side.BACK else minimum.payout
    wrong = not in_range(liability) or liability < least or liability != liability.quantize(PENNY)
    told: Json = {"liability": liability}
    if order_type == LIMIT_ON_CLOSE:
        told["price"] = price
    echo = {**_echo(params, selection_id, side), field: told, "orderType": order_type}
    ref = params.text("customerOrderRef")
    return Instruction(
        echo,
        selection_id,
        side,
        judged_price(price),
        liability if in_range(liability) else ZERO,
        MARKET_ON_CLOSE,
        None,
        ref,
        "" if valid_ref(ref) else "INVALID_CUSTOMER_ORDER_REF",
        "INVALID_BET_SIZE" if wrong else "",
        params.amount("handicap") or ZERO,
        order_type,
    )


def _echo(params: Params, selection_id: int, side: Side) -> Json:
    echo: Json = {"selectionId": selection_id, "handicap": params.amount("handicap") or ZERO}
    if params.has("customerOrderRef"):
        echo["customerOrderRef"] = params.text("customerOrderRef")
    return {**echo, "side": side.value}


def _limit_order(params: Params, selection_id: int, side: Side, currency: str) -> Instruction:
    order = params.child("limitOrder")
    if order.has("betTargetType"):
        raise BadValue("betTargetType is not offered")
    price, size, told = _limit_numbers(order)
    persistence = order.choice("persistenceType", PERSISTENCE_TYPES, "LAPSE")
    fill_or_kill = order.choice("timeInForce", ("FILL_OR_KILL",)) != ""
    min_fill = told.get("minFillSize")
    ref = params.text("customerOrderRef")
    error = "" if valid_ref(ref) else "INVALID_CUSTOMER_ORDER_REF"
    size_error = limit_size_error(price, size, currency) if in_range(told["size"]) else "INVALID_BET_SIZE"
    if not size_error and min_fill is not None:
        size_error = _min_fill_error(min_fill, size, currency, fill_or_kill=fill_or_kill)
    kill_below = (min_fill or size) if fill_or_kill else None
    limit: Json = dict(told)
    for name in ("persistenceType", "timeInForce"):
        if order.has(name):
            limit[name] = order.text(name)
    echo = {**_echo(params, selection_id, side), "limitOrder": limit, "orderType": "LIMIT"}
    handicap = params.amount("handicap") or ZERO
    return Instruction(echo, selection_id, side, price, size, persistence, kill_below, ref, error, size_error, handicap)


def _limit_numbers(order: Params) -> tuple[Decimal, Decimal, dict[str, Decimal]]:
    """Return a LIMIT order's price and size to count with, and its numbers as they were given.

    One that is out of any range costs its own instruction only.
    """
    told = {name: number for name in ("size", "price", "minFillSize") if (number := order.double(name)) is not None}
    if "size" not in told or "price" not in told:
        raise missing()
    return judged_price(told["price"]), told["size"] if in_range(told["size"]) else ZERO, told


def judged_price(price: Decimal) -> Decimal:
    """Return a price that can be counted with; one that no ladder and no line reaches stays one."""
    return max(-_MAX_JUDGED_PRICE, min(price, _MAX_JUDGED_PRICE))


def limit_size_error(price: Decimal, size: Decimal, currency: str) -> str:
    """Return what is wrong with the size of a LIMIT order at this price; "" when nothing is."""
    if not bet_size_ok(price, size, currency):
        return "INVALID_BET_SIZE"
    return "" if profit_ratio_ok(price, size) else "INVALID_PROFIT_RATIO"


def _min_fill_error(min_fill: Decimal, size: Decimal, currency: str, *, fill_or_kill: bool) -> str:
    if not fill_or_kill:
        return "UNEXPECTED_MIN_FILL_SIZE"
    return "" if MINIMUMS[currency].size <= min_fill <= size else "INVALID_MIN_FILL_SIZE"


def back_and_lay_cross(instructions: list[Instruction]) -> set[tuple[int, Decimal]]:
    """Return the runners that one request backs and lays at crossing prices (INVALID_BACK_LAY_COMBINATION)."""
    backs: dict[tuple[int, Decimal], Decimal] = {}
    lays: dict[tuple[int, Decimal], Decimal] = {}
    for instruction in instructions:
        if instruction.order_type != LIMIT:
            continue
        key, price = (instruction.selection_id, instruction.handicap), instruction.price
        if instruction.side is Side.BACK:
            backs[key] = min(price, backs.get(key, price))
        else:
            lays[key] = max(price, lays.get(key, price))
    return {key for key, price in backs.items() if key in lays and lays[key] >= price}


def to_whole(text: str) -> int | None:
    """Read an id or a sequence as it is written; None where it is none that a long holds (19 digits)."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= _LONGEST_WHOLE else None
