"""Other people's clients, unmodified, against the sandbox: each runs in an environment and a process of its own."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from support.namespace import in_own_network

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".venv" / "clients" / "bin" / "python"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(240),
    pytest.mark.skipif(not PYTHON.exists(), reason="`make clients` installs flumine and betfair_parser"),
]


def result(ran: subprocess.CompletedProcess[str]) -> Any:
    """Return the JSON of the last line."""
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return json.loads(ran.stdout.splitlines()[-1])


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
