"""Fields and rows of Betfair's replies, as domain values or not at all.

Invariant: a row that lacks what we need, or says something we do not know, raises `WireError` naming the field (lists
set it aside: `lists`); nothing is guessed or dropped. Fields that we do not know are ignored. Money has two decimals;
a price or an average price is taken as it comes; times become milliseconds since the epoch, UTC.
"""

import re
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

from executor.adapters.betfair.json_text import Row, WireError, as_row
from executor.domain.commission import MarketCharge
from executor.domain.money import ONE, PENNY, ZERO, Side, to_money
from executor.domain.order import BetState
from executor.ports import ClearedBet, ClearedKind, Funds, HeartbeatAction, HeartbeatReport, Instruction, MarketInfo

_MAX_AMOUNT: Final = Decimal(10) ** 12  # more is no amount, and would not be cheap to compute with
_MAX_PRICE: Final = 1000  # Betfair: Price Increments, the highest; an average is not above it
_PRICE_PLACES: Final = 6  # beyond this an average price only shows the binary float it travelled as
_TEXT: Final = re.compile(r"[ -~]{1,64}")  # ids, references and names of types; they become keys and labels
_CURRENCY: Final = re.compile("[A-Z]{3}")
_MAX_NAME: Final = 60


# --- one field -------------------------------------------------------------------------------------------------------


def as_rows(value: object, what: str) -> list[Row]:
    """Take a list for what it should be; those of its rows that are objects."""
    return [row for row in as_list(value, what) if isinstance(row, dict)]


def as_list(value: object, what: str) -> list[object]:
    """Take a list for what it should be, whatever is in it."""
    if not isinstance(value, list):
        raise WireError(f"{what} is missing or no list")
    return value


def is_text(value: str) -> bool:
    """Tell whether a text may be an id, a reference or the name of a type."""
    return _TEXT.fullmatch(value) is not None


def text(row: Row, name: str) -> str:
    """Return a text that must be there."""
    value = row.get(name)
    if not isinstance(value, str) or not is_text(value):
        raise WireError(f"{name} is missing or no text")
    return value


def optional_text(row: Row, name: str) -> str:
    """Return a text, "" where there is none."""
    value = row.get(name)
    return "" if value is None or value == "" else text(row, name)


def number(row: Row, name: str) -> Decimal:
    """Return a number that must be there."""
    value = row.get(name)
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise WireError(f"{name} is missing or no number")
    amount = Decimal(value)
    if abs(amount) >= _MAX_AMOUNT:
        raise WireError(f"{name} is out of range")
    return amount


def size(row: Row, name: str) -> Decimal:
    """Return an amount of money that must be there and is not negative."""
    amount = to_money(number(row, name))
    if amount < ZERO:
        raise WireError(f"{name} is negative")
    return amount


def _optional_size(row: Row, name: str) -> Decimal:
    return ZERO if row.get(name) is None else size(row, name)


def _price(row: Row, name: str) -> Decimal:
    price = number(row, name)
    if price < ZERO or ZERO < price < ONE or price > _MAX_PRICE:  # below 1 a lay would seem to free money; 0: none yet
        raise WireError(f"{name} is no price")
    rounded = round(price, _PRICE_PLACES)
    return price if price == rounded else rounded


def _optional_price(row: Row, name: str) -> Decimal:
    return ZERO if row.get(name) is None else _price(row, name)


def _selection_id(row: Row) -> int:
    value = row.get("selectionId")
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) >= 2**63:
        raise WireError("selectionId is missing or no integer")
    return value


def _side(row: Row) -> Side:
    value = row.get("side")
    if value == Side.BACK:
        return Side.BACK
    if value == Side.LAY:
        return Side.LAY
    raise WireError(f"side {_shown(value)} is unknown")


def _moment(row: Row, name: str) -> int:
    value = row.get(name)
    try:
        moment = datetime.fromisoformat(value)  # type: ignore[arg-type]
        moment = moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
        return int(moment.timestamp() * 1000)
    except (TypeError, ValueError, OverflowError):
        raise WireError(f"{name} is missing or no time") from None


def _optional_moment(row: Row, name: str) -> int:
    return 0 if row.get(name) is None else _moment(row, name)


def _shown(value: object) -> str:
    return (str(value) if isinstance(value, Decimal) else repr(value))[:_MAX_NAME]


