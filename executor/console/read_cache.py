"""One read of the system for all who ask within a second: five open pages cost what one costs.

Invariant: a read that failed is as young as its failure, and says so; nobody sees an old one as a new one. Seconds.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from executor.errors import ExecutorError

FRESH_S: Final = 0.8
T = TypeVar("T")


@dataclass
class _Kept:
    at: float
    value: Any = None
    of: object = None
    error: ExecutorError | None = None


class ReadCache:
    """Keeps what was read lately, by name."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._kept: dict[str, _Kept] = {}
        self._locks: dict[str, threading.Lock] = {}
        self._guard = threading.Lock()

    def get(self, name: str, read: Callable[[], T], fresh_s: float = FRESH_S, of: object = None) -> T:
        """Return what `read` gives, or gave less than `fresh_s` ago; one thread reads, the others wait for it.

        `of` is what it rests on: where that is another, it is read anew.

        Raises:
            ExecutorError: as `read` does, or did as lately.
        """
        with self._guard:
            lock = self._locks.setdefault(name, threading.Lock())
        with lock:
            kept = self._kept.get(name)
            if kept is None or kept.of != of or self._clock() - kept.at > fresh_s:
                kept = self._kept[name] = self._read(read, of)
        if kept.error is not None:
            raise kept.error
        value: T = kept.value
        return value

    def _read(self, read: Callable[[], object], of: object) -> _Kept:
        try:
            value = read()
        except ExecutorError as error:
            return _Kept(self._clock(), error=error, of=of)
        return _Kept(self._clock(), value, of=of)

    def clear(self) -> None:
        """Read anew next time: something was just changed."""
        with self._guard:
            self._kept.clear()
