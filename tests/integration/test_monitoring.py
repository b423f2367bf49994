"""What ships for Prometheus and Grafana, against a real Prometheus that scrapes a real run."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from support.real_prometheus import PROGRAM, RealPrometheus
from support.running_stack import RunningStack, until

from executor import wiring
from executor.devstack.redis_server import HOST
from executor.domain.order import Order, OrderStatus

ROOT = Path(__file__).parents[2]
DASHBOARD = json.loads((ROOT / "deploy" / "grafana" / "dashboards" / "executor.json").read_text(encoding="utf-8"))
MARKET = "1.500"

pytestmark = [
    pytest.mark.apt,
    pytest.mark.skipif(PROGRAM is None, reason="prometheus is not installed (Debian: prometheus)"),
]


def signal(name: str, **changes: Any) -> Mapping[str, Any]:
    fields = {"selection": 1, "odds": 3, "stake": 10, "side": "Back"} | changes
    leg = {
        "selectionId": str(fields["selection"]),
        "recommendedOdds": fields["odds"],
        "stake": fields["stake"],
        "betType": fields["side"],
    }
    return {"signalId": name, "marketId": MARKET, "strategy": "test", "primarySelection": leg, "validityWindow": 30}


def trade(stack: RunningStack) -> None:
    """Bring about every kind of end that the panels show."""
    prices = {"selectionId": 1, "availableToBack": [[3, 1000]], "availableToLay": [[3.1, 1000]]}
    stack.sandbox.control("markets", {"marketId": MARKET, "runners": [prices, 2]})
    stack.publish(signal("resting", odds=10))
    for number in range(3):
        stack.publish(signal(f"back-{number}"))
    stack.publish(signal("lay", odds=3.1, side="Lay"))
    stack.publish(signal("back-0"))
    stack.publish(signal("large", stake=500))
    until(lambda: sum(bool(order.bet_id) for order in orders(stack)) == 5, 10, "not everything was placed")
    stack.sandbox.control("faults", {"method": "listCurrentOrders", "kind": "http_503"})
    fail(stack, "refused")


def fail(stack: RunningStack, name: str) -> None:
    """Publish a signal that the exchange refuses."""
    stack.sandbox.control("faults", {"method": "placeOrders", "kind": "error:INSUFFICIENT_FUNDS"})
    stack.publish(signal(name))
    until(
        lambda: any(order.signal_id == name and order.status is OrderStatus.FAILED for order in orders(stack)),
        10,
        f"{name} did not fail",
    )


def orders(stack: RunningStack) -> list[Order]:
    return wiring.store(stack.settings).recent_orders(100)


@dataclass(frozen=True)
class Run:
    stack: RunningStack
    prometheus: RealPrometheus
    began: float


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    folder = tmp_path_factory.mktemp("monitored")
    quick = {
        "EXECUTOR_ORDER_MANAGER__UNMATCHED_ORDER_TIMEOUT_SECONDS": "2",
        "EXECUTOR_ORDER_MANAGER__STATUS_CHECK_INTERVAL_SECONDS": "1",
    }
    stack = RunningStack(folder, quick, flower=True, console=True)
    ports = stack.ports
    targets = {
        "worker:5003": f"{HOST}:{ports.worker}",
        "worker-maintenance:5003": f"{HOST}:{ports.maintenance}",
        "bridge-1:5004, bridge-2:5004": f"{HOST}:{ports.bridges[0]}",
        "stream:5006": f"{HOST}:{ports.stream}",
        "console:5007": f"{HOST}:{ports.console_metrics}",
        "notify:5008": f"{HOST}:{ports.notify}",
        "flower:5555": f"{HOST}:{ports.flower}",
    }
    try:
        stack.start()
        with RealPrometheus(folder / "prometheus", targets) as prometheus:
            began = time.time()
            until(lambda: prometheus.now("up") and not prometheus.down(), 20, str(prometheus.down()))
            trade(stack)
            yield Run(stack, prometheus, began)
    finally:
        stack.stop()


# Nothing to show while all is well.
RARE = ("INSUFFICIENT_FUNDS", 'strategy="hedge"')  # nothing lacks funds here, and nothing is hedged
MAY_BE_EMPTY = {'max by (alertname) (ALERTS{alertstate="firing"})'}


def queries() -> list[tuple[str, str]]:
    return [(panel["title"], target["expr"]) for panel in DASHBOARD["panels"] for target in panel.get("targets", ())]


def test_every_panel_shows_a_real_run(run: Run) -> None:
    def empty() -> list[str]:
        return [
            f"{title}: {query}"
            for title, query in queries()
            if query not in MAY_BE_EMPTY
            and not any(word in query for word in RARE)
            and not shows(run, query.replace("$__rate_interval", "20s"))
        ]

    deadline = time.monotonic() + 30  # the slowest: an order that is taken back after 2 s, by a tick every 5 s
    while missing := empty():
        assert time.monotonic() < deadline, missing
        time.sleep(1)


def shows(run: Run, query: str) -> bool:
    return any(value != "NaN" for series in run.prometheus.since(run.began, query) for _, value in series["values"])


def test_the_smoke_check_sees_what_prometheus_scrapes(run: Run) -> None:
    words = [word for port in run.stack.metrics_ports for word in ("--metrics", f"{HOST}:{port}")]
    # From stdin, as `deploy/smoke --docker` gives it to a container.
    done = subprocess.run(
        [sys.executable, "-", *words, "--quick", "--prometheus", run.prometheus.url],
        cwd=run.stack.folder,
        env=run.stack.environ,
        input=(ROOT / "deploy" / "smoke_check.py").read_text(encoding="utf-8"),
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "smoke: Prometheus scrapes all of its 8 targets" in done.stdout


def test_alerts_fire_and_clear_in_a_real_run(run: Run) -> None:
    def fires(name: str, summary: str) -> None:
        found = until(lambda: run.prometheus.firing().get(name), 15, f"{name} does not fire")
        assert found == summary

    def clears(*names: str) -> None:
        until(lambda: not set(names) & set(run.prometheus.firing()), 15, f"{names} do not clear")

    def limit(value: str) -> None:
        done = run.stack.executor("limits", "set", f"Bankroll={value}")
        assert done.returncode == 0, done.stderr

    clears("ExecutorExposureHigh", "ExecutorLimitsUnreadable", "ExecutorBreakerNear", "ExecutorBreakerOpen")
    # 40 at risk: three backs of 10 and a lay with a liability of 21 on the same selection.
    limit("10")
    until(lambda: "ExecutorExposureHigh" in run.prometheus.firing(), 15, "ExecutorExposureHigh does not fire")
    limit("10000")
    clears("ExecutorExposureHigh")

    run.stack.redis.hset("risk:limits", "MaxDailyLoss", "five hundred")
    fires("ExecutorLimitsUnreadable", "A risk limit is missing or cannot be read")
    run.stack.redis.hset("risk:limits", "MaxDailyLoss", "500")
    clears("ExecutorLimitsUnreadable")

    for number in range(4 - int(run.prometheus.now("max(aibetting_executor_recent_failures)")[0]["value"][1])):
        fail(run.stack, f"failing-{number}")
    fires("ExecutorBreakerNear", "4 failed order calls: the circuit breaker is about to open")
    fail(run.stack, "the last straw")
    fires("ExecutorBreakerOpen", "The circuit breaker is open")
    clears("ExecutorBreakerNear")
    assert run.stack.executor("resume").returncode == 0
    clears("ExecutorBreakerOpen")
