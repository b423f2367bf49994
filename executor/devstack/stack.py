"""Which processes make up the system when one terminal runs all of it, and the environment each is given.

Owns: the children's commands, ports, order of stopping and variables. Invariant: nothing that Celery, Flower or the
metrics library reads past our settings reaches a child; a variable that is set here replaces every spelling of it.
Units: seconds.
"""

import os
import signal
import socket
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from executor.devstack.redis_server import HOST, free_ports
from executor.devstack.supervisor import Program

EXECUTOR: Final = (sys.executable, "-c", "from executor.cli.main import run; run()")
_CELERY: Final = (sys.executable, "-m", "celery", "-A", "executor.app")

# Celery lets these override its settings without a word; the folder of counts is each instance's own.
_FOREIGN: Final = (
    "CELERY_BROKER_URL",
    "CELERY_BROKER_READ_URL",
    "CELERY_BROKER_WRITE_URL",
    "CELERY_RESULT_BACKEND",
    "PROMETHEUS_MULTIPROC_DIR",
)
_FOREIGN_STARTS: Final = ("FLOWER_",)
OUR_STARTS: Final = ("EXECUTOR_", "CELERY_", "FLOWER_", "PROMETHEUS_MULTIPROC_")

BRIDGE_PORT: Final = "EXECUTOR_METRICS__BRIDGE_PORT"
CONSOLE_METRICS_PORT: Final = "EXECUTOR_METRICS__CONSOLE_PORT"
WHOLE_PORT: Final = "EXECUTOR_METRICS__WHOLE_PORT"
CONSOLE_PORT: Final = "EXECUTOR_CONSOLE__PORT"
NOTIFY_PORT: Final = "EXECUTOR_METRICS__NOTIFY_PORT"
STREAM_PORT: Final = "EXECUTOR_METRICS__STREAM_PORT"
METRICS_PORT: Final = "EXECUTOR_METRICS__PORT"
BROKER_URL: Final = "EXECUTOR_REDIS__BROKER_URL"
DATA_DIR: Final = "EXECUTOR_DATA_DIR"
LOG_FORMAT: Final = "EXECUTOR_LOGGING__FORMAT"
PAPER: Final = "EXECUTOR_TRADING__ENABLE_PAPER_TRADING"

# In the order of stopping: no new signals, no new ticks, what runs may end, then what they all stand on.
_BRIDGES, _BEAT, _WORKERS, _GROUND = range(4)
# What `up` promises to wait for; then SIGQUIT, which still lets a call to the exchange end (30 s by default).
_WORKER_GRACE_S: Final = 45.0
_WORKER_QUIT_S: Final = 35.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """Where everything listens, on loopback; 0 is off."""

    redis: int
    sandbox: int
    sandbox_cert: int
    sandbox_stream: int
    worker: int
    maintenance: int
    bridges: tuple[int, ...]
    stream: int  # 0: nobody listens to the order stream
    flower: int
    console: int = 0
    console_metrics: int = 0
    notify: int = 0  # the metrics of the notifier

    @classmethod
    def free(cls, *, bridges: int) -> "Ports":
        """Choose ports that nobody uses now, each a different one."""
        first, *rest = free_ports(7 + bridges)
        return cls(
            redis=first,
            sandbox=rest[0],
            sandbox_cert=rest[1],
            sandbox_stream=rest[2],
            worker=rest[3],
            maintenance=rest[4],
            stream=rest[5],
            bridges=tuple(rest[6:]),
            flower=0,
        )


def inherited(*, ours: bool) -> dict[str, str]:
    """Return this process's environment for children; `ours`: with the settings in it."""
    unwanted = _FOREIGN_STARTS if ours else OUR_STARTS
    return {
        name: value
        for name, value in os.environ.items()
        if name.upper() not in _FOREIGN and not name.upper().startswith(unwanted)
    }


def replaced(environment: Mapping[str, str], values: Mapping[str, str]) -> dict[str, str]:
    """Return `environment` with these settings, whatever it said of them, in files of secrets too."""
    gone = set(values) | {f"{name}_FILE" for name in values}
    return {name: value for name, value in environment.items() if name.upper() not in gone} | dict(values)


