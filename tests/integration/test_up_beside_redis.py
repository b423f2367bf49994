"""`executor up` where a Redis runs already: the next free port, lines that reach it, no word to the other."""

import json
import sys
from pathlib import Path

import pytest
from support.namespace import ROOT, in_own_network

pytestmark = pytest.mark.slow


def test_up_takes_the_next_port_and_never_speaks_to_the_other_redis(tmp_path: Path) -> None:
    script = ROOT / "tests" / "support" / "beside_foreign_redis.py"
    ran = in_own_network(sys.executable, str(script), str(tmp_path), timeout_s=200)
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout.splitlines()[-1])
    assert found["heard"] >= 1
    assert "Redis: its own, on port 6380" in found["shown"]
    assert "What listens on port 6379 is not ours; ours is: redis-cli -p 6380" in found["shown"]
    ours = {"cmdstat_set", "cmdstat_client|list", "cmdstat_keys", "cmdstat_info", "cmdstat_config|resetstat"}
    assert set(found["commands"]) <= ours | {
        "cmdstat_hello",
        "cmdstat_client|setinfo",
        "cmdstat_client|maint_notifications",
    }
    assert found["keys"] == ["somebody"]
    assert found["peers"] == 1
