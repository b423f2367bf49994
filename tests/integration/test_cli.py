"""Every command, when something is wrong: Redis away, another's db, wrong words, wrong settings. And help."""

import json
import signal as signals
import subprocess
from pathlib import Path

import pytest
import redis
from support.cli_rig import Console, Ran, console, message
from support.sandbox_client import RunningSandbox, limit, wait_for

from executor import keys
from executor.devstack.redis_server import PrivateRedis, free_port

ACTING = ("halt --cancel", "resume", "limits set Bankroll=5", "cancel --all", "send signal.json", "paper clear")
LOOKING = ("status", "orders --json", "limits")
WRONG = (
    ("nonsense", "nonsense"),
    ("cancel", "--all"),
    ("limits set Bankroll", "NAME=VALUE"),
    ("limits set Bankrol=5", "Bankrol"),
    ("limits set Bankroll=5 bankroll=6", "twice"),
    ("orders --limit 0", "--limit"),
    ("send no-such-file", "no-such-file"),
    ("sandbox --balance much", "--balance"),
    ("sandbox --account alice=much", "--account"),
    ("sandbox --account a.b", "--account"),
    ("sandbox --account alice --account alice=5", "--account"),
    ("sandbox --account sandbox", "--account"),
    ("sandbox --currency EURO", "--currency"),
    ("sandbox env --account a.b", "--account"),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("console")
    (folder / "signal.json").write_text(json.dumps(message("signal-1")), encoding="utf-8")
    return folder


@pytest.fixture
def paper(folder: Path, private_redis: PrivateRedis, redis_client: "redis.Redis") -> Console:
    del redis_client  # empties the db
    return console(folder, private_redis, {})


@pytest.fixture(scope="module")
def without_redis(folder: Path) -> dict[str, Ran]:
    away = Console(folder, {"EXECUTOR_REDIS__URL": f"redis://:its-password@127.0.0.1:{free_port()}/0"})
    return away.run_all((*ACTING, *LOOKING))


@pytest.fixture(scope="module")
def misused(folder: Path) -> dict[str, Ran]:
    return Console(folder, {}).run_all([words for words, _ in WRONG])


@pytest.mark.parametrize("command", [*ACTING, *LOOKING])
def test_without_redis_a_command_says_where_it_looked(without_redis: dict[str, Ran], command: str) -> None:
    ran = without_redis[command]
    assert ran.code == 1
    assert ran.err.startswith("Redis: ")
    assert "EXECUTOR_REDIS__URL" in ran.err
    assert "its-password" not in ran.err
    assert len(ran.err.splitlines()) == 1
    assert ran.out == ""


@pytest.mark.parametrize(("command", "named"), WRONG)
def test_wrong_usage_is_told_from_refusal(misused: dict[str, Ran], command: str, named: str) -> None:
    assert misused[command].code == 2
    assert named in misused[command].err
    assert misused[command].out == ""


def test_who_acts_on_another_s_db_is_refused_and_who_looks_is_told(paper: Console, redis_client: "redis.Redis") -> None:
    redis_client.set(keys.IDENTITY, "live api.betfair.com somebody aibetting")
    redis_client.set(keys.TRADING_ENABLED, "true")
    redis_client.hset(keys.LIMITS, "Bankroll", "1000")
    refused = [command for command in ACTING if not command.startswith("halt")]  # that one is never refused
    found = paper.run_all((*refused, *LOOKING, "bridge"))
    for command in (*refused, "bridge"):
        assert found[command].code == 1, command
        assert "'live api.betfair.com somebody aibetting'" in found[command].err, command
        assert "EXECUTOR_REDIS__URL" in found[command].err, command
    for command in LOOKING:
        assert found[command].code == 0, command
        assert "belongs to 'live api.betfair.com somebody aibetting'" in found[command].err, command
    assert redis_client.get(keys.TRADING_ENABLED) == "true"
    assert redis_client.hgetall(keys.LIMITS) == {"Bankroll": "1000"}


def test_wrong_settings_are_one_line_that_names_the_variable(folder: Path) -> None:
    variable = "EXECUTOR_RISK__BANKROLL"
    for command, ran in Console(folder, {variable: "much"}).run_all(("resume", "bridge", "check")).items():
        shown = ran.out if command == "check" else ran.err
        assert ran.code == 1, command
        assert variable in shown, command
        assert len(shown.splitlines()) == 1, command


def test_help_and_version(folder: Path) -> None:
    found = Console(folder, {}).run_all(("--help", "--version", "limits set -h"))
    assert {ran.code for ran in found.values()} == {0}
    for command in (
        "status",
        "check",
        "halt",
        "resume",
        "limits",
        "orders",
        "cancel",
        "trades",
        "signals",
        "send",
        "sandbox",
    ):
        assert f" {command} " in found["--help"].out
    assert found["--version"].out.startswith("executor ")
    assert "MaxStakePerOrder=50" in found["limits set -h"].out
    assert all(len(line) <= 80 for ran in found.values() for line in ran.out.splitlines())


def test_what_a_shell_reads_back_is_what_the_sandbox_uses(tmp_path: Path) -> None:
    folder = tmp_path / "it's a folder"
    folder.mkdir()
    here = Console(folder, {})
    nothing = here.run("sandbox", "env")
    assert nothing.code == 1
    assert "executor sandbox --dir" in nothing.err
    process = here.start("sandbox", "--port", "0", "--cert-port", "0", "--balance", "123.45")
    try:
        assert process.stdout is not None
        assert "ready" in process.stdout.readline()
        printed, as_json = here.run("sandbox", "env"), here.run("sandbox", "env", "--json").json
        given = console(folder, PrivateRedis(tmp_path), as_json).settings
        assert given.identity.startswith("live localhost:")
        script = f'{printed.out}\nprintf %s "$EXECUTOR_BETFAIR__CERTIFICATE_PATH"'
        (folder / "variables.sh").write_text(script, encoding="utf-8")
        assert as_json["EXECUTOR_BETFAIR__CERTIFICATE_PATH"] == str(folder / "data" / "sandbox" / "client.pfx")
        assert shell(folder / "variables.sh") == as_json["EXECUTOR_BETFAIR__CERTIFICATE_PATH"]
        elsewhere = Console(tmp_path, {}).run("sandbox", "env", "--dir", str(folder / "data" / "sandbox"), "--json")
        assert elsewhere.json == as_json
    finally:
        process.send_signal(signals.SIGINT)
        _, errors = process.communicate(timeout=10)
    assert process.returncode == 0
    assert errors == ""


def test_further_accounts_of_a_sandbox_in_another_currency(tmp_path: Path) -> None:
    here = Console(tmp_path, {})
    words = ("--balance", "70", "--account", "alice", "--account", "bob=50", "--currency", "EUR")
    process = here.start("sandbox", "--port", "0", "--cert-port", "0", *words)
    try:
        assert process.stdout is not None
        assert "ready" in process.stdout.readline()
        for name, balance in (("", 70), ("alice", 70), ("bob", 50)):
            variables = here.run("sandbox", "env", "--json", *(("--account", name) if name else ())).json
            customer = RunningSandbox.at(tmp_path / "data" / "sandbox", name)
            assert variables["EXECUTOR_BETFAIR__USERNAME"] == customer.options.username == (name or "sandbox")
            assert variables["EXECUTOR_BETFAIR__APP_KEY"] == customer.options.app_key
            customer.log_in()
            assert customer.call("getAccountFunds")["availableToBetBalance"] == balance
            assert customer.call("getAccountDetails")["currencyCode"] == "EUR"
            report = customer.place("1.5", limit(1, "BACK", 10, "0.99"))  # enough of GBP, not of EUR
            assert report["instructionReports"][0]["errorCode"] == "INVALID_BET_SIZE"
            customer.control("reset")
            assert customer.call("getAccountFunds")["availableToBetBalance"] == balance
            customer.session.close()
    finally:
        process.send_signal(signals.SIGINT)
        _, errors = process.communicate(timeout=10)
    assert (process.returncode, errors) == (0, "")


def shell(script: Path) -> str:
    return subprocess.run(["sh", str(script)], capture_output=True, text=True, check=True, env={}).stdout


def test_a_bridge_lives_until_it_is_stopped(paper: Console, redis_client: "redis.Redis") -> None:
    process = paper.start("bridge")
    try:
        wait_for(lambda: redis_client.pubsub_numsub(keys.STRATEGY_SIGNALS)[0][1])
        ran = paper.run("send", "signal.json")
        assert ran.code == 0
        assert "signal-1: kept in stream:signals as" in ran.out
        wait_for(lambda: redis_client.exists(keys.signal("signal-1")))
        assert paper.run("status", "--json").json["processes"]["bridge"]
    finally:
        process.send_signal(signals.SIGINT)
        _, errors = process.communicate(timeout=10)
    assert process.returncode == 0
    assert "Traceback" not in errors
