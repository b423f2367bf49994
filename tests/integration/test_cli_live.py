"""What the console does to bets at an exchange: the real program against the sandbox over HTTPS."""

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from support.cli_rig import MARKET, Console, Ran, console
from support.redis_versions import redis_version
from support.sandbox_client import RunningSandbox, limit

from betfair_sandbox.options import sandbox_env
from executor import keys
from executor.devstack.redis_server import PrivateRedis
from executor.engine import reconciliation
from executor.engine.engine import Engine
from executor.ports import OrderStore

OTHER = "1.200000009"
REF = "aibetting"


@pytest.fixture
def live(tmp_path: Path, private_redis: PrivateRedis, redis_client: "redis.Redis", sandbox: RunningSandbox) -> Console:
    del redis_client  # empties the db
    for market in (MARKET, OTHER):
        sandbox.market(market, [{"price": 3, "size": 4}], [])
    return console(tmp_path, private_redis, sandbox_env(sandbox.directory))


@pytest.fixture
def engine(live: Console) -> Iterator[Engine]:
    with live.engine() as engine:
        yield engine


def unmatched(sandbox: RunningSandbox) -> set[str]:
    return {order["betId"] for order in sandbox.get("orders") if order["status"] == "EXECUTABLE"}


def status(store: OrderStore, order_id: str) -> str:
    return store.orders([order_id])[0].status


def test_cancel_takes_back_what_it_names_and_nothing_else(
    live: Console, engine: Engine, sandbox: RunningSandbox
) -> None:
    kept = live.trade(engine, "signal-1", selection=2)
    partly = live.trade(engine, "signal-2")
    matched = live.trade(engine, "signal-3", market=OTHER, size=4)
    ran = live.run("cancel", partly, matched, "no-such-order")
    assert ran.code == 1
    assert ran.out == f"{partly}: CANCELLED, 4.00 of 10.00 matched\n"
    assert f"{matched}: MATCHED" in ran.err
    assert "no-such-order: no such order" in ran.err
    [bet] = engine.store.orders([kept])
    assert unmatched(sandbox) == {bet.bet_id}
    found = {order["order_id"]: order for order in live.run("orders", "--json").json}
    assert (found[partly]["cancel_reason"], found[partly]["size_cancelled"]) == ("MANUAL", "6.00")
    assert live.run("cancel", "--all").code == 0
    assert unmatched(sandbox) == set()
    again = live.run("cancel", "--all")
    assert (again.code, again.out) == (0, "nothing to cancel\n")


def test_a_cancel_without_an_answer_is_looked_after(live: Console, engine: Engine, sandbox: RunningSandbox) -> None:
    order_id = live.trade(engine, "signal-1", selection=2)
    sandbox.control("faults", method="cancelOrders", kind="refuse_connection")
    ran = live.run("cancel", order_id)
    assert ran.code == 0, ran.err
    assert status(engine.store, order_id) == "CANCELLED"
    assert unmatched(sandbox) == set()


@pytest.mark.slow
def test_halt_leaves_nothing_of_ours_unmatched(
    live: Console, engine: Engine, sandbox: RunningSandbox, redis_client: "redis.Redis"
) -> None:
    """Live ones in two markets, one without an answer, one that we have no order for, one that we cannot read."""
    own = [live.trade(engine, "signal-1", selection=2), live.trade(engine, "signal-2", market=OTHER)]
    broken = live.trade(engine, "signal-3", market=OTHER, selection=2)
    sandbox.control("faults", method="placeOrders", kind="drop_response")
    unanswered = live.trade(engine, "signal-4", selection=2, price=4)
    assert status(engine.store, unanswered) == "SUBMITTED"
    sandbox.place(MARKET, limit(2, "BACK", 9, 5), customerStrategyRef=REF)
    someone_else = sandbox.place_one(MARKET, limit(2, "BACK", 9, 5))
    redis_client.set(keys.order(broken), "{")
    assert len(unmatched(sandbox)) == 6
    plain = live.run("halt")
    assert plain.code == 0
    assert "executor halt --cancel" in plain.err
    assert len(unmatched(sandbox)) == 6
    ran = live.run("halt", "--cancel", "--reason", "test")
    assert unanswered in ran.out
    assert unmatched(sandbox) == {someone_else}
    assert [status(engine.store, order_id) for order_id in (own[0], unanswered)] == ["CANCELLED"] * 2
    assert f"{own[1]}: bet" in ran.err  # beside the record that cannot be read, nothing of the market can be written
    assert redis_client.get(keys.TRADING_ENABLED) == "false"
    assert ran.code == 0, ran.err
    assert ran.out.splitlines()[-1] == "nothing of ours is unmatched"
    again = live.run("halt", "--cancel")
    assert (again.code, again.out.splitlines()[-1]) == (0, "nothing of ours is unmatched")


def test_ctrl_c_ends_a_halt_that_waits_and_trading_stays_off(
    live: Console, engine: Engine, sandbox: RunningSandbox, redis_client: "redis.Redis"
) -> None:
    order_id = live.trade(engine, "signal-1", selection=2)
    sandbox.control("faults", method="cancelOrders", kind="error:BET_ACTION_ERROR", count=100)
    process = live.start("halt", "--cancel")
    assert process.stdout is not None
    try:
        assert "trading is off" in process.stdout.readline()
        assert "1 live" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
    finally:
        _, errors = process.communicate(timeout=10)
    assert process.returncode == 130
    assert "Traceback" not in errors
    assert redis_client.get(keys.TRADING_ENABLED) == "false"
    assert status(engine.store, order_id) == "PENDING"


