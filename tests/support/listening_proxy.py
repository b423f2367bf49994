"""What our proxies share: a port on loopback whose connections are served by a thread each, until the block ends."""

import contextlib
import socket
import threading
from typing import Final, Self

HOST: Final = "127.0.0.1"


class ListeningProxy:
    """Takes connections from `with` on; a proxy says in `_serve` what it does with one."""

    def __init__(self) -> None:
        self._listener = socket.create_server((HOST, 0))

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        raise NotImplementedError
