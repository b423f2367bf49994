"""The running system: private Redis with its append-only file, or three behind three sentinels, sandbox over HTTPS,
workers, beat, bridges, two order streams, console; the line to the exchange can be cut.

Everything in one temporary folder, on loopback and free ports, the engine's and the exchange's each in a network
namespace of its own where that may be made; the environment has nothing of ours but what is set here.
"""

import contextlib
import os
import sys
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final, Self

import redis
import requests
from celery import Celery
from kombu.exceptions import OperationalError
from redis.backoff import NoBackoff
from redis.retry import Retry
from support.sandbox_client import RunningSandbox
from support.sentinels import Cluster
from support.small_disk import NoSmallDiskError, SmallDisk
from support.stepped_clock import SteppedClock

from executor.adapters.redis.console_access import RedisConsoleAccess
from executor.adapters.redis.topology import follow
from executor.console.principal import Role
from executor.console.tokens import digest_of
from executor.devstack.redis_server import PrivateRedis, free_ports
from executor.devstack.supervisor import Program, Supervisor
from executor.settings.urls import sentinel_url
from storm.line import Line, a_line
from storm.processes import Child

API_TIMEOUT_S: Final = 5
UNMATCHED_S: Final = 8
BALANCE: Final = 1_000_000
LIMITS: Final = {"MaxExposurePerSelection": 200, "MaxExposurePerMarket": 500, "MaxStakePerOrder": 100}
_WIDER: Final = 10  # limits of a storm at three times the pace
LOSABLE_S: Final = 1.0  # what a power cut takes of an append-only file that is synchronised every second
PUBLISHER: Final = "exe_a-token-of-the-storm"
_ROOT: Final = Path(__file__).parents[2]
_FOREIGN: Final = ("EXECUTOR_", "CELERY_", "FLOWER_", "PROMETHEUS_MULTIPROC_")
_CELERY: Final = (sys.executable, "-m", "celery", "-A", "executor.app")
_WORKER: Final = (*_CELERY, "worker", "--without-gossip", "--without-mingle")
_COMMAND: Final = (sys.executable, "-c", "from executor.cli.main import run; run()")
_ORDERS: Final = ("-Q", "signals,orders,trades")
# Name -> what to run, the setting of its port for metrics, its stage when all is stopped: no signal first, beat early.
_PROGRAMS: Final[dict[str, tuple[tuple[str, ...], str, int]]] = {
    "maintenance": ((*_WORKER, "-Q", "maintenance", "-P", "threads", "-n", "maintenance@%h"), "PORT", 3),
    "worker-1": ((*_WORKER, *_ORDERS, "-n", "worker-1@%h"), "PORT", 3),
    "worker-2": ((*_WORKER, *_ORDERS, "-n", "worker-2@%h"), "PORT", 3),
    "beat": ((*_CELERY, "beat"), "PORT", 2),
    "bridge-1": ((*_COMMAND, "bridge"), "BRIDGE_PORT", 1),
    "bridge-2": ((*_COMMAND, "bridge"), "BRIDGE_PORT", 1),
    "stream-1": ((*_COMMAND, "stream"), "STREAM_PORT", 2),
    "stream-2": ((*_COMMAND, "stream"), "STREAM_PORT", 2),
    "console": ((*_COMMAND, "console", "--no-link"), "CONSOLE_PORT", 1),
}
_EXCHANGE: Final = "sandbox"
_EXCHANGE_STAGE: Final = 9
_AGAIN_S: Final = 1.0  # between an exit and the next start
_GRACE_S: Final = 20.0  # a worker lets calls end; faults are off by then
_READY_S: Final = 60.0
_PAGE_S: Final = 5.0


