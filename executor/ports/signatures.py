"""Who signed a message, and what of it is the signal."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Opened:
    """A message as it is to be read; `key_id` names its publisher, empty where it is not signed."""

    payload: bytes
    key_id: str = ""
    strategies: frozenset[str] | None = None  # that the key may sign; None: any


class Signatures(Protocol):
    """Checks signatures, with the keys as they are now."""

    def open(self, raw: bytes, now: int) -> Opened:
        """Return what a message says, at Redis TIME `now` in ms.

        Raises:
            InvalidSignal: field `signature`: it is bad, or missing where it is required.
        """
