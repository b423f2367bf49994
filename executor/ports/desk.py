"""Everything else in Redis: controls, limits, P&L, the accounting feed, housekeeping.

Money is Decimal, times are milliseconds since the epoch in UTC. Every method may raise `StoreUnavailable`.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from decimal import Decimal
from typing import Protocol

from executor.ports.exchange import Funds


class Desk(Protocol):
    """Everything else in Redis: controls, limits, P&L, the accounting feed. May raise StoreUnavailable."""

    def claim_identity(self) -> str:
        """Make this db ours if it is nobody's; returns whose it is."""

    def is_started(self) -> bool:
        """Tell whether the first-start decision has been made."""

    def first_start(self, *, anything_of_ours: bool) -> bool:
        """Decide once whether this is a first start; on one, enable trading. Returns True when it did."""

    def data_mark(self) -> str:
        """Name the data as they are now; after a restart or a loss they have another name."""

    def confirm_reconciled(self, ttl_s: int, mark: str) -> bool:
        """Say that a complete poll has just ended, unless the data are not those that `mark` named at its start."""

    def apply_limits(self, limits: Mapping[str, Decimal], *, missing_only: bool) -> dict[str, tuple[str | None, str]]:
        """Write limits that differ from the settings last applied, and missing ones; returns field -> (old, new)."""

    def full_read_due(self, every_s: int, mark: str) -> bool:
        """Tell whether the last complete read of all orders is older, of other data, or unknown."""

    def full_read_done(self, mark: str) -> None:
        """Remember that all orders have just been read."""

    def settled_at(self) -> int | None:
        """Return when settlements were last read completely, or None when that is not known."""

    def book_profits(self, days: Mapping[str, Mapping[str, Decimal]], *, settled_at: int | None = None) -> None:
        """Put each day's bet id -> net profit; recompute the days' and the total P&L from all of them.

        A day without bets is only summed anew. `settled_at` says that settlements were read completely at that time.
        """

    def unbooked(self, days: Mapping[str, Mapping[str, Decimal]]) -> dict[str, dict[str, Decimal]]:
        """Return those of each day's profits that are not held, or not so; days without any are left out."""

    def restore_pnl(self, days: Mapping[str, Mapping[str, Decimal]]) -> None:
        """Put back what the ledger knows of days that Redis has lost; never overwrites."""

    def read_trades(self, count: int) -> list[tuple[str, Mapping[str, str]]]:
        """Return entries of the feed that the ledger has not acknowledged, oldest first."""

    def acknowledge_trades(self, ids: Sequence[str]) -> None:
        """Say that the ledger has them."""

    def trim_trades(self) -> None:
        """Drop what the ledger acknowledged a week ago."""

    def take_turn(self, task: str, pause_ms: int) -> bool:
        """Tell whether nobody else took this turn within the pause before; takes it if so."""

    def save_account(self, funds: Funds, difference: Decimal) -> None:
        """Remember the account's money, how far its exposure is off ours, and since when it is."""

    def unknown_markets(self) -> list[str]:
        """Return markets with orders whose type is not known yet."""

    def save_market_types(self, types: Mapping[str, str]) -> None:
        """Remember markets' types for metric labels."""

    def trip_breaker(self, threshold: int, window_s: int) -> str:
        """Trip the breaker if its condition holds and it is closed; returns why, or nothing."""

    def alert(self, event: str, fields: Mapping[str, str]) -> None:
        """Publish an alert on `channel:kill-switch`."""

    def single_flight(self, task: str) -> AbstractContextManager[bool]:
        """Hold a task's lock while it runs; yields False when somebody else holds it."""

    def succeeded(self, task: str) -> None:
        """Remember when a periodic task last did its job."""

    def queue_length(self, queue: str) -> int:
        """Return how many messages wait in a queue."""
