"""Accounts and what they can lose: balance, positions, exposure as Betfair counts it.

Owns: the money of each account. Invariants: available = balance - exposure, never negative after a placed bet;
exposure is derived from the positions of each market, never counted. The house account, which offers the liquidity,
has no limit. Units: account currency, `Decimal`.
"""

from dataclasses import dataclass, field
from decimal import Decimal
from heapq import nsmallest
from typing import Final, NamedTuple

from betfair_sandbox.market.money import ONE, ZERO, Side, round_up

HOUSE: Final = "house"
# Betfair: getAccountFunds.exposureLimit, the most all open bets together may lose.
EXPOSURE_LIMIT: Final = Decimal(1_000_000)


@dataclass(slots=True)
class Position:
    """One account's stand on one selection: matched results, and what open orders can add to them at worst."""

    win: Decimal = ZERO
    lose: Decimal = ZERO
    open_win: Decimal = ZERO
    open_lose: Decimal = ZERO

    def open(self, side: Side, price: Decimal, size: Decimal) -> None:
        """Count an open order of `size` (negative: take it out) at its limit."""
        if side is Side.BACK:
            self.open_lose -= size
        else:
            self.open_win -= (price - ONE) * size

    def match(self, side: Side, value: Decimal, size: Decimal) -> None:
        """Count a match of `size` whose price x size is `value` (negative: take it out)."""
        gain = value - size
        if side is Side.BACK:
            self.win += gain
            self.lose -= size
        else:
            self.win -= gain
            self.lose += size

    @property
    def worst_win(self) -> Decimal:
        """The result if the selection wins and every open order that hurts is matched."""
        return self.win + self.open_win

    @property
    def worst_lose(self) -> Decimal:
        """The result if the selection loses and every open order that hurts is matched."""
        return self.lose + self.open_lose


def market_exposure(positions: list[Position], winners: int, runners: int | None) -> Decimal:
    """Return the greatest loss over all results with `winners` winners among `runners` (None: more may appear).

    Betfair: opposing bets release exposure, unmatched bets are included.
    """
    total = sum((position.worst_lose for position in positions), ZERO)
    swings = [position.worst_win - position.worst_lose for position in positions]
    others = winners if runners is None else max(0, min(winners, runners - len(positions)))
    swings += [ZERO] * others
    worst = total + sum(nsmallest(winners, swings), ZERO)
    return round_up(-worst) if worst < 0 else ZERO


@dataclass(slots=True)
class Account:
    """A customer of the exchange."""

    name: str
    password: str
    app_key: str
    delayed_app_key: str
    balance: Decimal
    currency: str = "GBP"
    exposures: dict[str, Decimal] = field(default_factory=dict)
    exposure: Decimal = ZERO
    positions: dict[str, dict[int, Position]] = field(default_factory=dict)
    commission_paid: Decimal = ZERO
    instructions: tuple[int, int] = (0, 0)  # an epoch second, and how many instructions came in it

    @property
    def available(self) -> Decimal:
        """What further bets may put at risk."""
        return self.balance - self.exposure

    def position(self, market_id: str, selection_id: int) -> Position:
        """Return the position on a selection, made when missing."""
        market = self.positions.setdefault(market_id, {})
        position = market.get(selection_id)
        if position is None:
            position = market[selection_id] = Position()
        return position

    def set_exposure(self, market_id: str, amount: Decimal) -> None:
        """Replace one market's part of the exposure."""
        self.exposure += amount - self.exposures.pop(market_id, ZERO)
        if amount:
            self.exposures[market_id] = amount


class Caller(NamedTuple):
    """Who makes a call, and whether with the delayed app key."""

    account: Account
    delayed: bool
