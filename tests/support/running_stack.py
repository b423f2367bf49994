"""The product's own processes on free ports, trading on their own sandbox, for tests that watch a real run.

Owns: a private Redis, the sandbox, two workers, beat, a bridge and, but on paper, the order stream's process in the
folder it is given, Flower, console and notifier where they are asked for; none outlives `stop`.
Invariant: nothing of the caller's settings is read, so it can never bet. Units: seconds.
"""

import json
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import replace as changed
from pathlib import Path
from typing import Any, Final, Self, TypeVar

import redis
import requests

from betfair_sandbox.options import sandbox_env
from executor import keys, wiring
from executor.adapters.redis.client import connect
from executor.devstack.redis_server import HOST, PrivateRedis, free_port
from executor.devstack.running import REDIS_URL
from executor.devstack.sandbox_client import SandboxClient
from executor.devstack.stack import (
    BROKER_URL,
    DATA_DIR,
    EXECUTOR,
    LOG_FORMAT,
    Ports,
    Stack,
    inherited,
    replaced,
)
from executor.devstack.supervisor import Supervisor, parent_death_signal
from executor.devstack.up_plan import listens
from executor.settings.load import load_settings

READY_S: Final = 60.0
_T = TypeVar("_T")


def until(look: Callable[[], _T], within_s: float, what: str) -> _T:
    """Return the first truthy answer of `look`; fails when there is none in time."""
    deadline = time.monotonic() + within_s
    while not (found := look()):
        assert time.monotonic() < deadline, what
        time.sleep(0.1)
    return found


class RunningStack:
    """What `executor up` starts, on free ports; with `url` on a Redis that somebody else has started."""

    def __init__(
        self,
        folder: Path,
        environ: Mapping[str, str],
        *,
        flower: bool = False,
        console: bool = False,
        url: str = "",
        append_only: bool = False,
    ) -> None:
        self.ports = changed(Ports.free(bridges=1), flower=free_port())
        if console:
            self.ports = changed(self.ports, console=free_port(), console_metrics=free_port(), notify=free_port())
        self.sandbox_folder = folder / "sandbox"
        server = f"redis://{HOST}:{self.ports.redis}"
        where = {REDIS_URL: url} if url else {REDIS_URL: f"{server}/0", BROKER_URL: f"{server}/1"}
        ours = {**where, DATA_DIR: str(folder / "data"), LOG_FORMAT: "json"}
        exchange = sandbox_env(
            self.sandbox_folder,
            port=self.ports.sandbox,
            cert_port=self.ports.sandbox_cert,
            stream_port=self.ports.sandbox_stream,
        )
        self.environ = replaced(inherited(ours=False), {**ours, **exchange, **environ})
        self.settings = load_settings(self.environ, folder)
        if not listens(self.settings):
            self.ports = changed(self.ports, stream=0)
        self.folder = folder
        self._with_flower = flower
        self.supervisor = Supervisor(folder / "logs", lambda _: None)
        self.sandbox = SandboxClient(self.sandbox_folder, self.ports.sandbox)
        self.server = PrivateRedis(
            folder / "redis", port=self.ports.redis, append_only=append_only, first=parent_death_signal()
        )
        self._own_server = not url
        self.redis = connect(url) if url else redis.Redis.from_url(f"{server}/0", decode_responses=True)

    @property
    def metrics_ports(self) -> tuple[int, ...]:
        """Where its processes are scraped: worker, maintenance, bridge, and the others where they run."""
        ports = self.ports
        optional = [port for port in (ports.stream, ports.console_metrics, ports.notify) if port]
        return (ports.worker, ports.maintenance, *ports.bridges, *optional)

    def start(self) -> Self:
        """Start everything; returns when a signal would be traded."""
        if self._own_server:
            self.server.start()
        programs = Stack(self.environ, self.folder, self.ports)
        self.supervisor.start(programs.sandbox(self.sandbox_folder))
        self.sandbox.wait_until_ready(READY_S, self.supervisor.tick)
        for program in programs.trading():
            self.supervisor.start(program)
        if self._with_flower:
            self.supervisor.start(programs.flower())
        if self.ports.console:
            self.supervisor.start(programs.console())
            self.supervisor.start(programs.notifier())
        until(self._is_ready, READY_S, "the processes did not become ready")
        return self

    def stop(self) -> None:
        """Stop everything."""
        self.redis.close()
        self.sandbox.close()
        self.supervisor.force = True
        self.supervisor.stop()
        self.server.stop()

    def _is_ready(self) -> bool:
        self.supervisor.tick()
        state = wiring.state(self.settings).read()
        heard = dict(self.redis.pubsub_numsub(keys.SUREBET_SIGNALS, keys.STRATEGY_SIGNALS))
        return state.reconciled and state.trading_enabled and all(heard.values())

    def publish(self, signal: Mapping[str, Any]) -> None:
        """Publish a strategy signal."""
        assert self.redis.publish(keys.STRATEGY_SIGNALS, json.dumps(signal))

    def executor(self, *words: str, stdin: str = "") -> "subprocess.CompletedProcess[str]":
        """Run the console program as somebody with these settings would."""
        return subprocess.run(
            [*EXECUTOR, *words],
            cwd=self.folder,
            env=self.environ,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def scrape(self, port: int) -> str:
        """Return an instance's metrics page."""
        with requests.Session() as session:
            session.trust_env = False
            return session.get(f"http://{HOST}:{port}/metrics", timeout=10).text
