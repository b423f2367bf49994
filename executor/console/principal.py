"""Who is asking, and what he may do.

Invariant: an operator may all that a viewer may; a publisher may hand in signals and see his own, nothing else.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from executor.errors import ExecutorError
from executor.operations.access import Actor

NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._\-]{0,31}", re.ASCII)


class Role(StrEnum):
    """What somebody may do."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    PUBLISHER = "publisher"


_IMPLIES: Final = {Role.OPERATOR: frozenset({Role.OPERATOR, Role.VIEWER})}


class NotKnown(ExecutorError):
    """Nobody that we know: log in, or give a token that holds."""


class NotPermitted(ExecutorError):
    """Known, and this is not for that role."""


class TooMany(ExecutorError):
    """Too many attempts; again after `after_s` seconds."""

    def __init__(self, problem: str, after_s: int) -> None:
        super().__init__(problem)
        self.after_s = after_s


@dataclass(frozen=True, slots=True)
class Principal:
    """Somebody who is known: a person with a session, or a program with a token."""

    name: str
    roles: frozenset[Role]
    via: str  # console: a session; api: a token
    address: str

    def may(self, role: Role) -> bool:
        """Tell whether one of his roles is this one, or implies it."""
        return any(role in _IMPLIES.get(held, {held}) for held in self.roles)

    @property
    def role(self) -> str:
        """Name his roles."""
        return ",".join(sorted(self.roles))

    @property
    def actor(self) -> Actor:
        """Return him as who acts."""
        return Actor(self.name, self.via, self.role, self.address)


def parse_roles(text: str) -> frozenset[Role]:
    """Read roles, separated by commas.

    Raises:
        ValueError: one is none.
    """
    return frozenset(Role(role.strip().lower()) for role in text.split(","))
