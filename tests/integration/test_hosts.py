"""Workers on hosts of their own, which lose packets: more carry more, and one that is cut off costs only itself.

Also two beats by mistake, and clocks that are a minute apart. All hosts share one Redis, one exchange and one ledger.
"""

import json
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import redis
from support.cut_line import why_not
from support.hosts import Hosts, hosts, joined
from support.running_stack import until
from support.sandbox_client import RunningSandbox
from support.stepped_clock import SteppedClock

from betfair_sandbox.options import sandbox_env
from executor import keys
from executor.devstack.redis_server import PrivateRedis
from executor.devstack.stack import EXECUTOR, inherited
from executor.devstack.supervisor import Program, Supervisor
from executor.domain.order import order_ids

CORE: Final = "core"
WORKERS: Final = ("one", "two", "three", "four")
PROCESSES: Final = 2  # of a worker
SLOW_S: Final = 0.4  # what the exchange takes, so that calls and not this machine's cores are what is scarce
BURST: Final = 40
MARKETS: Final = 20
VALID_S: Final = 120
ENDED: Final = frozenset({"COMPLETED", "REJECTED", "EXPIRED", "FAILED"})
_CELERY: Final = (sys.executable, "-m", "celery", "-A", "executor.app")
_WORKER: Final = (*_CELERY, "worker", "--without-gossip", "--without-mingle")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400), pytest.mark.skipif(bool(why_not()), reason=why_not())]


class Installation:
    """Redis, exchange, bridge, beat and maintenance on the first host, workers on the others."""

    def __init__(self, folder: Path, net: Hosts) -> None:
        self.folder, self.net = folder, net
        self.server = PrivateRedis(folder / "redis", append_only=False)
        self.supervisor = Supervisor(folder, lambda _: None, back_off_s=[1.0])
        self.clocks: dict[str, SteppedClock] = {}
        self.redis = redis.Redis.from_url(self.server.url(), decode_responses=True)
        self.sandbox: RunningSandbox

    def start(self) -> None:
        """Start all but the workers."""
        self.server.start()
        self.redis.config_set("protected-mode", "no")
        self.redis.config_set("bind", f"127.0.0.1 {self.net.address(CORE)}")
        exchange = self.folder / "sandbox"
        self._run("sandbox", CORE, (*EXECUTOR, "sandbox", "--host", "0.0.0.0", "--dir", str(exchange)), {})
        log = self.supervisor.log("sandbox")
        until(lambda: self.tick() and "ready" in log.read_text(encoding="utf-8"), 60, "the sandbox")
        self.sandbox = RunningSandbox.at(exchange, host="localhost")
        for number in range(MARKETS):
            runner = {"selectionId": 1, "availableToBack": [[3.0, 1_000_000]], "availableToLay": []}
            self.sandbox.control("markets", marketId=f"1.{600 + number}", runners=[runner])
        maintenance = (*_WORKER, "-Q", "maintenance", "-P", "threads", "-n", "maintenance@core")
        self._run("maintenance", CORE, maintenance, self._environ(CORE))
        self._run("beat", CORE, (*_CELERY, "beat"), self._environ(CORE))
        self._run("bridge", CORE, (*EXECUTOR, "bridge"), self._environ(CORE))
        until(lambda: self.tick() and self.redis.get(keys.TRADING_ENABLED) == "true", 60, "the first start")
        until(lambda: all(dict(self.redis.pubsub_numsub(keys.STRATEGY_SIGNALS)).values()), 60, "the bridge")

    def stop(self) -> None:
        """End all."""
        self.supervisor.force = True
        self.supervisor.stop()
        self.redis.close()
        self.server.stop()

    def add_worker(self, host: str) -> None:
        """Start a worker there; returns when it takes messages."""
        words = (*_WORKER, "-Q", "signals,orders,trades", "-c", str(PROCESSES), "-n", f"worker@{host}")
        self._run(host, host, words, self._environ(host))
        until(lambda: self.tick() and f"worker@{host} ready" in self._log(host), 60, f"the worker on {host}")

    def add_beat(self, host: str) -> None:
        """Start a second beat."""
        self._run(f"beat-{host}", host, (*_CELERY, "beat"), self._environ(host))
        until(lambda: self.tick() and "Sending due task" in self._log(f"beat-{host}"), 60, "the second beat")

    def tick(self) -> bool:
        """Start again who has ended."""
        self.supervisor.tick()
        return True

    def _log(self, name: str) -> str:
        return self.supervisor.log(name).read_text(encoding="utf-8", errors="replace")

    def _environ(self, host: str) -> dict[str, str]:
        clock = self.clocks.setdefault(host, SteppedClock(self.folder, host))
        return {
            **sandbox_env(self.folder / "sandbox", host="sandbox"),
            **clock.environ,
            "EXECUTOR_REDIS__URL": f"redis://{CORE}:{self.server.port}/0",
            "EXECUTOR_DATA_DIR": str(self.folder / f"data-{host}"),
            "EXECUTOR_LEDGER__URL": f"sqlite:///{self.folder}/ledger.db",
            "EXECUTOR_METRICS__PORT": "0",
            "EXECUTOR_METRICS__BRIDGE_PORT": "0",
            "EXECUTOR_LOGGING__FORMAT": "json",
            "EXECUTOR_BETFAIR__API_TIMEOUT_SECONDS": "5",
            "EXECUTOR_RISK__MAX_EXPOSURE_PER_MARKET": "100000",
            "EXECUTOR_RISK__MAX_EXPOSURE_PER_SELECTION": "100000",
        }

    def _run(self, name: str, host: str, command: tuple[str, ...], environ: dict[str, str]) -> None:
        environment = {**inherited(ours=False), **environ}
        words = (*self.net.inside(host), *command)
        self.supervisor.start(
            Program(name=name, command=words, environment=environment, folder=self.folder, stage=0 if environ else 1)
        )

    # --- trading ------------------------------------------------------------------------------------------------------

    def publish(self, prefix: str, count: int) -> list[str]:
        """Publish signals at once; returns their ids."""
        leg = {"selectionId": "1", "recommendedOdds": 3, "stake": 2, "betType": "Back"}
        names = [f"{prefix}-{number}" for number in range(count)]
        for number, name in enumerate(names):
            body = {"signalId": name, "marketId": f"1.{600 + number % MARKETS}", "strategy": "test"}
            text = json.dumps({**body, "primarySelection": leg, "validityWindow": VALID_S})
            assert self.redis.publish(keys.STRATEGY_SIGNALS, text)
        return names

    def records(self, names: list[str]) -> dict[str, Any]:
        """Return the records of those that have ended."""
        texts = self.redis.mget([keys.signal(name) for name in names])
        found = {name: json.loads(str(text)) for name, text in zip(names, texts, strict=True) if text}
        return {name: record for name, record in found.items() if record["status"] in ENDED}

    def wait_for(self, names: list[str], within_s: float = 100) -> None:
        """Return when all have ended; none of them has more than one bet."""
        until(lambda: self.tick() and len(self.records(names)) == len(names), within_s, "not every signal has ended")
        refs = Counter(str(order["customerOrderRef"]) for order in self.sandbox.get("orders"))
        mine = {order_ids(name, 1)[0] for name in names}
        assert [ref for ref in mine if refs[ref] > 1] == []

    def all_placed(self, names: list[str]) -> None:
        """Hold that every signal was executed."""
        missing = {
            name: (record["status"], record.get("reason"))
            for name, record in self.records(names).items()
            if record["status"] != "COMPLETED"
        }
        assert missing == {}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    folder = tmp_path_factory.mktemp("hosts")
    with hosts(CORE, *WORKERS) as net, joined(net.space(CORE)):
        made = Installation(folder, net)
        try:
            made.start()
            yield made
        finally:
            made.stop()


