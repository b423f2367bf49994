"""HTTPS to Betfair: one POST at a time, and the certainty whether any byte of it left this machine.

Owns the connections: watched ones, used by one thread at a time, the last used first; made when none is free, not
shared with a fork, dropped after 150 s of idleness. By urllib3 itself: what `requests` does at each call costs an order
0.2 ms. Invariants: `NotSent` is raised only while not a single byte of a request had been handed over, everything later
is `OutcomeUnknown`. No plain HTTP, no redirects, no proxies from the environment, no repeats. No error carries a header
or a body, so none carries a secret.
Units: seconds by the machine's steady clock, bytes.
"""

import os
import ssl
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Final
from urllib.parse import urlsplit

from urllib3 import BaseHTTPResponse, HTTPSConnectionPool, Timeout
from urllib3.exceptions import NewConnectionError
from urllib3.exceptions import TimeoutError as HttpTimeoutError

from executor.adapters.betfair.connections import TooLateError, flight, open_pool
from executor.adapters.clock import monotonic
from executor.errors import NotSent, OutcomeUnknown
from executor.ports import SendPermit

CONNECT_TIMEOUT_S: Final = 3.05  # a bit above the first TCP retransmission after 3 s
MAX_IDLE_S: Final = 150.0  # Betfair closes an idle connection after 180 s; a write after that has an unknown outcome
_WARM_S: Final = 100.0  # what is kept warm is used again well before it is dropped
MAX_BODY_BYTES: Final = 64 * 1024 * 1024  # 1,000 orders are 1 MB; more is no answer of Betfair's
_CHUNK_BYTES: Final = 256 * 1024
_ALWAYS: Final = {"User-Agent": "executor", "Accept-Encoding": "gzip, deflate", "Connection": "keep-alive"}


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP answer, completely read."""

    status: int
    body: bytes = field(repr=False)


class _TooLargeError(Exception):
    """The answer is larger than any of Betfair's."""


class TransportError(Exception):
    """A POST without an answer; `error_type` is its metric label, `text` names no secret."""

    def __init__(self, error_type: str, text: str, *, sent: bool, tls_alert: bool) -> None:
        super().__init__(text)
        self.error_type = error_type
        self.sent = sent
        self.tls_alert = tls_alert  # the server broke the TLS session off: it does not like our certificate

    @property
    def was_cut(self) -> bool:
        """Tell whether the connection ended after the request left."""
        return self.sent and self.error_type == "connection"

    def named(self) -> NotSent | OutcomeUnknown:
        """Return the error that says what the caller must do."""
        return OutcomeUnknown(str(self)) if self.sent else NotSent(str(self))


@dataclass(slots=True)
class _Line:
    pool: HTTPSConnectionPool  # of one connection
    used_at: float


