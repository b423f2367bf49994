"""The HTTPS server: both ports, their paths, start and stop.

Owns: sockets, TLS, the process's signals. Invariant: certlogin is reached with a client certificate of the sandbox's
authority only. Units: seconds.
"""

import asyncio
import logging
import signal
import socket
import ssl
import sys
from typing import Any, Final

from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler

from betfair_sandbox.api.calls import Calls
from betfair_sandbox.api.handlers import AccountRpcHandler, IdentityHandler, RpcHandler, UnknownHandler
from betfair_sandbox.certificates import CertificatePaths, ensure_certificates
from betfair_sandbox.control.control_api import control_routes
from betfair_sandbox.options import DEFAULT_PORT, DEFAULT_STREAM_PORT, SandboxOptions, write_ports
from betfair_sandbox.stream.listener import Listener
from betfair_sandbox.world import World

# Betfair closes connections that are idle for 3 minutes (Best Practice).
_IDLE_S: Final = 180
# 200 instructions have about 60 KB.
_MAX_BODY: Final = 2 * 1024 * 1024
_log = logging.getLogger(__name__)
# How often resting orders and displayed prices are looked at; finer than the half second that is the shortest wait.
_TICK_S: Final = 0.1
# Recorded lines played in one go: some ten milliseconds.
_LINES_A_TURN: Final = 20


def serve(options: SandboxOptions) -> None:
    """Run a sandbox until SIGINT or SIGTERM; print one line when it is ready.

    Raises:
        SystemExit: 1, after one line on stderr, when a port is taken or the directory cannot be written.

    """
    try:
        paths = ensure_certificates(options.directory, options.certificate_password, options.server_names)
        api_sockets = _bind(options.host, options.port)
        cert_sockets = _bind(options.host, options.cert_port)
        stream_port = options.stream_port
        if stream_port is None:
            stream_port = DEFAULT_STREAM_PORT if options.port == DEFAULT_PORT else 0
        stream_sockets = _bind(options.host, stream_port)
        named = {"port": api_sockets, "cert_port": cert_sockets, "stream_port": stream_sockets}
        ports = {name: sockets[0].getsockname()[1] for name, sockets in named.items()}
        write_ports(options.directory, ports)
    except OSError as error:
        print(f"sandbox: {error.strerror or error}{_where(error, options)}", file=sys.stderr)  # noqa: T201 - the one line for the user
        raise SystemExit(1) from None
    asyncio.run(_run(options, paths, api_sockets, cert_sockets, stream_sockets))


async def _run(
    options: SandboxOptions,
    paths: CertificatePaths,
    api_sockets: list[socket.socket],
    cert_sockets: list[socket.socket],
    stream_sockets: list[socket.socket],
) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    try:
        world = World(options)
    except OSError as error:
        print(f"sandbox: {error.strerror or error} ({error.filename})", file=sys.stderr)  # noqa: T201 - the one line for the user
        raise SystemExit(1) from None
    api, identity = _applications(world)
    servers = [
        _start(api, _tls(paths, client_certificate=False), api_sockets),
        _start(identity, _tls(paths, client_certificate=True), cert_sockets),
    ]
    stream = Listener(world)
    await stream.start(stream_sockets, _tls(paths, client_certificate=False))
    port, cert_port, stream_port = (
        sockets[0].getsockname()[1] for sockets in (api_sockets, cert_sockets, stream_sockets)
    )
    print(  # noqa: T201 - the one line for the user
        f"sandbox: ready on https://{options.host}:{port}, certlogin on https://{options.host}:{cert_port}, "
        f"stream on {options.host}:{stream_port}, files in {options.directory}",
        flush=True,
    )
    tasks = [asyncio.create_task(_tick(world)), asyncio.create_task(_play(world))]
    await stop.wait()
    for task in tasks:
        task.cancel()
    world.stop()
    stream.stop()
    for server in servers:
        server.stop()
        await server.close_all_connections()


async def _tick(world: World) -> None:
    while True:
        await asyncio.sleep(_TICK_S)
        try:
            world.tick()
        except Exception:  # noqa: BLE001 - the market's next move must not depend on this one
            _log.exception("the house stumbled")


async def _play(world: World) -> None:
    """Let a recording go on, in short turns: calls are answered in between."""
    while True:
        replay = world.replay
        waits_s = _TICK_S if replay is None else min(_TICK_S, replay.due_s())
        await asyncio.sleep(waits_s)
        if world.replay is not None:
            world.replay.advance(_LINES_A_TURN)


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
