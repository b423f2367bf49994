"""What happens to orders, trades, trading and alerts, as it is published. May raise `StoreUnavailable`."""

from collections.abc import Callable, Iterator
from typing import Protocol


class Updates(Protocol):
    """The system's messages out."""

    def follow(self, wanted: Callable[[], bool]) -> Iterator[tuple[str, str]]:
        """Yield the name and the JSON text of what happens from now on.

        It ends when nobody wants more, or the server is no longer the one to listen to.
        """
