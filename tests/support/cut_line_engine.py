"""The engine on its side of a line that is cut: `cut_line_engine.py FOLDER`, commands and answers a JSON line each.

Everything is real: Redis on this side's loopback, the adapter, the sandbox behind the line. `prepare` makes ready an
order's worker with a connection of its own, in this process or, to be killed or stopped, in one of its own;
`go` lets all of them trade, each after its delay; `halt` throws the kill switch; `poll` runs one cycle and says where
each order stands; `bets` returns the sandbox's journal. Units: seconds.
"""

import contextlib
import json
import os
import select
import signal
import sys
import threading
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, TextIO

import redis
import requests

from betfair_sandbox.options import sandbox_env
from executor.adapters.betfair.exchange import BetfairExchange
from executor.adapters.clock import SystemClock
from executor.adapters.redis.alerts import RedisAlerts
from executor.adapters.redis.client import connect
from executor.adapters.redis.controls import RedisControls
from executor.adapters.redis.session import RedisTokenStore
from executor.adapters.redis.snapshot import RedisSnapshot
from executor.adapters.redis.store import RedisStore
from executor.adapters.sql.ledger import SqlLedger
from executor.devstack.redis_server import PrivateRedis
from executor.domain.order import order_ids
from executor.domain.signal import SignalKind
from executor.engine.engine import Engine
from executor.engine.intake import Intake, receive
from executor.engine.placement import place
from executor.engine.reconciliation import poll
from executor.engine.validation import validate
from executor.errors import ExecutorError
from executor.settings.load import Settings, load_settings
from support.cut_line import EXCHANGE
from support.engine_rig import make_policy, strategy_message
from support.fakes import CountingTelemetry
from support.redis_ports import RedisPorts
from support.store_worlds import RETENTION, WINDOW_S

IDENTITY: Final = "live sandbox"
_POLL_TIMEOUT_S: Final = 3
_LEAVES_S: Final = 0.3  # from the last look until the request is on the line, or lost on it


class Leaving(CountingTelemetry):
    """Notes when a request is about to leave."""

    def __init__(self) -> None:
        super().__init__()
        self.left = threading.Event()

    def execution_latency(self, seconds: float) -> None:
        super().execution_latency(seconds)
        self.left.set()


@dataclass
class Side:
    """Redis and settings of this side."""

    folder: Path
    url: str
    settings: Settings = field(init=False)

    def __post_init__(self) -> None:
        self.settings = load_settings(sandbox_env(self.folder / "sandbox", host=EXCHANGE), self.folder)

    def engine(self, api_timeout_s: int) -> Engine:
        client = connect(self.url)
        telemetry = Leaving()
        betfair = self.settings.betfair.model_copy(update={"api_timeout_seconds": api_timeout_s})
        state = RedisSnapshot(client, client, breaker_window_s=WINDOW_S)
        return Engine(
            store=RedisStore(client, IDENTITY, RETENTION),
            **vars(RedisPorts.on(client, client, IDENTITY)),
            exchange=BetfairExchange(betfair, RedisTokenStore(client, IDENTITY), telemetry),
            ledger=SqlLedger(f"sqlite:///{self.folder}/ledger.db"),
            clock=SystemClock(),
            telemetry=telemetry,
            policy=make_policy(identity=IDENTITY, api_timeout_s=api_timeout_s, breaker_failures=10**6),
            alerts=RedisAlerts(client, state, IDENTITY),
        )


@dataclass(frozen=True)
class Plan:
    """One signal: what it is called, and what happens to the worker that trades it."""

    signal_id: str
    market_id: str
    delay_s: float
    validity_s: int
    api_timeout_s: int
    warm: bool
    fate: str  # lives, killed, stopped
    stopped_s: float


def trade(engine: Engine, plan: Plan) -> None:
    raw = strategy_message(plan.signal_id, marketId=plan.market_id, stake=2, validityWindow=plan.validity_s)
    intake = Intake(engine.store, engine.telemetry, engine.policy)
    receive(intake, SignalKind.STRATEGY, raw, engine.store.now(), "bridge")
    submission = validate(engine, plan.signal_id, plan.market_id, submit=True).submission
    place(engine, plan.signal_id, plan.market_id, take=lambda: submission)


