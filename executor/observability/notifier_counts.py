"""What the notifier counts: messages that it sent, notices that it dropped, and what was written to its Telegram bot.

Invariant: label values are of closed sets, and are there from the start.
"""

from collections.abc import Iterable

from executor.observability.counters import NOTICES_DROPPED, NOTIFICATIONS, TELEGRAM
from executor.ports.telemetry import Became


class NotifierCounts:
    """`NotifierTelemetry` into Prometheus."""

    def __init__(self, services: Iterable[str]) -> None:
        for service in services:
            NOTICES_DROPPED.labels(service)
            for result in ("delivered", "failed"):
                NOTIFICATIONS.labels(service, result)

    def notification_sent(self, service: str, *, delivered: bool) -> None:
        """Count a message that arrived, or did not."""
        NOTIFICATIONS.labels(service, "delivered" if delivered else "failed").inc()

    def notices_dropped(self, service: str, count: int) -> None:
        """Count notices that could not be told for a day."""
        NOTICES_DROPPED.labels(service).inc(count)


def count_telegram(became: Became) -> None:
    """Count a message to the bot."""
    for each in Became:
        TELEGRAM.labels(each)
    TELEGRAM.labels(became).inc()
