"""How much waits between the doors and the workers. May raise StoreUnavailable."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Load:
    """One look, at Redis TIME in ms."""

    at: int
    recorded: int  # signals ever recorded for validation
    waiting: int  # of them, those that no worker has taken yet


class Backlog(Protocol):
    """The queue in front of validation."""

    def look(self) -> Load:
        """Take one look."""