def test_more_hosts_carry_more_although_packets_are_lost(place: Installation) -> None:
    place.sandbox.control("faults", method="placeOrders", kind="delay", seconds=SLOW_S, probability=1)
    rates: dict[int, float] = {}
    for count, new in ((1, WORKERS[:1]), (2, WORKERS[1:2]), (4, WORKERS[2:])):
        for host in new:
            lost = place.net.lose(host, 0.02)
            place.add_worker(host)
        began = time.monotonic()
        names = place.publish(f"scale{count}", BURST)
        place.wait_for(names)
        place.all_placed(names)
        rates[count] = BURST / (time.monotonic() - began)
    sys.stdout.write(f"\nsignals a second by hosts (packets lost: {lost}): {rates}\n")
    place.sandbox.disarm()
    assert rates[1] < rates[2] < rates[4]


def test_a_host_that_is_cut_off_and_comes_back_costs_nothing_but_itself(place: Installation) -> None:
    gone = WORKERS[1]
    place.sandbox.control("faults", method="placeOrders", kind="delay", seconds=SLOW_S, probability=1)
    before = place.publish("cut", BURST)
    until(lambda: place.tick() and 5 < len(place.records(before)) < BURST, 60, "it is not in the middle of its work")
    place.net.cut_off(gone)
    during = place.publish("during", BURST)
    place.wait_for(during)
    place.all_placed(during)
    place.net.rejoin(gone)
    place.sandbox.disarm()
    place.wait_for(before, 150)
    after = place.publish("after", BURST)
    place.wait_for(after)
    place.all_placed(after)


def test_two_beats_by_mistake_change_nothing(place: Installation) -> None:
    place.add_beat(WORKERS[2])
    names = place.publish("beats", BURST)
    place.wait_for(names)
    place.all_placed(names)
    assert place.redis.exists(keys.RECONCILED)


def test_clocks_a_minute_apart_change_nothing(place: Installation) -> None:
    if why := SteppedClock.why_not():
        pytest.skip(why)
    for host, seconds in zip((CORE, *WORKERS), (0, 60, -60, 60, -60), strict=True):
        place.clocks[host].step(seconds)
    names = place.publish("clocks", BURST)
    place.wait_for(names)
    place.all_placed(names)
