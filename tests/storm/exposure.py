"""Exposure recomputed from the exchange's own orders, by arithmetic of its own.

`now` is what must be in our hashes; `least_at` is what must at least have been at risk at an earlier moment, so that
what it says of a limit is never a false alarm. Amounts in account currency.
"""

from collections.abc import Iterable
from decimal import ROUND_CEILING, Decimal
from typing import Any, Final

Json = dict[str, Any]
_PENNY: Final = Decimal("0.01")
_ZERO: Final = Decimal(0)


def _worst(wins: Decimal, loses: Decimal) -> Decimal:
    return max(_ZERO, -wins, -loses).quantize(_PENNY, rounding=ROUND_CEILING)


def _price(bet: Json) -> Decimal:
    return Decimal(bet["priceSize"]["price"])


def now(bets: Iterable[Json], *, matched_only: bool) -> dict[str, Decimal]:
    """Return selection -> the most that these bets of one market can lose."""
    sums: dict[str, list[Decimal]] = {}
    for bet in bets:
        matched, rest = Decimal(bet["sizeMatched"]), Decimal(bet["sizeRemaining"])
        if not matched and not rest:
            continue
        at = sums.setdefault(str(bet["selectionId"]), [_ZERO, _ZERO])
        gain = matched * (Decimal(bet["averagePriceMatched"]) - 1)
        if bet["side"] == "BACK":
            at[0] += gain
            at[1] -= matched + (_ZERO if matched_only else rest)
        else:
            at[0] -= gain + (_ZERO if matched_only else rest * (_price(bet) - 1))
            at[1] += matched
    amounts = {selection: _worst(*both) for selection, both in sums.items()}
    return {selection: amount for selection, amount in amounts.items() if amount}


def least_at(bets: Iterable[tuple[Json, bool]]) -> dict[str, Decimal]:
    """Return selection -> what these bets could lose at least, at a moment when they were all there.

    Each comes with whether what was taken back of it was certainly still open at that moment. What was matched later
    was open then: it counts at the better price that it got, and for as much of a hedge as it ever became.
    """
    sums: dict[str, list[Decimal]] = {}
    for bet, was_open in bets:
        at = sums.setdefault(str(bet["selectionId"]), [_ZERO, _ZERO])
        matched = Decimal(bet["sizeMatched"])
        back = sum((Decimal(bet[name]) for name in ("sizeCancelled", "sizeLapsed", "sizeRemaining")), _ZERO)
        gone = back if was_open else _ZERO
        gain = matched * (Decimal(bet["averagePriceMatched"]) - 1)
        if bet["side"] == "BACK":
            at[0] += gain
            at[1] -= matched + gone
        else:
            at[0] -= gain + gone * (_price(bet) - 1)
            at[1] += matched
    return {selection: _worst(*both) for selection, both in sums.items()}
