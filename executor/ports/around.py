"""The ledger, the clock, and what is counted."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from enum import StrEnum
from typing import Protocol

from executor.domain.order import Order
from executor.domain.risk import Reason


class Ledger(Protocol):
    """The accounts in SQL."""

    def write(self, entries: Sequence[tuple[str, Mapping[str, str]]]) -> None:
        """Book entries of `stream:trades` (id, fields); one booked before changes nothing.

        Raises:
            LedgerUnavailable: the database did not answer; nothing was acknowledged.
        """

    def is_empty(self, identity: str) -> bool:
        """Tell whether nothing was ever booked for this identity."""

    def profits(self, identity: str) -> dict[str, dict[str, Decimal]]:
        """Return UTC day -> bet id -> net profit of every settlement booked for this identity."""

    def oldest_unsettled(self, identity: str) -> int | None:
        """Return when the oldest bet that is matched and not settled was first matched; None where all are settled."""


class Clock(Protocol):
    """Time, for what is measured or waited for within one process."""

    def monotonic(self) -> float:
        """Return seconds that never go back."""

    def sleep(self, seconds: float) -> None:
        """Wait."""


class RefusedTask(StrEnum):
    """Why nothing was done for a message on a queue: the record is believed, not the message."""

    UNREADABLE = "UNREADABLE"  # no message of Celery's
    UNKNOWN_TASK = "UNKNOWN_TASK"
    ARGUMENTS = "ARGUMENTS"  # no two ids
    UNKNOWN_SIGNAL = "UNKNOWN_SIGNAL"  # ids of nothing that was recorded
    REPEATED = "REPEATED"  # that step is done: a replay, or an honest second delivery


class Telemetry(Protocol):
    """What is counted, where it happens, by the winner of the state change."""

    def signal_received(self, strategy: str) -> None:
        """Count a signal that this process recorded."""

    def signal_rejected(self, reason: Reason) -> None:
        """Count a rejection, and a violation when one of the seven rules made it."""

    def task_refused(self, reason: RefusedTask) -> None:
        """Count a message for a task that was not followed."""

    def order_placed(self, order: Order) -> None:
        """Count an order that the exchange took."""

    def order_matched(self, order: Order) -> None:
        """Count an order that is now fully matched, with its match latency."""

    def order_cancelled(self, reason: str) -> None:
        """Count an order that is now cancelled or lapsed."""

    def order_failed(self, reason: str) -> None:
        """Count an order that will not be placed."""

    def half_placed(self) -> None:
        """Count a signal of which one leg was placed and another was not."""

    def execution_latency(self, seconds: float) -> None:
        """Observe arrival of the signal to the last moment before sending."""

    def risk_validated(self, seconds: float) -> None:
        """Observe one decision step."""

    def signal_age(self, seconds: float) -> None:
        """Observe a signal's age at its decision."""

    def api_call(self, method: str, seconds: float, error_type: str) -> None:
        """Observe one exchange call; `error_type` is empty on success."""
