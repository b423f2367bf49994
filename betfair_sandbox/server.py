"""The server: its applications on its ports, start and stop.

Owns: paths, the process's signals. Invariant: certlogin is reached with a client certificate of the sandbox's
authority only. Units: seconds.
"""

import asyncio
import logging
import signal
import socket
import ssl
import sys
from dataclasses import dataclass
from typing import Any, Final

from tornado.web import Application, RequestHandler

from betfair_sandbox import as_betfair
from betfair_sandbox.api.calls import Calls
from betfair_sandbox.api.codes import APIS
from betfair_sandbox.api.handlers import IdentityHandler, NavigationHandler, RestHandler, RpcHandler, UnknownHandler
from betfair_sandbox.certificates import CertificatePaths, ensure_certificates
from betfair_sandbox.control.control_api import control_routes
from betfair_sandbox.http_server import GuardedServer, allow_files
from betfair_sandbox.options import SandboxOptions
from betfair_sandbox.sockets import Ports, betfair_tls, open_ports, own_tls
from betfair_sandbox.stream.listener import Listener
from betfair_sandbox.world import World

_APIS: Final = "|".join(APIS)
_log = logging.getLogger(__name__)
# How often resting orders and displayed prices are looked at; finer than the half second that is the shortest wait.
_TICK_S: Final = 0.1
# Recorded lines played in one go: some ten milliseconds, or one line when that is a long one.
_LINES_A_TURN: Final = 20
_TURN_S: Final = 0.02
_WATCH_S: Final = 5


def serve(options: SandboxOptions) -> None:
    """Run a sandbox until SIGINT or SIGTERM; print one line when it is ready.

    Raises:
        SystemExit: 1, after one line on stderr, when a port is taken or the directory cannot be written.

    """
    names = as_betfair.NAMES if options.as_betfair is not None else ()
    try:
        if options.as_betfair is not None:
            as_betfair.refuse_on_a_host(wait_s=as_betfair.GATEWAY_S)
        paths = ensure_certificates(options.directory, options.certificate_password, options.server_names, names)
        ports = open_ports(options)
        contexts = _contexts(options, paths)
    except as_betfair.NotHere as error:
        print(f"sandbox: --as-betfair: {error}", file=sys.stderr)  # noqa: T201 - the one line for the user
        raise SystemExit(1) from None
    except OSError as error:
        print(f"sandbox: {error.strerror or error}{_where(error, options)}", file=sys.stderr)  # noqa: T201 - the same
        raise SystemExit(1) from None
    allow_files()
    asyncio.run(_run(options, ports, contexts))


@dataclass(frozen=True, slots=True)
class _Contexts:
    """The TLS of each port; the last two are there when it stands in for Betfair."""

    plain: ssl.SSLContext
    cert: ssl.SSLContext
    betfair_api: ssl.SSLContext | None = None
    betfair_stream: ssl.SSLContext | None = None


def _contexts(options: SandboxOptions, paths: CertificatePaths) -> _Contexts:
    plain, cert = own_tls(paths, client_certificate=False), own_tls(paths, client_certificate=True)
    if options.as_betfair is None:
        return _Contexts(plain, cert)
    return _Contexts(
        plain,
        cert,
        betfair_tls(paths, options, client_certificate=True),
        betfair_tls(paths, options, client_certificate=False),
    )


async def _run(options: SandboxOptions, ports: Ports, contexts: _Contexts) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    try:
        world = World(options)
    except OSError as error:
        print(f"sandbox: {error.strerror or error} ({error.filename})", file=sys.stderr)  # noqa: T201 - the one line for the user
        raise SystemExit(1) from None
    if world.replay is not None and world.replay.empty:
        print(f"sandbox: {options.replay}: no line of it can be played", file=sys.stderr)  # noqa: T201 - the same
        raise SystemExit(1)
    api, identity = _applications(world)
    servers = [_start(api, contexts.plain, ports.api), _start(identity, contexts.cert, ports.cert)]
    stream = Listener(world)
    await stream.start(ports.stream, contexts.plain)
    if contexts.betfair_api is not None and contexts.betfair_stream is not None:
        servers.append(_start(api, contexts.betfair_api, ports.betfair_api))
        await stream.start(ports.betfair_stream, contexts.betfair_stream)
    print(_ready(options, ports.numbers), flush=True)  # noqa: T201 - the one line for the user
    tasks = [asyncio.create_task(_tick(world)), asyncio.create_task(_play(world))]
    if options.as_betfair is not None:
        tasks.append(asyncio.create_task(_watch_network(stop)))
    await stop.wait()
    for task in tasks:
        task.cancel()
    world.stop()
    stream.stop()
    for server in servers:
        server.stop()
        await server.close_all_connections()


async def _watch_network(stop: asyncio.Event) -> None:
    """Stop when the network in which it stands in for Betfair gets a way out."""
    while True:
        await asyncio.sleep(_WATCH_S)
        try:
            as_betfair.refuse_on_a_host()
        except as_betfair.NotHere as error:
            print(f"sandbox: stopped: --as-betfair: {error}", file=sys.stderr)  # noqa: T201 - the line for the user
            stop.set()
            return


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
            world.replay.advance(_LINES_A_TURN, _TURN_S)


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
            (f"/exchange/({_APIS})/json-rpc/v1(?:/.*)?", RpcHandler, shared),
            (f"/exchange/({_APIS})/rest/v1(?:\\.0)?/([A-Za-z]+)/?", RestHandler, shared),
            ("/exchange/betting/rest/v1/[a-z]+/navigation/menu.json", NavigationHandler, shared),
            ("/api/(?:certlogin|login|keepAlive|logout)", IdentityHandler, shared),
            *control_routes(world),
        ],
        **settings,
    )
    identity = Application([("/api/certlogin", IdentityHandler, shared)], **settings)
    return api, identity


def _no_access_log(_handler: RequestHandler) -> None:
    """Say nothing per request: the journal does."""


def _start(application: Application, context: ssl.SSLContext, sockets: list[socket.socket]) -> GuardedServer:
    server = GuardedServer(application, context)
    server.add_sockets(sockets)
    return server


def _ready(options: SandboxOptions, numbers: dict[str, int]) -> str:
    stands_in = options.as_betfair
    as_well = f", as Betfair on {stands_in.https} and {stands_in.stream}" if stands_in is not None else ""
    return (
        f"sandbox: ready on https://{options.host}:{numbers['port']}, "
        f"certlogin on https://{options.host}:{numbers['cert_port']}, "
        f"stream on {options.host}:{numbers['stream_port']}{as_well}, files in {options.directory}"
    )


def _where(error: OSError, options: SandboxOptions) -> str:
    return f" ({error.filename or options.directory})" if error.filename else ""
