"""The processes that are measured: a private Redis, the sandbox, the engine as `executor up` starts it, the floor.

Owns everything that it starts, in the folder it is given; nothing outlives `stop`, or this process. Invariant: no
setting of the caller's is read and the exchange is on loopback, so it can never bet. Units: seconds.
"""

import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, Self

import redis
import requests
from celery import Celery

from benchmarks import bare, floor, flumine
from betfair_sandbox.options import SandboxOptions, sandbox_env
from executor import keys, wiring
from executor.devstack.redis_server import HOST, PrivateRedis
from executor.devstack.running import REDIS_URL
from executor.devstack.sandbox_client import SandboxClient
from executor.devstack.stack import (
    BROKER_URL,
    DATA_DIR,
    LOG_FORMAT,
    METRICS_PORT,
    Ports,
    Stack,
    inherited,
    replaced,
)
from executor.devstack.supervisor import Program, Supervisor, parent_death_signal
from executor.settings.load import load_settings

PROBE_FOLDER: Final = "BENCH_PROBE_FOLDER"
ROOT: Final = Path(__file__).parents[1]
ENGINE_QUEUES: Final = ("signals", "orders", "trades")
_READY_S: Final = 90.0  # a busy machine imports Celery slowly, five times at once
_PAUSE_S: Final = 0.1
_MONEY: Final = 1_000_000_000
_BRIDGE: Final = (sys.executable, "-c", "from benchmarks.floor import bridge; bridge()")
_SUBSCRIBER: Final = (sys.executable, "-c", "from benchmarks.bare import subscriber; subscriber()")
_CLIENTS: Final = ROOT / ".venv" / "clients" / "bin" / "python"  # `make clients`
_BRIDGES, _WORKERS = 0, 2  # stages of stopping, as the engine's
# Wide enough that nothing is refused: what is measured is the way of a bet that is taken.
WIDE: Final = {
    "EXECUTOR_RISK__MAX_STAKE_PER_ORDER": "1000000",
    "EXECUTOR_RISK__MAX_EXPOSURE_PER_MARKET": str(_MONEY),
    "EXECUTOR_RISK__MAX_EXPOSURE_PER_SELECTION": str(_MONEY),
    "EXECUTOR_RISK__MAX_DAILY_LOSS": str(_MONEY),
    "EXECUTOR_RISK__BANKROLL": str(_MONEY),
    "EXECUTOR_RISK__CIRCUIT_BREAKER_FAILURES": "1000",
    "EXECUTOR_TRADING__MAX_TRANSACTIONS_PER_HOUR": "1000000",
}


class BenchError(Exception):
    """The measurement cannot go on, or what was measured is not what should have happened; the text says why."""


class Side(StrEnum):
    """Who takes the signals."""

    OURS = "executor"
    FLOOR = "floor"
    BARE = "script"
    FLUMINE = "flumine"


PAIR: Final = (Side.OURS, Side.FLOOR)


def all_sides() -> tuple[Side, ...]:
    """Return everybody who can be measured here."""
    return tuple(side for side in Side if side is not Side.FLUMINE or _CLIENTS.exists())


