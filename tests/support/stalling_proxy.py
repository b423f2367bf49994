"""A line that can be cut where nobody may make network namespaces: a TCP proxy that holds back what comes.

While a way is cut, bytes of that way wait here and new connections stand without a word; afterwards they go on, as a
kernel sends again what was not acknowledged, but for those of a sender that has given up with a reset: nothing of a
reset connection is sent again. What this cannot show is the kernel's own patience (TCP_USER_TIMEOUT). Units: seconds.
"""

import contextlib
import socket
import threading
from typing import Final

from support.listening_proxy import HOST, ListeningProxy

_LOOK_S: Final = 0.05
_CHUNK: Final = 1 << 20


class StallingProxy(ListeningProxy):
    """Passes one port's connections on; `there` and `back` are the ways from and to the client."""

    def __init__(self, port: int) -> None:
        self._target = port
        super().__init__()
        self._open = {"there": threading.Event(), "back": threading.Event()}
        self._ended = threading.Event()
        self.heal()

    def cut(self, *ways: str) -> None:
        """Let nothing pass these ways, by default both."""
        for way in ways or self._open:
            self._open[way].clear()

    def heal(self) -> None:
        """Let everything pass, what waited first."""
        for way in self._open.values():
            way.set()

    def __exit__(self, *exit_: object) -> None:
        self._ended.set()
        super().__exit__(*exit_)

    def _serve(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            self._open["there"].wait()
            with socket.create_connection((HOST, self._target)) as server:
                back = threading.Thread(target=self._pump, args=(server, client, "back"), daemon=True)
                back.start()
                self._pump(client, server, "there")
                back.join()

    def _pump(self, source: socket.socket, sink: socket.socket, way: str) -> None:
        try:
            while data := source.recv(_CHUNK):
                while not self._open[way].wait(_LOOK_S):
                    if self._ended.is_set():
                        return
                if _was_reset(source):
                    return
                sink.sendall(data)
        except OSError:
            pass
        finally:
            for side in (source, sink):
                with contextlib.suppress(OSError):
                    side.shutdown(socket.SHUT_RDWR)


def _was_reset(source: socket.socket) -> bool:
    try:
        source.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return False
