"""What can be told of a row that cannot be read: whose bet it is, and the most that it can lose.

Invariant: the worst case that is told of an odd one is never below
the truth (None where it cannot be told): an unreadable matched size counts as the whole, an unknown price of a lay as
the price asked for, which it cannot pass. Amounts in the account's currency.
"""

import re
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from executor.adapters.betfair.json_text import Row
from executor.domain.money import MAX_PRICE, ONE, ZERO, Side, round_up
from executor.ports import OddRow

_NAME: Final = re.compile(r"[!-~]{1,64}")
_WHOLE: Final = re.compile(r"-?[0-9]{1,18}")
_MAX_AMOUNT: Final = Decimal(10) ** 12
_AT_STARTING_PRICE: Final = frozenset({"MARKET_ON_CLOSE", "LIMIT_ON_CLOSE"})
_PARTS: Final = ("sizeMatched", "sizeRemaining", "sizeCancelled", "sizeLapsed", "sizeVoided")


def odd_row(row: Row, problem: str) -> OddRow:
    """Say what of a row can be read."""
    selection = _name(row.get("selectionId"))
    side = row.get("side")
    return OddRow(
        problem=problem,
        bet_id=_name(row.get("betId")),
        order_id=_name(row.get("customerOrderRef")),
        market_id=_name(row.get("marketId")),
        selection_id=int(selection) if _WHOLE.fullmatch(selection) else 0,
        side=str(side) if side in (Side.BACK, Side.LAY) else "",
        worst=_worst(row),
    )


def _name(value: object) -> str:
    """Read an id, though it came as a number."""
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    return text if isinstance(text, str) and _NAME.fullmatch(text) else ""


def _amount(row: Any, name: str) -> Decimal | None:  # noqa: ANN401 - JSON
    value = row.get(name) if isinstance(row, dict) else None
    if isinstance(value, bool) or not isinstance(value, int | Decimal | str):
        return None
    try:
        amount = Decimal(value)
    except InvalidOperation:
        return None
    return amount if amount.is_finite() and ZERO <= amount < _MAX_AMOUNT else None


def _worst(row: Row) -> Decimal | None:
    """Return the most that a bet can lose; None where it cannot be told."""
    sides = [side for side in (Side.BACK, Side.LAY) if row.get("side") == side] or [Side.BACK, Side.LAY]
    kind = row.get("orderType")
    if isinstance(kind, str) and kind in _AT_STARTING_PRICE:
        found = [_at_starting_price(row, side) for side in sides]
    elif kind == "LIMIT":
        found = [_limited(row, side) for side in sides]
    else:
        return None
    told = [amount for amount in found if amount is not None]
    return round_up(max(told)) if len(told) == len(found) else None


def _limited(row: Row, side: str) -> Decimal | None:
    asked = row.get("priceSize")
    size, price = _amount(asked, "size"), _amount(asked, "price")
    parts = [_amount(row, name) for name in _PARTS if row.get(name) is not None]
    if size is None or None in parts:
        return None
    at_stake = max(size, sum((part for part in parts if part is not None), ZERO))
    if side == Side.BACK:
        return at_stake
    return at_stake * (price - ONE) if price is not None and ONE < price <= MAX_PRICE else None


def _at_starting_price(row: Row, side: str) -> Decimal | None:
    """Betfair: the liability is the most that such a bet can lose, and what was matched at the starting price is it."""
    liability, matched = _amount(row, "bspLiability"), _amount(row, "sizeMatched")
    average = _amount(row, "averagePriceMatched") or ZERO
    if matched and side == Side.BACK:
        return max(liability or ZERO, matched)
    if matched and ONE < average <= MAX_PRICE:
        return max(liability or ZERO, matched * (average - ONE))
    return liability or None
