"""A client of the sandbox's stream that shows every message as it came, and one that keeps what a client keeps.

Owns: the socket and the lines. Invariant: certificates are verified; a read ends at its deadline.
"""

import json
import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from betfair_sandbox.options import read_ports
from support.sandbox_client import RunningSandbox

Json = dict[str, Any]
DEADLINE_S = 10.0


class StreamEnded(Exception):
    """The server closed the connection."""


class StreamClient:
    """One connection, greeted."""

    def __init__(self, sandbox: RunningSandbox) -> None:
        self._sandbox = sandbox
        context = ssl.create_default_context(cafile=str(sandbox.paths.ca))
        raw = socket.create_connection(("127.0.0.1", read_ports(sandbox.directory)["stream_port"]), timeout=DEADLINE_S)
        self.socket = context.wrap_socket(raw, server_hostname="localhost")
        self._buffer = b""
        self._ids = 0
        self.greeting = self.read()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self.socket.close()

    def send(self, **request: object) -> int:
        """Send a request; its id when it has none yet."""
        if "id" not in request:
            self._ids += 1
            request["id"] = self._ids
        self.send_bytes(json.dumps(request).encode() + b"\r\n")
        return self._ids

    def send_bytes(self, data: bytes) -> None:
        self.socket.sendall(data)

    def line(self, deadline_s: float = DEADLINE_S) -> bytes:
        ends = time.monotonic() + deadline_s
        while b"\r\n" not in self._buffer:
            self.socket.settimeout(max(0.001, ends - time.monotonic()))
            try:
                data = self.socket.recv(65_536)
            except ConnectionError:
                data = b""
            if not data:
                raise StreamEnded
            self._buffer += data
        line, self._buffer = self._buffer.split(b"\r\n", 1)
        return line

    def read(self, deadline_s: float = DEADLINE_S) -> Json:
        message: Json = json.loads(self.line(deadline_s))
        return message

    def ask(self, **request: object) -> Json:
        """Send a request and return its status; what is published in between is skipped."""
        request_id = self.send(**request)
        return self.until(lambda message: message["op"] == "status" and message.get("id", request_id) == request_id)

    def until(self, wanted: Callable[[Json], object], deadline_s: float = DEADLINE_S) -> Json:
        """Return the first message that is wanted."""
        ends = time.monotonic() + deadline_s
        while not wanted(message := self.read(ends - time.monotonic())):
            pass
        return message

    def change(self, op: str = "", deadline_s: float = DEADLINE_S) -> Json:
        """Return the next change message that brings anything."""
        return self.until(
            lambda message: message["op"] in ({op} if op else {"mcm", "ocm"}) and is_news(message), deadline_s
        )

    def nothing(self, seconds: float) -> None:
        """See that nothing but heartbeats comes for so long."""
        ends = time.monotonic() + seconds
        while (left := ends - time.monotonic()) > 0:
            try:
                message = self.read(left)
            except TimeoutError:
                return
            assert not is_news(message), message

    def log_in(self, **fields: object) -> Json:
        """Authenticate as the sandbox's customer."""
        fields = {"appKey": self._sandbox.options.app_key, "session": self._sandbox.token, **fields}
        return self.ask(op="authentication", **fields)

    def subscribe(self, op: str, **fields: object) -> Json:
        """Subscribe; return the first change message."""
        status = self.ask(op=op, **fields)
        assert status["statusCode"] == "SUCCESS", status
        return self.until(lambda message: message["op"] in {"mcm", "ocm"} and "ct" in message)

    def orders(self, **fields: object) -> Json:
        return self.subscribe("orderSubscription", **fields)

    def markets(self, *market_ids: str, **fields: object) -> Json:
        chosen = {"marketIds": list(market_ids)} if market_ids else {}
        return self.subscribe("marketSubscription", **{"marketFilter": chosen, **fields})


def is_news(message: Json) -> bool:
    """Tell whether a message is more than a heartbeat."""
    return message.get("ct") != "HEARTBEAT"


def connect(sandbox: RunningSandbox) -> StreamClient:
    """Return a connection that is authenticated."""
    client = StreamClient(sandbox)
    status = client.log_in()
    if status["statusCode"] != "SUCCESS":
        client.close()
        raise AssertionError(status)
    return client


@dataclass
class HeldRunner:
    """What a client holds of a runner."""

    ladders: dict[str, dict[float, tuple[float, ...]]] = field(default_factory=dict)
    values: Json = field(default_factory=dict)


@dataclass
class HeldMarkets:
    """What a client holds that applies every message as the documentation says."""

    definitions: dict[str, Json] = field(default_factory=dict)
    runners: dict[str, dict[int, HeldRunner]] = field(default_factory=dict)
    volumes: dict[str, float] = field(default_factory=dict)

    def apply(self, message: Json) -> None:
        for change in message.get("mc", ()):
            self._apply(change)

    def _apply(self, change: Json) -> None:
        market_id = change["id"]
        if change.get("img"):
            self.runners[market_id] = {}
        if "marketDefinition" in change:
            self.definitions[market_id] = change["marketDefinition"]
        if "tv" in change:
            self.volumes[market_id] = change["tv"]
        for row in change.get("rc", ()):
            runner = self.runners[market_id].setdefault(row["id"], HeldRunner())
            for name, value in row.items():
                if isinstance(value, list):
                    ladder = runner.ladders.setdefault(name, {})
                    for key, *rest in value:
                        ladder[key] = tuple(rest)
                        if not rest[-1]:
                            del ladder[key]
                else:
                    runner.values[name] = value
