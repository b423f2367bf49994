"""Connections to Betfair that are watched: whether a request has left, over what, and whether it still may.

Invariants: a request is handed to the system whole, once its connection stands and whoever sends it has been asked
again; one that was given up, be it with its process, is not sent by the system any more (it would repeat it for a
quarter of an hour over a line that was cut). Through a proxy likewise, up to the proxy. Units: seconds by the machine's
steady clock.
"""

import os
import socket
import ssl
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import certifi
import structlog
from urllib3 import HTTPSConnectionPool, PoolManager, ProxyManager
from urllib3.connection import HTTPSConnection
from urllib3.util import make_headers

from executor.adapters.clock import monotonic
from executor.ports import ARRIVES_WITHIN_S, SendPermit

# What a slow name server or store may use up before the first byte; a later request might arrive when it is not
# expected any more.
SEND_WITHIN_S: Final = 10.0

# Closing throws away what has not arrived, and resets the connection; so does the end of the process, however it ends.
_ABORT_ON_CLOSE: Final = (socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
# What nobody has acknowledged for so long is thrown away, too, should this process stand still (Linux only).
_ABORT_UNHEARD: Final = tuple(
    (socket.IPPROTO_TCP, getattr(socket, name), round(ARRIVES_WITHIN_S * 1000))
    for name in ("TCP_USER_TIMEOUT",)
    if hasattr(socket, name)
)


_log = structlog.get_logger(__name__)
_SOCKET_OPTIONS: Final = [*HTTPSConnection.default_socket_options, _ABORT_ON_CLOSE, *_ABORT_UNHEARD]


class Flight(threading.local):
    """The request that this thread is making: whether it has left, over what, until when it may, and who says so."""

    sent: bool = False
    send_by: float = 0.0
    check: Callable[[], None] | None = None
    after: Callable[[], None] | None = None
    line: "socket.socket | None" = None

    def prepare(self, permit: SendPermit | None) -> None:
        """Begin anew, with nothing sent."""
        self.sent, self.line = False, None
        self.send_by = monotonic() + SEND_WITHIN_S if permit is None else permit.send_by
        self.check, self.after = (None, None) if permit is None else (permit.check, permit.sent)

    def leave(self, over: "socket.socket | None") -> None:
        """Note that the request is handed over now; raises where it must not be."""
        if self.check is not None:
            self.check()
        if monotonic() > self.send_by:  # asked last: it takes no time, what was asked before it may
            raise TooLateError
        self.sent, self.line = True, over

    def has_left(self) -> None:
        """Say so to whoever sends it: until the answer comes there is time, and nothing there changes the outcome."""
        if self.after is not None:
            try:
                self.after()
            except Exception as error:  # noqa: BLE001 - the request has left, and its answer must be heard
                _log.error("not_said_after_sending", kind=type(error).__name__)

    def abort(self) -> None:
        """Close what the request went over, whoever still holds it; what has not arrived of it never will."""
        with suppress(OSError, AttributeError):
            if self.sent and self.line is not None and (descriptor := self.line.detach()) >= 0:
                os.close(descriptor)


flight: Final = Flight()


class TooLateError(Exception):
    """The connection took so long that the request is no longer wanted; nothing was sent."""


class _WatchedConnection(HTTPSConnection):
    """A connection that puts a request together first, and asks before it is handed over, all of it at once."""

    _parts: "list[bytes] | None" = None

    def request(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - urllib3's signature
        self._parts = []
        try:
            super().request(*args, **kwargs)
            whole = b"".join(self._parts)
        finally:
            self._parts = None
        if self.sock is None:
            self.connect()
        flight.leave(self.sock)
        self.send(whole)
        flight.has_left()

    def send(self, data: Any) -> None:  # noqa: ANN401 - http.client's signature
        if self._parts is None:
            super().send(data)  # also what is said to a proxy
        else:
            self._parts.append(data)


class _WatchedPool(HTTPSConnectionPool):
    ConnectionCls = _WatchedConnection


def open_pool(
    url: str, *, ca_bundle: str | None, context: ssl.SSLContext | None = None, proxy: str = ""
) -> HTTPSConnectionPool:
    """Return a place for one watched connection to the URL's host, with the client certificate of `context` if given.

    The connection is made by the first request, anew where it was lost. What left through a proxy has left.

    Raises:
        ValueError: there is no such connection: plain HTTP above all.
    """
    if not url.lower().startswith("https://"):
        raise ValueError("not by HTTPS")
    bundle = ca_bundle or certifi.where()
    kwargs: dict[str, Any] = {
        "num_pools": 1,
        "maxsize": 1,
        "cert_reqs": "CERT_REQUIRED",
        "ca_cert_dir" if Path(bundle).is_dir() else "ca_certs": bundle,
        "socket_options": _SOCKET_OPTIONS,
    }
    if context is not None:
        kwargs["ssl_context"] = context
    manager = ProxyManager(proxy, proxy_headers=_proxy_headers(proxy), **kwargs) if proxy else PoolManager(**kwargs)
    manager.pool_classes_by_scheme = {"https": _WatchedPool}
    pool = manager.connection_from_url(url)
    if not isinstance(pool, _WatchedPool):
        raise ValueError("a connection that is not watched")  # noqa: TRY004 - as any other that cannot be had
    return pool


def _proxy_headers(proxy: str) -> dict[str, str]:
    parts = urlsplit(proxy)
    if not parts.username:
        return {}
    made = make_headers(proxy_basic_auth=f"{unquote(parts.username)}:{unquote(parts.password or '')}")
    return {"Proxy-Authorization": made["proxy-authorization"]}
