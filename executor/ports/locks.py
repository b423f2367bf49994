"""Single flight and cool-downs of periodic tasks, and their signs of life. A lock saves work and guarantees nothing.

Every method may raise `StoreUnavailable`.
"""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol


@dataclass(slots=True)
class Hold:
    """Whether a lock is ours; `lost` becomes true when somebody else has it after an outage or a failover."""

    ours: bool
    lost: bool = False

    def __bool__(self) -> bool:
        """Tell whether the lock was got."""
        return self.ours


class Locks(Protocol):
    """Locks, cool-downs and signs of life of tasks and processes."""

    def single_flight(self, task: str) -> AbstractContextManager[Hold]:
        """Hold a task's lock while it runs; what it yields is false when somebody else holds it."""

    def acquire_cooldown(self, task: str, pause_ms: int) -> bool:
        """Tell whether a task was not done within the pause before, and take its pause from now on if so."""

    def succeeded(self, task: str) -> None:
        """Remember when a periodic task last did its job."""

    def last_success(self, task: str) -> int:
        """Return when a periodic task last did its job, milliseconds since the epoch; 0 where nobody knows."""

    def queue_length(self, queue: str) -> int:
        """Return how many messages wait in a queue."""

    def drop_expired(self, queue: str, now: int) -> int:
        """Take messages whose deadline has passed off a queue; returns how many."""