def examined(ran: Ran) -> dict[str, dict[str, Any]]:
    return {finding["name"]: finding for finding in ran.json}


def test_check_examines_what_trading_needs(
    live: Console, engine: Engine, sandbox: RunningSandbox, redis_client: "redis.Redis"
) -> None:
    now = engine.store.now() / 1000
    for name in ("worker:host:1", "bridge:host:2", "bridge:host:3"):
        redis_client.set(keys.heartbeat(name), "now")
    redis_client.hset(keys.LAST_SUCCESS, "poll_orders", f"{now:.3f}")
    logins = len(sandbox.journal("certlogin"))
    ran = live.run("check")
    assert ran.code == 0, ran.out
    assert ran.err == ""
    lines = [line.split()[0] for line in ran.out.splitlines()]
    version = redis_version(redis_client)
    blind = (version < (7, 2)) + (version < (7, 0))  # refusals; entries that publishers drop
    assert lines.count("warn") == 2 + blind  # tests keep nothing on disk, and hear no order stream
    assert ("redis_denied_total and its alert are blind" in ran.out) == (version < (7, 2))
    assert ("a publisher drops from stream:signals" in ran.out) == (version < (7, 0))
    assert len(lines) == 21 + blind
    assert len(sandbox.journal("certlogin")) == logins + 1
    reconciliation.poll(engine)  # the first look may have taken longer than the last one's mark holds
    redis_client.delete(keys.heartbeat("bridge:host:3"), keys.heartbeat("worker:host:1"))
    redis_client.hset(keys.LAST_SUCCESS, "poll_orders", f"{now - 60:.3f}")
    redis_client.delete(keys.TRADING_ENABLED)
    redis_client.hset(keys.LIMITS, "Bankroll", "10000.01")
    sick = live.run("check", "--json")
    assert sick.code == 1
    results = {name: finding["result"] for name, finding in examined(sick).items() if finding["result"] != "ok"}
    for name in ("redis refusals", "redis streams")[:blind]:
        assert results.pop(name) == "warn"
    assert results == {
        "redis disk": "warn",
        "workers": "fail",
        "beat": "fail",
        "stream": "warn",
        "console": "skip",
        "notifications": "skip",
        "trading": "fail",
        "bankroll": "warn",
    }
    assert "workers, beat, trading" in sick.err


@pytest.mark.slow
def test_a_refused_login_waits_for_a_person_in_every_process(
    live: Console, engine: Engine, sandbox: RunningSandbox
) -> None:
    del engine
    wrong = live.but(EXECUTOR_BETFAIR__PASSWORD="not-the-password")
    tries = len(sandbox.journal("certlogin"))
    for _ in range(2):
        finding = examined(wrong.run("check", "--json"))["login"]
        assert "INVALID_USERNAME_OR_PASSWORD" in finding["detail"]
        assert "EXECUTOR_BETFAIR__PASSWORD" in finding["advice"]
        assert "executor check --login" in finding["advice"]
    assert len(sandbox.journal("certlogin")) == tries + 1
    wrong.run("check", "--login")
    assert len(sandbox.journal("certlogin")) == tries + 2
    assert examined(live.run("check", "--json"))["login"]["result"] == "ok"


@pytest.mark.slow
def test_check_names_a_wrong_app_key_and_a_redis_that_only_reads(
    live: Console, engine: Engine, redis_client: "redis.Redis"
) -> None:
    del engine
    finding = examined(live.but(EXECUTOR_BETFAIR__APP_KEY="not-a-key").run("check", "--json"))["login"]
    assert (finding["result"], "EXECUTOR_BETFAIR__APP_KEY" in finding["advice"]) == ("fail", True)
    redis_client.replicaof("127.0.0.1", "1")
    try:
        findings = examined(live.run("check", "--json"))
    finally:
        redis_client.replicaof("NO", "ONE")
    assert findings["redis writes"]["result"] == "fail"
    assert "read only replica" in findings["redis writes"]["detail"]
    assert findings["login"]["result"] != "fail"


@pytest.mark.slow
def test_check_knows_a_login_that_fails(live: Console, engine: Engine, tmp_path: Path) -> None:
    del engine
    readable = tmp_path / "client.pfx"
    readable.write_bytes(Path(live.environ["EXECUTOR_BETFAIR__CERTIFICATE_PATH"]).read_bytes())
    readable.chmod(0o644)
    wrong = live.but(
        EXECUTOR_BETFAIR__PASSWORD="not-the-password", EXECUTOR_BETFAIR__CERTIFICATE_PATH=str(readable)
    ).run("check", "--json")
    findings = examined(wrong)
    assert findings["login"]["result"] == "fail"
    assert "INVALID_USERNAME_OR_PASSWORD" in findings["login"]["detail"]
    assert findings["certificate"]["result"] == "warn"
    assert "chmod 600" in findings["certificate"]["advice"]
    assert "not-the-password" not in wrong.out + wrong.err
    unreadable = live.but(EXECUTOR_BETFAIR__CERTIFICATE_PASSWORD="wrong").run("check", "--json")
    assert examined(unreadable)["certificate"]["result"] == "fail"
    assert examined(unreadable)["login"]["result"] == "fail"
    assert live.run("orders", "--json").code == 0