class Transport:
    """POSTs over connections that are kept."""

    def __init__(
        self,
        read_timeout_s: float,
        ca_bundle: str | None,
        *,
        max_idle_s: float = MAX_IDLE_S,
        max_body_bytes: int = MAX_BODY_BYTES,
        proxy: str = "",
    ) -> None:
        self._proxy = proxy
        self._read_timeout_s = read_timeout_s
        self._timeout = Timeout(connect=min(CONNECT_TIMEOUT_S, read_timeout_s), read=read_timeout_s)
        self._ca_bundle = ca_bundle
        self._max_idle_s = max_idle_s
        self._max_body_bytes = max_body_bytes
        self._free: dict[str, list[_Line]] = {}  # host -> connections that nobody uses, the last used last
        self._pid = os.getpid()
        self._guard = threading.Lock()

    def post(self, url: str, headers: Mapping[str, str], body: bytes, *, permit: SendPermit | None = None) -> Reply:
        """POST over a connection to the host; `permit` is asked when the connection stands.

        Raises:
            TransportError: there was no complete answer.
            NotSent: the permit's own refusal.
        """
        host = urlsplit(url).netloc
        line = self._take(host, url)
        try:
            return self._post(line.pool, url, headers, body, permit)
        finally:
            line.used_at = monotonic()
            self._give_back(host, line)

    def post_with_certificate(
        self, url: str, headers: Mapping[str, str], body: bytes, context: ssl.SSLContext
    ) -> Reply:
        """POST once over a connection that shows the client certificate loaded in `context`.

        Raises:
            TransportError: there was no complete answer.
        """
        pool = self._open(url, context)
        try:
            return self._post(pool, url, headers, body, None)
        finally:
            pool.close()

    def is_warm(self, url: str) -> bool:
        """Tell whether there is a free connection to the URL's host that will be fresh for a while."""
        with self._guard:
            free = self._of_this_process().get(urlsplit(url).netloc, [])
            return bool(free) and monotonic() - free[-1].used_at <= min(_WARM_S, self._max_idle_s)

    def close(self) -> None:
        """Close the connections that nobody uses."""
        with self._guard:
            lines = [line for free in self._of_this_process().values() for line in free]
            self._free = {}
        for line in lines:
            line.pool.close()

    def _of_this_process(self) -> dict[str, list[_Line]]:
        if self._pid != os.getpid():  # a fork: the parent's sockets are not ours to use or to close
            self._pid, self._free = os.getpid(), {}
        return self._free

    def _take(self, host: str, url: str) -> _Line:
        with self._guard:
            free = self._of_this_process().setdefault(host, [])
            if free and monotonic() - free[-1].used_at <= self._max_idle_s:
                return free.pop()
            idle = free[:]  # and all before the last one even longer
            free.clear()
        for line in idle:
            line.pool.close()
        return _Line(self._open(url), monotonic())

    def _give_back(self, host: str, line: _Line) -> None:
        with self._guard:
            self._of_this_process().setdefault(host, []).append(line)

    def _open(self, url: str, context: ssl.SSLContext | None = None) -> HTTPSConnectionPool:
        try:
            return open_pool(url, ca_bundle=self._ca_bundle, context=context, proxy=self._proxy)
        except Exception as error:  # noqa: BLE001 - whatever it is, nothing was sent
            failure = error
        raise _described(urlsplit(url).netloc, failure, sent=False)

    def _post(
        self,
        pool: HTTPSConnectionPool,
        url: str,
        headers: Mapping[str, str],
        body: bytes,
        permit: SendPermit | None,
    ) -> Reply:
        started = monotonic()
        flight.prepare(permit)
        failure: Exception
        try:
            response = pool.urlopen(
                "POST",
                _target(url),
                body=body,
                headers={**_ALWAYS, **headers},
                retries=False,
                redirect=False,
                assert_same_host=False,
                timeout=self._timeout,
                preload_content=False,
            )
            try:
                return Reply(response.status, self._read(response, started + 2 * self._read_timeout_s))
            finally:
                response.close()
                response.release_conn()
        except Exception as error:  # noqa: BLE001 - what is unclassified after the request left is an unknown outcome
            failure = error
        flight.abort()
        # Outside of the handler, so that the error has no context: http.client quotes a bad header.
        if isinstance(failure, NotSent):
            raise failure
        raise _described(urlsplit(url).netloc, failure, sent=flight.sent)

    def _read(self, response: BaseHTTPResponse, until: float) -> bytes:
        """Read a body of bounded size within bounded time, however slowly it drips."""
        chunks: list[bytes] = []
        size = 0
        while chunk := response.read1(_CHUNK_BYTES, decode_content=True):
            size += len(chunk)
            if size > self._max_body_bytes:
                raise _TooLargeError
            if monotonic() > until:
                raise TimeoutError("the answer takes too long")
            chunks.append(chunk)
        return b"".join(chunks)


@cache
def _target(url: str) -> str:
    """Return what of a URL is said to its host; there are a handful of them."""
    parts = urlsplit(url)
    return f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"


def _described(host: str, error: Exception, *, sent: bool) -> TransportError:
    root = _root(error)
    # Only the operating system's and TLS' own texts hold nothing of the request; http.client quotes a bad header.
    speaks = isinstance(root, OSError) and type(root).__module__ in {"builtins", "socket", "ssl"}
    reason = f"{type(root).__name__}: {root}" if speaks else type(root).__name__
    slow = isinstance(error, HttpTimeoutError) and not isinstance(error, NewConnectionError)  # which is one by descent
    timed_out = slow or isinstance(root, TimeoutError | TooLateError)
    what = "no complete answer" if sent else "no connection"
    return TransportError(
        "timeout" if timed_out else "connection",
        f"{host}: {what} ({reason[:200]})",
        sent=sent,
        tls_alert=isinstance(root, ssl.SSLError) and "ALERT" in str(root.reason or ""),
    )


def _root(error: BaseException) -> BaseException:
    for _ in range(20):  # libraries wrap a handful of times; a chain may in theory be circular
        wrapped = (arg for arg in error.args if isinstance(arg, BaseException))
        deeper = error.__cause__ or error.__context__ or next(wrapped, None)
        if deeper is None:
            break
        error = deeper
    return error
