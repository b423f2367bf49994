"""What the console counts of itself. Import only after `exporter.prepare` has said where."""

from typing import Final

from prometheus_client import CollectorRegistry, Counter

_PREFIX: Final = "aibetting_executor_console_"
_registry: Final = CollectorRegistry()
# The closed set of reasons; anything else is a defect.
REASONS: Final = ("host", "origin", "body", "websocket", "not_authenticated", "not_permitted", "too_many_attempts")

REFUSED: Final = Counter(f"{_PREFIX}refused", "Requests that were refused", ["reason"], registry=_registry)


def count_from_zero() -> None:
    """Show what may be counted before it is."""
    for reason in REASONS:
        REFUSED.labels(reason)


def refused(reason: str) -> None:
    """Count a refused request."""
    REFUSED.labels(reason if reason in REASONS else "other").inc()
