"""Standing in for Betfair: which addresses are taken, and where it is refused."""

from pathlib import Path

import pytest

from betfair_sandbox.as_betfair import Addresses, NotHere, read_addresses, refuse_on_a_host

IPV4_HEAD = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n"
IPV4_DEFAULT = "eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"
IPV4_LOCAL = "eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"
ZERO = "0" * 32
IPV6_DEFAULT = f"{ZERO} 00 {ZERO} 00 fd000000000000000000000000000001 00000400 00000003 00000000 00000003     eth0\n"
IPV6_REJECT = f"{ZERO} 00 {ZERO} 00 {ZERO} ffffffff 00000001 00000000 00200200       lo\n"


@pytest.mark.parametrize(
    ("text", "addresses"),
    [
        ("127.0.0.2,127.0.0.3", Addresses("127.0.0.2", "127.0.0.3")),
        (" 172.30.1.2 , 172.30.2.2 ", Addresses("172.30.1.2", "172.30.2.2")),
        ("::1,fd00::2", Addresses("::1", "fd00::2")),
    ],
)
def test_two_addresses_are_read(text: str, addresses: Addresses) -> None:
    assert read_addresses(text) == addresses


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("127.0.0.2", "two addresses"),
        ("127.0.0.2,127.0.0.2", "two different"),
        ("127.0.0.2,8.8.8.8", "8.8.8.8"),
        ("0.0.0.0,127.0.0.3", "0.0.0.0"),
        ("localhost,127.0.0.3", "localhost is not an address"),
        ("", "two addresses"),
    ],
)
def test_other_addresses_are_refused_by_name(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        read_addresses(text)


@pytest.mark.parametrize(
    ("ipv4", "ipv6", "way_out"),
    [
        ("", IPV6_REJECT, ""),
        (IPV4_LOCAL, None, ""),
        (IPV4_LOCAL + IPV4_DEFAULT, IPV6_REJECT, "eth0"),
        ("", IPV6_REJECT + IPV6_DEFAULT, "eth0"),
    ],
)
def test_a_network_with_a_way_out_is_refused(tmp_path: Path, ipv4: str, ipv6: str | None, way_out: str) -> None:
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "route").write_text(IPV4_HEAD + ipv4)
    if ipv6 is not None:
        (tmp_path / "net" / "ipv6_route").write_text(ipv6)
    if way_out:
        with pytest.raises(NotHere, match=way_out):
            refuse_on_a_host(tmp_path)
    else:
        refuse_on_a_host(tmp_path)


def test_where_nobody_can_tell_it_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotHere, match="cannot be told"):
        refuse_on_a_host(tmp_path)


ARP_HEAD = "IP address       HW type     Flags       HW address            Mask     Device\n"
THERE = "192.0.2.1        0x1         0x2         02:42:c0:00:02:01     *        eth0\n"
NOT_THERE = "192.0.2.1        0x1         0x0         00:00:00:00:00:00     *        eth0\n"


@pytest.mark.parametrize(
    ("gateway", "before", "after", "refused", "asked"),
    [
        ("010200C0", THERE, THERE, True, False),
        ("010200C0", "", THERE, True, True),
        ("010200C0", "", NOT_THERE, False, True),
        ("010200C0", NOT_THERE, NOT_THERE, False, True),
        ("00000000", "", "", True, False),  # a line to one peer needs no gateway
        ("08080808", "", NOT_THERE, True, False),  # nobody outside is asked
    ],
)
def test_a_default_route_without_a_gateway_is_no_way_out(
    tmp_path: Path, gateway: str, before: str, after: str, refused: bool, asked: bool
) -> None:
    net = tmp_path / "net"
    net.mkdir()
    (net / "route").write_text(IPV4_HEAD + IPV4_LOCAL + IPV4_DEFAULT.replace("010200C0", gateway))
    (net / "arp").write_text(ARP_HEAD + before)
    knocks: list[str] = []

    def knock(address: str) -> None:
        knocks.append(address)
        (net / "arp").write_text(ARP_HEAD + after)

    if refused:
        with pytest.raises(NotHere, match="eth0"):
            refuse_on_a_host(tmp_path, 0.1, knock)
    else:
        refuse_on_a_host(tmp_path, 0.1, knock)
    assert knocks == (["192.0.2.1"] if asked else [])
