"""Sessions: logging in, keeping alive, logging out, and who a call comes from.

Owns: tokens and their ends. Invariants: activity does not extend a session, keepAlive does; a token never leaves this
file but to its owner. Betfair: Login & Session Management. Units: epoch milliseconds.
"""

import hmac
import secrets
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from typing import Final

from betfair_sandbox.api.wire import ApiError, Json
from betfair_sandbox.market.accounts import Account, Caller

# Betfair: 100 successful logins of an account a minute; more block its new logins for 20 minutes.
_LOGINS: Final = 100
_LOGIN_WINDOW_MS: Final = 60_000
_BAN_MS: Final = 20 * 60_000
# A client that logs in per call must not fill the memory; the oldest session goes first.
_MAX_SESSIONS: Final = 10_000
_BAD_PASSWORD: Final = "INVALID_USERNAME_OR_PASSWORD"  # noqa: S105 - Betfair's code


class Sessions:
    """The open sessions of all accounts."""

    def __init__(self, accounts: Mapping[str, Account], lifetime_ms: int, clock_ms: Callable[[], int]) -> None:
        self.lifetime_ms = lifetime_ms
        self._clock_ms = clock_ms
        self._sessions: OrderedDict[str, tuple[str, int]] = OrderedDict()
        self._logins: dict[str, deque[int]] = {}
        self._banned_until_ms: dict[str, int] = {}
        self.adopt(accounts)

    def adopt(self, accounts: Mapping[str, Account]) -> None:
        """Take over the accounts of an exchange that starts anew; their sessions go on, bans on logins end."""
        self._logins.clear()
        self._banned_until_ms.clear()
        self._accounts = accounts
        for token, (name, _) in list(self._sessions.items()):
            if name not in accounts:
                self.expire(token)

    def log_in(self, username: str, password: str) -> tuple[str, str]:
        """Return (status, token): SUCCESS and a new token, or Betfair's reason and nothing."""
        now_ms = self._clock_ms()
        account = self._accounts.get(username)
        if account is None or not hmac.compare_digest(account.password.encode(), password.encode("utf-8", "replace")):
            return _BAD_PASSWORD, ""
        logins = self._logins.setdefault(username, deque())
        while logins and logins[0] <= now_ms - _LOGIN_WINDOW_MS:
            logins.popleft()
        if len(logins) >= _LOGINS:
            self._banned_until_ms[username] = now_ms + _BAN_MS
        if now_ms < self._banned_until_ms.get(username, 0):
            return "TEMPORARY_BAN_TOO_MANY_REQUESTS", ""
        logins.append(now_ms)
        token = secrets.token_urlsafe(32)
        self._sessions[token] = (account.name, now_ms + self.lifetime_ms)
        if len(self._sessions) > _MAX_SESSIONS:
            self._sessions.popitem(last=False)
        return "SUCCESS", token

    def keep_alive(self, headers: Mapping[str, str]) -> Json:
        """Answer keepAlive: start the session's clock anew."""
        token = headers.get("X-Authentication", "")
        account = self.owner(token)
        if account is not None:
            self._sessions[token] = (account.name, self._clock_ms() + self.lifetime_ms)
        return _identity_reply(headers, token, known=account is not None)

    def log_out(self, headers: Mapping[str, str]) -> Json:
        """Answer logout: end the session for everyone who holds its token."""
        token = headers.get("X-Authentication", "")
        known = self.owner(token) is not None
        self.expire(token)
        return _identity_reply(headers, token, known=known)

    def expire(self, token: str) -> None:
        """End a session; unknown tokens are fine."""
        self._sessions.pop(token, None)

    def caller(self, headers: Mapping[str, str]) -> Caller:
        """Return who calls; an app key is worth something in its own account's sessions only.

        Raises:
            ApiError: a header is absent or wrong, or the session has ended.

        """
        app_key = headers.get("X-Application", "")
        if not app_key:
            raise ApiError("NO_APP_KEY")
        keys = {account.app_key for account in self._accounts.values()}
        delayed = {account.delayed_app_key for account in self._accounts.values()}
        if app_key not in keys | delayed:
            raise ApiError("INVALID_APP_KEY")
        token = headers.get("X-Authentication", "")
        if not token:
            raise ApiError("NO_SESSION")
        account = self.owner(token)
        if account is None:
            raise ApiError("INVALID_SESSION_INFORMATION")
        if app_key not in {account.app_key, account.delayed_app_key}:
            raise ApiError("INVALID_APP_KEY")
        return Caller(account, app_key == account.delayed_app_key)

    def owner(self, token: str) -> Account | None:
        """Return whose session a token is, None when it is nobody's or has ended."""
        session = self._sessions.get(token)
        if session is None:
            return None
        name, ends_ms = session
        if self._clock_ms() >= ends_ms:
            self.expire(token)
            return None
        return self._accounts[name]


def _identity_reply(headers: Mapping[str, str], token: str, *, known: bool) -> Json:
    product = headers.get("X-Application", "")
    if not token:
        return {"token": "", "product": product, "status": "FAIL", "error": "INPUT_VALIDATION_ERROR"}
    status, error = ("SUCCESS", "") if known else ("FAIL", "NO_SESSION")
    return {"token": token, "product": product, "status": status, "error": error}
