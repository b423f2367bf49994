"""What `executor up` is about to start: settings, ports and folders, all of it checked before anything runs.

Owns: the lock that keeps a second `up` off a data folder, and the file of settings for other terminals. Invariant: a
plan without `--live` names nothing but this machine, whatever the user's settings say. A problem is one line.
"""

import fcntl
import os
import shlex
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from betfair_sandbox.options import sandbox_env
from executor.devstack.redis_server import HOST
from executor.devstack.running import ENVIRONMENT, LOCK, REDIS_URL
from executor.devstack.stack import (
    BRIDGE_PORT,
    BROKER_URL,
    CONSOLE_METRICS_PORT,
    CONSOLE_PORT,
    DATA_DIR,
    LOG_FORMAT,
    METRICS_PORT,
    NOTIFY_PORT,
    PAPER,
    STREAM_PORT,
    Ports,
    inherited,
    is_free,
    replaced,
)
from executor.errors import NotAllowed
from executor.settings.load import Settings, load_settings

_LOCK_PAUSES_S: Final = (0.05, 0.1)
USUAL_REDIS_PORT: Final = 6379
_PORTS_TRIED: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class UpOptions:
    """What the command line asks for."""

    live: bool
    paper: bool
    redis_port: int
    sandbox_port: int
    sandbox_cert_port: int
    sandbox_stream_port: int
    maintenance_port: int
    flower_port: int  # 0: no Flower
    console_port: int | None = None  # None: that of the settings, 0: no console


@dataclass(frozen=True, slots=True)
class Plan:
    """What will run."""

    settings: Settings
    environment: dict[str, str]
    own: dict[str, str]  # the settings that were replaced
    folder: Path
    ports: Ports

    @property
    def own_redis(self) -> Path | None:
        """Return the folder of the private Redis; paper trading has its own, as a db belongs to one identity."""
        if not self.ports.redis:
            return None
        return self.settings.data_dir / ("redis-paper" if self.settings.trading.enable_paper_trading else "redis")

    @property
    def own_exchange(self) -> Path | None:
        """Return the folder of the sandbox, None without one."""
        return self.settings.data_dir / "sandbox" if self.ports.sandbox else None

    @property
    def logs(self) -> Path:
        """Return where the children's output goes."""
        return self.settings.data_dir / "logs"


def make_plan(options: UpOptions, folder: Path) -> Plan:
    """Put the user's settings and the wishes together.

    Raises:
        SettingsError: the settings are wrong.
        NotAllowed: a port is taken, or wanted twice.
    """
    environment = inherited(ours=True)
    own = {LOG_FORMAT: "json"}  # rejections are read from the logs
    if options.paper:
        own[PAPER] = "true"
    if not options.live:
        server = f"redis://{HOST}:{options.redis_port}"
        own |= {REDIS_URL: f"{server}/0", BROKER_URL: f"{server}/1"}
    sandbox = not options.live and not options.paper
    if sandbox:
        # In paper mode no account is asked for; this look is only for the data folder.
        data_dir = load_settings(replaced(environment, {**own, PAPER: "true"}), folder).data_dir
        own |= sandbox_env(
            data_dir / "sandbox",
            port=options.sandbox_port,
            cert_port=options.sandbox_cert_port,
            stream_port=options.sandbox_stream_port,
        )
    settings = load_settings(replaced(environment, own), folder)
    own[DATA_DIR] = str(settings.data_dir)
    metrics = settings.metrics
    ports_ = Ports(
        redis=0 if options.live else options.redis_port,
        sandbox=options.sandbox_port if sandbox else 0,
        sandbox_cert=options.sandbox_cert_port if sandbox else 0,
        sandbox_stream=options.sandbox_stream_port if sandbox else 0,
        worker=metrics.port,
        maintenance=options.maintenance_port if metrics.port else 0,
        # Real money: what is published on a channel while one bridge restarts reaches the other.
        bridges=(metrics.bridge_port, 0)
        if options.live and not settings.trading.enable_paper_trading
        else (metrics.bridge_port,),
        stream=metrics.stream_port if listens(settings) else 0,
        flower=options.flower_port,
        console=settings.console.port if options.console_port is None else options.console_port,
        console_metrics=metrics.console_port if options.console_port != 0 else 0,
        notify=metrics.notify_port if notifies(settings) else 0,
    )
    own[CONSOLE_PORT] = str(ports_.console or settings.console.port)  # `executor console link` names it
    return Plan(settings, replaced(environment, own), own, folder, ports_)


