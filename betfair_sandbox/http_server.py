"""An HTTP server that nobody can hold up by being slow.

Owns: the time limits of a connection and how many there may be. Invariants: who has not shaken hands within seconds, or
takes long over a body, is cut; a port never takes so many connections that another port has no file left. Units:
seconds.
"""

import asyncio
import resource
import ssl
from contextlib import suppress
from typing import Final

from tornado.httpserver import HTTPServer
from tornado.iostream import IOStream, SSLIOStream, StreamClosedError
from tornado.web import Application

IDLE_S: Final = 180  # Betfair closes connections that are idle for 3 minutes (Best Practice); headers have as long
HANDSHAKE_S: Final = 10
BODY_S: Final = 20
MAX_CONNECTIONS: Final = 1_000  # of one port
_MAX_BODY: Final = 2 * 1024 * 1024  # 200 instructions have about 60 KB
_FILES: Final = 8_192  # of the process: three HTTP ports, the stream's thousand, what is logged and recorded


class GuardedServer(HTTPServer):
    """Serves one port."""

    def initialize(self, application: Application, context: ssl.SSLContext) -> None:  # type: ignore[override]
        """Take what is served and the TLS of the port (Tornado's constructor of a server)."""
        self._open = 0
        self._watches: set[asyncio.Task[None]] = set()
        super().initialize(
            application,
            ssl_options=context,
            idle_connection_timeout=IDLE_S,
            body_timeout=BODY_S,
            max_body_size=_MAX_BODY,
        )

    def handle_stream(self, stream: IOStream, address: tuple[str, int]) -> None:
        """Take in a connection, or hang up when there are too many."""
        if self._open >= MAX_CONNECTIONS:
            stream.close()
            return
        self._open += 1
        if isinstance(stream, SSLIOStream):
            watch = asyncio.get_running_loop().create_task(_see_handshake(stream))
            self._watches.add(watch)
            watch.add_done_callback(self._watches.discard)
        super().handle_stream(stream, address)

    def on_close(self, server_conn: object) -> None:
        """Let another in (not by a callback of the stream: Tornado replaces that at each request)."""
        self._open -= 1
        super().on_close(server_conn)


async def _see_handshake(stream: SSLIOStream) -> None:
    with suppress(StreamClosedError, ssl.SSLError, OSError):
        try:
            await asyncio.wait_for(stream.wait_for_handshake(), HANDSHAKE_S)
        except TimeoutError:
            stream.close()


def allow_files() -> None:
    """Let this process have as many files as all its ports may need, where the system lets it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES if hard == resource.RLIM_INFINITY else min(_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
