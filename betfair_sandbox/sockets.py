"""The ports of a sandbox and the certificates that it shows on them.

Owns: binding and TLS. Invariant: all ports are had before anything is served, so that a start fails as a whole. No
units.
"""

import socket
import ssl
from dataclasses import dataclass, field

from tornado.netutil import bind_sockets

from betfair_sandbox import as_betfair
from betfair_sandbox.certificates import CertificatePaths
from betfair_sandbox.options import DEFAULT_PORT, DEFAULT_STREAM_PORT, SandboxOptions, write_ports

_Sockets = list[socket.socket]


@dataclass(slots=True)
class Ports:
    """The listening sockets: those of its own name, and those that stand in for Betfair."""

    api: _Sockets
    cert: _Sockets
    stream: _Sockets
    betfair_api: _Sockets = field(default_factory=list)
    betfair_stream: _Sockets = field(default_factory=list)

    @property
    def numbers(self) -> dict[str, int]:
        """The port numbers as the sandbox's file has them."""
        named = {"port": self.api, "cert_port": self.cert, "stream_port": self.stream}
        return {name: sockets[0].getsockname()[1] for name, sockets in named.items()}


def open_ports(options: SandboxOptions) -> Ports:
    """Take every port and leave their numbers in the sandbox's directory.

    Raises:
        OSError: one cannot be had; the text names it.

    """
    stream_port = options.stream_port
    if stream_port is None:
        stream_port = DEFAULT_STREAM_PORT if options.port == DEFAULT_PORT else 0
    ports = Ports(
        _bind(options.host, options.port), _bind(options.host, options.cert_port), _bind(options.host, stream_port)
    )
    if options.as_betfair is not None:
        ports.betfair_api = _bind(options.as_betfair.https, as_betfair.PORT)
        ports.betfair_stream = _bind(options.as_betfair.stream, as_betfair.PORT)
    write_ports(options.directory, ports.numbers)
    return ports


def own_tls(paths: CertificatePaths, *, client_certificate: bool) -> ssl.SSLContext:
    """Return the context of a port under the sandbox's own name; `client_certificate`: clients must show one."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(paths.server)
    if client_certificate:
        context.load_verify_locations(paths.ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def betfair_tls(paths: CertificatePaths, options: SandboxOptions, *, client_certificate: bool) -> ssl.SSLContext:
    """Return the context of a port under Betfair's names; `client_certificate`: one that is shown must be known."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(paths.betfair)
    if client_certificate:
        context.load_verify_locations(paths.ca)
        for path in options.client_certificates:
            context.load_verify_locations(path)
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # one that is named is known, whoever signed it
        context.verify_mode = ssl.CERT_OPTIONAL
    return as_betfair.choose_by_name(context, own_tls(paths, client_certificate=False))


def _bind(host: str, port: int) -> _Sockets:
    try:
        return bind_sockets(port, address=host)
    except OSError as error:
        raise OSError(error.errno, f"{host}:{port}: {error.strerror or error}") from None