def listens(settings: Settings) -> bool:
    """Tell whether there is an order stream to listen to."""
    return not settings.trading.enable_paper_trading and settings.betfair.stream_address is not None


def notifies(settings: Settings) -> bool:
    """Tell whether there is anybody to be told."""
    return bool(settings.notify.addresses or settings.notify.telegram_users)


def next_free_port(first: int, *, besides: Collection[int | None]) -> int:
    """Return the first port that can be had from `first` on; where none of a hundred can, `first`, which is refused."""
    ports = (port for port in range(first, first + _PORTS_TRIED) if port not in besides)
    return next((port for port in ports if is_free(port)), first)


def check_ports(ports: Ports) -> None:
    """See that every port can be had.

    Raises:
        NotAllowed: naming all that cannot, what wants them and how to choose others.
    """
    wanted = (
        (ports.redis, "the private Redis", "--redis-port"),
        (ports.sandbox, "the sandbox exchange", "--sandbox-port"),
        (ports.sandbox_cert, "the sandbox's login", "--sandbox-cert-port"),
        (ports.sandbox_stream, "the sandbox's stream", "--sandbox-stream-port"),
        (ports.worker, "the worker's metrics", METRICS_PORT),
        (ports.maintenance, "the maintenance worker's metrics", "--maintenance-port"),
        (ports.bridges[0], "the bridge's metrics", BRIDGE_PORT),
        (ports.stream, "the order stream's metrics", STREAM_PORT),
        (ports.flower, "Flower", "--flower-port, or do without it by --no-flower"),
        (ports.console, "the console", "--console-port, or do without it by --no-console"),
        (ports.console_metrics, "the console's metrics", CONSOLE_METRICS_PORT),
        (ports.notify, "the notifier's metrics", NOTIFY_PORT),
    )
    taken: dict[int, str] = {}
    in_use: list[str] = []
    for port, what, how in wanted:
        if not port:
            continue
        if port in taken:
            raise NotAllowed(f"port {port} is wanted by {taken[port]} and by {what}: choose another with {how}")
        if not is_free(port):
            in_use.append(f"port {port} is in use, and {what} wants it: choose another with {how}")
        taken[port] = what
    if in_use:
        raise NotAllowed("\n".join(in_use))


def _take(lock: int) -> None:
    """Take the lock; a command that looks for us holds it for a moment."""
    for pause_s in _LOCK_PAUSES_S:
        with suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        time.sleep(pause_s)
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


@contextmanager
def alone(data_dir: Path) -> Iterator[None]:
    """Keep every other `up` off a data folder.

    Raises:
        NotAllowed: one works on it already, or the folder cannot be written.
    """
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        lock = os.open(data_dir / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise NotAllowed(f"the data folder {data_dir} cannot be used: {error.strerror} ({DATA_DIR})") from None
    try:
        try:
            _take(lock)
        except OSError:
            holder = os.read(lock, 20).decode("ascii", "replace").strip() or "?"
            raise NotAllowed(
                f"executor up is already running on {data_dir} (process {holder}): stop it, "
                f"or choose another folder with {DATA_DIR}"
            ) from None
        os.truncate(lock, 0)
        os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(lock)  # and with it goes the lock; the file stays, or a third could lock another of the same name


def leave_settings(plan: Plan) -> None:
    """Write what commands in other terminals need to find this system; an earlier run's would lead them astray."""
    file = os.open(plan.settings.data_dir / ENVIRONMENT, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(file, "w", encoding="utf-8") as text:
        text.writelines(f"{name}={shlex.quote(value)}\n" for name, value in plan.own.items() if name != LOG_FORMAT)
