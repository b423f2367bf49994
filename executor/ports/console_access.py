"""Who may use the console: sessions, one-time links, tokens of programs, failed attempts.

Invariant: it is given digests, never a secret. Times are epoch seconds of Redis. Every method may raise
`StoreUnavailable`.
"""

from collections.abc import Mapping
from typing import Protocol


class ConsoleAccess(Protocol):
    """What the console remembers of people and programs."""

    def now(self) -> int:
        """Return Redis TIME."""

    def put_session(self, digest: str, fields: Mapping[str, str], idle_s: int) -> None:
        """Remember a session."""

    def use_session(self, digest: str, idle_s: int) -> dict[str, str] | None:
        """Return a session that is not idle for too long, and begin its idle time anew."""

    def end_session(self, digest: str) -> None:
        """Forget a session."""

    def put_once(self, digest: str, ttl_s: int) -> None:
        """Remember a one-time link."""

    def take_once(self, digest: str) -> bool:
        """Use a one-time link; True for the first who does."""

    def put_token(self, digest: str, fields: Mapping[str, str]) -> bool:
        """Keep a token; False when there are too many."""

    def token(self, digest: str) -> dict[str, str] | None:
        """Return what is known of a token."""

    def tokens(self) -> dict[str, dict[str, str]]:
        """Return digest -> what is known, by name."""

    def drop_token(self, digest: str) -> None:
        """Forget a token."""

    def failures(self, of: str) -> tuple[int, int]:
        """Return how many attempts failed lately, and in how many seconds they are forgotten."""

    def count(self, of: str, window_s: int) -> int:
        """Count one more; returns how many within the window."""

    def forgive(self, of: str) -> None:
        """Forget the failures: the right password was given."""
