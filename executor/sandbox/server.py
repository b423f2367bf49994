"""The HTTPS server: both ports, Betfair's paths, start and stop.

Owns: sockets, TLS, HTTP statuses, the process's signals. Invariants: certlogin is reached with a client certificate of
the sandbox's authority only; no request ends in HTTP 500 or a traceback. Units: seconds.
"""

import asyncio
import logging
import signal
import socket
import ssl
import sys
import time
from collections.abc import Mapping
from typing import Any, Final

from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler

from executor.sandbox.calls import Calls, ConnectionCut, Unavailable
from executor.sandbox.certificates import CertificatePaths, ensure_certificates
from executor.sandbox.control import control_routes
from executor.sandbox.faults import Fault
from executor.sandbox.journal import Entry
from executor.sandbox.options import SandboxOptions, write_ports
from executor.sandbox.wire import Json, RpcError, dump_json, parse_json, rpc_error
from executor.sandbox.world import World

# Betfair closes connections that are idle for 3 minutes (Best Practice).
_IDLE_S: Final = 180
# 200 instructions have about 60 KB.
_MAX_BODY: Final = 2 * 1024 * 1024
_MAX_BATCH: Final = 200
_NO_SUCH_OPERATION: Final = "DSC-0021"
_log = logging.getLogger(__name__)
# How often resting orders and displayed prices are looked at; finer than the half second that is the shortest wait.
_TICK_S: Final = 0.1


class BetfairHandler(RequestHandler):
    """What every Betfair path has in common."""

    world: World
    calls: Calls

    def initialize(self, world: World, calls: Calls) -> None:
        """Take the sandbox (Tornado's constructor of a handler)."""
        self.world, self.calls = world, calls

    def prepare(self) -> None:
        """Refuse what Betfair refuses before reading: an Expect header (Best Practice)."""
        if self.request.headers.get("Expect"):
            self.set_status(417)
            self.finish()

    def reply(self, value: object, status: int = 200) -> None:
        """Send JSON."""
        self.set_status(status)
        self.set_header("Content-Type", "application/json")
        self.finish(dump_json(value))

    def cut(self) -> None:
        """Close the connection without an answer."""
        self.detach().close()

    def unavailable(self) -> None:
        """Answer as Betfair's front does when nothing is behind it: HTML."""
        self.set_status(503)
        self.finish("<html><body><h1>503 Service Unavailable</h1></body></html>")

    def write_error(self, status_code: int, **_kwargs: Any) -> None:  # noqa: ANN401, ARG002 - Tornado's signature
        """Answer what Tornado refuses (a wrong HTTP method) in the form of Betfair's framework."""
        self.set_header("Content-Type", "application/json")
        self.finish(dump_json({"faultcode": "Client", "faultstring": _NO_SUCH_OPERATION, "detail": {}}))


class RpcHandler(BetfairHandler):
    """JSON-RPC, single and batch."""

    account_api = False

    async def post(self) -> None:
        """Answer a call or a batch of calls."""
        received_at = time.time()
        try:
            payload = parse_json(self.request.body)
        except RpcError as error:
            self.world.journal.open(received_at, "", None).error = error.dsc
            self.reply(rpc_error(None, error), status=400)
            return
        try:
            if not isinstance(payload, list):
                self.reply(await self._answer(payload, received_at))
            elif 0 < len(payload) <= _MAX_BATCH:
                self.reply([await self._answer(call, received_at) for call in payload])
            else:
                self.reply(rpc_error(None, RpcError(-32600, "DSC-0008")), status=400)
        except ConnectionCut:
            self.cut()
        except Unavailable:
            self.unavailable()

    async def _answer(self, call: object, received_at: float) -> Json:
        return await self.calls.answer(call, self.request.headers, received_at, account_api=self.account_api)


class AccountRpcHandler(RpcHandler):
    """The account API, whose exceptions have another name and other numbers."""

    account_api = True


class IdentityHandler(BetfairHandler):
    """Login, keepAlive and logout."""

    async def post(self) -> None:
        """Answer the operation that the path names."""
        name = self.request.path.rsplit("/", 1)[-1]
        username, password = self.get_body_argument("username", ""), self.get_body_argument("password", "", strip=False)
        entry = self.world.journal.open(time.time(), name, {"username": username} if username else {})
        try:
            fault = await self.calls.meet_faults(entry)
            if fault is not None and fault.kind == "expire_session":
                self.world.sessions.expire(self.request.headers.get("X-Authentication", ""))
            answer = self._answer(entry, name, username, password, fault)
            if fault is not None and fault.kind == "drop_response":
                raise ConnectionCut
        except ConnectionCut:
            entry.status = entry.status or "CUT"
            self.cut()
        except Unavailable:
            entry.status = "CUT"
            self.unavailable()
        else:
            if name == "login" and "application/json" not in self.request.headers.get("Accept", ""):
                self.finish("<html><body>Log in with Accept: application/json</body></html>")
            else:
                self.reply(answer)

    async def get(self) -> None:
        """Answer keepAlive and logout, which Betfair also takes as GET."""
        if self.request.path.rsplit("/", 1)[-1] not in {"keepAlive", "logout"}:
            self.send_error(405)
            return
        await self.post()

    def _answer(self, entry: Entry, name: str, username: str, password: str, fault: Fault | None) -> Json:
        code = fault.code if fault is not None else ""
        headers: Mapping[str, str] = self.request.headers
        if name in {"keepAlive", "logout"}:
            product = headers.get("X-Application", "")
            if code:
                answer: Json = {"token": "", "product": product, "status": "FAIL", "error": code}
            else:
                sessions = self.world.sessions
                answer = sessions.keep_alive(headers) if name == "keepAlive" else sessions.log_out(headers)
            entry.status, entry.error = answer["status"], answer["error"] or None
            return answer
        token = ""
        if not code and name == "certlogin" and not self._has_certificate():
            code = "CERT_AUTH_REQUIRED"
        if not code:
            code, token = self.world.sessions.log_in(username, password)
        succeeded = code == "SUCCESS"
        entry.status, entry.error = ("SUCCESS", None) if succeeded else ("FAIL", code)
        if name == "certlogin":
            return {"sessionToken": token, "loginStatus": code} if succeeded else {"loginStatus": code}
        product = headers.get("X-Application", "")
        status, error = ("SUCCESS", "") if succeeded else ("FAIL", code)
        return {"token": token, "product": product, "status": status, "error": error}

    def _has_certificate(self) -> bool:
        return bool(self.request.get_ssl_certificate())


