"""What is done by hand is in the ledger: who, what, before, after, and refusals too."""

import json
from pathlib import Path

import pytest
import redis
from support.cli_rig import console

from executor import wiring
from executor.adapters.redis.console import limits_held
from executor.devstack.redis_server import PrivateRedis
from executor.domain.risk import InvalidLimits
from executor.engine import accounting
from executor.errors import Contended, StoreUnavailable
from executor.operations.access import Access, Actor
from executor.operations.limits import change_limits, parse_changes, version_of
from executor.operations.trading import halt


@pytest.mark.slow
@pytest.mark.usefixtures("redis_client")
def test_commands_are_booked_with_who_and_what(tmp_path: Path, private_redis: PrivateRedis) -> None:
    program = console(tmp_path, private_redis, {})
    with program.engine() as engine:
        assert program.run("limits", "set", "MaxStakePerOrder=50").code == 0
        assert program.run("halt", "--reason", "prices look wrong").code == 0
        assert program.run("failed", "discard", "nothing").code == 1
        accounting.write_ledger(engine)
        acts = wiring.ledger(program.settings).acts("paper", 10)
    assert [act["action"] for act in acts] == ["halt", "limits"]
    assert json.loads(acts[0]["after"]) == {"trading": "off", "reason": "prices look wrong"}
    assert json.loads(acts[1]["before"]) == {"MaxStakePerOrder": "100"}
    assert json.loads(acts[1]["after"]) == {"MaxStakePerOrder": "50"}
    assert all("@" in act["who"] and act["via"] == "command" and act["outcome"] == "done" for act in acts)


def test_a_change_over_what_was_not_seen_is_refused_and_booked(
    tmp_path: Path, private_redis: PrivateRedis, redis_client: "redis.Redis"
) -> None:
    program = console(tmp_path, private_redis, {})
    anna, ben = Actor("anna", "console"), Actor("ben", "console")
    with program.engine() as engine:
        access = Access(program.settings)
        seen = version_of(limits_held(redis_client))
        change_limits(access, anna, parse_changes([("maxdailyloss", "200")]), seen)
        with pytest.raises(Contended, match="somebody else"):
            change_limits(access, ben, parse_changes([("MaxDailyLoss", "900")]), seen)
        assert redis_client.hget("risk:limits", "MaxDailyLoss") == "200"
        accounting.write_ledger(engine)
        acts = access.ledger.acts("paper", 10)
    assert [(act["who"], act["outcome"][:7]) for act in acts] == [("ben", "refused"), ("anna", "done")]
    with pytest.raises(InvalidLimits, match="given twice"):
        parse_changes([("Bankroll", "1"), ("bankroll", "2")])


def test_a_feed_that_cannot_be_written_stops_no_halt(
    tmp_path: Path, private_redis: PrivateRedis, redis_client: "redis.Redis"
) -> None:
    program = console(tmp_path, private_redis, {})
    redis_client.set("trading:enabled", "true")
    redis_client.set("stream:trades", "somebody's slip")
    halt(Access(program.settings), Actor("anna"), "now")
    assert redis_client.get("trading:enabled") == "false"


def test_a_halt_without_redis_says_so(tmp_path: Path, private_redis: PrivateRedis) -> None:
    program = console(tmp_path, private_redis, {"EXECUTOR_REDIS__URL": "redis://127.0.0.1:1/0"})
    with pytest.raises(StoreUnavailable):
        halt(Access(program.settings), Actor("anna"))
