"""An upgrade from the version before while its queues are full: this one drains them and follows what was placed.

The old version is an earlier commit of this repository, run by this environment's libraries; where the history is not
there (an archive, a shallow clone) this is skipped.
"""

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import redis
from support.running_stack import until
from support.sandbox_client import RunningSandbox

from betfair_sandbox.options import sandbox_env
from executor import keys
from executor.devstack.redis_server import PrivateRedis
from executor.devstack.stack import EXECUTOR, inherited
from executor.devstack.supervisor import Program, Supervisor
from executor.domain.order import order_ids

ROOT: Final = Path(__file__).parents[2]
BEFORE: Final = "67d568eeb9b0450bef03208ca8e56daffcd45be7"  # each step of a chain through its queue
QUEUED: Final = 60
_WORKER: Final = (
    sys.executable,
    "-m",
    "celery",
    "-A",
    "executor.app",
    "worker",
    "--without-gossip",
    "--without-mingle",
)
_PROGRAMS: Final[dict[str, tuple[str, ...]]] = {
    "orders": (*_WORKER, "-Q", "signals,orders,trades", "-c", "3", "-n", "orders@%h"),
    "maintenance": (*_WORKER, "-Q", "maintenance", "-P", "threads", "-n", "maintenance@%h"),
    "beat": (sys.executable, "-m", "celery", "-A", "executor.app", "beat"),
    "bridge": (*EXECUTOR, "bridge"),
}

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


class Installation:
    """One Redis, exchange and data folder, on which either version's processes run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.server = PrivateRedis(folder / "redis")
        self.supervisor = Supervisor(folder, lambda _: None, back_off_s=[1.0])
        self.redis = redis.Redis.from_url(self.server.url(), decode_responses=True)
        self.sandbox: RunningSandbox

    def start(self) -> None:
        """Start Redis and the exchange, which is no part of an upgrade."""
        self.server.start()
        exchange = self.folder / "sandbox"
        words = ("--dir", str(exchange), "--port", "0", "--cert-port", "0", "--stream-port", "0")
        self._launch("sandbox", (*EXECUTOR, "sandbox", *words), ROOT, {})
        log = self.supervisor.log("sandbox")
        until(lambda: self.tick() and "ready" in log.read_text(encoding="utf-8"), 60, "the sandbox")
        self.sandbox = RunningSandbox.at(exchange, host="localhost")
        runner: dict[str, Any] = {"selectionId": 1, "availableToBack": [[3.0, 1_000_000]], "availableToLay": []}
        for number in range(10):
            self.sandbox.control("markets", marketId=f"1.{500 + number}", runners=[runner])

    def run(self, version: Path, *names: str) -> None:
        """Start programs of a version."""
        environ = {
            # Without the order stream, which is no part of what is queued.
            **{name: value for name, value in sandbox_env(self.folder / "sandbox").items() if "STREAM" not in name},
            "EXECUTOR_REDIS__URL": self.server.url(),
            "EXECUTOR_DATA_DIR": str(self.folder / "data"),
            "EXECUTOR_METRICS__PORT": "0",
            "EXECUTOR_METRICS__BRIDGE_PORT": "0",
            "EXECUTOR_LOGGING__FORMAT": "json",
            "EXECUTOR_RISK__MAX_EXPOSURE_PER_MARKET": "100000",
            "EXECUTOR_RISK__MAX_EXPOSURE_PER_SELECTION": "100000",
        }
        for name in names:
            self._launch(name, _PROGRAMS[name], version, environ)

    def end(self) -> None:
        """Let all of a version's programs end as an upgrade does."""
        for name in _PROGRAMS:
            self.supervisor.hold(name, 3600)
            if (pid := self.supervisor.pid(name)) is not None:
                subprocess.run(["kill", "-TERM", str(pid)], check=True)
        until(lambda: self.tick() and not any(map(self.supervisor.pid, self._running())), 60, "they do not end")

    def _running(self) -> list[str]:
        return [name for name in _PROGRAMS if name in self.supervisor.names]

    def _launch(self, name: str, command: tuple[str, ...], version: Path, environ: dict[str, str]) -> None:
        environment = {**inherited(ours=False), **environ, "PYTHONPATH": str(version)}
        stage = 1 if name == "sandbox" else 0
        self.supervisor.start(
            Program(name=name, command=command, environment=environment, folder=self.folder, stage=stage)
        )

    def tick(self) -> bool:
        self.supervisor.tick()
        return True

    def stop(self) -> None:
        self.supervisor.force = True
        self.supervisor.stop()
        self.redis.close()
        self.server.stop()

    def publish(self, prefix: str, count: int, *, odds: float = 3) -> list[str]:
        leg = {"selectionId": "1", "recommendedOdds": odds, "stake": 2, "betType": "Back"}
        names = [f"{prefix}-{number}" for number in range(count)]
        for number, name in enumerate(names):
            body = {"signalId": name, "marketId": f"1.{500 + number % 10}", "strategy": "test", "validityWindow": 240}
            assert self.redis.publish(keys.STRATEGY_SIGNALS, json.dumps({**body, "primarySelection": leg}))
        return names

    def status(self, kind: str, name: str) -> str:
        text = self.redis.get(f"{kind}:{name}")
        return str(json.loads(str(text))["status"]) if text else "none"

    def all_are(self, names: list[str], status: str) -> bool:
        return self.tick() and all(self.status("signal", name) == status for name in names)


