"""The exchange session in Redis: one token, one login at a time, one ban, for all processes of an identity.

Owns the keys `session`, `login_lock`, `login_ban`, `login_refusals` and `order_reads` of `executor.keys`. Invariant: a
token is deleted only by value, so that a late failure cannot remove a renewed one. Times in
milliseconds of Redis TIME.
"""

import contextlib
import json
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from typing import Final, TypeVar

import redis
from redis.exceptions import LockError, RedisError

from executor import keys
from executor.adapters.redis.client import script
from executor.domain.times import iso
from executor.errors import StoreUnavailable
from executor.ports.token_store import LoginBan

# Betfair: a session lives 12 h (24 h in the UK) after its last keep-alive; each keep-alive renews this.
SESSION_TTL_S: Final = 12 * 60 * 60

LEASE_MS: Final = 5_000  # of a reader's place; renewed while it reads, so that one who was killed frees it soon
_READ_WAIT_S: Final = 0.02
_LONGEST_BAN_MS: Final = 2 * 3600 * 1000  # the exchange's are 20 minutes; what ends later was no ban of ours
_UNREADABLE: Final = (ValueError, KeyError, TypeError, OverflowError, RecursionError)

T = TypeVar("T")


class RedisTokenStore:
    """A `TokenStore` on a client with `decode_responses=True`."""

    def __init__(self, client: "redis.Redis", identity: str, *, lease_ms: int = LEASE_MS) -> None:
        self._lease_ms = lease_ms
        self._client = client
        self._session = keys.session(identity)
        self._lock = keys.login_lock(identity)
        self._ban = keys.login_ban(identity)
        self._refusals = keys.login_refusals(identity)
        self._reads = keys.order_reads(identity)
        self._forget = client.register_script(script("forget_token"))
        self._read_slot = client.register_script(script("read_slot"))

    def get(self) -> tuple[str, int] | None:
        """Return the token and when it was created; a value that is none counts as no token."""
        held = _asked(lambda: self._client.get(self._session))
        try:
            value = json.loads(str(held)) if held else {}
            return str(value["token"]), int(value["created_at"])
        except _UNREADABLE:
            return None

    def put(self, token: str, created_at_ms: int) -> None:
        """Replace the token."""
        value = json.dumps({"token": token, "created_at": created_at_ms})
        _asked(lambda: self._client.set(self._session, value, ex=SESSION_TTL_S))

    def touch(self) -> None:
        """Keep the token, whichever it is, for another full life."""
        _asked(lambda: self._client.expire(self._session, SESSION_TTL_S))

    def forget(self, token: str) -> None:
        """Delete the token if it is still this one."""
        _asked(lambda: self._forget(keys=[self._session], args=[token]))

    @contextlib.contextmanager
    def login_lock(self, timeout_s: float) -> Iterator[bool]:
        """Wait for the right to log in, at most this long; False: somebody else still has it."""
        # Who waits as long as a login may take gets the lock of one who was killed after twice that.
        lock = self._client.lock(self._lock, timeout=2 * timeout_s, sleep=0.05, blocking_timeout=timeout_s)
        acquired = _asked(lock.acquire)
        try:
            yield acquired
        finally:
            if acquired:
                # Lost to its TTL, or Redis gone: it ends by itself.
                with contextlib.suppress(LockError, RedisError):
                    lock.release()

    @contextlib.contextmanager
    def read_slot(self, limit: int, timeout_s: float) -> Iterator[bool]:
        """Wait to be one of at most `limit` who read orders at a time; False: `timeout_s` was not enough."""
        who = secrets.token_hex(8)
        give_up = time.monotonic() + timeout_s
        while not (acquired := self._hold_slot(who, limit)):
            if time.monotonic() >= give_up:
                break
            time.sleep(_READ_WAIT_S)
        done = threading.Event()
        if acquired:
            threading.Thread(target=self._renew_slot, args=(who, limit, done), daemon=True).start()
        try:
            yield acquired
        finally:
            done.set()
            if acquired:
                with contextlib.suppress(RedisError):  # it lapses by itself
                    self._client.zrem(self._reads, who)

    def _hold_slot(self, who: str, limit: int) -> bool:
        return bool(_asked(lambda: self._read_slot(keys=[self._reads], args=[who, limit, self._lease_ms])))

    def _renew_slot(self, who: str, limit: int, done: threading.Event) -> None:
        while not done.wait(self._lease_ms / 3000):
            with contextlib.suppress(StoreUnavailable):
                self._hold_slot(who, limit)
            if done.is_set():  # it ended meanwhile: the place that was just renewed is nobody's
                with contextlib.suppress(RedisError):
                    self._client.zrem(self._reads, who)

    def now(self) -> int:
        """Return Redis TIME."""
        seconds, micros = _asked(self._client.time)
        return int(seconds) * 1000 + int(micros) // 1000

    def ban(self) -> LoginBan | None:
        """Return what forbids logins for now; a value that cannot be read forbids nothing."""
        held = _asked(lambda: self._client.get(self._ban))
        try:
            value = json.loads(str(held)) if held else {}
            found = LoginBan(str(value["code"]), int(value["until"]))
        except _UNREADABLE:
            return None
        return found if found.until <= self.now() + _LONGEST_BAN_MS else None

    def put_ban(self, ban: LoginBan) -> None:
        """Forbid logins until the ban's end."""
        value = json.dumps({"code": ban.code, "until": ban.until})
        left_ms = max(1, ban.until - self.now())
        _asked(lambda: self._client.set(self._ban, value, px=left_ms))

    def refusal(self, credentials: str) -> str | None:
        """Return the code with which a login with these credentials was refused for good; one unread is a refusal."""
        held = _asked(lambda: self._client.hget(self._refusals, credentials))
        if held is None:
            return None
        try:
            return str(json.loads(str(held))["code"])
        except _UNREADABLE:
            return "LOGIN_REFUSED"

    def put_refusal(self, credentials: str, code: str) -> None:
        """Remember that; it holds until it is forgotten."""
        value = json.dumps({"code": code, "at": iso(self.now())})
        _asked(lambda: self._client.hset(self._refusals, credentials, value))

    def forget_refusals(self) -> None:
        """Forget all of them: a login succeeded, or a person wants it tried again."""
        _asked(lambda: self._client.delete(self._refusals))


def _asked(command: Callable[[], T]) -> T:
    try:
        return command()
    except RedisError as error:
        raise StoreUnavailable(f"Redis: {str(error).partition(chr(10))[0] or type(error).__name__}") from error
