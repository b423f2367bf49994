"""How fast the test exchange publishes: 200 markets, 20 clients that hold them all, prices that change without a pause.

Each change carries its number as a size, by which every client tells which it has heard of, and when. Invariants: the
clients are processes of their own; a change that was merged with a later one is counted as that one only. Units:
seconds by the monotonic clock, which all processes of a machine share.
"""

import json
import re
import socket
import ssl
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self
from urllib.parse import urlsplit

from betfair_sandbox.certificates import CertificatePaths
from betfair_sandbox.options import read_ports, sandbox_env

MARKETS: Final = 200  # Betfair: the most of one subscription
CLIENTS: Final = 20
CLIENTS_A_PROCESS: Final = 5
PACE_S: Final = 0.005  # between changes: 200 a second, each to 20 clients
_NUMBER: Final = re.compile(rb'"atb":\[\[2(?:\.0)?,([0-9.]+)\]')
_TIMEOUT_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Heard:
    """What one client heard: how many lines, and when it heard of which change first."""

    lines: int
    when: dict[int, float]


def open_markets(folder: Path) -> None:
    """Open the markets, each with one offer."""
    with _Control(folder) as control:
        for number in range(MARKETS):
            control.send("markets", {"marketId": _market(number), "runners": [1, 2, 3]})


def change_prices(folder: Path, seconds: float) -> dict[int, float]:
    """Change one price after the other for so long; return when each was sent."""
    sent: dict[int, float] = {}
    ends = time.monotonic() + seconds
    with _Control(folder) as control:
        number = 0
        while time.monotonic() < ends:
            number += 1
            offers = {"availableToBack": [[2, round(2 + number / 100, 2)]], "availableToLay": []}
            change = {"marketId": _market(number % MARKETS), "selectionId": 1, **offers}
            sent[number] = time.monotonic()
            control.send("prices", change)
            time.sleep(PACE_S)
    return sent


def listen(folder: str, logins: Sequence[dict[str, str]], seconds: float) -> list[Heard]:
    """Let some clients listen, each to every market; return what each heard (run in a process of its own)."""
    heard: list[Heard] = []
    clients = [threading.Thread(target=_listen, args=(Path(folder), login, seconds, heard)) for login in logins]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    return heard


def _listen(folder: Path, login: dict[str, str], seconds: float, heard: list[Heard]) -> None:
    context = ssl.create_default_context(cafile=str(CertificatePaths.of(folder).ca))
    address = ("127.0.0.1", read_ports(folder)["stream_port"])
    lines = 0
    when: dict[int, float] = {}
    with (
        socket.create_connection(address, timeout=_TIMEOUT_S) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as line,
        line.makefile("rb") as received,
    ):
        keys = {"appKey": login["X-Application"], "session": login["X-Authentication"]}
        fields = ["EX_ALL_OFFERS", "EX_MARKET_DEF"]
        for request in (
            {"op": "authentication", "id": 1, **keys},
            {"op": "marketSubscription", "id": 2, "marketFilter": {}, "marketDataFilter": {"fields": fields},
             "heartbeatMs": 500},
        ):  # fmt: skip
            line.sendall(json.dumps(request).encode() + b"\r\n")
        ends = time.monotonic() + seconds
        for text in received:
            now = time.monotonic()
            lines += 1
            for size in _NUMBER.findall(text):
                when.setdefault(round(float(size) * 100) - 200, now)
            if now > ends:
                break
    heard.append(Heard(lines, when))


class _Control:
    """The control API on one connection."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __enter__(self) -> Self:
        from benchmarks.sandbox import connect  # noqa: PLC0415 - that module measures with this one

        self._connection = connect(sandbox_env(self._folder)["EXECUTOR_BETFAIR__API_URL"], self._folder)
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def send(self, path: str, body: dict[str, object]) -> None:
        """Send a request that must be taken."""
        self._connection.request("POST", f"/sandbox/{path}", json.dumps(body))
        answer = self._connection.getresponse()
        text = answer.read()
        if answer.status != 200:  # noqa: PLR2004 - HTTP: taken
            raise RuntimeError(f"{urlsplit(path).path}: {text!r}")


def _market(number: int) -> str:
    return f"1.{number + 1}"
