"""The product's processes, one by one, on a private Redis: what integration tests start, kill and look at.

Owns every process that it starts and ends each by its id; nothing of the caller's settings is read. Units: seconds.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

import redis
import requests
from celery import Celery

from executor import keys
from executor.adapters.redis.records import decode_order, decode_signal
from executor.devstack.redis_server import PrivateRedis, free_port
from executor.domain.order import Order
from executor.domain.signal_record import SignalRecord
from support.sandbox_client import wait_for

PYTHON: Final = sys.executable
QUEUES: Final = ("signals", "orders", "trades", "maintenance")
_BRIDGE: Final = "import sys; from executor.bridge import main; sys.exit(main())"
_PREFIX: Final = "aibetting_executor_"


_T = TypeVar("_T")
# A deadline is for what never comes; a busy machine may take its time.
_PATIENCE_S: Final = 60.0


def wait(read: Callable[[], _T]) -> _T:
    """Poll until `read` returns something true."""
    return wait_for(read, _PATIENCE_S)


def children_of(pid: int) -> list[int]:
    """Return the ids of a process's children; none of one that has ended."""
    with contextlib.suppress(OSError):
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


@dataclass
class Process:
    """One process; `port` is where its metrics are."""

    popen: "subprocess.Popen[bytes]"
    port: int
    log: Path

    def said(self, *words: str) -> bool:
        """Tell whether some line of its log holds all these words."""
        return any(all(word in line for word in words) for line in self.log.read_text(errors="replace").splitlines())

    def kill(self, number: signal.Signals = signal.SIGKILL) -> int:
        """Send a signal and wait for the end."""
        self.popen.send_signal(number)
        return self.popen.wait(_PATIENCE_S)

    def children(self) -> list[int]:
        """Return the ids of a pool's processes."""
        return children_of(self.popen.pid)

    @staticmethod
    def is_gone(pid: int) -> bool:
        """Tell whether a process has ended; nobody may have asked yet how."""
        try:
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
        except FileNotFoundError:
            return True

    def metrics(self) -> dict[str, float]:
        """Return the samples of its page by name and labels, without the common prefix."""
        with requests.Session() as session:
            session.trust_env = False
            page = session.get(f"http://127.0.0.1:{self.port}/metrics", timeout=10).text
        lines = (line.rpartition(" ") for line in page.splitlines() if line and not line.startswith("#"))
        return {name.removeprefix(_PREFIX): float(value) for name, _, value in lines}

    def count(self, name: str) -> float:
        """Sum a counter over its labels."""
        return sum(value for sample, value in self.metrics().items() if sample.partition("{")[0] == name)


