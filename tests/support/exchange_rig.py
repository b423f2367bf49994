"""What tests of the exchange adapter stand on: an HTTPS server that answers what a test says, a token store in memory,
telemetry that remembers. The server listens on a free loopback port and ends with its block. Units: seconds.
"""

import contextlib
import json
import math
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final, Literal, Self

import pytest

from betfair_sandbox.certificates import CertificatePaths
from betfair_sandbox.options import sandbox_env
from executor.adapters.betfair.exchange import MAX_READS, BetfairExchange
from executor.domain.money import Side
from executor.errors import ExecutorError
from executor.ports import Instruction, SendPermit
from executor.ports.token_store import LoginBan, TokenStore
from executor.settings.load import Settings, load_settings
from executor.settings.sections import BetfairSettings
from support.sandbox_client import RunningSandbox

HOST: Final = "127.0.0.1"
TOKEN: Final = "token-in-memory="
SECRETS: Final = (TOKEN, "the-password", "the-app-key")


ANY_TIME: Final = SendPermit(math.inf, lambda: None)  # whatever happens meanwhile


def make_instruction(order_id: str = "order-1", **overrides: Any) -> Instruction:
    """Return a back of 10 at 3."""
    values: dict[str, Any] = {
        "order_id": order_id,
        "selection_id": 123456,
        "side": Side.BACK,
        "price": Decimal("3.00"),
        "size": Decimal("10.00"),
    }
    return Instruction(**values | overrides)


