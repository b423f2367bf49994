"""What all processes of one identity share about sessions and logins. Every method may raise `StoreUnavailable`.

Invariant: a refusal that only a person can mend stands for the credentials that it was for, a ban for everybody. Units:
`_s` seconds, `_at`, `_ms` and `until` milliseconds of the store's clock.
"""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class LoginBan:
    """Why nobody may log in for now, whatever the credentials."""

    code: str
    until: int


class TokenStore(Protocol):
    """What all processes of one identity share: the token, logins, reads. Every method may raise StoreUnavailable."""

    def get(self) -> tuple[str, int] | None:
        """Return the token and when it was created."""

    def put(self, token: str, created_at_ms: int) -> None:
        """Replace the token."""

    def touch(self) -> None:
        """Keep the token, whichever it is, for another full life."""

    def forget(self, token: str) -> None:
        """Delete the token if it is still this one."""

    def login_lock(self, timeout_s: float) -> AbstractContextManager[bool]:
        """Wait for the right to log in, at most this long; False: somebody else still has it."""

    def read_slot(self, limit: int, timeout_s: float) -> AbstractContextManager[bool]:
        """Wait to be one of at most `limit` who read orders at a time; False: `timeout_s` was not enough."""

    def now(self) -> int:
        """Return the time that all processes share."""

    def ban(self) -> LoginBan | None:
        """Return what forbids logins for now."""

    def put_ban(self, ban: LoginBan) -> None:
        """Forbid logins until the ban's end."""

    def refusal(self, credentials: str) -> str | None:
        """Return the code with which a login with these credentials was refused for good."""

    def put_refusal(self, credentials: str, code: str) -> None:
        """Remember that; it holds until it is forgotten."""

    def forget_refusals(self) -> None:
        """Forget all of them: a login succeeded, or a person wants it tried again."""
