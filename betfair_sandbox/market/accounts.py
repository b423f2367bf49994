"""Accounts: balance, positions per market, exposure, discount and charged transactions.

Owns: the money of each account. Invariants: available = balance - exposure, never negative after a placed bet;
exposure is derived from the positions of each market, never counted. The house account, which offers the liquidity,
has no limit. Units: account currency, `Decimal`.
"""

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final, NamedTuple

from betfair_sandbox.market.money import ZERO
from betfair_sandbox.market.positions import Position

# A runner of a market: its selection, with the handicap where it has one (Betfair: runners are selectionId, handicap).
RunnerKey = int | tuple[int, Decimal]

HOUSE: Final = "house"
# Betfair: getAccountFunds.exposureLimit, the most all open bets together may lose.
EXPOSURE_LIMIT: Final = Decimal(1_000_000)


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
    positions: dict[str, dict[RunnerKey, Position]] = field(default_factory=dict)
    commission_paid: Decimal = ZERO
    discount_rate: Decimal = ZERO  # per cent of the commission; Betfair: getAccountFunds.discountRate
    transactions: dict[int, int] = field(default_factory=dict)  # by clock hour: what the transaction charge counts
    instructions: tuple[int, int] = (0, 0)  # an epoch second, and how many instructions came in it

    @property
    def available(self) -> Decimal:
        """What further bets may put at risk."""
        return self.balance - self.exposure

    def set_exposure(self, market_id: str, amount: Decimal) -> None:
        """Replace one market's part of the exposure."""
        self.exposure += amount - self.exposures.pop(market_id, ZERO)
        if amount:
            self.exposures[market_id] = amount


class Caller(NamedTuple):
    """Who makes a call, and whether with the delayed app key."""

    account: Account
    delayed: bool