class Arena:
    """Start it as a context manager; nothing is left behind."""

    def __init__(self, folder: Path, seed: int, *, sentinels: bool = False) -> None:
        self.folder = folder
        self.cluster = Cluster(folder / "redis") if sentinels else None
        wider = {name: _WIDER if sentinels and name != "MaxStakePerOrder" else 1 for name in LIMITS}
        self.limits = {name: value * wider[name] for name, value in LIMITS.items()}
        self.data = folder / "data"
        self.data.mkdir(parents=True)
        self._seed = seed
        self._clean = {name: value for name, value in os.environ.items() if not name.upper().startswith(_FOREIGN)}
        self._stack = contextlib.ExitStack()
        self._said = folder / "supervisor.txt"
        self._supervisor = Supervisor(folder, self._say, back_off_s=[_AGAIN_S])
        self._sizes: deque[tuple[float, Path, int]] = deque(maxlen=200)
        self.children: dict[str, Child] = {}
        self.metrics_ports: dict[str, int] = {}
        self.clocks: dict[str, SteppedClock] = {}  # of each child, where they can be stepped
        self.disk: SmallDisk | None = None
        self.line: Line
        self.redis: PrivateRedis
        self.sandbox: RunningSandbox
        self.console_url = ""

    def client(self, db: int = 0, *, timeout_s: float = 3) -> "redis.Redis":
        """Return a client that repeats nothing and waits briefly."""
        options = {"socket_timeout": timeout_s, "socket_connect_timeout": 1, "retry": Retry(NoBackoff(), 0)}
        if self.cluster is not None:
            return follow(sentinel_url(self.url(db)), decode_responses=True, **options)
        return redis.Redis.from_url(self.url(db), decode_responses=True, **options)

    def url(self, db: int = 0) -> str:
        """Return where the engine finds Redis."""
        return self.cluster.url(db) if self.cluster is not None else self.redis.url(db)

    def __enter__(self) -> Self:
        try:
            self.line = self._stack.enter_context(a_line())
            self._mount()
            self._start_redis()
            self._stack.callback(self._supervisor.stop)
            self._start_exchange()
            self._start_system()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for child in self.children.values():
            child.resume()
        self._stack.close()

    def tick(self) -> None:
        """Start again what exited, and remember how long the append-only file is."""
        for child in self.children.values():
            child.tick()
        self._supervisor.tick()
        if self.cluster is None and (path := self._append_only()):
            self._sizes.append((time.monotonic(), path, path.stat().st_size))

    def cut_power(self) -> int:
        """Kill Redis and lose what its file may not have on disk yet; returns how many bytes."""
        self.redis.kill()
        path = self._append_only()
        before = [at for at in self._sizes if at[1] == path and at[0] <= time.monotonic() - LOSABLE_S]
        if path is None or not before:
            return 0
        kept = min(before[-1][2], path.stat().st_size)
        lost = path.stat().st_size - kept
        os.truncate(path, kept)
        self._sizes.clear()
        return lost

    def wait(self, read: Callable[[], object], what: str, within_s: float = _READY_S) -> None:
        """Poll until `read` returns something true; the system is kept running meanwhile."""
        ends = time.monotonic() + within_s
        while True:
            self.tick()
            try:
                if read():
                    return
            except redis.RedisError:
                pass
            assert time.monotonic() < ends, f"{what}: not within {within_s:.0f} s; logs in {self.folder}"
            time.sleep(0.05)

    def nudge(self, task: str) -> None:
        """Send a periodic task before beat does."""
        with Celery(broker=self.url(1)) as sender, suppress(OperationalError):
            sender.send_task(f"executor.{task}", queue="maintenance", retry=False, expires=10)

    def unwell(self) -> list[str]:
        """Say of which process `/health` or `/metrics` is not well now."""
        found = []
        with requests.Session() as session:
            session.trust_env = False
            for name, port in self.metrics_ports.items():
                for page in ("health", "metrics"):
                    try:
                        status = session.get(f"http://127.0.0.1:{port}/{page}", timeout=_PAGE_S).status_code
                    except requests.RequestException as error:
                        found.append(f"{name} /{page}: {type(error).__name__}")
                    else:
                        found += [f"{name} /{page}: HTTP {status}"] if status != requests.codes.ok else []
        return found

    # --- starting ----------------------------------------------------------------------------------------------------

    def _start_redis(self) -> None:
        if self.cluster is not None:
            self._stack.callback(self.cluster.stop)
            self.cluster.start()
            return
        self.redis = PrivateRedis(self.folder / "redis")
        self._stack.callback(self.redis.stop)
        self.redis.start()

    def _say(self, line: str) -> None:
        with self._said.open("a") as file:
            file.write(f"{time.time():.2f} {line}\n")

    def _mount(self) -> None:
        try:
            self.disk = SmallDisk(self.data, "96m")
        except NoSmallDiskError:
            return
        self._stack.callback(self.disk.close)

    @property
    def data_seen(self) -> Path:
        """The data folder as it is seen from here."""
        return self.disk.path if self.disk is not None else self.data

    def _append_only(self) -> Path | None:
        found = sorted(self.redis.data_dir.glob("appendonlydir/*.incr.aof")) or sorted(
            self.redis.data_dir.glob("appendonly.aof")
        )
        return found[-1] if found else None

    def _start_exchange(self) -> None:
        folder = self.folder / _EXCHANGE
        command = (sys.executable, "-m", "storm.exchange", str(folder), self.line.bind, *self.line.names)
        environment = {**self._clean, "PYTHONPATH": f"{_ROOT / 'tests'}:{_ROOT}"}
        self._run(_EXCHANGE, (*self.line.prefix, *command), environment, _EXCHANGE_STAGE)
        log = self._supervisor.log(_EXCHANGE)
        self.wait(lambda: "ready" in log.read_text(), _EXCHANGE)
        self.sandbox = RunningSandbox.at(folder, host=self.line.beside)
        self.sandbox.control("reset", seed=self._seed, balance=BALANCE)

    def _run(self, name: str, command: tuple[str, ...], environment: dict[str, str], stage: int) -> None:
        self._supervisor.start(
            Program(
                name=name, command=command, environment=environment, folder=self.folder, stage=stage, grace_s=_GRACE_S
            )
        )

    def _start_system(self) -> None:
        console_port, *ports = free_ports(len(_PROGRAMS) + 1)
        common = {
            **self._clean,
            **self.line.engine_env(self.folder / _EXCHANGE),
            "EXECUTOR_REDIS__URL": self.url(),
            "EXECUTOR_DATA_DIR": str(self.data),
            "EXECUTOR_BETFAIR__API_TIMEOUT_SECONDS": str(API_TIMEOUT_S),
            "EXECUTOR_ORDER_MANAGER__UNMATCHED_ORDER_TIMEOUT_SECONDS": str(UNMATCHED_S),
            "EXECUTOR_RISK__MAX_EXPOSURE_PER_SELECTION": str(self.limits["MaxExposurePerSelection"]),
            "EXECUTOR_RISK__MAX_EXPOSURE_PER_MARKET": str(self.limits["MaxExposurePerMarket"]),
            "EXECUTOR_RISK__MAX_DAILY_LOSS": "1000000",  # markets end at random: it is not the point here
            "EXECUTOR_LOGGING__FORMAT": "json",
            "EXECUTOR_CONSOLE__PORT": str(console_port),
        }
        self.console_url = f"http://127.0.0.1:{console_port}"
        enter = self.disk.enter(self.folder) if self.disk is not None else ()
        if not SteppedClock.why_not():
            self.clocks = {name: SteppedClock(self.folder, name) for name in _PROGRAMS}
        for (name, (command, setting, stage)), port in zip(_PROGRAMS.items(), ports, strict=True):
            clock = self.clocks[name].environ if self.clocks else {}
            environment = {**common, **clock, f"EXECUTOR_METRICS__{setting}": str(port)}
            self._run(name, (*enter, *command), environment, stage)
            self.children[name] = Child(self._supervisor, name)
            if name != "beat":  # it has no page
                self.metrics_ports[name] = port

    def add_publisher(self) -> None:
        """Let a program with the token of the storm hand in signals over HTTP."""
        with self.client() as client:
            store = RedisConsoleAccess(client)
            now = str(store.now())
            fields = {"name": "storm", "role": Role.PUBLISHER.value, "created_at": now, "expires_at": "0"}
            assert store.put_token(digest_of(PUBLISHER), fields)
