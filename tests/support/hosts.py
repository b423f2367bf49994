"""Hosts on one machine: namespaces with addresses of their own on one bridge, which can be cut off and lose packets.

Owns the bridge and the namespaces, which exist only while it is open; needs root and iproute2, loss needs iptables.
Traffic stays on the bridge. There is no delay: it would need the kernel's netem.
"""

import contextlib
import ctypes
import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, Self

_NET: Final = "10.98.7"
_CLONE_NEWNET: Final = 0x40000000


class Hosts:
    """Namespaces by name, each with `address(name)`."""

    def __init__(self, names: Sequence[str]) -> None:
        self._id = secrets.token_hex(3)
        self.names = tuple(names)

    def address(self, name: str) -> str:
        """Return a host's address."""
        return f"{_NET}.{self.names.index(name) + 10}"

    def inside(self, name: str) -> tuple[str, ...]:
        """Return what a command begins with that runs on a host."""
        return ("ip", "netns", "exec", self.space(name))

    def space(self, name: str) -> str:
        """Return the namespace's name."""
        return f"h{self._id}-{name}"

    def __enter__(self) -> Self:
        try:
            _ip("netns", "add", self.space("switch"))
            _ip("-n", self.space("switch"), "link", "add", "br0", "type", "bridge")
            _ip("-n", self.space("switch"), "link", "set", "br0", "up")
            for name in self.names:
                self._add(name)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for name in (*self.names, "switch"):
            subprocess.run(["ip", "netns", "del", self.space(name)], capture_output=True, check=False)
            shutil.rmtree(Path("/etc/netns") / self.space(name), ignore_errors=True)
        with contextlib.suppress(OSError):
            Path("/etc/netns").rmdir()

    def _add(self, name: str) -> None:
        space, switch, port = self.space(name), self.space("switch"), f"to-{name}"[:15]
        _ip("netns", "add", space)
        hosts = Path("/etc/netns") / space / "hosts"
        hosts.parent.mkdir(parents=True)
        known = "".join(f"{self.address(each)} {each}\n" for each in self.names)
        known += f"{self.address(self.names[0])} sandbox\n"  # as it is called in its certificate
        hosts.write_text(f"127.0.0.1 localhost\n{known}", encoding="utf-8")
        _ip("link", "add", "net", "netns", space, "type", "veth", "peer", "name", port, "netns", switch)
        _ip("-n", space, "addr", "add", f"{self.address(name)}/24", "dev", "net")
        for where, link in ((space, "lo"), (space, "net"), (switch, port)):
            _ip("-n", where, "link", "set", link, "up")
        _ip("-n", switch, "link", "set", port, "master", "br0")

    def cut_off(self, name: str) -> None:
        """Let no packet to or from a host pass, without a word to either side."""
        _ip("-n", self.space("switch"), "link", "set", f"to-{name}"[:15], "nomaster")

    def rejoin(self, name: str) -> None:
        """Let them pass again."""
        _ip("-n", self.space("switch"), "link", "set", f"to-{name}"[:15], "master", "br0")

    def lose(self, name: str, share: float) -> bool:
        """Let a host lose this share of what it gets; tells whether that can be had here."""
        rule = ("iptables", "-A", "INPUT", "-i", "net", "-m", "statistic", "--mode", "random", "--probability")
        try:
            done = subprocess.run(
                [*self.inside(name), *rule, f"{share:.3f}", "-j", "DROP"], capture_output=True, check=False
            )
        except FileNotFoundError:
            return False
        return done.returncode == 0


@contextlib.contextmanager
def hosts(*names: str) -> Iterator[Hosts]:
    """Make them."""
    with Hosts(names) as made:
        yield made


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


@contextlib.contextmanager
def joined(space: str) -> Iterator[None]:
    """Let this thread, and what it starts, be in a namespace."""
    own = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        other = os.open(f"/run/netns/{space}", os.O_RDONLY | os.O_CLOEXEC)
        _enter(other)
        os.close(other)
        try:
            yield
        finally:
            _enter(own)
    finally:
        os.close(own)


def _enter(namespace: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(namespace, _CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")