def moment_text(at: int) -> str:
    """Write milliseconds since the epoch as Betfair does."""
    return datetime.fromtimestamp(at / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


# --- one row ---------------------------------------------------------------------------------------------------------


def current_order(row: Row, slack: Decimal = PENNY) -> BetState:
    """Read a bet (Betfair: CurrentOrderSummary)."""
    status = text(row, "status")
    if status not in {"EXECUTABLE", "EXECUTION_COMPLETE"}:
        raise WireError(f"status {_shown(status)} is unknown")
    if problem := _other_kind(row) or ("" if row.get("orderType") else "orderType is missing"):
        raise WireError(problem)
    asked = as_row(row.get("priceSize"), "priceSize")
    bet = BetState(
        bet_id=text(row, "betId"),
        order_id=optional_text(row, "customerOrderRef"),
        market_id=text(row, "marketId"),
        selection_id=_selection_id(row),
        side=_side(row),
        price=_price(asked, "price"),
        size=size(asked, "size"),
        executable=status == "EXECUTABLE",
        size_matched=size(row, "sizeMatched"),
        average_price_matched=_optional_price(row, "averagePriceMatched"),
        size_cancelled=_optional_size(row, "sizeCancelled"),
        size_lapsed=_optional_size(row, "sizeLapsed"),
        size_voided=_optional_size(row, "sizeVoided"),
        placed_at=_moment(row, "placedDate"),
        matched_at=_optional_moment(row, "matchedDate"),
    )
    return _sized(bet, slack)


def _other_kind(row: Row) -> str:
    """Say why a bet is of a kind that we never place; empty for one of ours, or where that is not said."""
    kind = row.get("orderType")
    if kind is not None and kind != "LIMIT":
        return f"orderType {_shown(kind)} is none that we place"
    handicap = row.get("handicap")  # lines of a runner must not be netted
    if handicap is not None and (isinstance(handicap, bool) or handicap not in (0, "0")):
        return f"handicap {_shown(handicap)} is none that we place"
    return ""


def placed_bet(row: Row, instruction: Instruction, market_id: str, slack: Decimal = PENNY) -> BetState:
    """Read a bet just placed (Betfair: PlaceInstructionReport); an async or old reply may lack the figures.

    It counts as live until it is completely matched: the report does not say what became of a rest.
    """
    matched = _optional_size(row, "sizeMatched")
    bet = BetState(
        bet_id=text(row, "betId"),
        order_id=instruction.order_id,
        market_id=market_id,
        selection_id=instruction.selection_id,
        side=instruction.side,
        price=instruction.price,
        size=instruction.size,
        executable=matched < instruction.size,
        size_matched=matched,
        average_price_matched=_optional_price(row, "averagePriceMatched"),
        placed_at=_optional_moment(row, "placedDate"),
    )
    return _sized(bet, slack)


def _sized(bet: BetState, slack: Decimal = PENNY) -> BetState:
    """Take a bet whose parts are no more than the whole; each may be off by `slack` (the exchange works in pounds)."""
    parts = (bet.size_matched, bet.size_cancelled, bet.size_lapsed, bet.size_voided)
    if sum(parts, ZERO) > bet.size + slack * sum(part > ZERO for part in parts):
        raise WireError("sizes exceed what was asked for")
    return bet


def cleared_order(row: Row, kind: ClearedKind) -> ClearedBet:
    """Read a bet that left the current list (Betfair: ClearedOrderSummary); what was settled must say its profit."""
    settled = kind is ClearedKind.SETTLED
    return ClearedBet(
        kind=kind,
        bet_id=text(row, "betId"),
        order_id=optional_text(row, "customerOrderRef"),
        market_id=text(row, "marketId"),
        selection_id=_selection_id(row),
        side=_side(row),
        price_requested=_optional_price(row, "priceRequested"),
        price_matched=_optional_price(row, "priceMatched"),
        size_settled=size(row, "sizeSettled") if settled else _optional_size(row, "sizeSettled"),
        size_cancelled=_optional_size(row, "sizeCancelled"),
        profit=to_money(number(row, "profit")) if settled or row.get("profit") is not None else ZERO,
        settled_at=_moment(row, "settledDate") if settled else _optional_moment(row, "settledDate"),
        placed_at=_optional_moment(row, "placedDate"),
        foreign=_other_kind(row),
    )


def market_charge(row: Row) -> tuple[str, MarketCharge] | None:
    """Read a market's commission (Betfair: ClearedOrderSummary by MARKET); None where it carries none."""
    if row.get("commission") is None or row.get("profit") is None:
        return None
    charge = MarketCharge(to_money(number(row, "commission")), to_money(number(row, "profit")))
    return text(row, "marketId"), charge


def funds(row: Row) -> Funds:
    """Read the account's money; Betfair writes exposure as zero or less, and holds a limit that we cannot read."""
    limit = ZERO
    with suppress(WireError):
        limit = abs(to_money(number(row, "exposureLimit")))
    return Funds(
        available=to_money(number(row, "availableToBetBalance")),
        exposure=abs(to_money(number(row, "exposure"))),
        exposure_limit=limit or None,
    )


def currency_rates(result: object) -> dict[str, Decimal]:
    """Read what one pound is in other currencies (Betfair: CurrencyRate); a row that cannot be read is left out."""
    found: dict[str, Decimal] = {}
    for row in result if isinstance(result, list) else []:
        code = row.get("currencyCode") if isinstance(row, dict) else None
        if not isinstance(code, str) or not _CURRENCY.fullmatch(code):
            continue
        with suppress(WireError):
            rate = number(row, "rate")
            if rate > ZERO:
                found[code] = rate
    return found


def currency(result: object) -> str:
    """Read the account's currency (Betfair: AccountDetailsResponse); "" where it is none."""
    found = as_row(result, "details").get("currencyCode")
    return found if isinstance(found, str) and _CURRENCY.fullmatch(found) else ""


def market_info(row: Row) -> MarketInfo | None:
    """Read a market's type (Betfair: MarketCatalogue); None where it carries none."""
    description = row.get("description")
    if not isinstance(description, dict) or not description.get("marketType"):
        return None
    return MarketInfo(text(row, "marketId"), text(description, "marketType"))


def place_instruction(instruction: Instruction) -> dict[str, object]:
    """Write one bet to place (Betfair: PlaceInstruction)."""
    return {
        "orderType": "LIMIT",
        "selectionId": instruction.selection_id,
        "handicap": 0,
        "side": str(instruction.side),
        "limitOrder": {"size": instruction.size, "price": instruction.price, "persistenceType": "LAPSE"},
        "customerOrderRef": instruction.order_id,
    }


def heartbeat_report(result: object) -> HeartbeatReport:
    """Read what was done for want of a heartbeat (Betfair: HeartbeatReport); a word that we do not know is no NONE."""
    row = as_row(result, "heartbeat report")
    action = row.get("actionPerformed")
    known = action in set(HeartbeatAction)
    return HeartbeatReport(
        HeartbeatAction(str(action)) if known else HeartbeatAction.CANCELLATION_STATUS_UNKNOWN,
        int(number(row, "actualTimeoutSeconds")),
    )
