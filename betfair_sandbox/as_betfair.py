"""Standing in for Betfair by name: which names, on which addresses, and where that is refused.

Owns: the host names, the reading of `--as-betfair`, the rule where it may run. Invariant: a sandbox answers to
Betfair's names only in a network without a way out (a namespace, an internal network of containers): a host whose
programs were led to it would believe that they bet.
"""

import ssl
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Final

PORT: Final = 443
DEFAULT_ADDRESSES: Final = "127.0.0.2,127.0.0.3"
STREAM_NAMES: Final = ("stream-api.betfair.com", "stream-api-integration.betfair.com")
# Betfair: Login & Session Management; clients have .com.au beside .au.
_COUNTRIES: Final = ("com", "it", "es", "ro", "se", "au", "com.au")
NAMES: Final = (
    *(f"{host}.betfair.{country}" for host in ("identitysso", "identitysso-cert", "api") for country in _COUNTRIES),
    *STREAM_NAMES,
)


class NotHere(Exception):
    """The sandbox must not stand in for Betfair here; the text says why."""


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where API and identity, and where the stream is served, both on port 443."""

    https: str
    stream: str


def read_addresses(text: str) -> Addresses:
    """Read `HTTPS_ADDRESS,STREAM_ADDRESS`.

    Raises:
        ValueError: it is not that; the text says what is wrong.

    """
    parts = [part.strip() for part in text.split(",")]
    if len(parts) != 2:  # noqa: PLR2004 - a pair
        raise ValueError("two addresses are expected, as in 127.0.0.2,127.0.0.3")
    addresses = [_address(part) for part in parts]
    if addresses[0] == addresses[1]:
        raise ValueError("two different addresses are expected: API and stream share port 443")
    for address in addresses:
        if address.is_unspecified or not address.is_private:
            raise ValueError(f"{address}: only a loopback or private address may answer to Betfair's names")
    return Addresses(str(addresses[0]), str(addresses[1]))


def refuse_on_a_host(proc: Path = Path("/proc")) -> None:
    """See that nothing can leave the network that this process is in.

    Raises:
        NotHere: something can, or nobody can tell.

    """
    try:
        device = _way_out((proc / "net/route").read_text(), _ipv6_routes(proc))
    except OSError as error:
        raise NotHere(f"whether this network reaches others cannot be told: {error.strerror or error}") from None
    if device:
        raise NotHere(
            f"this network has a way out ({device}): use a network namespace or an internal network of containers, "
            "see docs/sandbox.md"
        )


def choose_by_name(named: ssl.SSLContext, other: ssl.SSLContext) -> ssl.SSLContext:
    """Return the context for a port that shows `named` to who asks for a name of Betfair's, else `other`."""

    def choose(connection: ssl.SSLObject | ssl.SSLSocket, name: str | None, _context: ssl.SSLContext) -> None:
        if name is None or name.lower() not in NAMES:
            connection.context = other

    named.sni_callback = choose
    return named


def _address(text: str) -> IPv4Address | IPv6Address:
    try:
        return ip_address(text)
    except ValueError:
        raise ValueError(f"{text} is not an address") from None


def _ipv6_routes(proc: Path) -> str:
    path = proc / "net/ipv6_route"
    return path.read_text() if path.exists() else ""


def _way_out(ipv4: str, ipv6: str) -> str:
    """Return the device of a default route, empty without one; the kernel's own tables (proc(5))."""
    for line in ipv4.splitlines()[1:]:
        device, destination, *rest = line.split()
        if destination == "00000000" and rest[5] == "00000000":
            return device
    for line in ipv6.splitlines():
        destination, length, *_, device = line.split()
        if (int(destination, 16), length, device == "lo") == (0, "00", False):
            return device
    return ""
