"""The switch, the limits, the breaker, and what says that our data are whole.

Money is Decimal, times are milliseconds since the epoch in UTC. Every method may raise `StoreUnavailable`.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Protocol


class Controls(Protocol):
    """The switch, the limits, the breaker, the reconciled mark."""

    def claim_identity(self) -> str:
        """Make this db ours if it is nobody's; returns whose it is."""

    def is_started(self) -> bool:
        """Tell whether the first-start decision has been made."""

    def first_start(self, *, anything_of_ours: bool) -> bool:
        """Decide once whether this is a first start; on one, enable trading. Returns True when it did."""

    def data_generation(self) -> str:
        """Name the data as they are now; after a restart or a loss they have another name."""

    def confirm_reconciled(self, ttl_s: int, mark: str, stopped: Mapping[str, str]) -> bool:
        """Say that a complete poll has just ended, unless the data are not those that `mark` named at its start.

        `stopped` are the markets in which nothing is placed all the same, each with why.
        """

    def waiting_since(self, signal_id: str) -> int:
        """Return since when a signal waits for orders to be reconciled: since the first time that this was asked."""

    def apply_limits(self, limits: Mapping[str, Decimal], *, missing_only: bool) -> dict[str, tuple[str | None, str]]:
        """Write limits that differ from the settings last applied, and missing ones; returns field -> (old, new)."""

    def report_storage(self, process: str, problem: str, ttl_s: int) -> None:
        """Say that a process cannot write its data folder: nothing new is placed until it can; "" when it can."""

    def storage_problems(self) -> dict[str, str]:
        """Return the processes that cannot write their data folder, and why; a report lapses with its process."""

    def full_read_due(self, every_s: int, mark: str) -> bool:
        """Tell whether the last complete read of all orders is older, of other data, or unknown."""

    def require_full_read(self) -> None:
        """Let the next poll read every order, however lately that was done."""

    def full_read_done(self, mark: str) -> None:
        """Remember that all orders have just been read."""

    def trip_breaker(self, threshold: int, window_s: int) -> str:
        """Trip the breaker if its condition holds and it is closed; returns why, or nothing."""

    def set_trading(self, *, enabled: bool, reason: str, by: str = "") -> bool:
        """Throw the kill switch, or release it and close the breaker; tells whether a failover would keep that."""

    def alert(self, event: str, fields: Mapping[str, str]) -> None:
        """Publish an alert on `channel:kill-switch`."""