@pytest.fixture
def before(tmp_path: Path) -> Path:
    folder = tmp_path / "before"
    folder.mkdir()
    packed = subprocess.run(["git", "archive", BEFORE], cwd=ROOT, capture_output=True, check=False)
    if packed.returncode:
        pytest.skip("the history of this repository is not here")
    subprocess.run(["tar", "-x", "-C", str(folder)], input=packed.stdout, check=True)
    return folder


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Installation]:
    made = Installation(tmp_path)
    try:
        made.start()
        yield made
    finally:
        made.stop()


def test_what_the_version_before_has_queued_is_drained(place: Installation, before: Path) -> None:
    place.run(before, *_PROGRAMS)
    until(lambda: place.tick() and place.redis.get(keys.TRADING_ENABLED) == "true", 60, "the old version's first start")
    until(lambda: all(dict(place.redis.pubsub_numsub(keys.STRATEGY_SIGNALS)).values()), 60, "its bridge")
    placed = place.publish("old", 5)
    live = place.publish("live", 3, odds=10)
    until(lambda: place.all_are([*placed, *live], "COMPLETED"), 60, "the old version does not trade")
    place.supervisor.hold("orders", 3600)
    pid = place.supervisor.pid("orders")
    assert pid is not None
    subprocess.run(["kill", "-TERM", str(pid)], check=True)
    until(lambda: place.tick() and place.supervisor.pid("orders") is None, 60, "its worker does not end")
    queued = place.publish("queued", QUEUED)
    until(lambda: place.all_are(queued, "RECEIVED"), 30, "its bridge does not record")
    with redis.Redis.from_url(place.server.url(1)) as queues:
        assert queues.llen("signals") >= QUEUED, "the queue is full"
    place.end()

    place.run(ROOT, *_PROGRAMS)
    until(lambda: place.all_are(queued, "COMPLETED"), 120, "this version does not drain what it finds")
    until(
        lambda: place.tick() and all(place.status("order", order_ids(name, 1)[0]) == "CANCELLED" for name in live),
        90,
        "orders that the version before left at the exchange are not followed",
    )
    refs = Counter(str(order["customerOrderRef"]) for order in place.sandbox.get("orders"))
    assert refs == Counter(order_ids(name, 1)[0] for name in (*placed, *live, *queued))
    fresh = place.publish("fresh", 5)
    until(lambda: place.all_are(fresh, "COMPLETED"), 60, "this version does not trade")
