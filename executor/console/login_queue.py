"""Log-ins wait in a queue of their own: trying passwords takes no thread from a halt.

Invariants: so many work at once, so many more wait, the next is told to come again; all on the event loop's thread.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from executor.console.principal import TooMany

_AT_ONCE: Final = 4  # each holds a hash of 32 MiB, or waits two seconds for having been wrong
MOST: Final = 32  # of whom the last waits for a quarter of a minute
_AGAIN_S: Final = 2
T = TypeVar("T")


class LoginQueue:
    """Runs log-ins on threads of their own, so many at once."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="login")
        self._inside = 0

    async def run(self, attempt: Callable[[], T]) -> T:
        """Run one attempt when those before it are through.

        Raises:
            TooMany: the queue is full.
        """
        if self._inside >= MOST:
            raise TooMany("too many try to log in at once: again in a moment", _AGAIN_S)
        self._inside += 1
        try:
            return await asyncio.wrap_future(self._pool.submit(attempt))
        finally:
            self._inside -= 1

    def stop(self) -> None:
        """Start no attempt any more."""
        self._pool.shutdown(wait=False, cancel_futures=True)