class UnknownHandler(BetfairHandler):
    """Every other path."""

    def prepare(self) -> None:
        """Answer 404 in the form of Betfair's framework: no such operation."""
        self.reply({"faultcode": "Client", "faultstring": _NO_SUCH_OPERATION, "detail": {}}, status=404)


def serve(options: SandboxOptions) -> None:
    """Run a sandbox until SIGINT or SIGTERM; print one line when it is ready.

    Raises:
        SystemExit: 1, after one line on stderr, when a port is taken or the directory cannot be written.

    """
    try:
        paths = ensure_certificates(options.directory, options.certificate_password, options.server_names)
        api_sockets = _bind(options.host, options.port)
        cert_sockets = _bind(options.host, options.cert_port)
        ports = {"port": api_sockets[0].getsockname()[1], "cert_port": cert_sockets[0].getsockname()[1]}
        write_ports(options.directory, ports)
    except OSError as error:
        print(f"sandbox: {error.strerror or error}{_where(error, options)}", file=sys.stderr)  # noqa: T201 - the one line for the user
        raise SystemExit(1) from None
    asyncio.run(_run(options, paths, api_sockets, cert_sockets))


async def _run(
    options: SandboxOptions,
    paths: CertificatePaths,
    api_sockets: list[socket.socket],
    cert_sockets: list[socket.socket],
) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    world = World(options)
    api, identity = _applications(world)
    servers = [
        _start(api, _tls(paths, client_certificate=False), api_sockets),
        _start(identity, _tls(paths, client_certificate=True), cert_sockets),
    ]
    port, cert_port = api_sockets[0].getsockname()[1], cert_sockets[0].getsockname()[1]
    print(  # noqa: T201 - the one line for the user
        f"sandbox: ready on https://{options.host}:{port}, certlogin on https://{options.host}:{cert_port}, "
        f"files in {options.directory}",
        flush=True,
    )
    ticker = asyncio.create_task(_tick(world))
    await stop.wait()
    ticker.cancel()
    world.operations.stop()
    for server in servers:
        server.stop()
        await server.close_all_connections()


async def _tick(world: World) -> None:
    while True:
        await asyncio.sleep(_TICK_S)
        try:
            world.exchange.tick()
        except Exception:  # noqa: BLE001 - the market's next move must not depend on this one
            _log.exception("the house stumbled")


def _applications(world: World) -> tuple[Application, Application]:
    shared = {"world": world, "calls": Calls(world)}
    settings: dict[str, Any] = {
        "compress_response": True,
        "log_function": _no_access_log,
        "default_handler_class": UnknownHandler,
        "default_handler_args": shared,
    }
    api = Application(
        [
            ("/exchange/betting/json-rpc/v1/?", RpcHandler, shared),
            ("/exchange/account/json-rpc/v1/?", AccountRpcHandler, shared),
            ("/api/(?:certlogin|login|keepAlive|logout)", IdentityHandler, shared),
            *control_routes(world),
        ],
        **settings,
    )
    identity = Application([("/api/certlogin", IdentityHandler, shared)], **settings)
    return api, identity


def _no_access_log(_handler: RequestHandler) -> None:
    """Say nothing per request: the journal does."""


def _start(application: Application, context: ssl.SSLContext, sockets: list[socket.socket]) -> HTTPServer:
    server = HTTPServer(application, ssl_options=context, idle_connection_timeout=_IDLE_S, max_body_size=_MAX_BODY)
    server.add_sockets(sockets)
    return server


def _tls(paths: CertificatePaths, *, client_certificate: bool) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(paths.server)
    if client_certificate:
        context.load_verify_locations(paths.ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def _bind(host: str, port: int) -> list[socket.socket]:
    try:
        return bind_sockets(port, address=host)
    except OSError as error:
        raise OSError(error.errno, f"{host}:{port}: {error.strerror or error}") from None


def _where(error: OSError, options: SandboxOptions) -> str:
    return f" ({error.filename or options.directory})" if error.filename else ""
