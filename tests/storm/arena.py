"""The running system: private Redis with its append-only file, sandbox over HTTPS, workers, beat, bridges.

Everything on loopback and free ports in one temporary folder; the environment has nothing of ours but what is set here.
"""

import os
import sys
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Self

import redis
from celery import Celery
from kombu.exceptions import OperationalError
from redis.backoff import NoBackoff
from redis.retry import Retry
from support.sandbox_client import _START, RunningSandbox
from support.small_disk import NoSmallDiskError, SmallDisk

from betfair_sandbox.options import sandbox_env
from executor.devstack.redis_server import PrivateRedis, free_ports
from storm.processes import Child, stop_all

API_TIMEOUT_S: Final = 5
UNMATCHED_S: Final = 8
BALANCE: Final = 1_000_000
LOSABLE_S: Final = 1.0  # what a power cut takes of an append-only file that is synchronised every second
_FOREIGN: Final = ("EXECUTOR_", "CELERY_", "FLOWER_", "PROMETHEUS_MULTIPROC_")
_CELERY: Final = (sys.executable, "-m", "celery", "-A", "executor.app")
_WORKER: Final = (*_CELERY, "worker", "--without-gossip", "--without-mingle")
_READY_S: Final = 60.0
_FAKETIME: Final = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)


class Arena:
    """Start it as a context manager; nothing is left behind."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.data.mkdir(parents=True)
        try:
            self.disk: SmallDisk | None = SmallDisk(self.data, "96m")
            self.data_seen = self.disk.path
        except NoSmallDiskError:
            self.disk, self.data_seen = None, self.data
        self._seed = seed
        self.redis = PrivateRedis(folder / "redis")
        self._clean = {name: value for name, value in os.environ.items() if not name.upper().startswith(_FOREIGN)}
        self.exchange_process = self._child(
            "sandbox", (sys.executable, "-c", _START, str(folder / "sandbox"), "0", "0")
        )
        self.exchange_process.environment = self._clean
        self.children: dict[str, Child] = {}
        self.sandbox: RunningSandbox
        self._offset = folder / "clock-offset"
        self._sizes: deque[tuple[float, Path, int]] = deque(maxlen=200)

    def client(self, db: int = 0, *, timeout_s: float = 3) -> "redis.Redis":
        """Return a client that repeats nothing and waits briefly."""
        return redis.Redis.from_url(
            self.redis.url(db),
            decode_responses=True,
            socket_timeout=timeout_s,
            socket_connect_timeout=1,
            retry=Retry(NoBackoff(), 0),
        )

    def __enter__(self) -> Self:
        try:
            self.redis.start()
            self._start_exchange()
            self._start_system()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        names = ["bridge-1", "bridge-2", "beat", "worker-1", "worker-2", "maintenance"]
        stop_all([self.children[name] for name in names if name in self.children])
        stop_all([self.exchange_process], 5)
        self.redis.stop()
        if self.disk is not None:
            self.disk.close()

    def tick(self) -> None:
        """Start again what exited, and remember how long the append-only file is."""
        for child in self.children.values():
            child.tick()
        if path := self._append_only():
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
        with Celery(broker=self.redis.url(1)) as sender, suppress(OperationalError):
            sender.send_task(f"executor.{task}", queue="maintenance", retry=False, expires=10)

    def tail(self, name: str, lines: int = 15) -> list[str]:
        """Return the last lines that a process wrote."""
        return (self.folder / f"{name}.log").read_text(errors="replace").splitlines()[-lines:]

    # --- starting ----------------------------------------------------------------------------------------------------

    def _append_only(self) -> Path | None:
        found = sorted(self.redis.data_dir.glob("appendonlydir/*.incr.aof")) or sorted(
            self.redis.data_dir.glob("appendonly.aof")
        )
        return found[-1] if found else None

    def _start_exchange(self) -> None:
        self.exchange_process.start()
        log = self.exchange_process.log
        self.wait(lambda: "ready" in log.read_text(), "sandbox")
        self.sandbox = RunningSandbox.at(self.folder / "sandbox")
        self.sandbox.control("reset", seed=self._seed, balance=BALANCE)

    def _child(self, name: str, command: tuple[str, ...], **settings: object) -> Child:
        environment = {**self._clean, **{variable: str(value) for variable, value in settings.items()}}
        return Child(name, command, environment, self.folder, self.folder / f"{name}.log")

    @property
    def clock_steps(self) -> bool:
        """Tell whether our processes' clock can be stepped here."""
        return _FAKETIME is not None

    def step_clock(self, offset: str) -> None:
        """Let beat see another time of day."""
        fresh = self._offset.with_suffix(".new")
        fresh.write_text(offset)
        fresh.replace(self._offset)  # never read half-written

    def _start_system(self) -> None:
        common: dict[str, Any] = {
            **sandbox_env(self.folder / "sandbox"),
            "EXECUTOR_REDIS__URL": self.redis.url(),
            "EXECUTOR_DATA_DIR": self.data,
            "EXECUTOR_BETFAIR__API_TIMEOUT_SECONDS": API_TIMEOUT_S,
            "EXECUTOR_ORDER_MANAGER__UNMATCHED_ORDER_TIMEOUT_SECONDS": UNMATCHED_S,
            "EXECUTOR_RISK__MAX_DAILY_LOSS": 1_000_000,  # markets end at random: it is not the point here
            "EXECUTOR_LOGGING__FORMAT": "json",
        }
        # Of beat alone: libfaketime steps the steady clock along, and threads that wait by it would wait for an hour.
        stepped: dict[str, Any] = {}
        if _FAKETIME is not None:
            self.step_clock("+0s")
            stepped = {"LD_PRELOAD": _FAKETIME, "FAKETIME_TIMESTAMP_FILE": self._offset, "FAKETIME_NO_CACHE": 1}
        enter = self.disk.enter(self.folder) if self.disk is not None else ()
        orders = ("-Q", "signals,orders,trades")
        commands = {
            "maintenance": (*_WORKER, "-Q", "maintenance", "-P", "threads", "-n", "maintenance@%h"),
            "worker-1": (*_WORKER, *orders, "-n", "worker-1@%h"),
            "worker-2": (*_WORKER, *orders, "-n", "worker-2@%h"),
            "beat": (*_CELERY, "beat"),
            "bridge-1": (sys.executable, "-c", "from executor.cli.main import run; run()", "bridge"),
            "bridge-2": (sys.executable, "-c", "from executor.cli.main import run; run()", "bridge"),
        }
        ports = free_ports(len(commands))
        for (name, command), number in zip(commands.items(), ports, strict=True):
            port = "EXECUTOR_METRICS__BRIDGE_PORT" if name.startswith("bridge") else "EXECUTOR_METRICS__PORT"
            clock = stepped if name == "beat" else {}
            self.children[name] = self._child(name, (*enter, *command), **common, **clock, **{port: number})
            self.children[name].start()
