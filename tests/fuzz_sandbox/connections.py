"""Hostile connections to a sandbox's stream and HTTPS ports, and a customer beside them who must not notice.

Invariants that are looked at: the customer's stream says something at least once a heartbeat, what it holds is what
REST shows, REST answers; the process lives, writes no traceback, and gives back what the attackers held. Seconds.
"""

import json
import socket
import ssl
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any, Final

from support.sandbox_client import RunningSandbox
from support.stream_client import HeldMarkets, StreamClient, connect

from betfair_sandbox.options import read_ports
from fuzz_sandbox.mutations import damaged_text

ATTACKERS: Final = ("ann", "ben", "cid")
MARKET: Final = "1.9"
SILENCE_S: Final = 15.0  # of a customer with a heartbeat of half a second, on a busy machine
ANSWER_S: Final = 20.0
GROWTH_KB: Final = 150_000  # of memory; what clients do not read is bounded, and given back
DESCRIPTORS: Final = 40
_LONG: Final = 3 * 1024 * 1024
_IO_S: Final = 3.0


def _requests(rng: Random, sandbox: RunningSandbox) -> list[dict[str, Any]]:
    """Return a client's usual requests."""
    fields = rng.sample(["EX_ALL_OFFERS", "EX_BEST_OFFERS", "EX_TRADED", "EX_LTP", "EX_MARKET_DEF", "SP_TRADED"], 3)
    some = rng.choice(
        [{}, {"marketIds": [MARKET, "1.1"]}, {"marketIds": [f"1.{rng.randrange(300)}" for _ in range(9)]}]
    )
    return [
        {"op": "authentication", "id": 1, "appKey": sandbox.options.app_key, "session": sandbox.token},
        {"op": "marketSubscription", "id": 2, "marketFilter": some, "segmentationEnabled": rng.random() < 0.5,
         "marketDataFilter": {"fields": fields, "ladderLevels": rng.choice([1, 3, 10])},
         "conflateMs": rng.choice([0, 5, 5_000]), "heartbeatMs": rng.choice([500, 5_000])},
        {"op": "orderSubscription", "id": 3, "orderFilter": {"includeOverallPosition": True}, "clk": None},
        {"op": "heartbeat", "id": 4},
    ]  # fmt: skip


