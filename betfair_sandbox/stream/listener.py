"""The stream's port: who is connected, how many may be, and the faults that are meant for the stream.

Owns: the limits over all connections of an account. Invariants: a client beyond a limit is refused by name and never
takes a place from another. Units: milliseconds.
"""

import asyncio
import socket
import ssl
import time
from collections import deque
from itertools import count
from typing import Final

from betfair_sandbox.api.codes import STREAM_CODES
from betfair_sandbox.control.faults import RUNNING_KINDS, STREAM_METHODS
from betfair_sandbox.journal import Entry
from betfair_sandbox.stream.connection import Connection, Refusal
from betfair_sandbox.world import World, clock_ms

MAX_CONNECTIONS: Final = 10  # Betfair: of an account, by default
_MAX_SOCKETS: Final = 1_000  # of everybody, authenticated or not: a fence for memory
# Betfair throttles opening and closing and tells no figure; nobody who backs off comes near this one.
_MAX_OPENED: Final = 100
_OPENED_MS: Final = 10_000
_HANDSHAKE_S: Final = 10
_ERRORS: Final = frozenset(f"error:{code}" for code in STREAM_CODES)
_SHUTDOWN_S: Final = 5  # for what is still to be read by a client that is refused


class Listener:
    """Serves the stream of one sandbox."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._connections: set[Connection] = set()
        self._numbers = count(1)
        self._opened: dict[str, deque[int]] = {}
        self._counted_on = world.exchange
        self._servers: list[asyncio.Server] = []

    async def start(self, sockets: list[socket.socket], context: ssl.SSLContext) -> None:
        """Listen."""
        loop = asyncio.get_running_loop()
        for listening in sockets:
            server = await loop.create_server(
                lambda: Connection(self),
                sock=listening,
                ssl=context,
                ssl_handshake_timeout=_HANDSHAKE_S,
                ssl_shutdown_timeout=_SHUTDOWN_S,
            )
            self._servers.append(server)

    def stop(self) -> None:
        """Close the port and every connection."""
        for server in self._servers:
            server.close()
        for connection in list(self._connections):
            connection.cut()

    def now_ms(self) -> int:
        """Return the time of day."""
        return clock_ms()

    # -- limits ------------------------------------------------------------------------------------------------------

    def open(self, connection: Connection) -> int | None:
        """Take in a connection: its number, None when there are too many."""
        if len(self._connections) >= _MAX_SOCKETS:
            return None
        self._connections.add(connection)
        return next(self._numbers)

    def closed(self, connection: Connection) -> None:
        """Forget a connection."""
        self._connections.discard(connection)

    def admit(self, connection: Connection, account: str) -> int:
        """Return how many connections more the account may open after this one.

        Raises:
            Refusal: it has too many, or opens them too fast.

        """
        now_ms = self.now_ms()
        if self._counted_on is not self.world.exchange:  # after a reset nobody has been too fast
            self._counted_on = self.world.exchange
            self._opened.clear()
        opened = self._opened.setdefault(account, deque())
        while opened and opened[0] <= now_ms - _OPENED_MS:
            opened.popleft()
        if len(opened) >= _MAX_OPENED:
            raise Refusal("TOO_MANY_REQUESTS", "connections are opened too fast")
        opened.append(now_ms)
        others = sum(
            other is not connection and other.caller is not None and other.caller.account.name == account
            for other in self._connections
        )
        if others >= MAX_CONNECTIONS:
            raise Refusal("MAX_CONNECTION_LIMIT_EXCEEDED", f"{others} connections are open, {MAX_CONNECTIONS} allowed")
        return MAX_CONNECTIONS - others - 1

    # -- faults ------------------------------------------------------------------------------------------------------

    def strike_request(self, name: str, entry: Entry) -> None:
        """Refuse a request that a fault is meant for.

        Raises:
            Refusal: with the code of an `error:<code>` fault.

        """
        if name in STREAM_METHODS:
            for fault in self.world.faults.take(name, _ERRORS):
                entry.fault = fault.kind
                raise Refusal(fault.code, "injected", closes=fault.code != "SUBSCRIPTION_LIMIT_EXCEEDED")

    def strike_clock(self, name: str) -> bool:
        """Tell whether a fault makes the clocks of this subscription worthless."""
        return bool(self.world.faults.take(name, ("invalid_clock",)))

    def strike_running(self, connection: Connection, name: str, now_ms: int) -> None:
        """Let a running subscription meet what is meant for it; the journal tells of it."""
        for fault in self.world.faults.take(name, RUNNING_KINDS):
            entry = self.world.journal.open(time.time(), name, {"connectionId": connection.connection_id})
            entry.fault = fault.kind
            until_ms = now_ms + int(fault.seconds * 1000)
            if fault.kind == "silence":
                connection.silent_until_ms = until_ms
            elif fault.kind == "status_503":
                connection.strike_unhealthy(now_ms, until_ms)
            else:
                connection.cut()
