"""No command ends because a terminal cannot show a character: it is replaced, whatever the encoding."""

import json
from pathlib import Path
from typing import Final

import pytest
import redis
from support.cli_rig import Console, console, message

from executor import keys
from executor.devstack.redis_server import PrivateRedis

_FEW: Final = ("status", "orders", "failed")
_ALL: Final = (
    *_FEW,
    "--help",
    "check",
    "limits",
    "signals",
    "trades",
    "pnl",
    "failed retry é✅",
    "cancel é✅",
    "resolve é✅ --not-placed --yes",
    "halt --reason é✅",
    "resume --yes",
    "sandbox env",
    "é✅",
)


@pytest.fixture
def paper(tmp_path: Path, private_redis: PrivateRedis, redis_client: "redis.Redis") -> Console:
    """Return the program on a Redis in which people and strategies have written what a terminal may not have."""
    del redis_client  # empties the db
    return console(tmp_path, private_redis, {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"})


@pytest.mark.slow
@pytest.mark.parametrize(("encoding", "commands"), [("ascii:strict", _ALL), ("latin-1:strict", _FEW)])
def test_every_command_speaks_on_every_terminal(
    paper: Console, redis_client: "redis.Redis", encoding: str, commands: tuple[str, ...]
) -> None:
    with paper.engine() as engine:
        paper.trade(engine, "signal ✅ é")
    redis_client.set(keys.TRADING_ENABLED, "✅")
    redis_client.hset(keys.LIMITS, "Bankroll", "é✅")
    redis_client.hset(keys.FAILED_TASKS, "task ✅", json.dumps({"task": "é", "error": "✅ é", "signal_id": "✅"}))
    there = paper.but(PYTHONIOENCODING=encoding)
    for command, ran in there.run_all(commands).items():
        assert "UnicodeEncodeError" not in ran.out + ran.err, command
        assert ran.out or ran.err, command
    sent = there.run("send", "-", stdin=json.dumps(message("signal-2 ✅")))
    assert "signal-2 ?: kept in stream:signals as " in sent.out
    assert "signal ? " in there.run("orders", "--json").out.replace("\\u2705", "?")
