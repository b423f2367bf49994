"""Tokens of programs that use the HTTP API: made, listed, taken back.

Invariant: a token is shown once and kept as its SHA-256; who made or took back one is recorded.
"""

import hashlib
import secrets
from dataclasses import dataclass
from typing import Final

from executor import wiring
from executor.console.principal import NAME, Role
from executor.errors import NotAllowed
from executor.operations.access import Access, Actor
from executor.operations.audit import audited

_PREFIX: Final = "exe_"  # so that a search for secrets finds one that went astray
_LONGEST: Final = 200
_DAY_S: Final = 86_400


@dataclass(frozen=True, slots=True)
class NewToken:
    """A token as it is shown once; `expires_at` in epoch seconds, 0 is never."""

    secret: str
    name: str
    role: Role
    expires_at: int


def digest_of(secret: str) -> str:
    """Return what is kept of a secret."""
    return hashlib.sha256(secret.encode()).hexdigest()


def is_token(text: str) -> bool:
    """Tell whether it may be a token of ours."""
    return text.startswith(_PREFIX) and len(text) <= _LONGEST


def add_token(access: Access, actor: Actor, name: str, role: Role, days: int) -> NewToken:
    """Make a token; `days` 0 is for ever.

    Raises:
        NotAllowed: the name is none, is taken, or there are too many.
    """
    store = wiring.console_access(access.settings)
    with audited(access, actor, "token add", name) as act:
        act.after = {"role": role.value, "days": days}
        if not NAME.fullmatch(name):
            raise NotAllowed(f"{name[:40]!r}: a name of 1 to 32 letters, digits, dots, - and _ is expected")
        if any(held.get("name") == name for held in store.tokens().values()):
            raise NotAllowed(f"there is a token {name} already: revoke it first, or choose another name")
        secret = _PREFIX + secrets.token_urlsafe(32)
        now = store.now()
        expires = now + days * _DAY_S if days else 0
        fields = {"name": name, "role": role.value, "created_at": str(now), "expires_at": str(expires)}
        if not store.put_token(digest_of(secret), fields):
            raise NotAllowed("there are too many tokens: revoke some")
    return NewToken(secret, name, role, expires)


def list_tokens(access: Access) -> list[dict[str, str]]:
    """Return what is known of each token, by name; never the secret."""
    return list(wiring.console_access(access.settings).tokens().values())


def revoke_token(access: Access, actor: Actor, name: str) -> None:
    """Make a token worthless, at once.

    Raises:
        NotAllowed: there is none of that name.
    """
    store = wiring.console_access(access.settings)
    with audited(access, actor, "token revoke", name):
        found = [digest for digest, held in store.tokens().items() if held.get("name") == name]
        if not found:
            raise NotAllowed(f"there is no token {name[:40]}")
        for digest in found:
            store.drop_token(digest)
