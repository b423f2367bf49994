"""The session with Betfair: one token for all processes, logged in for once, kept alive, never logged out.

Invariants: at most one login is under way (a lock in the store; who gets it looks first whether somebody else has
renewed the token); a login that was refused for what only a person can mend is not tried again by anybody until the
settings or the files behind them change, or a person says so; a temporary ban is sat out;
a login that fails leaves a token that still works where it is. The token lives in the store only. Units: `_s` seconds,
`_at` and `_ms` milliseconds of the store's clock.
"""

import hashlib
import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final
from urllib.parse import urlencode

import structlog

from executor.adapters.betfair import outcomes as policy
from executor.adapters.betfair.certificate import client_context
from executor.adapters.betfair.logins import CertificateRefused, LoginHeldBack
from executor.adapters.betfair.transport import Reply, Transport, TransportError
from executor.errors import CertificateInvalid, ExecutorError, LoginRefused, NotSent, OutcomeUnknown, StoreUnavailable
from executor.ports import Telemetry
from executor.ports.token_store import LoginBan, TokenStore
from executor.settings.sections import BetfairSettings

_log = structlog.get_logger(__name__)
_TOKEN: Final = re.compile(r"[!-~]{1,512}")  # goes into a header
_OK: Final = 200
_RECENT_S: Final = 1.0  # saves most placements a trip to Redis; a renewed token is hidden no longer than this
# What a TLS alert names when the certificate is at fault; others may be the server's own trouble.
_CERTIFICATE_ALERTS: Final = ("CERTIFICATE", "UNKNOWN_CA", "UNKNOWN CA", "ACCESS_DENIED", "ACCESS DENIED")
_LOGIN_WAIT_MARGIN_S: Final = 5.0  # what a login needs beyond the timeout of its reply: connecting, TLS


