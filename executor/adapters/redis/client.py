"""The connection to Redis: bounded waits, bounded repeats, and one error for everything that goes wrong with it.

redis-py repeats a command whose reply was lost; every script of ours is idempotent, so that a repeat does no harm.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache, wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import redis
from redis.backoff import ExponentialBackoff, NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from executor.adapters.redis.topology import follow
from executor.errors import StoreUnavailable
from executor.settings.urls import is_sentinel, sentinel_url

P = ParamSpec("P")
R = TypeVar("R")

_TIMEOUT_S = 5  # a healthy Redis answers in a millisecond; longer means that it is not
# Behind Sentinel another server is there within seconds: a silent master is left soon, and asked no third time.
_SOON: dict[str, Any] = {"socket_timeout": 1.5, "socket_connect_timeout": 1.0, "socket_keepalive": True}
_RETRIES = 2  # covers a dropped idle connection; a real outage is the caller's to wait out


def script(name: str, *, needs: Sequence[str] = ()) -> str:
    """Return the text of a Lua script of ours, with what it `needs` of others before it."""
    folder = Path(__file__).parent / "scripts"
    return "".join((folder / f"{each}.lua").read_text(encoding="utf-8") for each in (*needs, name))


def connect(url: str, *, timeout_s: float = _TIMEOUT_S) -> "redis.Redis":
    """Make a client for `url`; connects at the first command."""
    if is_sentinel(url):
        return redis.Redis(connection_pool=_shared(url, os.getpid()))
    return redis.Redis.from_url(
        url,
        decode_responses=True,
        encoding_errors="replace",  # whatever is in Redis can be read, if only to say that it is wrong
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        socket_keepalive=True,
        health_check_interval=15,
        retry=Retry(ExponentialBackoff(cap=0.2, base=0.02), _RETRIES),
    )


@cache
def _shared(url: str, _pid: int) -> "redis.ConnectionPool":
    """Return this process's connections to a master: who first finds that it has moved moves them all.

    Each pool apart would learn it by a time-out of its own, and a step works with many adapters.
    """
    once = Retry(NoBackoff(), 1)
    client = follow(sentinel_url(url), decode_responses=True, encoding_errors="replace", retry=once, **_SOON)
    return client.connection_pool


def connect_bytes(url: str) -> "redis.Redis":
    """Make a client that decodes nothing and repeats nothing: what it reads is given once."""
    if is_sentinel(url):
        return follow(sentinel_url(url), retry=Retry(NoBackoff(), 0), **_SOON)
    return redis.Redis.from_url(
        url,
        socket_timeout=_TIMEOUT_S,
        socket_connect_timeout=_TIMEOUT_S,
        socket_keepalive=True,
        retry=Retry(NoBackoff(), 0),
    )


def run_of(client: "redis.Redis") -> str:
    """Name this run of the master: another one may lack the last writes.

    Redis: master_replid changes with each start of a master and each promotion; a run id would be the same again when a
    server is promoted a second time.
    """
    return str(client.info("replication")["master_replid"])


@contextmanager
def store_errors() -> Iterator[None]:
    """Turn whatever redis-py raises into `StoreUnavailable` with one line."""
    try:
        yield
    except RedisError as error:
        raise StoreUnavailable(
            f"Redis: {str(error).splitlines()[0] if str(error) else type(error).__name__}"
        ) from error


def guarded(method: Callable[P, R]) -> Callable[P, R]:
    """Decorate a method so that it raises `StoreUnavailable` only."""

    @wraps(method)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        with store_errors():
            return method(*args, **kwargs)

    return call


def hash_of(values: Mapping[str, str]) -> dict[Any, Any]:
    """Widen the type: redis-py's own is invariant."""
    return dict(values)