class Attacker(threading.Thread):
    """Opens connections one after the other and does something wrong on each."""

    def __init__(self, sandbox: RunningSandbox, seed: int, stop: threading.Event) -> None:
        super().__init__(name=f"attacker-{seed}", daemon=True)
        self.sandbox, self.stop_when = sandbox, stop
        self.rng = Random(seed)  # noqa: S311 - seeded attacks are the point
        self.done: Counter[str] = Counter()
        self.failure = ""
        ports = read_ports(sandbox.directory)
        self.ports = (ports["stream_port"], ports["stream_port"], ports["stream_port"], ports["port"])
        self.context = ssl.create_default_context(cafile=str(sandbox.paths.ca))

    def run(self) -> None:
        acts: list[Callable[[], None]] = [
            self.no_handshake, self.half_handshake, self.nonsense, self.damaged_client, self.damaged_client,
            self.damaged_client, self.flood, self.slow_reader, self.slow_writer, self.endless_line, self.reset,
            self.many, self.old_tls, self.damaged_http,
        ]  # fmt: skip
        while not self.stop_when.is_set():
            act = self.rng.choice(acts)
            # What the sandbox may do to such a client: close, reset, not answer in time.
            with suppress(OSError):
                act()
            self.done[act.__name__] += 1

    def _plain(self, port: int = 0) -> socket.socket:
        return socket.create_connection(("127.0.0.1", port or self.rng.choice(self.ports)), timeout=_IO_S)

    def _secure(self) -> ssl.SSLSocket:
        return self.context.wrap_socket(self._plain(self.ports[0]), server_hostname="localhost")

    def no_handshake(self) -> None:
        with self._plain() as line:
            line.sendall(self.rng.randbytes(self.rng.choice([1, 5, 600])))
            self.stop_when.wait(self.rng.random())

    def half_handshake(self) -> None:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        half = self.context.wrap_bio(incoming, outgoing, server_hostname="localhost")
        with suppress(ssl.SSLWantReadError):
            half.do_handshake()
        hello = bytearray(outgoing.read())
        if self.rng.random() < 0.5:
            hello[self.rng.randrange(len(hello))] ^= 0xFF
        with self._plain() as line:
            line.sendall(hello[: self.rng.randrange(1, len(hello) + 1)])
            self.stop_when.wait(self.rng.random())

    def old_tls(self) -> None:
        old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
        with suppress(ValueError, DeprecationWarning):  # tests make errors of warnings
            old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
        with self._plain() as line, old.wrap_socket(line):
            pass

    def nonsense(self) -> None:
        with self._secure() as line:
            line.sendall(
                self.rng.randbytes(self.rng.choice([3, 3_000])) + self.rng.choice([b"", b"\r\n", b"\n", b"\r"])
            )
            line.recv(4_096)

    def damaged_client(self) -> None:
        """Say what a client says, wrongly, in pieces, and read some of the answer."""
        with self._secure() as line:
            requests = _requests(self.rng, self.sandbox)
            if self.rng.random() < 0.2:
                self.rng.shuffle(requests)
            for request in requests:
                right = self.rng.random() < (0.9 if request["op"] == "authentication" else 0.4)
                text = json.dumps(request).encode() if right else damaged_text(self.rng, request)
                line.sendall(text.replace(b"\r\n", b"") + (b"\r\n" if self.rng.random() < 0.95 else b"\n"))
                if self.rng.random() < 0.5:
                    line.recv(65_536)

    def flood(self) -> None:
        """Ask much faster than is answered."""
        with self._secure() as line:
            requests = _requests(self.rng, self.sandbox)
            line.sendall(json.dumps(requests[0]).encode() + b"\r\n")
            again = json.dumps(self.rng.choice(requests[1:])).encode() + b"\r\n"
            for _ in range(self.rng.choice([10, 300])):
                line.sendall(again)

    def slow_reader(self) -> None:
        """Subscribe to everything and read nothing for a while."""
        with self._secure() as line:
            for request in _requests(self.rng, self.sandbox)[:3]:
                line.sendall(json.dumps({**request, "marketFilter": {}, "conflateMs": 0}).encode() + b"\r\n")
            self.stop_when.wait(self.rng.choice([0.5, 3.0]))

    def slow_writer(self) -> None:
        with self._secure() as line:
            for byte in json.dumps(_requests(self.rng, self.sandbox)[0]).encode()[: self.rng.randrange(100)]:
                line.sendall(bytes([byte]))
                if self.stop_when.wait(0.01):
                    return

    def endless_line(self) -> None:
        with self._secure() as line:
            line.sendall(b'{"op":"' + b"x" * self.rng.choice([100_000, _LONG]))
            line.recv(4_096)

    def reset(self) -> None:
        with self._secure() as line:
            line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            line.sendall(json.dumps(_requests(self.rng, self.sandbox)[0]).encode() + b"\r\n")

    def many(self) -> None:
        lines = []
        try:
            for _ in range(self.rng.choice([3, 15])):
                lines.append(self._secure())
                lines[-1].sendall(json.dumps(_requests(self.rng, self.sandbox)[0]).encode() + b"\r\n")
            for line in lines:
                line.recv(4_096)
        finally:
            for line in lines:
                line.close()

    def damaged_http(self) -> None:
        head = b"POST /exchange/betting/json-rpc/v1 HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n"
        heads = (
            head % 10**12,
            head % 5,
            b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n",
            b"GET / HTTP/9.9\r\n" + b"a: b\r\n" * 3_000,
            b"POST /sandbox/reset HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nffffffffff\r\n",
            self.rng.randbytes(300),
        )
        with self.context.wrap_socket(self._plain(self.ports[3]), server_hostname="localhost") as line:
            line.sendall(self.rng.choice(heads))
            line.recv(4_096)


