"""A step that breaks by an error nobody expected: seen in Flower, listed, run again by a person, traded once."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import requests
from support.running_stack import RunningStack, until

from executor.devstack.redis_server import HOST

pytestmark = pytest.mark.slow  # a stack of its own, with Flower

SIGNAL: Final = "breaks"
TASK: Final = f"place-{SIGNAL}"
VALID_S: Final = 5  # long enough for the risk check, short enough to be waited for

# Python imports a module of this name when it starts. The worker's place_order breaks while the file is there.
BREAKS: Final = """
from pathlib import Path
from celery import signals

@signals.worker_init.connect(weak=False)
def arm(**_):
    from executor.engine import placement
    place = placement.place
    def break_first(*args, **options):
        if Path({flag!r}).exists():
            raise LookupError("nobody thought of this")
        return place(*args, **options)
    placement.place = break_first
"""


class Broken:
    """A running system whose place_order breaks until it is mended."""

    def __init__(self, folder: Path) -> None:
        self._flag = folder / "broken"
        self._flag.touch()
        injected = folder / "injected"
        injected.mkdir()
        (injected / "sitecustomize.py").write_text(BREAKS.format(flag=str(self._flag)), encoding="utf-8")
        self.stack = RunningStack(folder, {"PYTHONPATH": str(injected)}, flower=True)

    def mend(self) -> None:
        self._flag.unlink()

    def flower(self, task_id: str) -> str:
        """Return the task's state as Flower's page tells it; empty while Flower does not know it."""
        with requests.Session() as session:
            session.trust_env = False
            page = session.get(f"http://{HOST}:{self.stack.ports.flower}/task/{task_id}", timeout=10)
        return next((state for state in ("FAILURE", "SUCCESS") if page.ok and state in page.text), "")

    def flower_listens(self) -> bool:
        """Tell whether Flower hears the workers: it knows only what happens from then on."""
        try:
            return "flower_events_total{" in self.stack.scrape(self.stack.ports.flower)
        except requests.ConnectionError:  # it is still starting
            return False

    def failed_tasks(self) -> dict[int, list[float]]:
        """Return the metric as every process tells it, by port."""
        pages = {port: self.stack.scrape(port).splitlines() for port in self.stack.metrics_ports}
        name = "aibetting_executor_failed_tasks "
        return {
            port: [float(line.rsplit(" ", 1)[1]) for line in page if line.startswith(name)]
            for port, page in pages.items()
        }

    def all_tell(self, number: int) -> dict[int, list[float]]:
        """Return what `failed_tasks` is where every process tells this number, once."""
        return {port: [number] for port in self.stack.metrics_ports}

    def json(self, *words: str) -> Any:
        return json.loads(self.stack.executor(*words, "--json").stdout)


@pytest.fixture
def broken(tmp_path: Path) -> Iterator[Broken]:
    broken = Broken(tmp_path)
    try:
        broken.stack.start()
        yield broken
    finally:
        broken.stack.stop()


def test_a_task_that_broke_is_seen_retried_and_traded_once(broken: Broken) -> None:
    stack = broken.stack
    until(broken.flower_listens, 60, "Flower does not listen")
    assert broken.failed_tasks() == broken.all_tell(0)
    leg = {"selectionId": 1, "recommendedOdds": 3.0, "stake": 10, "betType": "Back"}
    market = {"selectionId": 1, "availableToBack": [[3, 1000]]}
    stack.sandbox.control("markets", {"marketId": "1.500", "runners": [market, 2]})
    stack.publish({"signalId": SIGNAL, "marketId": "1.500", "strategy": "test", "primarySelection": leg,
                   "validityWindow": VALID_S})  # fmt: skip

    until(lambda: broken.flower(TASK) == "FAILURE", 20, "Flower shows no failure")
    until(lambda: broken.failed_tasks() == broken.all_tell(1), 10, "the metric does not count it")
    (kept,) = broken.json("failed")
    assert (kept["task_id"], kept["task"], kept["signal_id"]) == (TASK, "executor.place_order", SIGNAL)
    assert kept["error"] == "LookupError: nobody thought of this"
    assert "break_first" in kept["traceback"]
    assert not stack.sandbox.orders()

    def order() -> dict[str, Any]:
        (only,) = broken.json("orders")
        return dict(only)

    until(lambda: order()["status"] == "EXPIRED", 30, "what it reserved was not released")
    broken.mend()
    refused = stack.executor("failed", "retry", TASK)
    assert refused.returncode == 1
    assert "--force" in refused.stderr
    retried = stack.executor("failed", "retry", TASK, "--force")
    assert retried.returncode == 0, retried.stderr

    until(lambda: order()["status"] == "MATCHED", 20, "the retry did not trade")
    until(lambda: broken.flower(f"{TASK}-r2") == "SUCCESS", 20, "Flower does not show the retry")
    assert [bet["customerOrderRef"] for bet in stack.sandbox.orders()] == [order()["order_id"]]
    assert broken.json("failed") == []
    assert broken.failed_tasks() == broken.all_tell(0)
