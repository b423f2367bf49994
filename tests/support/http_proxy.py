"""An HTTP proxy that tunnels, as a company's does: what it was asked for is noted, a password may be wanted."""

import base64
import contextlib
import select
import socket

from support.listening_proxy import HOST, ListeningProxy


class HttpProxy(ListeningProxy):
    """Answers CONNECT; `credentials` ("user:password") are wanted when given."""

    def __init__(self, credentials: str = "") -> None:
        super().__init__()
        self._wanted = f"Proxy-Authorization: Basic {base64.b64encode(credentials.encode()).decode()}"
        self._credentials = credentials
        self.asked: list[str] = []  # host:port of each tunnel
        self.silent = False  # what comes back is swallowed

    def url(self, credentials: str = "") -> str:
        return f"http://{f'{credentials}@' if credentials else ''}{HOST}:{self.port}"

    def _serve(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            head = b""
            while b"\r\n\r\n" not in head:
                head += client.recv(4096)
            lines = head.decode().split("\r\n")
            target = lines[0].split()[1]
            self.asked.append(target)
            if self._credentials and self._wanted not in lines:
                client.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
                return
            host, _, port = target.rpartition(":")
            with socket.create_connection((host, int(port))) as server:
                client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                self._pass_on(client, server)

    def _pass_on(self, client: socket.socket, server: socket.socket) -> None:
        while True:
            for source in select.select([client, server], [], [])[0]:
                data = source.recv(1 << 16)
                if not data:
                    return
                if source is client:
                    server.sendall(data)
                elif not self.silent:
                    client.sendall(data)