def is_free(port: int) -> bool:
    """Tell whether a loopback port can be had."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do: fading connections do not count
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


@dataclass(frozen=True, slots=True)
class Stack:
    """Makes the programs; children work in `folder`, where they look for `.env` and `appsettings.json`."""

    environment: Mapping[str, str]
    folder: Path
    ports: Ports
    whole_page: bool = False  # the worker's metrics are everybody's

    def sandbox(self, directory: Path, *, seed: int = 1) -> Program:
        """Return the test exchange."""
        options = {
            "--port": str(self.ports.sandbox),
            "--cert-port": str(self.ports.sandbox_cert),
            "--stream-port": str(self.ports.sandbox_stream),
            "--dir": str(directory),
            "--seed": str(seed),
        }
        words = (word for option in options.items() for word in option)
        return self._program("sandbox", (*EXECUTOR, "sandbox", *words), _GROUND)

    def trading(self) -> Iterator[Program]:
        """Yield what turns signals into orders: workers, beat, bridges, and what hears of their fills."""
        page = {WHOLE_PORT: str(self.ports.worker)} if self.whole_page else {}
        yield self._worker("worker", "signals,orders,trades", self.ports.worker, page)
        # Apart, so that a slow poll never takes a process from an order. Threads: each task runs once at a time anyway.
        yield self._worker("maintenance", "maintenance", self.ports.maintenance, {}, "-P", "threads")
        yield self._program("beat", (*_CELERY, "beat"), _BEAT)
        for number, port in enumerate(self.ports.bridges, start=1):
            name = f"bridge-{number}" if len(self.ports.bridges) > 1 else "bridge"
            yield self._program(name, (*EXECUTOR, "bridge"), _BRIDGES, {BRIDGE_PORT: str(port)})
        if self.ports.stream:
            yield self._program("stream", (*EXECUTOR, "stream"), _WORKERS, {STREAM_PORT: str(self.ports.stream)})

    def flower(self) -> Program:
        """Return Flower; all that its settings file says is said here, as it is looked for in the current folder."""
        options = (
            f"--address={HOST}",
            f"--port={self.ports.flower}",
            "--persistent=False",
            "--natural_time=False",
            "--read_only=True",
            "--tasks_columns=name,uuid,state,result,received,runtime,worker",  # a step's result is its verdict
        )
        return self._program("flower", (*_CELERY, "flower", *options), _GROUND)

    def console(self) -> Program:
        """Return the web console; whoever starts it prints the one-time link, as this one's output is a log."""
        values = {CONSOLE_PORT: str(self.ports.console), CONSOLE_METRICS_PORT: str(self.ports.console_metrics)}
        return self._program("console", (*EXECUTOR, "console", "--no-link"), _GROUND, values)

    def notifier(self) -> Program:
        """Return what tells people."""
        return self._program("notify", (*EXECUTOR, "notify"), _GROUND, {NOTIFY_PORT: str(self.ports.notify)})

    def _worker(self, name: str, queues: str, port: int, page: Mapping[str, str], *pool: str) -> Program:
        # Two workers of one host need two node names; gossip and mingle serve fleets and cost seconds.
        options = ("-Q", queues, "-n", f"{name}@%h", "--without-gossip", "--without-mingle", *pool)
        return Program(
            name=name,
            command=(*_CELERY, "worker", *options),
            environment=replaced(self.environment, {METRICS_PORT: str(port), **page}),
            folder=self.folder,
            stage=_WORKERS,
            grace_s=_WORKER_GRACE_S,
            then=(signal.SIGQUIT, _WORKER_QUIT_S),
            waits_for="running placements",
        )

    def _program(
        self, name: str, command: tuple[str, ...], stage: int, values: Mapping[str, str] | None = None
    ) -> Program:
        environment = replaced(self.environment, values or {})
        return Program(name=name, command=command, environment=environment, folder=self.folder, stage=stage)
