"""What is done by hand is in the ledger: who, what, before, after, and refusals too."""

import json
from pathlib import Path

import pytest
import redis
from sqlalchemy import delete
from support.cli_rig import console

from executor import keys, wiring
from executor.adapters.redis.client import hash_of
from executor.adapters.redis.console import limits_held
from executor.adapters.sql.tables import audit
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
    redis_client.set("stream:audit", "somebody's slip")
    redis_client.set("stream:notices", "somebody's slip")
    halt(Access(program.settings), Actor("anna"), "now")
    assert redis_client.get("trading:enabled") == "false"


def test_a_halt_without_redis_says_so(tmp_path: Path, private_redis: PrivateRedis) -> None:
    program = console(tmp_path, private_redis, {"EXECUTOR_REDIS__URL": "redis://127.0.0.1:1/0"})
    with pytest.raises(StoreUnavailable):
        halt(Access(program.settings), Actor("anna"))


def test_what_lies_in_the_feed_of_trades_since_before_is_booked_and_a_forged_trade_never(
    tmp_path: Path, private_redis: PrivateRedis, redis_client: "redis.Redis"
) -> None:
    program = console(tmp_path, private_redis, {})
    act = {"type": "audit", "at": "2026-11-29T10:00:00.000Z", "identity": "paper", "who": "anna", "role": "operator",
           "via": "command", "address": "", "action": "halt", "target": "", "before": "", "after": "",
           "outcome": "done"}  # fmt: skip
    trade = {"type": "fill", "identity": "paper", "order_id": "o-1", "signal_id": "s", "bet_id": "1", "strategy": "x",
             "market_id": "1.1", "selection_id": "1", "side": "BACK", "price": "2", "size": "5", "size_matched": "5",
             "average_price_matched": "2", "at": "2026-11-29T10:00:00.000Z", "paper": "true"}  # fmt: skip
    with program.engine() as engine:
        redis_client.xadd(keys.TRADES, hash_of(act))
        redis_client.xadd(keys.AUDIT, hash_of(trade))
        redis_client.xadd(keys.AUDIT, hash_of({**act, "action": "resume", "at": "2026-11-29T10:00:01.000Z"}))
        accounting.write_ledger(engine)
        ledger = wiring.ledger(program.settings)
        assert [one["action"] for one in ledger.acts("paper", 10)] == ["resume", "halt"]
        assert ledger.count() == 0, "who may say what he did by hand forges no trade"
        assert redis_client.xpending(keys.AUDIT, keys.TRADES_GROUP)["pending"] == 0


def test_a_ledger_from_a_backup_gets_the_acts_again(
    tmp_path: Path, private_redis: PrivateRedis, redis_client: "redis.Redis"
) -> None:
    program = console(tmp_path, private_redis, {})
    with program.engine() as engine:
        access = Access(program.settings)
        for reason in ("first", "second"):
            halt(access, Actor("anna"), reason)
            accounting.write_ledger(engine)
        newest = access.ledger.reached_acts("paper")
        assert newest == redis_client.xinfo_stream(keys.AUDIT)["last-generated-id"]
        access.ledger.run(lambda connection: connection.execute(delete(audit).where(audit.c.entry == newest)))
        accounting.write_ledger(engine)
        assert [json.loads(one["after"])["reason"] for one in access.ledger.acts("paper", 10)] == ["second", "first"]