class BenchStack:
    """Engine, floor and bare script, as many of them as are asked for, side by side on one Redis and one exchange."""

    def __init__(
        self,
        folder: Path,
        tell: Callable[[str], None],
        *,
        workers: int = 1,
        sides: Sequence[Side] = PAIR,
        with_stream: bool = True,
        probe: Path | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        ports = Ports.free(bridges=1)
        self.ports = ports if with_stream else replace(ports, stream=0)
        self.folder = folder
        self._tell = tell
        self._workers = workers
        self.sides = sides
        self._sandbox_folder = folder / "sandbox"
        server = f"redis://{HOST}:{self.ports.redis}"
        ours = {REDIS_URL: f"{server}/0", BROKER_URL: f"{server}/1", DATA_DIR: str(folder / "data"), LOG_FORMAT: "json"}
        exchange = sandbox_env(
            self._sandbox_folder,
            port=self.ports.sandbox,
            cert_port=self.ports.sandbox_cert,
            stream_port=self.ports.sandbox_stream,
        )
        self.environ = replaced(inherited(ours=False), {**WIDE, **ours, **exchange, **(settings or {})})
        self.environ["PYTHONPATH"] = str(ROOT)
        self._probed = probe is not None
        if probe is not None:
            self.environ[PROBE_FOLDER] = str(probe)
        self.settings = load_settings(self.environ, folder)
        self.supervisor = Supervisor(folder / "logs", tell)
        self.sandbox = SandboxClient(self._sandbox_folder, self.ports.sandbox)
        self._server = PrivateRedis(
            folder / "redis", port=self.ports.redis, append_only=True, first=parent_death_signal()
        )
        self.redis = redis.Redis.from_url(f"{server}/0", decode_responses=True)
        self.broker = redis.Redis.from_url(f"{server}/1", decode_responses=True)
        self.floor_broker = redis.Redis.from_url(f"{server}/2", decode_responses=True)
        self.celery = Celery("bench", broker=f"{server}/1")
        self.token = ""

    def start(self) -> Self:
        """Start everything; returns when a signal would be traded.

        Raises:
            BenchError, CrashLoopError, RedisServerError, SandboxSilentError: it was not to be.
        """
        self._tell(f"starting processes; their logs: {self.folder / 'logs'}")
        self._server.start()
        programs = Stack(self.environ, self.folder, self.ports)
        self.supervisor.start(programs.sandbox(self._sandbox_folder))
        self.sandbox.wait_until_ready(_READY_S, self.supervisor.tick)
        self.sandbox.control("reset", {"balance": _MONEY})
        self.token = self._log_in()
        for program in self.engine(programs.trading()):
            self.supervisor.start(program)
        for program in self._peers():
            self.supervisor.start(program)
        self.until(self._is_ready, "the processes to become ready")
        return self

    def stop(self) -> None:
        """Stop everything."""
        for client in (self.redis, self.broker, self.floor_broker):
            client.close()
        self.celery.close()
        self.sandbox.close()
        self.supervisor.force = True
        self.supervisor.stop()
        self._server.stop()

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.stop()
            raise

    def __exit__(self, *_: object) -> None:
        self.stop()

    def engine(self, programs: Iterable[Program]) -> Iterable[Program]:
        """Yield the engine's processes: the shipped ones, and further workers where more than one is asked for."""
        for shipped in programs:
            program = _with_probe(shipped) if self._probed else shipped
            yield program
            for number in range(2, self._workers + 1) if program.name == "worker" else ():
                name = f"worker-{number}"
                command = tuple(word.replace("worker@", f"{name}@") for word in program.command)
                environment = replaced(program.environment, {METRICS_PORT: "0"})
                yield replace(program, name=name, command=command, environment=environment)

    def until(self, look: Callable[[], object], what: str, within_s: float = _READY_S) -> None:
        """Wait until `look` returns something true.

        Raises:
            BenchError: it does not in time.
        """
        deadline = time.monotonic() + within_s
        while not look():
            if time.monotonic() > deadline:
                raise BenchError(f"waited {within_s:.0f} s for {what}; logs: {self.folder / 'logs'}")
            self.supervisor.tick()
            time.sleep(_PAUSE_S)

    def tick(self, task: str) -> None:
        """Send a periodic task, as beat does."""
        self.celery.send_task(f"executor.{task}", queue="maintenance", expires=60)

    def call(self, method: str, params: Mapping[str, Any]) -> dict[str, Any]:
        """Call the exchange as a customer would, with a session of our own."""
        body = {"jsonrpc": "2.0", "method": f"SportsAPING/v1.0/{method}", "params": params, "id": 1}
        headers = {"X-Application": self._app_key, "X-Authentication": self.token}
        return dict(self._post("/exchange/betting/json-rpc/v1", headers, json=body)["result"])

    def pids(self) -> dict[str, int]:
        """Return the process ids of what runs, Redis too."""
        found = {name: self.supervisor.pid(name) for name in self.supervisor.names}
        return {name: pid for name, pid in {**found, "redis": self._server.pid}.items() if pid is not None}

    def _peers(self) -> Iterable[Program]:
        environ = {
            **self.environ,
            floor.BROKER: self._server.url(2),
            floor.API_URL: self.settings.betfair.api_url,
            floor.CA: str(self.settings.betfair.ca_bundle),
            floor.APP_KEY: self._app_key,
            floor.TOKEN: self.token,
        }
        if Side.FLOOR in self.sides:
            yield from self._floor(environ)
        if Side.BARE in self.sides:
            yield Program(name="script", command=_SUBSCRIBER, environment=environ, folder=self.folder, stage=_BRIDGES)
        if Side.FLUMINE in self.sides:
            yield self._flumine()

    def _flumine(self) -> Program:
        folder = str(self._sandbox_folder)
        asking = (sys.executable, "-m", "betfair_sandbox", "env", "--for", "flumine", "--dir", folder)
        printed = subprocess.run(asking, cwd=ROOT, capture_output=True, text=True, check=True).stdout  # noqa: S603 - ours
        environ = {
            **{name: value for name, value in self.environ.items() if name != "PYTHONPATH"},
            **dict(line.split("=", 1) for line in printed.splitlines()),
            flumine.REDIS: self._server.url(2),
            flumine.CHANNEL_NAME: flumine.CHANNEL,
            flumine.NAME: flumine.STRATEGY,
        }
        command = (str(_CLIENTS), "-P", str(ROOT / "benchmarks" / "flumine_peer.py"))
        return Program(name="flumine", command=command, environment=environ, folder=self.folder, stage=_BRIDGES)

    def _floor(self, environ: Mapping[str, str]) -> Iterable[Program]:
        celery = (sys.executable, "-m", "celery", "-A", "benchmarks.floor", "worker", "-Q", ",".join(floor.QUEUES))
        for number in range(1, self._workers + 1):
            name = f"floor-worker-{number}"
            command = (*celery, "-n", f"{name}@%h", "--without-gossip", "--without-mingle")
            yield Program(name=name, command=command, environment=environ, folder=self.folder, stage=_WORKERS)
        yield Program(name="floor-bridge", command=_BRIDGE, environment=environ, folder=self.folder, stage=_BRIDGES)

    def _is_ready(self) -> bool:
        state = wiring.state(self.settings).read()
        peers = {Side.FLOOR: floor.CHANNEL, Side.BARE: bare.CHANNEL, Side.FLUMINE: flumine.CHANNEL}
        named = [channel for side, channel in peers.items() if side in self.sides]
        channels = [keys.SUREBET_SIGNALS, keys.STRATEGY_SIGNALS, *named]
        heard = dict(self.redis.pubsub_numsub(*channels))
        workers = sum(name.startswith("worker:") for name in state.processes)
        return (
            state.reconciled and state.trading_enabled and all(heard.values()) and workers >= self._workers + 1
        )  # one is for maintenance

    @property
    def _app_key(self) -> str:
        return self.settings.betfair.app_key.get_secret_value()

    def _log_in(self) -> str:
        options = SandboxOptions(directory=self._sandbox_folder)
        body = {"username": options.username, "password": options.password}
        return str(self._post("/api/login", {"X-Application": self._app_key}, data=body)["token"])

    def _post(self, path: str, headers: Mapping[str, str], **body: Any) -> dict[str, Any]:  # noqa: ANN401 - requests'
        with requests.Session() as session:
            session.trust_env = False
            url, ca = f"{self.settings.betfair.api_url}{path}", str(self.settings.betfair.ca_bundle)
            sent = {"Accept": "application/json", **headers}
            return dict(session.post(url, headers=sent, verify=ca, timeout=30, **body).json())


def _with_probe(program: Program) -> Program:
    if program.name == "worker":
        return replace(program, command=(*program.command, "--include", "benchmarks.probe"))
    if program.name == "bridge":
        code = f"import benchmarks.probe; {program.command[2]}"
        return replace(program, command=(*program.command[:2], code, *program.command[3:]))
    return program
