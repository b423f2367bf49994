"""Redis time without a trip to Redis each time, for processes that stamp many messages."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

_ASKED_ANEW_S: Final = 5  # by then two clocks are a fraction of a millisecond apart


@dataclass
class RedisClock:
    """Redis time without asking Redis each time: what it said, and how long ago; no time of day of this machine's."""

    now: Callable[[], int]
    passed: Callable[[], float]  # seconds, of a clock that never goes back
    _said: tuple[int, float] | None = None  # Redis time, and when it was heard

    def ms(self) -> int:
        """Return Redis time, early by as long as its answer took; asks anew every few seconds."""
        if self._said is None or not 0 <= self.passed() - self._said[1] <= _ASKED_ANEW_S:
            self._said = (self.now(), self.passed())
        said, heard = self._said
        return said + int((self.passed() - heard) * 1000)
