"""The line between engine and exchange, which can be cut below TCP for a while.

With root and network namespaces, packets are really dropped: the exchange lives in one namespace, everything else in
another, and who drives the storm reaches the exchange beside the line. Else a proxy holds back what comes. The ways are
"there" (what the engine sends) and "back". Each storm has a line of its own, so that several run side by side.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Protocol

from support.cut_line import CONTROL_IP, EXCHANGE_IP, CutLine, why_not
from support.hosts import joined
from support.stalling_proxy import StallingProxy

from betfair_sandbox.options import read_ports, sandbox_env

WAYS: Final = ("", "", "there", "back")  # most lines die both ways


class Line(Protocol):
    """What the storm needs of it."""

    what: str
    prefix: tuple[str, ...]  # of the exchange's command
    bind: str
    beside: str  # where the exchange is reached though the line be cut
    names: tuple[str, ...]  # of the exchange, for its certificate

    def engine_env(self, folder: Path) -> dict[str, str]:
        """Return where the engine finds the exchange, which runs."""

    def cut(self, *ways: str) -> None:
        """Let nothing pass, both ways or these."""

    def heal(self) -> None:
        """Let everything pass."""


class NamespaceLine:
    """Packets are dropped."""

    what = "packets dropped"
    bind = "0.0.0.0"  # of its own namespace
    beside = CONTROL_IP
    names: tuple[str, ...] = (EXCHANGE_IP, CONTROL_IP)

    def __init__(self, line: CutLine) -> None:
        self._line = line
        self.prefix = tuple(line.inside(line.exchange_side))

    def engine_env(self, folder: Path) -> dict[str, str]:
        return sandbox_env(folder, host=EXCHANGE_IP)

    def cut(self, *ways: str) -> None:
        self._line.cut(*ways)

    def heal(self) -> None:
        self._line.heal()


class ProxyLine:
    """Bytes are held back."""

    prefix: tuple[str, ...] = ()
    bind = "127.0.0.1"
    beside = "localhost"
    names: tuple[str, ...] = ()

    def __init__(self, why: str) -> None:
        self.what = f"bytes held back by a proxy: {why}"
        self._stack = contextlib.ExitStack()
        self._proxies: list[StallingProxy] = []

    def engine_env(self, folder: Path) -> dict[str, str]:
        ports = read_ports(folder)
        through = {name: self._stack.enter_context(StallingProxy(port)) for name, port in ports.items()}
        self._proxies = list(through.values())
        return sandbox_env(folder, **{name: proxy.port for name, proxy in through.items()})  # type: ignore[arg-type]

    def cut(self, *ways: str) -> None:
        for proxy in self._proxies:
            proxy.cut(*ways)

    def heal(self) -> None:
        for proxy in self._proxies:
            proxy.heal()

    def close(self) -> None:
        self.heal()
        self._stack.close()


@contextlib.contextmanager
def a_line() -> Iterator[Line]:
    """Make a line; what is started by this thread from now on is on the engine's side of it."""
    why = os.environ.get("STORM_NO_NAMESPACES") or why_not()
    if why:
        proxied = ProxyLine(why)
        with contextlib.closing(proxied):
            yield proxied
        return
    with CutLine(beside=True) as line, joined(line.engine_side):
        yield NamespaceLine(line)
