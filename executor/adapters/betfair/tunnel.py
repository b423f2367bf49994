"""A TLS connection for what is no HTTP, straight or through the proxy of the settings (HTTP CONNECT).

Invariants: no proxy variable of the environment is read; a proxy's password is in no error. Units: seconds.
"""

import socket
import ssl
from typing import Final, cast
from urllib.parse import unquote, urlsplit

from urllib3.connection import HTTPSConnection, ProxyConfig
from urllib3.exceptions import HTTPError
from urllib3.util import make_headers, parse_url

_PORTS: Final = {"http": 80, "https": 443}


def connect_tls(
    address: tuple[str, int], context: ssl.SSLContext, timeout_s: float, *, proxy: str = ""
) -> ssl.SSLSocket:
    """Connect and shake hands; `context` decides whom to trust.

    Raises:
        OSError: that is not possible; the text says where it ended.
    """
    if not proxy:
        plain = socket.create_connection(address, timeout=timeout_s)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return context.wrap_socket(plain, server_hostname=address[0])
    way = urlsplit(proxy)
    headers = {}
    if way.username:
        given = f"{unquote(way.username)}:{unquote(way.password or '')}"
        headers["Proxy-Authorization"] = make_headers(proxy_basic_auth=given)["proxy-authorization"]
    connection = HTTPSConnection(
        way.hostname or "",
        way.port or _PORTS[way.scheme],
        timeout=timeout_s,
        ssl_context=context,
        socket_options=[(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)],
        proxy=parse_url(f"{way.scheme}://{way.hostname}"),
        proxy_config=ProxyConfig(
            ssl_context=None, use_forwarding_for_https=False, assert_hostname=None, assert_fingerprint=None
        ),
    )
    connection.set_tunnel(*address, headers, way.scheme)
    try:
        connection.connect()
    except HTTPError as error:
        raise OSError(f"through the proxy: {type(error).__name__}") from None
    return cast("ssl.SSLSocket", connection.sock)