class BetfairSession:
    """Gives out the token, and logs in where there is none (Betfair: Non-Interactive login, Keep Alive)."""

    def __init__(
        self,
        settings: BetfairSettings,
        transport: Transport,
        tokens: TokenStore,
        telemetry: Telemetry,
        on_token: Callable[[str], None],
    ) -> None:
        self._settings = settings
        self._transport = transport
        self._tokens = tokens
        self._telemetry = telemetry
        self._on_token = on_token
        self._seen: str | None = None
        self._recent: tuple[str | None, float] = (None, 0.0)  # and until when (monotonic)

    def recent(self) -> str | None:
        """Return the token that was in use within the last second, or None: a dead one costs a refusal, no bet."""
        token, until = self._recent
        return token if time.monotonic() < until else self.current()

    def current(self) -> str | None:
        """Return the token in use, or None."""
        held = self._tokens.get()
        self._recent = (None, 0.0) if held is None else (held[0], time.monotonic() + _RECENT_S)
        if held is None:
            return None
        if held[0] != self._seen:
            self._on_token(held[0])
            self._seen = held[0]
        return held[0]

    def age_s(self) -> int | None:
        """Return the token's age, or None where there is no token."""
        held = self._tokens.get()
        return None if held is None else max(0, self._tokens.now() - held[1]) // 1000

    def renew(self, dead: str | None) -> str:
        """Return a token other than `dead`: the one that somebody else has got meanwhile, or one of a new login.

        Raises:
            LoginRefused, NotSent, Throttled, OutcomeUnknown: there is no session.
        """
        token = self._other_than(dead)
        if token is not None:
            return token
        with self._tokens.login_lock(self._wait_s()) as acquired:
            token = self._other_than(dead)
            if token is not None:
                return token
            if not acquired:
                raise NotSent("another process has been logging in for too long")
            if dead is not None:
                self._tokens.forget(dead)
            return self._login()

    def reauthenticate(self, older_than_s: int) -> bool:
        """Log in anew when the token is older; on failure the old one stays.

        Raises:
            LoginRefused, NotSent, Throttled, OutcomeUnknown: the new login failed.
        """
        if self._is_younger(older_than_s):
            return False
        with self._tokens.login_lock(self._wait_s()) as acquired:
            if not acquired or self._is_younger(older_than_s):
                return False
            self._login()
            return True

    def keep_alive(self) -> bool:
        """Extend the session (Betfair: keepAlive); False when the exchange no longer knows it.

        Raises:
            NotSent, OutcomeUnknown: it did not say; the token stays in use.
        """
        token = self.current()
        if token is None:
            return False
        headers = {
            "Accept": "application/json",
            "X-Application": self._settings.app_key.get_secret_value(),
            "X-Authentication": token,
        }
        url = f"{self._settings.identity_url.rstrip('/')}/api/keepAlive"
        started = time.monotonic()
        reply = self._measured("keepAlive", started, lambda: self._transport.post(url, headers, b""))
        answer = self._answer("keepAlive", reply, started)
        if answer.get("status") == "SUCCESS":
            self._telemetry.api_call("keepAlive", time.monotonic() - started, "")
            self._tokens.touch()
            return True
        code = policy.clean_code(answer.get("error"))
        self._telemetry.api_call("keepAlive", time.monotonic() - started, policy.label(code))
        if code in policy.DEAD_TOKEN:
            self._tokens.forget(token)
            _log.warning("session_lost", code=code)
            return False
        raise OutcomeUnknown(f"keepAlive: {code}")

    def _other_than(self, dead: str | None) -> str | None:
        token = self.current()
        return None if token == dead else token

    def _is_younger(self, seconds: int) -> bool:
        age = self.age_s()
        return age is not None and age < seconds

    def _wait_s(self) -> float:
        return self._settings.api_timeout_seconds + _LOGIN_WAIT_MARGIN_S

    def allow_login(self) -> None:
        """Let a login be tried that was refused before: a person says that what was wrong is put right."""
        self._tokens.forget_refusals()

    def _login(self) -> str:
        credentials = self._credentials()
        self._check_held_back(credentials)
        started = time.monotonic()
        try:
            reply = self._measured("certlogin", started, self._post_login)
        except CertificateRefused as error:
            self._tokens.put_refusal(credentials, error.code)
            raise
        answer = self._answer("certlogin", reply, started)
        status, token = answer.get("loginStatus"), answer.get("sessionToken")
        if status == "SUCCESS":
            if not isinstance(token, str) or not _TOKEN.fullmatch(token):
                self._telemetry.api_call("certlogin", time.monotonic() - started, "parse")
                raise OutcomeUnknown("certlogin: SUCCESS without a token")
            self._telemetry.api_call("certlogin", time.monotonic() - started, "")
            self._on_token(token)
            self._tokens.put(token, self._tokens.now())
            self._tokens.forget_refusals()
            self._recent = (None, 0.0)
            _log.info("logged_in")
            return token
        code = policy.clean_code(status)
        self._telemetry.api_call("certlogin", time.monotonic() - started, policy.label(code))
        raise self._refused(code, credentials)

    def _post_login(self) -> Reply:
        settings = self._settings
        body = urlencode({"username": settings.username, "password": settings.password.get_secret_value()})
        headers = {
            "Accept": "application/json",
            "Content-Type": "application/x-www-form-urlencoded",
            "X-Application": settings.app_key.get_secret_value(),
        }
        url = f"{settings.identity_cert_url.rstrip('/')}/api/certlogin"
        # Loaded for each login, hours apart: a renewed file is taken up without a restart.
        return self._transport.post_with_certificate(url, headers, body.encode(), client_context(settings))

    def _credentials(self) -> str:
        """Name what a login depends on, the contents of files included: a change of any of it is a new try."""
        settings = self._settings
        texts = (
            settings.username,
            settings.password.get_secret_value(),
            settings.app_key.get_secret_value(),
            settings.certificate_password.get_secret_value(),
            settings.identity_cert_url,
            settings.proxy,
        )
        digest = hashlib.sha256("\0".join(texts).encode())
        for path in (settings.certificate_path, settings.ca_bundle):
            with suppress(OSError):
                digest.update(b"" if path is None else path.read_bytes())
        # Eight digits tell changed credentials from the same ones, and are too few to find a password by.
        return digest.hexdigest()[:8]

    def _check_held_back(self, credentials: str) -> None:
        if code := self._tokens.refusal(credentials):
            raise LoginHeldBack(code)
        ban = self._tokens.ban()
        left_s = 0.0 if ban is None else (ban.until - self._tokens.now()) / 1000
        if ban is not None and left_s > 0:
            raise LoginHeldBack(ban.code, after_s=left_s)

    def _refused(self, code: str, credentials: str) -> LoginRefused:
        _log.error("login_refused", code=code)
        if code in policy.LOGIN_RETRYABLE:
            return LoginRefused(code, retryable=True, after_s=policy.LOGIN_RETRY_S)
        if code in policy.LOGIN_BANS:
            self._tokens.put_ban(LoginBan(code, self._tokens.now() + policy.LOGIN_BAN_S * 1000))
            return LoginHeldBack(code, after_s=policy.LOGIN_BAN_S)
        self._tokens.put_refusal(credentials, code)
        return LoginRefused(code, retryable=False)

    def _measured(self, method: str, started: float, post: Callable[[], Reply]) -> Reply:
        try:
            return post()
        except TransportError as error:
            self._telemetry.api_call(method, time.monotonic() - started, error.error_type)
            raise self._named(method, error) from None

    def _named(self, method: str, error: TransportError) -> ExecutorError:
        hint = "the server may not accept the client certificate: is it uploaded to the account?"
        if method == "certlogin" and error.tls_alert:
            text = f"{method}: {error}: {hint}"
            refused = any(word in str(error).upper() for word in _CERTIFICATE_ALERTS)
            return CertificateRefused(text) if refused else CertificateInvalid(text)
        named = error.named()
        # TLS 1.3 refuses a certificate after the handshake; its alert may be lost in the reset that follows.
        text = f"{named}: {hint}" if method == "certlogin" and error.was_cut else str(named)
        return type(named)(f"{method}: {text}")

    def _answer(self, method: str, reply: Reply, started: float) -> dict[str, object]:
        """Read what the identity service says; it refuses with status 200, anything else is no answer of its own."""
        if reply.status == _OK:
            try:
                answer = json.loads(reply.body)
            except (ValueError, RecursionError):
                answer = None
            if isinstance(answer, dict):
                return answer
        error_type = policy.http_error(reply.status) or "parse"
        self._telemetry.api_call(method, time.monotonic() - started, error_type)
        raise OutcomeUnknown(f"{method}: HTTP {reply.status}, no answer that can be read")


@contextmanager
def store_needed() -> Iterator[None]:
    """Say in the exchange's words that Redis did not give what a call needs first: nothing was sent."""
    try:
        yield
    except StoreUnavailable as error:
        raise NotSent(f"no session: {error}") from error
