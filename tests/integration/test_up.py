"""`executor up`, for real: it trades, looks after its children, refuses what it must, and leaves nothing behind.

The tests of one running system go in the order of the file; the last of them stops it.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import redis
import requests

from executor import keys
from executor.devstack.redis_server import HOST, PrivateRedis, free_port
from executor.devstack.running import REDIS_URL
from executor.devstack.sandbox_client import SandboxClient
from executor.devstack.stack import BRIDGE_PORT, CONSOLE_METRICS_PORT, DATA_DIR, METRICS_PORT, STREAM_PORT

PROGRAM = Path(sys.executable).with_name("executor")


def until(look: Callable[[], object], within_s: float = 30) -> None:
    deadline = time.monotonic() + within_s
    while not look():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@dataclass
class Up:
    """`executor up` on free ports in a folder of its own."""

    folder: Path
    options: tuple[str, ...] = ()
    environ: Mapping[str, str] = field(default_factory=dict)
    process: "subprocess.Popen[bytes] | None" = None

    def __post_init__(self) -> None:
        names = ("redis", "sandbox", "sandbox-cert", "sandbox-stream", "maintenance", "flower", "console")
        self.ports = {name: free_port() for name in names}
        self.worker, self.bridge, self.console_metrics = free_port(), free_port(), free_port()
        self.stream = free_port()
        self.output = self.folder / "shown"
        self.redis = redis.Redis(host=HOST, port=self.ports["redis"], decode_responses=True)
        self.sandbox = SandboxClient(self.folder / "data" / "sandbox", self.ports["sandbox"])

    def launch(self) -> "subprocess.Popen[bytes]":
        options = [word for name, port in self.ports.items() for word in (f"--{name}-port", str(port))]
        with self.output.open("wb") as output:
            return subprocess.Popen(
                [PROGRAM, "up", *options, *self.options],
                cwd=self.folder,
                env={
                    "PATH": os.environ["PATH"],
                    METRICS_PORT: str(self.worker),
                    BRIDGE_PORT: str(self.bridge),
                    CONSOLE_METRICS_PORT: str(self.console_metrics),
                    STREAM_PORT: str(self.stream),
                    "CELERY_BROKER_URL": "redis://127.0.0.1:1/0",  # Celery's own, which must not count
                    **self.environ,
                },
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def start(self) -> "Up":
        self.process = self.launch()
        until(lambda: "Executor active" in self.shown or self.process is None or self.process.poll() is not None, 60)
        assert "Executor active" in self.shown, self.shown
        return self

    def refused(self) -> str:
        """Return its one line when it does not start."""
        process = self.launch()
        assert process.wait(30) == 1
        return self.shown

    @property
    def shown(self) -> str:
        return self.output.read_text(encoding="utf-8", errors="replace")

    def children(self) -> dict[int, str]:
        """Return its living processes: all that work in the folder or were started there."""
        found = {}
        for process in Path("/proc").glob("[0-9]*"):
            try:
                if str((process / "cwd").readlink()).startswith(str(self.folder)):
                    command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                    if command and " up " not in command:
                        found[int(process.name)] = command
            except OSError:
                continue
        return found

    def child(self, words: str) -> int:
        return next((pid for pid, command in self.children().items() if words in command), 0)

    def end(self) -> int:
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(60)

    def close(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.redis.close()
        self.sandbox.close()


def trade(up: Up, signal_id: str, client: "redis.Redis | None" = None) -> None:
    """Publish a signal and see its fill on the terminal."""
    bet = {"selectionId": 99999, "recommendedOdds": 2.0, "stake": 10.0, "betType": "Back"}
    body: dict[str, Any] = {"signalId": signal_id, "marketId": "1.999999", "primarySelection": bet}
    shown = len(up.shown)
    assert (client or up.redis).publish(keys.STRATEGY_SIGNALS, json.dumps(body))
    until(lambda: "fill      1.999999/99999 BACK" in up.shown[shown:])


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    # A terminal without emoji, and no UTF-8 mode to hide it.
    narrow = {"PYTHONUTF8": "0", "PYTHONIOENCODING": "latin-1:strict"}
    up = Up(tmp_path_factory.mktemp("up"), environ={"EXECUTOR_RISK__MAX_STAKE_PER_ORDER": "20", **narrow})
    yield up.start()
    up.close()


def test_it_says_what_it_runs_and_trades_on_its_own_sandbox(up: Up) -> None:
    for line in (
        "Risk Management: ENABLED",
        "Paper Trading: DISABLED (signals become orders at the sandbox)",
        "the sandbox: no real money",
        "Redis connected",
        "Betfair authentication successful",
        "Press Ctrl+C to stop",
        f"redis-cli -p {up.ports['redis']} PUBLISH channel:strategy-signals",
        f"Flower on http://127.0.0.1:{up.ports['flower']}",
        f"Console on http://127.0.0.1:{up.ports['console']}",
        f"http://127.0.0.1:{up.ports['console']}/login?once=",
    ):
        assert line in up.shown
    up.sandbox.control("markets", {"marketId": "1.999999", "runners": [
        {"selectionId": 99999, "availableToBack": [[2, 1000]], "availableToLay": [[2.02, 1000]]}]})  # fmt: skip
    trade(up, "first")
    assert [bet["sizeMatched"] for bet in up.sandbox.orders()] == [10]


def test_settings_of_the_user_still_count(up: Up) -> None:
    assert up.redis.hget(keys.LIMITS, "MaxStakePerOrder") == "20"
    up.redis.publish(keys.STRATEGY_SIGNALS, "{")
    until(lambda: "rejected  message: MALFORMED_SIGNAL" in up.shown)


def test_every_process_answers(up: Up) -> None:
    with requests.Session() as session:
        session.trust_env = False
        for port in (up.worker, up.bridge, up.ports["maintenance"], up.console_metrics):
            assert session.get(f"http://{HOST}:{port}/health", timeout=10).json()["status"] == "ok"
        until(lambda: session.get(f"http://{HOST}:{up.ports['flower']}/healthcheck", timeout=10).ok)


def test_a_second_one_on_the_same_data_is_refused(up: Up, tmp_path: Path) -> None:
    second = Up(tmp_path, environ={DATA_DIR: str(up.folder / "data")})
    assert up.process is not None
    assert f"executor up is already running on {up.folder / 'data'} (process {up.process.pid})" in second.refused()
    second.close()


def test_a_taken_port_is_named_with_what_wants_it_and_how_to_choose_another(up: Up, tmp_path: Path) -> None:
    second = Up(tmp_path)
    second.ports["redis"] = up.ports["redis"]
    text = second.refused()
    assert text.split() == (
        f"port {up.ports['redis']} is in use, and the private Redis wants it: choose another with --redis-port".split()
    )
    assert not second.children()
    second.close()


@pytest.mark.parametrize("words", ["-Q signals,orders,trades", "run() bridge", "-server "])
def test_a_killed_process_is_started_again_and_signals_trade(up: Up, words: str) -> None:
    before = up.child(words)
    assert before
    os.kill(before, signal.SIGKILL)
    until(lambda: up.child(words) not in {0, before})
    worker = "-Q signals,orders,trades"
    until(lambda: up.child(worker), 60)  # without Redis it ended, to be started again
    until(lambda: heard(up), 60)
    trade(up, f"after {words}")


def heard(up: Up) -> bool:
    try:
        return bool(dict(up.redis.pubsub_numsub(keys.STRATEGY_SIGNALS))[keys.STRATEGY_SIGNALS])
    except redis.RedisError:
        return False


def test_bets_of_a_sandbox_that_is_gone_are_void(up: Up) -> None:
    assert up.redis.hgetall(keys.risk_exposure("1.999999"))
    os.kill(up.child("sandbox --port"), signal.SIGKILL)
    until(lambda: "the sandbox forgets its bets when it stops" in up.shown, 60)
    assert not up.redis.hgetall(keys.risk_exposure("1.999999"))


def test_sigterm_stops_everything_in_order(up: Up) -> None:
    assert up.end() == 0
    last = up.shown.splitlines()[-7:]
    assert [line.partition(":")[0].removeprefix("process   ") for line in last] == [
        "stopping ... (Ctrl+C again to hurry)",
        "stopping bridge",
        "stopping beat",
        "stopping worker, maintenance, stream",
        "stopping sandbox, flower, console",
        "stopping the private Redis",
        "stopped",
    ]
    assert not up.children()


def test_killed_it_takes_its_children_with_it(tmp_path: Path) -> None:
    up = Up(tmp_path, options=("--no-flower",)).start()
    assert len(up.children()) >= 5
    assert up.process is not None
    up.process.kill()
    until(lambda: not up.children(), 15)
    up.close()


def test_live_takes_redis_from_the_settings(tmp_path: Path) -> None:
    with PrivateRedis(tmp_path / "theirs") as server, redis.Redis.from_url(server.url()) as client:
        up = Up(tmp_path, options=("--live", "--no-flower"), environ={REDIS_URL: server.url()}).start()
        assert "Paper Trading: ENABLED" in up.shown
        trade(up, "live", client)
        assert up.end() == 0
        assert client.ping()
        assert client.get(keys.IDENTITY) == b"paper"
        up.close()


@pytest.mark.parametrize(
    ("environ", "line"),
    [
        (
            {"EXECUTOR_RISK__BANKROL": "1"},
            "EXECUTOR_RISK__BANKROL: is no setting; did you mean EXECUTOR_RISK__BANKROLL?",
        ),
        ({"EXECUTOR_RISK__BANKROLL": "much"}, "EXECUTOR_RISK__BANKROLL: should be a valid decimal, not 'much'"),
        (
            {METRICS_PORT: "5555", BRIDGE_PORT: "5555"},
            "port 5555 is wanted by the worker's metrics and by the bridge's",
        ),
    ],
)
def test_wrong_settings_are_one_line(tmp_path: Path, environ: Mapping[str, str], line: str) -> None:
    up = Up(tmp_path, environ=environ)
    assert line in up.refused()
    assert "Traceback" not in up.shown
    up.close()


def test_any_port_is_looked_at_before_anything_starts(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        taken.listen()
        up = Up(tmp_path)
        up.ports["flower"] = taken.getsockname()[1]
        with socket.socket() as too:
            too.bind((HOST, up.ports["sandbox"]))
            too.listen()
            assert "and Flower wants it" in up.refused()
        assert "and the sandbox exchange wants it" in up.shown
        assert "--no-flower" in up.shown
    assert not (tmp_path / "data" / "redis").exists()
    up.close()
