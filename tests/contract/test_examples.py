"""The examples of docs/examples run as they stand against a sandbox that was started as their heads say."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.sandbox_client import RunningSandbox

pytest_plugins = ["support.sandbox_fixtures"]
ROOT = Path(__file__).parents[2]
CLIENTS = ROOT / ".venv" / "clients" / "bin" / "python"


def run(python: str, name: str, sandbox: RunningSandbox, client: str, **more: str) -> str:
    command = [sys.executable, "-m", "betfair_sandbox", "env", "--for", client, "--dir", str(sandbox.directory)]
    printed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    variables = dict(line.split("=", 1) for line in printed.splitlines())
    ran = subprocess.run(
        [python, str(ROOT / "docs" / "examples" / name)],
        env={"PATH": os.environ["PATH"], **variables, **more},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def test_betfairlightweight(sandbox: RunningSandbox) -> None:
    lines = run(sys.executable, "betfairlightweight_stream.py", sandbox, "betfairlightweight").splitlines()
    (order,) = sandbox.get("orders")
    assert lines == [f"placed {order['betId']} SUCCESS", f"on the stream {order['betId']}"]


@pytest.mark.slow
@pytest.mark.skipif(not CLIENTS.exists(), reason="`make clients` installs flumine")
def test_flumine(sandbox: RunningSandbox) -> None:
    sandbox.market("1.999000002", [[2, 50]], [[2.1, 50]])
    out = run(str(CLIENTS), "flumine_bot.py", sandbox, "flumine", MARKET="1.999000002")
    (order,) = sandbox.get("orders")
    assert out.strip() == f"on the stream {order['betId']}"