class Customer:
    """Trades and reads the stream as if nobody else were there."""

    def __init__(self, sandbox: RunningSandbox) -> None:
        self.sandbox = sandbox
        self.client: StreamClient = connect(sandbox)
        self.held = HeldMarkets()
        self.heard = 0
        self.longest_s = 0.0
        first = self.client.markets(
            MARKET, heartbeatMs=500, marketDataFilter={"fields": ["EX_ALL_OFFERS", "EX_MARKET_DEF"]}
        )
        self.held.apply(first)

    def go_on(self, rng: Random, seconds: float) -> None:
        """Change prices, ask REST, and hear of it on the stream, for so long."""
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            rungs = rng.sample([2.5, 2.52, 2.54, 2.56], 2)
            offers = [[rung, rng.randrange(2, 90)] for rung in rungs]
            started = time.monotonic()
            self.sandbox.control("prices", marketId=MARKET, selectionId=1, availableToBack=offers, availableToLay=[])
            wanted = {float(price): (float(size),) for price, size in offers}
            while self._offers() != wanted:
                before = time.monotonic()
                self.held.apply(self.client.read(SILENCE_S))
                self.heard += 1
                self.longest_s = max(self.longest_s, time.monotonic() - before)
                assert time.monotonic() - started < ANSWER_S, f"not heard of {wanted}, but {self._offers()}"
            (book,) = self.sandbox.call(
                "listMarketBook", marketIds=[MARKET], priceProjection={"priceData": ["EX_ALL_OFFERS"]}
            )
            shown = {float(row["price"]): (float(row["size"]),) for row in book["runners"][0]["ex"]["availableToBack"]}
            assert shown == wanted, f"REST shows {shown}, not {wanted}"
            time.sleep(0.05)  # a pace, not a wait for anything

    def _offers(self) -> dict[float, tuple[float, ...]]:
        runner = self.held.runners.get(MARKET, {}).get(1)
        return {} if runner is None else {price: rest for price, rest in runner.ladders.get("atb", {}).items() if rest}


def memory_kb(pid: int) -> int:
    """Return the memory that the process holds."""
    fields = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":" in line)
    return int(fields["VmRSS"].split()[0])


def descriptors(pid: int) -> int:
    """Return how many files and sockets the process has open."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def attack(directory: Path, pid: int, seed: int, seconds: float) -> dict[str, Any]:
    """Attack the sandbox that runs there for so long; return what was done.

    Raises:
        AssertionError: somebody noticed; the text says how.

    """
    sandbox = RunningSandbox.at(directory)
    sandbox.log_in()
    sandbox.market(MARKET, [], [])
    customer = Customer(sandbox)
    held_kb, open_files = memory_kb(pid), descriptors(pid)
    stop = threading.Event()
    attackers = []
    for at, name in enumerate(ATTACKERS):
        other = RunningSandbox.at(directory, name)
        other.log_in()
        attackers.append(Attacker(other, seed * 1_000 + at, stop))
    rng = Random(seed)  # noqa: S311 - as above
    try:
        for attacker in attackers:
            attacker.start()
        customer.go_on(rng, seconds)
    finally:
        stop.set()
        for attacker in attackers:
            attacker.join(30)
            attacker.sandbox.session.close()
    assert not any(attacker.is_alive() for attacker in attackers), "an attacker hangs: it was neither answered nor cut"
    _given_back(pid, held_kb, open_files)
    customer.go_on(rng, 0.5)
    customer.client.close()
    sandbox.session.close()
    done: Counter[str] = sum((attacker.done for attacker in attackers), Counter())
    return {"attacks": dict(done), "heard": customer.heard, "longest_silence_s": round(customer.longest_s, 2)}


def _given_back(pid: int, held_kb: int, open_files: int) -> None:
    ends = time.monotonic() + 30  # a client that reads nothing is cut after 15 s
    while descriptors(pid) > open_files + DESCRIPTORS:
        assert time.monotonic() < ends, f"{descriptors(pid)} files are open, {open_files} before"
        time.sleep(0.2)
    assert memory_kb(pid) < held_kb + GROWTH_KB, f"{memory_kb(pid)} KB are held, {held_kb} before"
