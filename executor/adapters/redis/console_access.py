"""Who may use the console, as far as Redis keeps it: sessions, one-time links, tokens of programs, failed attempts.

Invariants: a secret is kept as its SHA-256 only; a session ends by itself when it is idle or old; counts of failures
forget. Times are epoch seconds of Redis.
"""

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final, cast

from redis import Redis
from redis.exceptions import ResponseError

from executor import keys
from executor.adapters.redis.adapter import redis_time
from executor.adapters.redis.client import guarded, script
from executor.domain.times import whole

_MAX_TOKENS: Final = 200  # more is no list that a person looks through


class RedisConsoleAccess:
    """What the console remembers of people and programs, on one Redis db."""

    def __init__(self, client: "Redis") -> None:
        self._redis = client
        self._count = client.register_script(script("count_failure"))

    @guarded
    def now(self) -> int:
        """Return Redis TIME."""
        return redis_time(self._redis) // 1000

    # -- sessions ----------------------------------------------------------------------------------------------------

    @guarded
    def put_session(self, digest: str, fields: Mapping[str, str], idle_s: int) -> None:
        """Remember a session."""
        self._redis.set(keys.console_session(digest), json.dumps(dict(fields)), ex=idle_s)

    @guarded
    def use_session(self, digest: str, idle_s: int) -> dict[str, str] | None:
        """Return a session that is not idle for too long, and begin its idle time anew."""
        return _fields(self._redis.getex(keys.console_session(digest), ex=idle_s))

    @guarded
    def end_session(self, digest: str) -> None:
        """Forget a session."""
        self._redis.delete(keys.console_session(digest))

    @guarded
    def put_once(self, digest: str, ttl_s: int) -> None:
        """Remember a one-time link."""
        self._redis.set(keys.console_once(digest), "1", ex=ttl_s)

    @guarded
    def take_once(self, digest: str) -> bool:
        """Use a one-time link; True for the first who does."""
        return bool(self._redis.delete(keys.console_once(digest)))

    # -- tokens ------------------------------------------------------------------------------------------------------

    @guarded
    def put_token(self, digest: str, fields: Mapping[str, str]) -> bool:
        """Keep a token; False when there are too many."""
        if int(self._redis.hlen(keys.CONSOLE_TOKENS)) >= _MAX_TOKENS:
            return False
        self._redis.hset(keys.CONSOLE_TOKENS, digest, json.dumps(dict(fields)))
        return True

    @guarded
    def token(self, digest: str) -> dict[str, str] | None:
        """Return what is known of a token."""
        return _fields(self._redis.hget(keys.CONSOLE_TOKENS, digest))

    @guarded
    def tokens(self) -> dict[str, dict[str, str]]:
        """Return digest -> what is known, by name."""
        held = cast("dict[str, str]", self._redis.hgetall(keys.CONSOLE_TOKENS))
        read = {digest: _fields(text) or {} for digest, text in held.items()}
        return dict(sorted(read.items(), key=lambda item: item[1].get("name", "")))

    @guarded
    def drop_token(self, digest: str) -> None:
        """Forget a token."""
        self._redis.hdel(keys.CONSOLE_TOKENS, digest)

    # -- failed attempts ---------------------------------------------------------------------------------------------

    @guarded
    def failures(self, of: str) -> tuple[int, int]:
        """Return how many attempts failed lately, and in how many seconds they are forgotten; junk is forgotten now."""
        key = keys.console_failures(of)
        with suppress(ResponseError):  # of another type
            held, left_s = cast("str | None", self._redis.get(key)), int(self._redis.ttl(key))
            if held is None:
                return 0, 0
            if (number := whole(held)) and left_s >= 0:
                return number, left_s
        self._redis.delete(key)
        return 0, 0

    @guarded
    def count(self, of: str, window_s: int) -> int:
        """Count one more; returns how many within the window."""
        return int(cast("int", self._count(keys=[keys.console_failures(of)], args=[str(window_s)])))

    @guarded
    def forgive(self, of: str) -> None:
        """Forget the failures: the right password was given."""
        self._redis.delete(keys.console_failures(of))


def _fields(text: Any) -> dict[str, str] | None:  # noqa: ANN401 - what redis-py returns
    try:
        loaded = json.loads(text) if isinstance(text, str) else None
    except (ValueError, RecursionError):
        loaded = None
    return {str(name): str(value) for name, value in loaded.items()} if isinstance(loaded, dict) else None
