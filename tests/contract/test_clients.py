"""Other people's clients, unmodified, against the sandbox: each runs in an environment and a process of its own."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.namespace import in_own_network
from support.sandbox_client import RunningSandbox

pytest_plugins = ["support.sandbox_fixtures"]
ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".venv" / "clients" / "bin" / "python"
NAUTILUS = ROOT / ".venv" / "nautilus" / "bin" / "python"
pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
with_clients = pytest.mark.skipif(not PYTHON.exists(), reason="`make clients` installs flumine and betfair_parser")
with_nautilus = pytest.mark.skipif(not NAUTILUS.exists(), reason="`make nautilus` installs Nautilus Trader")


def result(ran: subprocess.CompletedProcess[str]) -> Any:
    """Return the JSON of the last line."""
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return json.loads(ran.stdout.splitlines()[-1])


@with_clients
def test_flumine_trades_unchanged_by_name(tmp_path: Path) -> None:
    seen = result(in_own_network(str(PYTHON), "-m", "support.flumine_scenario", str(tmp_path), timeout_s=200))
    assert seen["errors_before_the_drop"] == []
    assert seen["partial"] == ["EXECUTABLE", 4, 6]
    assert seen["replacement"] == [3.2, 4]
    assert seen["cancelled"] == "EXECUTION_COMPLETE"
    assert seen["killed"] == ["EXECUTION_COMPLETE", 0]
    assert seen["filled"] == ["EXECUTION_COMPLETE", 2.1]
    assert seen["resubscribed_with_clk"]
    assert seen["closed"] == ["1.777000001"]
    assert seen["profit"] == -11
    # What the dropped connections cost, and nothing else; they drop at once, whichever is heard of first.
    assert sorted(line.split(" ", 1)[1] for line in seen["errors"] if line.startswith(("ERROR", "CRITICAL"))) == [
        "flumine.streams.betfairmarketstream MarketStream 20001 run error",
        "flumine.streams.betfairorderstream OrderStream 10001 run error",
    ]


@with_clients
def test_betfair_parser_reads_every_answer(sandbox: RunningSandbox) -> None:
    """Its types forbid unknown fields and enum values and name every mandatory one."""
    ran = subprocess.run(
        [str(PYTHON), "-m", "support.parser_scenario", str(sandbox.directory)],
        cwd=ROOT,
        env={"PATH": "", "PYTHONPATH": f"{ROOT / 'tests'}:{ROOT}"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    seen = result(ran)
    assert seen["unread"] == []
    assert seen["read"]["PlaceOrders"] > 8
    assert seen["read"]["mc.market_definition"] > 4


@with_nautilus
def test_nautilus_trades_unchanged_by_name(tmp_path: Path) -> None:
    command = (str(NAUTILUS), "-m", "support.nautilus_scenario", str(tmp_path), sys.executable)
    seen = result(in_own_network(*command, timeout_s=200))
    assert seen["instruments"] == [1, 2]
    assert seen["book"] == [2, 2.1]
    assert seen["balance"] == 10_000
    assert seen["reconciled"] == [5]  # placed before it started
    assert seen["partial"] == ["PARTIALLY_FILLED", 6]
    assert seen["replaced"] == 4  # 10, 4 filled, made smaller by 2, at a new price
    assert seen["cancelled"] == "CANCELED"
    assert seen["filled"] == [10, 2.1]
    assert "OrderRejected" in seen["events"]
    assert {"login", "navigationMenu", "replaceOrders", "marketSubscription", "orderSubscription"} <= set(seen["asked"])
    assert seen["failed_calls"] == [["placeOrders", "MARKET_SUSPENDED"]]
    assert seen["errors"] == []
