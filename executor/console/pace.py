"""How fast one publisher may hand in signals: so many in any second of the clock, the rest are told to wait."""

import threading
import time
from collections.abc import Callable
from typing import Final

from executor.console.principal import TooMany

PER_SECOND: Final = 30  # what one strategy means; a hundred a second of all together is what the engine takes
_MOST: Final = 1000  # names that are remembered


class Pace:
    """Counts by name."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._counts: dict[str, tuple[int, int]] = {}
        self._lock = threading.Lock()

    def take(self, name: str) -> None:
        """Count one more.

        Raises:
            TooMany: that was too many within this second.
        """
        second = int(self._clock())
        with self._lock:
            if len(self._counts) > _MOST:
                self._counts.clear()
            at, count = self._counts.get(name, (second, 0))
            count = count + 1 if at == second else 1
            self._counts[name] = (second, count)
        if count > PER_SECOND:
            raise TooMany(f"more than {PER_SECOND} signals in a second", 1)