@dataclass
class Stack:
    """Redis and settings; processes are started one by one."""

    folder: Path
    server: PrivateRedis
    environ: dict[str, str]
    processes: list[Process] = field(default_factory=list)
    prefix: tuple[str, ...] = ()  # of each command: where its processes are to live

    def __post_init__(self) -> None:
        self.state = redis.Redis.from_url(self.environ["EXECUTOR_REDIS__URL"], decode_responses=True)
        self.broker = redis.Redis.from_url(self.server.url(1), decode_responses=True)

    # --- processes ---------------------------------------------------------------------------------------------------

    def start(self, name: str, *command: str, port: int = 0, **environ: str) -> Process:
        port = port or free_port()
        settings = {**self.environ, "EXECUTOR_METRICS__PORT": str(port), "EXECUTOR_METRICS__BRIDGE_PORT": str(port)}
        log = self.folder / f"{len(self.processes)}-{name}.log"
        with log.open("wb") as out:
            popen = subprocess.Popen(
                [*self.prefix, PYTHON, *command], env={**settings, **environ}, cwd=self.folder, stdout=out, stderr=out
            )
        process = Process(popen, port, log)
        self.processes.append(process)
        return process

    def worker(self, *options: str, port: int = 0) -> Process:
        """Start a worker; returns when it takes messages."""
        quick = ["--without-mingle", "--without-gossip"]  # a second less each
        quick += [] if "-c" in options else ["-c", "2"]
        process = self.starting_worker(*quick, *options, port=port)
        wait(lambda: self._alive(process).said(" ready."))
        return process

    def starting_worker(self, *options: str, port: int = 0) -> Process:
        """Start a worker; returns at once."""
        return self.start("worker", "-m", "celery", "-A", "executor.app", "worker", *options, port=port)

    def starting_bridge(self, port: int = 0) -> Process:
        """Start a bridge; returns at once."""
        return self.start("bridge", "-c", _BRIDGE, port=port)

    def bridge(self, port: int = 0) -> Process:
        """Start a bridge; returns when it listens."""
        process = self.starting_bridge(port)
        wait(lambda: self._alive(process).said("bridge_listening"))
        return process

    def beat(self) -> Process:
        return self.start("beat", "-m", "celery", "-A", "executor.app", "beat")

    def _alive(self, process: Process) -> Process:
        assert process.popen.poll() is None, process.log.read_text(errors="replace")[-3000:]
        return process

    def tick(self, *tasks: str) -> None:
        """Send periodic tasks, as beat does."""
        with Celery("beat", broker=self.server.url(1)) as beat:
            for task in tasks:
                beat.send_task(f"executor.{task}", queue="maintenance", expires=60)

    def stop(self) -> None:
        """End what still runs, youngest first."""
        for process in reversed(self.processes):
            if process.popen.poll() is None:
                process.popen.kill()
                process.popen.wait(_PATIENCE_S)
        self.state.close()
        self.broker.close()

    # --- looks -------------------------------------------------------------------------------------------------------

    def publish(self, message: bytes | Mapping[str, Any], channel: str = keys.STRATEGY_SIGNALS) -> int:
        raw = message if isinstance(message, bytes) else json.dumps(message)
        return int(self.state.publish(channel, raw))

    def add(self, message: Mapping[str, Any], kind: str = "strategy") -> str:
        """Add a signal to the durable door."""
        return str(self.state.xadd(keys.SIGNALS, {"kind": kind, "payload": json.dumps(message)}))

    def now(self) -> int:
        """Return Redis TIME in ms."""
        seconds, micros = self.state.time()
        return int(seconds) * 1000 + int(micros) // 1000

    def signal(self, signal_id: str) -> SignalRecord | None:
        text = self.state.get(keys.signal(signal_id))
        return decode_signal(str(text)) if text is not None else None

    def signals(self) -> list[SignalRecord]:
        return [decode_signal(str(self.state.get(key))) for key in self.state.scan_iter(keys.signal("*"), count=5000)]

    def orders(self, signal_id: str = "") -> list[Order]:
        found = [decode_order(str(self.state.get(key))) for key in self.state.scan_iter(keys.order("*"), count=5000)]
        return sorted(
            (order for order in found if signal_id in {"", order.signal_id}), key=lambda order: order.order_id
        )

    def ended(self, signal_id: str) -> SignalRecord:
        """Wait until a signal has its terminal state."""

        def over() -> list[SignalRecord]:
            record = self.signal(signal_id)
            return [record] if record is not None and record.finished_at else []

        return wait(over)[0]

    def wait_until_reconciled(self) -> None:
        wait(lambda: self.state.exists(keys.RECONCILED))

    def waiting(self, queue: str) -> list[str]:
        """Return a queue's messages, the next one last."""
        return [str(message) for message in self.broker.lrange(queue, 0, -1)]

    def unacknowledged(self) -> dict[str, Any]:
        """Return what workers hold: delivery tag -> (message, exchange, queue)."""
        return {str(tag): json.loads(str(held)) for tag, held in self.broker.hgetall("unacked").items()}

    def redeliver(self) -> list[str]:
        """Put what dead workers hold back, as the visibility timeout does minutes later; returns the task ids."""
        tags = self.unacknowledged()
        for tag, (message, _, queue) in tags.items():
            self.broker.rpush(queue, json.dumps(message))
            self.broker.hdel("unacked", tag)
            self.broker.zrem("unacked_index", tag)
        return [message["headers"]["id"] for message, _, _ in tags.values()]


def make_stack(folder: Path, server: PrivateRedis, **settings: str) -> Stack:
    """Return a stack in paper mode unless the settings say otherwise."""
    environ = {
        "PATH": os.defpath,
        "EXECUTOR_REDIS__URL": server.url(0),
        "EXECUTOR_REDIS__BROKER_URL": server.url(1),
        "EXECUTOR_DATA_DIR": str(folder / "data"),
        "EXECUTOR_LOGGING__FORMAT": "json",
        **settings,
    }
    return Stack(folder, server, environ)


@contextlib.contextmanager
def running(folder: Path, **settings: str) -> Iterator[Stack]:
    """Run a stack on a Redis of its own."""
    with PrivateRedis(folder / "redis", append_only=False) as server:
        stack = make_stack(folder, server, **settings)
        try:
            yield stack
        finally:
            stack.stop()


def message(signal_id: str, market: str = "1.5", **overrides: Any) -> dict[str, Any]:
    """Return a strategy signal: a back of 10 at 3 on selection 1, valid for as long as is allowed."""
    primary = {"selectionId": "1", "recommendedOdds": 3, "stake": 10, "betType": "Back"}
    return {
        "signalId": signal_id,
        "marketId": market,
        "strategy": "test",
        "validityWindow": 300,
        "primarySelection": primary
        | {name: overrides.pop(name) for name in ("stake", "selectionId") if name in overrides},
        **overrides,
    }