class Here:
    """A worker in a thread of this process."""

    def __init__(self, side: Side, plan: Plan) -> None:
        self._plan = plan
        self._engine = side.engine(plan.api_timeout_s)
        if plan.warm:
            self._engine.exchange.prepare()

    def go(self) -> None:
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        time.sleep(self._plan.delay_s)
        with contextlib.suppress(ExecutorError):
            trade(self._engine, self._plan)


class Apart:
    """A worker in a process of its own, which is killed or stands still when its request has just left."""

    def __init__(self, side: Side, plan: Plan) -> None:
        self._plan = plan
        self._told, tell = os.pipe()
        self._tell = tell
        ready, say = os.pipe()
        self._pid = os.fork()
        if not self._pid:
            self._child(side, say)
        os.read(ready, 1)
        self._left = ready

    def _child(self, side: Side, say: int) -> None:
        try:
            engine = side.engine(self._plan.api_timeout_s)
            engine.exchange.prepare()
            os.write(say, b"r")
            os.read(self._told, 1)
            telemetry = engine.telemetry
            assert isinstance(telemetry, Leaving)
            threading.Thread(target=trade, args=(engine, self._plan), daemon=True).start()
            telemetry.left.wait()
            os.write(say, b"l")
            time.sleep(3600)
        finally:
            os._exit(1)

    def go(self) -> None:
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        time.sleep(self._plan.delay_s)
        os.write(self._tell, b"g")
        if not select.select([self._left], [], [], 10)[0]:
            return
        time.sleep(_LEAVES_S)
        if self._plan.fate == "stopped":
            os.kill(self._pid, signal.SIGSTOP)
            time.sleep(self._plan.stopped_s)
            os.kill(self._pid, signal.SIGCONT)
        else:
            self.end()

    def end(self) -> None:
        with contextlib.suppress(ProcessLookupError, ChildProcessError):
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)


def serve(side: Side, answers: TextIO) -> None:
    """Do what is asked until nobody asks any more."""
    first = side.engine(_POLL_TIMEOUT_S)
    first = replace(first, policy=make_policy(identity=IDENTITY, api_timeout_s=30))
    poll(first)
    workers: list[Here | Apart] = []
    for line in sys.stdin:
        command = json.loads(line)
        answer: Any = None
        if command["do"] == "prepare":
            plans = [Plan(**each) for each in command["plans"]]
            # Those that fork come first: a fork takes no threads along.
            workers += [Apart(side, plan) for plan in plans if plan.fate != "lives"]
            workers += [Here(side, plan) for plan in plans if plan.fate == "lives"]
            poll(first)
        elif command["do"] == "go":
            for worker in workers:
                worker.go()
        elif command["do"] == "poll":
            answer = polled(first, command["signals"])
        elif command["do"] == "halt":
            RedisControls(connect(side.url), IDENTITY).set_trading(enabled=False, reason="a test")
        elif command["do"] == "bets":
            answer = bets(side)
        answers.write(json.dumps(answer) + "\n")
        answers.flush()
    for worker in workers:
        if isinstance(worker, Apart):
            worker.end()


def polled(engine: Engine, signals: list[str]) -> dict[str, Any]:
    error = ""
    try:
        poll(engine)
    except ExecutorError as raised:
        error = str(raised)
    records = [engine.store.signal(name) for name in signals]
    found = engine.store.orders([order_ids(name, 1)[0] for name in signals])
    return {
        "error": error,
        "deadlines": {record.signal_id: record.deadline for record in records if record},
        "orders": {order.signal_id: [order.order_id, order.status, order.reason] for order in found},
    }


def bets(side: Side) -> list[dict[str, Any]]:
    with requests.Session() as session:
        session.trust_env = False
        session.verify = str(side.settings.betfair.ca_bundle)
        reply = session.get(f"{side.settings.betfair.api_url}/sandbox/journal", timeout=10)
    return [json.loads(line) for line in reply.text.splitlines() if line]


def main() -> None:
    """Run this side."""
    folder = Path(sys.argv[1])
    answers, sys.stdout = sys.stdout, sys.stderr  # where the log goes
    with PrivateRedis(folder / "redis", append_only=False) as server:
        with redis.Redis.from_url(server.url()) as client:
            client.ping()
        serve(Side(folder, server.url()), answers)


if __name__ == "__main__":
    main()
