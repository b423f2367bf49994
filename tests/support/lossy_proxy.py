"""A TCP proxy before Redis that can lose a reply: the command is carried out, and the client never hears of it."""

import contextlib
import select
import socket

from support.listening_proxy import HOST, ListeningProxy


class LossyProxy(ListeningProxy):
    """Passes bytes on both ways; `lose(marker)` swallows the reply to the next request that contains the marker."""

    def __init__(self, port: int) -> None:
        self._target = port
        super().__init__()
        self._marker = b""
        self.lost = 0

    @property
    def url(self) -> str:
        return f"redis://{HOST}:{self.port}/0"

    def lose(self, marker: bytes) -> None:
        self._marker = marker

    def _serve(self, client: socket.socket) -> None:
        losing = False
        with client, socket.create_connection((HOST, self._target)) as server, contextlib.suppress(OSError):
            while True:
                for source in select.select([client, server], [], [])[0]:
                    data = source.recv(1 << 20)
                    if not data:
                        return
                    if source is server:
                        if losing:
                            self.lost += 1
                            return
                        client.sendall(data)
                    else:
                        if self._marker and self._marker in data:
                            self._marker, losing = b"", True
                        server.sendall(data)
