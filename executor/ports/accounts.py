"""Settled P&L by day and bet, and the account's money.

Money is Decimal, times are milliseconds since the epoch in UTC. Every method may raise `StoreUnavailable`.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

from executor.domain.account import Account
from executor.ports.exchange import Funds


@dataclass(frozen=True, slots=True)
class Reading:
    """How things stood when a reading of the account began."""

    at: int
    held: Decimal  # the most that the exchange may hold for our orders
    lost: int  # pennies, by all that was settled until then


class Accounts(Protocol):
    """P&L per bet and day, and the account's money."""

    def settled_at(self) -> int | None:
        """Return when settlements were last read completely, or None when that is not known."""

    def book_profits(self, days: Mapping[str, Mapping[str, Decimal]], *, settled_at: int | None = None) -> None:
        """Put each day's bet id -> net profit; recompute the days' and the total P&L from all of them.

        A day without bets is only summed anew. `settled_at` says that settlements were read completely at that time.
        """

    def unbooked(self, days: Mapping[str, Mapping[str, Decimal]]) -> dict[str, dict[str, Decimal]]:
        """Return those of each day's profits that are not held, or not so; days without any are left out."""

    def booked(self) -> dict[str, dict[str, Decimal]]:
        """Return UTC day -> bet id -> net profit, of the days whose bets are kept."""

    def booked_days(self, bets: Collection[str], since: str) -> dict[str, set[str]]:
        """Return UTC day -> those of these bets that are booked on it with a profit or loss, from a day on."""

    def lost_days(self, since: str) -> set[str]:
        """Return the UTC days, from one on, that have a sum and whose bets are lost, or were too old to be kept."""

    def restore_pnl(self, days: Mapping[str, Mapping[str, Decimal]]) -> None:
        """Put back what the ledger knows of days that Redis has lost; never overwrites."""

    def save_currency(self, currency: str) -> None:
        """Remember the account's currency; "" leaves what is known."""

    def currency(self) -> str:
        """Return the account's currency as it was last asked for; "" where it is not known."""

    def before_reading(self) -> Reading:
        """Say how things stand before the account's money is read."""

    def save_account(self, funds: Funds, difference: Decimal, reading: Reading | None = None) -> None:
        """Remember the account's money, how far its exposure is off ours, and since when it is.

        `reading` is how things stood before it was read; without it, as they stand now.
        """

    def account(self) -> Account:
        """Return what is known of the account."""

    def save_rates(self, rates: Mapping[str, Decimal], currency: str) -> None:
        """Remember the exchange's rates, and what one unit of this currency (the limits') is in the account's."""
