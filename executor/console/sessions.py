"""Logging in and staying so: sessions, the one-time link, tokens of programs, and how often one may be wrong.

Invariants: only a hash of a cookie or token is kept; a session ends after an hour without a request, after twelve in
any case, and when its person's line in the users file changes; whoever is wrong too often waits, though nobody on
this machine can be locked out by another's attempts. Seconds.
"""

import secrets
import time
from collections.abc import Callable
from ipaddress import ip_address
from typing import Final

import structlog

from executor.console.principal import NotKnown, Principal, Role, TooMany, parse_roles
from executor.console.tokens import digest_of, is_token
from executor.console.users import Users
from executor.domain.times import whole
from executor.ports import ConsoleAccess

log = structlog.get_logger(__name__)

IDLE_S: Final = 3600
_LIFE_S: Final = 12 * 3600
ONCE_S: Final = 600
_WINDOW_S: Final = 300
_PER_NAME: Final = 5  # failures of a name from an address
_PER_ADDRESS: Final = 20
_SLOW_S: Final = 2.0  # of who is on this machine, instead of a lock
_MAX_SECRET: Final = 200
LOCAL: Final = "local"  # whoever used the one-time link


def is_loopback(address: str) -> bool:
    """Tell whether a request comes from this machine."""
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return False


class Sessions:
    """Tells who is asking."""

    def __init__(self, store: ConsoleAccess, users: Users, sleep: Callable[[float], None] = time.sleep) -> None:
        self._store = store
        self._users = users
        self._sleep = sleep

    @property
    def has_users(self) -> bool:
        """Tell whether people log in with passwords."""
        return len(self._users) > 0

    # -- people ------------------------------------------------------------------------------------------------------

    def one_time_link(self) -> str:
        """Make a secret that logs one person in, within ten minutes."""
        secret = secrets.token_urlsafe(32)
        self._store.put_once(digest_of(secret), ONCE_S)
        return secret

    def log_in_once(self, secret: str, address: str) -> str:
        """Use a one-time link; returns the cookie's value.

        Raises:
            NotKnown: it was used, or is too old.
            TooMany: too many wrong ones came from there.
        """
        self._check(f"once {address}", address)
        if len(self._users) or len(secret) > _MAX_SECRET or not self._store.take_once(digest_of(secret)):
            self._failed(f"once {address}", address)
            raise NotKnown("that link was used, or is older than ten minutes: start executor console again for another")
        return self._begin(LOCAL, "")

    def log_in(self, name: str, password: str, address: str) -> str:
        """Check a password; returns the cookie's value.

        Raises:
            NotKnown: it is not that name's.
            TooMany: too many wrong ones came from there.
        """
        of = f"{name[:32]} {address}"
        self._check(of, address)
        user = self._users.verify(name, password)
        if user is None:
            self._failed(of, address)
            raise NotKnown("that is not the password of that name")
        self._store.forgive(of)
        return self._begin(user.name, user.mark)

    def _begin(self, name: str, mark: str) -> str:
        cookie = secrets.token_urlsafe(32)
        fields = {"name": name, "mark": mark, "began": str(self._store.now())}
        self._store.put_session(digest_of(cookie), fields, IDLE_S)
        return cookie

    def of_cookie(self, cookie: str, address: str) -> Principal:
        """Return whose session it is.

        Raises:
            NotKnown: it is over, or never was.
        """
        held = self._store.use_session(digest_of(cookie), IDLE_S) if len(cookie) <= _MAX_SECRET else None
        name = (held or {}).get("name", "")
        roles = self._roles(name, (held or {}).get("mark", ""))
        if held is None or not roles:
            raise NotKnown("no session: log in")
        if self._store.now() - whole(held.get("began", "0")) > _LIFE_S:
            self._store.end_session(digest_of(cookie))
            raise NotKnown("the session is over: log in again")
        return Principal(name, roles, "console", address)

    def _roles(self, name: str, mark: str) -> frozenset[Role]:
        if name == LOCAL and not len(self._users):
            return frozenset({Role.OPERATOR})
        user = self._users.get(name)
        return user.roles if user is not None and user.mark == mark else frozenset()

    def log_out(self, cookie: str) -> None:
        """End a session."""
        self._store.end_session(digest_of(cookie))

    # -- programs ----------------------------------------------------------------------------------------------------

    def of_token(self, secret: str, address: str) -> Principal:
        """Return whose token it is.

        Raises:
            NotKnown: nobody's, or its time is over.
            TooMany: too many wrong ones came from there.
        """
        held = self._store.token(digest_of(secret)) if is_token(secret) else None
        if held is None or 0 < whole(held.get("expires_at", "0"), unread=1) <= self._store.now():
            # Refused at once, here too: whoever has a token that holds is never asked how often others were wrong.
            self._check(f"token {address}", address, slow=False)
            self._failed(f"token {address}", address)
            raise NotKnown("no such token, or its time is over: executor token add makes one")
        return Principal(held.get("name", "?"), parse_roles(held.get("role", "viewer")), "api", address)

    # -- attempts ----------------------------------------------------------------------------------------------------

    def _check(self, of: str, address: str, *, slow: bool = True) -> None:
        for what, most in ((of, _PER_NAME), (address, _PER_ADDRESS)):
            number, wait_s = self._store.failures(what)
            if number < most:
                continue
            if slow and is_loopback(address):  # anybody here could lock the operator out of his halt
                self._sleep(_SLOW_S)
                return
            raise TooMany(f"too many wrong attempts: again in {wait_s} s", wait_s)

    def _failed(self, of: str, address: str) -> None:
        number = self._store.count(of, _WINDOW_S)
        self._store.count(address, _WINDOW_S)
        log.warning("login_failed", of=of, address=address, number=number)
