"""What was decoded, by its text: each step on a market reads all its orders, most of them again.

Owns what is forgotten. Invariants: what has not been read for ten minutes is forgotten, so that a process holds what is
in use and not what ever was; of more than `most` texts some stay, though they are read in a circle. Seconds.
"""

import time
from collections.abc import Callable
from typing import Final, Generic, TypeVar

_TURN_S: Final = 300.0

Kind = TypeVar("Kind")


class Remembered(Generic[Kind]):
    """Values by the text they were decoded from: the newer ones, and those that were not read since the last turn."""

    def __init__(self, most: int, now: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._now = now
        self._turned_at = now()
        self._newer: dict[str, Kind] = {}
        self._older: dict[str, Kind] = {}

    def __len__(self) -> int:
        """Return how many texts are remembered."""
        return len(self._newer) + len(self._older)

    def get(self, text: str) -> Kind | None:
        """Return what this text was decoded to, if that is remembered."""
        known = self._newer.get(text)
        if known is None:
            known = self._older.pop(text, None)
            if known is not None:
                self._newer[text] = known
        return known

    def put(self, text: str, value: Kind) -> None:
        """Remember a value, and forget what is too old or too much."""
        now = self._now()
        if now - self._turned_at >= _TURN_S:
            self._turned_at = now
            self._older, self._newer = self._newer, {}
        if len(self) >= self._most:
            self._forget_some()
        self._newer[text] = value

    def _forget_some(self) -> None:
        """Forget every other text, whatever its age.

        They are read in a circle: forgetting the oldest first would forget each just before it is wanted, and a market
        with one order too many would cost as much as if nothing were remembered.
        """
        for texts in (self._older, self._newer):
            for text in list(texts)[::2]:
                texts.pop(text, None)  # another thread may be at it, too
