"""Foreign bets: those under our strategy ref that our records cannot hold, or that cannot be read.

Owns what is kept of one, and what it adds to the exposure of its market: its worst case, beside everything else and
netted with nothing, as what it wins is not known. Money in account currency, times in milliseconds since the epoch.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from executor.domain.money import ZERO


@dataclass(frozen=True, slots=True)
class ForeignBet:
    """What is kept of a bet that we neither cancel nor settle; `worst` counts where `worst_known`."""

    bet_id: str
    market_id: str
    selection_id: int  # 0 where it cannot be read
    problem: str
    side: str = ""
    order_id: str = ""  # customerOrderRef, where it carries one
    worst: Decimal = ZERO
    worst_known: bool = False
    since: int = 0


def foreign_exposure(bets: Iterable[ForeignBet]) -> dict[int, Decimal]:
    """Return selection id -> the most that foreign bets can lose, where it can be told."""
    found: dict[int, Decimal] = {}
    for bet in bets:
        if bet.worst_known and bet.worst:
            found[bet.selection_id] = found.get(bet.selection_id, ZERO) + bet.worst
    return found


def with_foreign(held: Mapping[int, Decimal], foreign: Mapping[int, Decimal]) -> dict[int, Decimal]:
    """Add what foreign bets can lose to the exposure of orders, selection by selection."""
    return {**held, **{selection: held.get(selection, ZERO) + amount for selection, amount in foreign.items()}}
