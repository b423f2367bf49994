"""Time, for what is measured or waited for within one process."""

from typing import Protocol


class Clock(Protocol):
    """Time, for what is measured or waited for within one process."""

    def monotonic(self) -> float:
        """Return seconds that never go back."""

    def sleep(self, seconds: float) -> None:
        """Wait."""