class MemoryTelemetry:
    """Remembers the calls: (method, error type)."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str]] = []

    def api_call(self, method: str, seconds: float, error_type: str) -> None:
        assert seconds >= 0
        self.calls.append((method, error_type))

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"the adapter counts API calls only, not {name}")


@contextlib.contextmanager
def _held(lock: "threading.Lock | threading.Semaphore", timeout_s: float) -> Iterator[bool]:
    acquired = lock.acquire(timeout=timeout_s)
    try:
        yield acquired
    finally:
        if acquired:
            lock.release()


class MemoryTokenStore:
    """The token store of one process."""

    def __init__(self, token: str | None = None) -> None:
        self._lock = threading.Lock()
        self._reads = threading.BoundedSemaphore(MAX_READS)
        self._held = (token, self.now()) if token else None
        self._ban: LoginBan | None = None
        self._refusals: dict[str, str] = {}

    def get(self) -> tuple[str, int] | None:
        return self._held

    def put(self, token: str, created_at_ms: int) -> None:
        self._held = (token, created_at_ms)

    def touch(self) -> None:
        """Do nothing: this token does not expire."""

    def forget(self, token: str) -> None:
        if self._held and self._held[0] == token:
            self._held = None

    @contextlib.contextmanager
    def login_lock(self, timeout_s: float) -> Iterator[bool]:
        with _held(self._lock, timeout_s) as acquired:
            yield acquired

    @contextlib.contextmanager
    def read_slot(self, limit: int, timeout_s: float) -> Iterator[bool]:
        assert limit == MAX_READS
        with _held(self._reads, timeout_s) as acquired:
            yield acquired

    def now(self) -> int:
        return time.time_ns() // 1_000_000

    def ban(self) -> LoginBan | None:
        return self._ban if self._ban and self._ban.until > self.now() else None

    def put_ban(self, ban: LoginBan) -> None:
        self._ban = ban

    def refusal(self, credentials: str) -> str | None:
        return self._refusals.get(credentials)

    def put_refusal(self, credentials: str, code: str) -> None:
        self._refusals[credentials] = code

    def forget_refusals(self) -> None:
        self._refusals.clear()


def sandbox_settings(sandbox: RunningSandbox) -> Settings:
    """Return the settings that `executor sandbox env` prints."""
    return load_settings(sandbox_env(sandbox.directory), sandbox.directory)


def live(sandbox: RunningSandbox, tokens: TokenStore | None = None) -> BetfairExchange:
    """Return the adapter, pointed at the sandbox."""
    return BetfairExchange(sandbox_settings(sandbox).betfair, tokens or MemoryTokenStore(), MemoryTelemetry())


def run_together(*calls: Callable[[], object]) -> None:
    """Run calls in threads of their own, all at once; an error of one is an error of the test."""
    with ThreadPoolExecutor(len(calls)) as pool:
        for future in [pool.submit(call) for call in calls]:
            future.result(20)


def caught(call: Callable[[], object]) -> ExecutorError:
    """Return the error of ours that a call raises; neither it nor what it came from shows a secret."""
    with pytest.raises(ExecutorError) as raised:
        call()
    chain: BaseException | None = raised.value
    while chain is not None:
        assert not any(secret in f"{chain!s}{chain!r}{vars(chain)}" for secret in SECRETS)
        chain = chain.__cause__ or chain.__context__
    return raised.value


# --- a server that answers what a test says --------------------------------------------------------------------------


@dataclass(frozen=True)
class Answer:
    """Bytes to write, and what becomes of the connection then."""

    raw: bytes = b""
    then: Literal["keep", "close", "reset", "hang", "drip"] = "keep"


@dataclass
class Request:
    """What the adapter sent."""

    path: str
    headers: dict[str, str]
    body: bytes = field(repr=False)

    @property
    def call(self) -> dict[str, Any]:
        """The JSON-RPC call in it."""
        call: dict[str, Any] = json.loads(self.body)
        return call


def http(body: bytes, status: int = 200, **headers: str) -> Answer:
    """Return a complete HTTP answer."""
    lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return Answer("\r\n".join([*lines, "", ""]).encode() + body)


def rpc(request: Request, **envelope: object) -> Answer:
    """Return a JSON-RPC answer to this request."""
    return http(json.dumps({"jsonrpc": "2.0", "id": request.call["id"]} | envelope).encode())


def aping(request: Request, code: str, **more: str) -> Answer:
    """Return an APINGException."""
    exception = {"errorCode": code, "requestUUID": "prdang-1", "errorDetails": ""} | more
    data = {"exceptionname": "APINGException", "APINGException": exception}
    return rpc(request, error={"code": -32099, "message": "ANGX-0001", "data": data})


class ScriptedServer:
    """An HTTPS server; `script` says what each request is answered."""

    def __init__(self, certificates: CertificatePaths) -> None:
        self._certificates = certificates
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificates.server)
        self._listener = socket.create_server((HOST, 0))
        self._closed = threading.Event()
        self._threads: list[threading.Thread] = []
        self.script: Callable[[Request], Answer] = lambda _request: http(b"")
        self.shakes_hands = True
        self.requests: list[Request] = []
        self.connections = 0

    @property
    def url(self) -> str:
        return f"https://localhost:{self._listener.getsockname()[1]}"

    def settings(self, **overrides: Any) -> BetfairSettings:
        """Return settings with every URL here, and a timeout that a test can wait for."""
        values: dict[str, Any] = {
            "app_key": "the-app-key",
            "username": "someone",
            "password": "the-password",
            "certificate_path": self._certificates.client_pem,
            "api_timeout_seconds": 1,
            "api_url": self.url,
            "identity_url": self.url,
            "identity_cert_url": self.url,
            "ca_bundle": self._certificates.ca,
            "strategy_ref": "tests",
        }
        return BetfairSettings.model_validate(values | overrides)

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(10)

    def _start(self, target: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=target, args=args)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._closed.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            connection.settimeout(0.1)
            self._start(self._serve, connection)

    def _serve(self, plain: socket.socket) -> None:
        with plain, contextlib.suppress(OSError):
            if not self.shakes_hands:
                self._closed.wait(5)
                return
            plain.settimeout(5)
            with self._context.wrap_socket(plain, server_side=True) as connection:
                connection.settimeout(0.1)
                while (request := self._read(connection)) is not None:
                    self.requests.append(request)
                    if not self._answer(connection, self.script(request)):
                        return

    def _answer(self, connection: ssl.SSLSocket, answer: Answer) -> bool:
        connection.settimeout(10)
        connection.sendall(answer.raw)
        connection.settimeout(0.1)
        if answer.then == "hang":
            self._closed.wait(5)
        while answer.then == "drip" and not self._closed.wait(0.02):
            connection.sendall(b" ")
        if answer.then == "reset":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return answer.then == "keep"

    def _read(self, connection: ssl.SSLSocket) -> Request | None:
        data = b""
        length: int | None = None
        while length is None or len(data) < length:
            try:
                chunk = connection.recv(65536)
            except TimeoutError:
                if self._closed.is_set():
                    return None
                continue
            if not chunk:
                return None
            data += chunk
            if length is None and b"\r\n\r\n" in data:
                head, data = data.split(b"\r\n\r\n", 1)
                first, *lines = head.decode("latin-1").split("\r\n")
                headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
                length = int(headers.get("content-length", "0"))
        return Request(first.split(" ")[1], headers, data)
