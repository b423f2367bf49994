"""What was set aside because it cannot be read, so that it costs nothing else. May raise `StoreUnavailable`."""

from collections.abc import Mapping
from typing import Protocol


class SetAside(Protocol):
    """Rows of the exchange's answers and records of ours that cannot be read, until they are gone."""

    def note(self, things: Mapping[str, str]) -> list[str]:
        """Remember these (name -> what is wrong with it); returns the names that did not stand before."""

    def standing(self) -> dict[str, str]:
        """Return what stands: name -> what is wrong with it, and since when."""
