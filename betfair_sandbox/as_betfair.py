"""Standing in for Betfair by name: which names, on which addresses, and where that is refused.

Owns: the host names, the reading of `--as-betfair`, the rule where it may run. Invariant: a sandbox answers to
Betfair's names only in a network without a way out (a namespace, an internal network of containers): a host whose
programs were led to it would believe that they bet.
"""

import socket
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
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


_ARP_COMPLETE: Final = 2
_LOOK_S: Final = 0.05
GATEWAY_S: Final = 2.0  # one that exists answers within milliseconds


def _knock(address: str) -> None:
    """Let the kernel look for a neighbour: one byte to its discard port."""
    with suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
        line.sendto(b"?", (address, 9))


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


def refuse_on_a_host(proc: Path = Path("/proc"), wait_s: float = 0, knock: Callable[[str], None] = _knock) -> None:
    """See that nothing can leave the network that this process is in.

    Docker before 27 gives containers of an internal network a default route, too. Where its gateway does not exist
    (`inhibit_ipv4`, as the compose file has it) nothing leaves either: whether it does is asked for `wait_s` seconds.

    Raises:
        NotHere: something can, or nobody can tell.

    """
    try:
        device = _way_out((proc / "net/route").read_text(), _ipv6_routes(proc), _Neighbours(proc, wait_s, knock))
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


@dataclass(frozen=True, slots=True)
class _Neighbours:
    """Who is there on this link, by the kernel's own table (proc(5): net/arp)."""

    proc: Path
    wait_s: float
    knock: Callable[[str], None]

    def has(self, gateway: IPv4Address) -> bool:
        """Tell whether a gateway is there; one that nobody can tell of is."""
        if not gateway.is_private or gateway.is_unspecified or not (self.proc / "net/arp").exists():
            return True
        ends = time.monotonic() + self.wait_s
        if self._answered(gateway):
            return True  # and nothing was sent
        self.knock(str(gateway))
        while not (found := self._answered(gateway)) and time.monotonic() < ends:
            time.sleep(_LOOK_S)
        return found

    def _answered(self, gateway: IPv4Address) -> bool:
        rows = [line.split() for line in (self.proc / "net/arp").read_text().splitlines()[1:]]
        return any(row[0] == str(gateway) and int(row[2], 16) & _ARP_COMPLETE for row in rows)


def _ipv6_routes(proc: Path) -> str:
    path = proc / "net/ipv6_route"
    return path.read_text() if path.exists() else ""


def _way_out(ipv4: str, ipv6: str, neighbours: _Neighbours) -> str:
    """Return the device of a default route, empty without one; the kernel's own tables (proc(5))."""
    for line in ipv4.splitlines()[1:]:
        device, destination, gateway, *rest = line.split()
        is_default = destination == "00000000" and rest[4] == "00000000"
        if is_default and neighbours.has(IPv4Address(bytes.fromhex(gateway)[::-1])):
            return device
    for line in ipv6.splitlines():
        destination, length, *_, device = line.split()
        if (int(destination, 16), length, device == "lo") == (0, "00", False):
            return device
    return ""
