"""`executor up --live` that the exchange does not let in: the terminal says what it said, and what to correct."""

import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.cli_rig import PATH
from support.sandbox_client import RunningSandbox

from betfair_sandbox.options import sandbox_env
from executor.devstack.redis_server import PrivateRedis

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("redis_client")]
PROGRAM = Path(sys.executable).with_name("executor")


@pytest.mark.parametrize(
    ("name", "value", "code", "advised"),
    [
        ("PASSWORD", "wrong", "INVALID_USERNAME_OR_PASSWORD", "EXECUTOR_BETFAIR__PASSWORD"),
        ("APP_KEY", "no-such-key", "INVALID_APP_KEY", "EXECUTOR_BETFAIR__APP_KEY"),
    ],
)
def test_a_refused_login_is_told_on_the_terminal(
    tmp_path: Path, private_redis: PrivateRedis, sandbox: RunningSandbox, name: str, value: str, code: str, advised: str
) -> None:
    settings = sandbox_env(sandbox.directory) | {
        "EXECUTOR_REDIS__URL": private_redis.url(0),
        "EXECUTOR_METRICS__PORT": "0",
        "EXECUTOR_METRICS__BRIDGE_PORT": "0",
        "EXECUTOR_METRICS__STREAM_PORT": "0",
        f"EXECUTOR_BETFAIR__{name}": value,
    }
    shown = tmp_path / "shown"
    with shown.open("wb") as output:
        up = subprocess.Popen(
            [PROGRAM, "up", "--live", "--no-console", "--no-flower"],
            cwd=tmp_path,
            env={**PATH, **settings},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        deadline = time.monotonic() + 90
        while not re.search(f"⚠ .*{advised}", shown.read_text()):
            assert time.monotonic() < deadline, shown.read_text()
            assert up.poll() is None, shown.read_text()
            time.sleep(0.2)
    finally:
        up.terminate()
        up.wait(60)
    assert re.search(f"⚠ login: .*{code}", shown.read_text())
    assert "***" not in shown.read_text().partition("⚠")[2]
