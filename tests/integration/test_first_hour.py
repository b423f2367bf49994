"""What a newcomer meets on the command line, before and shortly after the first start."""

from pathlib import Path
from typing import Any

import certifi
import pytest
import redis
from support.cli_rig import MARKET, Console, Ran, console
from support.sandbox_client import RunningSandbox

from betfair_sandbox.options import sandbox_env
from executor import keys
from executor.devstack.redis_server import PrivateRedis

pytestmark = pytest.mark.usefixtures("redis_client")


@pytest.fixture
def live(tmp_path: Path, private_redis: PrivateRedis, redis_client: "redis.Redis", sandbox: RunningSandbox) -> Console:
    del redis_client  # empties the db
    sandbox.market(MARKET, [{"price": 3, "size": 4}], [])
    return console(tmp_path, private_redis, sandbox_env(sandbox.directory))


def findings(ran: Ran) -> dict[str, dict[str, Any]]:
    return {finding["name"]: finding for finding in ran.json}


def test_check_before_the_first_start_says_what_will_be_made(live: Console, redis_client: "redis.Redis") -> None:
    ran = live.run("check", "--json")
    found = findings(ran)
    assert [name for name, finding in found.items() if finding["result"] == "fail"] == []
    assert (ran.code, ran.err) == (0, "")
    assert "the first start writes Bankroll 10000" in found["limits"]["detail"]
    assert "the first start switches it on" in found["trading"]["detail"]
    assert "executor up --live" in found["processes"]["advice"]
    assert redis_client.get(keys.IDENTITY) is None, "a look makes nothing"


def test_check_after_a_loss_of_redis_is_no_first_start(live: Console, redis_client: "redis.Redis") -> None:
    with live.engine() as engine:
        live.trade(engine, "signal-1", size=4)
    redis_client.flushdb()
    ran = live.run("check", "--json")
    failed = {name for name, finding in findings(ran).items() if finding["result"] == "fail"}
    assert {"workers", "bridges", "reconciled", "limits"} <= failed
    assert ran.code == 1


def test_status_says_sandbox_where_the_exchange_is_ours(live: Console, tmp_path: Path) -> None:
    with live.engine():
        pass
    ran = live.run_all(("status", "status --json"))
    assert ran["status --json"].json["mode"] == "sandbox"
    assert "sandbox: orders go to localhost" in ran["status"].out
    ours = Path(live.environ["EXECUTOR_BETFAIR__CA_BUNDLE"])
    bundle = tmp_path / "more.pem"
    bundle.write_text(ours.read_text() + Path(certifi.where()).read_text())
    mixed = live.but(EXECUTOR_BETFAIR__CA_BUNDLE=str(bundle))
    assert mixed.run("status", "--json").json["mode"] == "live", "who may be somebody else is not called a sandbox"


def test_status_with_papers_settings_over_a_live_db_does_not_say_that_nothing_is_sent(
    live: Console, tmp_path: Path, private_redis: PrivateRedis
) -> None:
    with live.engine():
        pass
    (tmp_path / "elsewhere").mkdir()
    elsewhere = console(tmp_path / "elsewhere", private_redis, {})
    ran = elsewhere.run_all(("status", "status --json"))
    assert "nothing is sent" not in ran["status"].out
    assert "live: orders go to localhost" in ran["status"].out
    assert ran["status --json"].json["mode"] == "live"


def test_status_with_401_markets_is_one_screen_and_the_worst_come_first(
    live: Console, redis_client: "redis.Redis"
) -> None:
    with live.engine():
        pass
    for number in range(401):
        redis_client.sadd(keys.MARKETS, f"1.{number}")
        redis_client.hset(keys.risk_exposure(f"1.{number}"), "7", f"{number}")
        redis_client.hset(keys.MARKETS_STOPPED, f"1.{number}", "each way")
    ran = live.run_all(("status", "status --json"))
    lines = ran["status"].out.splitlines()
    assert len(lines) < 80
    exposure = [line.split()[0] for line in lines[lines.index("Exposure by market") :] if line.startswith("1.")]
    assert exposure[:2] == ["1.400", "1.399"]
    assert "and 381 markets with less: executor status --json" in lines[-1]
    assert len(ran["status --json"].json["exposure"]["markets"]) == 401
