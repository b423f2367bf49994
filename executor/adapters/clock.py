"""The clock by which this machine measures how long things take: it knows no time of day, and no pause stops it.

Invariants: it never goes back, a step of the time of day does not show in it, and it goes on while the machine is
suspended, as the exchange, Redis and every deadline do (Linux: CLOCK_BOOTTIME; CLOCK_MONOTONIC stands still then).
What time it is says Redis. Units: seconds.
"""

import time
from typing import Final

# Where there is no such clock (not Linux), the nearest one.
_CLOCK: Final[int] = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def monotonic() -> float:
    """Return seconds since some moment before this process began."""
    return time.clock_gettime(_CLOCK)


class SystemClock:
    """`Clock` of this machine."""

    def monotonic(self) -> float:
        """Return seconds that never go back."""
        return monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)
