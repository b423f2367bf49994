"""Where the console listens: its sockets and its certificate, before anything says that it has started.

Invariant: what is wrong with host, port or certificate is said in a line that names the setting.
"""

import socket

import uvicorn

from executor.errors import ExecutorError


class CannotListen(ExecutorError):
    """The console's address or certificate cannot be used."""


def open_sockets(host: str, port: int) -> list[socket.socket]:
    """Take the port on every address of the host.

    Raises:
        CannotListen: the host is none of this machine's, or the port is taken.
    """
    opened: list[socket.socket] = []
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, _, _, _, address in dict.fromkeys(found):
            opened.append(socket.create_server(address, family=family, backlog=2048))
    except OSError as error:
        for listening in opened:
            listening.close()
        named = f"EXECUTOR_CONSOLE__HOST {host}, EXECUTOR_CONSOLE__PORT {port}"
        raise CannotListen(f"{named}: cannot listen there: {error.strerror}") from None
    return opened


def load(config: uvicorn.Config) -> None:
    """Read the certificate.

    Raises:
        CannotListen: it cannot be read, or its key is another's.
    """
    try:
        config.load()
    except (OSError, ValueError) as error:
        named = f"{config.ssl_certfile} with EXECUTOR_CONSOLE__TLS_KEY {config.ssl_keyfile}"
        raise CannotListen(f"EXECUTOR_CONSOLE__TLS_CERTIFICATE {named} cannot be used: {error}") from None
