"""The stream of notices as the notifier reads it, where it keeps what it has to tell, and how it tells.

Times in milliseconds since the epoch. The store may raise StoreUnavailable; a notifier raises NotDelivered only.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from executor.domain.mailbox import Mailbox
from executor.domain.notice import Level, Notice
from executor.domain.process_watch import Seen


class NotDelivered(Exception):
    """A message did not arrive, as far as is known; its text names no secret."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where messages go: `name` is unique and no secret, `service` is of a closed set, `shown` is for people.

    `longest`: characters that it takes in a body.
    """

    name: str
    service: str
    shown: str
    longest: int


class Notifier(Protocol):
    """One address."""

    @property
    def address(self) -> Address:
        """Say where it sends to."""

    def send(self, title: str, body: str, level: Level) -> None:
        """Send a message; takes seconds.

        Raises:
            NotDelivered: it did not arrive, or nobody knows.
        """


class NoticeStore(Protocol):
    """The stream, and the mailboxes that are filled from it."""

    def now(self) -> int:
        """Return the time by which all of this goes."""

    def read(self, after: str, count: int, wait_ms: int) -> list[tuple[str, Notice | None]]:
        """Return the next entries after this one; None for one that is no notice."""

    def add(self, notices: Iterable[Notice], processes: Mapping[str, Seen]) -> None:
        """Write notices of our own, and what is known of the processes, in one step."""

    def position(self) -> str:
        """Return up to where the stream is in the mailboxes; "" where nothing was read yet."""

    def processes(self) -> dict[str, Seen]:
        """Return what is known of the processes."""

    def alive(self) -> list[str]:
        """Return the processes that live, each as kind:host:pid."""

    def mailboxes(self) -> dict[str, Mailbox]:
        """Return the mailboxes by their address's name."""

    def save(self, changed: Mapping[str, tuple[Address, Mailbox]], position: str | None = None) -> None:
        """Write mailboxes, and up to where the stream is in them, in one step."""

    def forget(self, names: Iterable[str]) -> None:
        """Drop mailboxes of addresses that are no more."""
