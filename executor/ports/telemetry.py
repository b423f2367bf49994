"""What is counted, and why a task was refused."""

from enum import StrEnum
from typing import Protocol

from executor.domain.order import Order
from executor.domain.risk import Reason


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

    def row_set_aside(self, source: str) -> None:
        """Count a row of a list that cannot be read, once for as long as it is met; `source` names the list."""

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


class Became(StrEnum):
    """What became of a message to the Telegram bot."""

    ANSWERED = "answered"
    NOT_LISTED = "not_listed"  # who wrote is not listed, or it was not in a chat with him alone
    TOO_OLD = "too_old"
    UNREADABLE = "unreadable"  # no text: a picture, somebody joined


class NotifierTelemetry(Protocol):
    """What the notifier counts; `service` is of a closed set."""

    def notification_sent(self, service: str, *, delivered: bool) -> None:
        """Count a message that arrived, or did not."""

    def notices_dropped(self, service: str, count: int) -> None:
        """Count notices that could not be told for a day."""
