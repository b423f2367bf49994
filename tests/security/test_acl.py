"""The whole product under the ACL that ships: trades, retries, restores, shows itself, and is never denied anything."""

import itertools
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
import redis
import requests
from support.guarded_stack import MARKET, ROOT, USERS, GuardedRedis, GuardedStack, envelope, signal
from support.receivers import http_receiver
from support.telegram_server import ANNA, TOKEN, telegram_server

from executor import keys
from executor.devstack.redis_server import HOST, free_port
from executor.devstack.stack import CONSOLE_METRICS_PORT, CONSOLE_PORT

PROGRAM = Path(sys.executable).with_name("executor")
PERIODIC = ("cancel_unmatched", "sweep_signals", "write_ledger", "settle_orders", "refresh_account", "watchdog",
            "keep_alive", "reauthenticate")  # fmt: skip


def _run(guarded: GuardedStack, user: str, *words: str) -> str:
    done = subprocess.run(
        [PROGRAM, *words],
        cwd=guarded.folder,
        env={**guarded.environment_of(user), "PATH": os.defpath},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    assert done.returncode == 0, (words, done.stdout, done.stderr)
    return done.stdout


def _denials(guarded: GuardedStack) -> list[tuple[str, str, str]]:
    return [(entry["username"], entry["reason"], entry["object"]) for entry in guarded.redis.denied()]


@pytest.fixture(autouse=True)
def nothing_is_denied(guarded: GuardedStack) -> None:
    with guarded.redis.client("operator") as client:
        client.acl_log_reset()


def test_signals_trade_and_settle(guarded: GuardedStack) -> None:
    guarded.trade("acl-strategy")
    surebet = {"marketId": MARKET, "profitPercentage": 1, "validityWindow": 60,
               "backSelectionId": "1", "backOdds": 3, "stakeBack": 4,
               "laySelectionId": "2", "layOdds": 2.5, "stakeLay": 4}  # fmt: skip
    placed = len(guarded.sandbox.orders())
    assert guarded.publish(surebet, keys.SUREBET_SIGNALS) == 1
    guarded.wait(lambda: len(guarded.sandbox.orders()) == placed + 2)
    guarded.publish("{")
    with guarded.redis.client("publisher") as client:
        client.xadd(keys.SIGNALS, {"kind": "strategy", "payload": json.dumps(signal("acl-durable"))})
    guarded.wait(lambda: guarded.status_of("acl-durable") == "COMPLETED")
    for task in PERIODIC:  # those of once a minute, too
        guarded.push("maintenance", f"executor.{task}", [])
    with guarded.redis.client("operator", db=1) as client:
        guarded.wait(lambda: client.llen("maintenance") == 0)
    time.sleep(0.5)  # what was taken is done: nothing else tells
    assert not _denials(guarded)


def test_a_step_is_retried_and_a_dead_workers_message_comes_back(guarded: GuardedStack) -> None:
    market = "1.777"
    with guarded.redis.client("worker") as client:
        client.set(keys.market_orders(market), "no set")
        guarded.publish({**signal("acl-retry"), "marketId": market})
        guarded.wait(lambda: [event for event in guarded.logged("step_postponed") if event["signal_id"] == "acl-retry"])
        client.delete(keys.market_orders(market))
    guarded.wait(lambda: guarded.status_of("acl-retry") == "COMPLETED")
    lost = json.loads(envelope("trades", "executor.log_trade", ["acl-retry", market], {}))
    with guarded.redis.client("worker", db=1) as client:
        client.hset("unacked", "lost", json.dumps([lost, "executor", "trades"]))
        client.zadd("unacked_index", {"lost": time.time() - 3600})
        guarded.wait(lambda: not client.hlen("unacked"), 30)
    assert not _denials(guarded)


def test_everybody_can_look(guarded: GuardedStack) -> None:
    guarded.trade("acl-looked-at")
    assert guarded.counted("orders_placed_total") >= 1
    assert guarded.flower("/tasks").status_code == 200
    assert guarded.flower("/workers", login=False).status_code == 401
    assert "worker@" in guarded.wait(lambda: guarded.flower("/api/workers?refresh=1").text)
    assert guarded.flower("/api/queues/length").status_code == 200
    assert guarded.flower("/api/worker/shutdown/worker@x", method="POST").status_code == 403
    assert _run(guarded, "operator", "status", "--json")
    assert not _denials(guarded)


def test_a_person_controls(guarded: GuardedStack) -> None:
    _run(guarded, "operator", "limits", "set", "MaxStakePerOrder=99")
    _run(guarded, "operator", "halt", "--reason", "test")
    with guarded.redis.client("operator") as client:
        assert client.get(keys.TRADING_ENABLED) == "false"
        assert client.hget(keys.LIMITS, "MaxStakePerOrder") == "99"
    _run(guarded, "operator", "resume")
    with guarded.redis.client("operator") as client:  # as README has it with redis-cli
        client.hset(keys.LIMITS, "MaxStakePerOrder", "100")
        client.set(keys.TRADING_ENABLED, "true")
        client.delete(keys.FAILED_ORDERS)
        assert client.hgetall(keys.LIMITS)
        client.keys("signal:malformed-*")
    guarded.trade("acl-resumed")
    (guarded.folder / "signal.json").write_text(json.dumps(signal("acl-sent")))
    _run(guarded, "worker", "send", "signal.json")
    guarded.wait(lambda: guarded.status_of("acl-sent") == "COMPLETED")
    assert not _denials(guarded)


def test_the_console_looks_and_acts_as_its_own_user(guarded: GuardedStack) -> None:
    port = free_port()
    ours = {CONSOLE_PORT: str(port), CONSOLE_METRICS_PORT: "0", "PATH": os.defpath}
    with (
        subprocess.Popen(
            [PROGRAM, "console"],
            cwd=guarded.folder,
            env={**guarded.environment_of("console"), **ours},
            stdout=subprocess.PIPE,
            text=True,
        ) as console,
        requests.Session() as browser,
    ):
        try:
            assert console.stdout is not None
            link = next(line for line in console.stdout if "once=" in line).split()[-1]
            browser.trust_env = False
            browser.headers["Sec-Fetch-Site"] = "same-origin"
            base, secret = link.split("/login?once=")
            guarded.wait(lambda: _answers(browser, base))
            assert browser.post(f"{base}/login", data={"once": secret}).status_code == 200
            for path in ("", "orders", "signals", "markets", "pnl", "limits", "failed", "alerts", "processes", "audit"):
                assert browser.get(f"{base}/{path}").status_code == 200, path
            acts: dict[str, dict[str, object]] = {
                "trading/halt": {"cancel": True},
                "trading/resume": {},
                "orders/cancel": {"all": True},
                "risk/limits": {"MaxStakePerOrder": 100},
            }
            for path, body in acts.items():
                answer = browser.post(f"{base}/api/{path}", json=body)
                assert answer.status_code == 200, answer.text
            token = _run(guarded, "console", "token", "add", "acl", "--role", "publisher").strip()
            sent = browser.post(
                f"{base}/api/signals", json=signal("acl-http"), headers={"Authorization": f"Bearer {token}"}
            )
            assert sent.status_code == 202, sent.text
            guarded.wait(lambda: guarded.status_of("acl-http") == "COMPLETED")
            with browser.get(f"{base}/api/events", stream=True, timeout=10) as stream:
                assert next(stream.iter_lines()) == b"event: snapshot"
            assert browser.get(f"{base}/signals/acl-http").status_code == 200
        finally:
            console.terminate()
    assert console.returncode == 0, "an open stream does not keep it from stopping"
    assert not _denials(guarded)


def test_the_notifier_tells_as_its_own_user(guarded: GuardedStack) -> None:
    with http_receiver() as receiver:
        environ = {
            **guarded.environment_of("notify"),
            "EXECUTOR_NOTIFY__URLS": receiver.url,
            "EXECUTOR_METRICS__NOTIFY_PORT": str(free_port()),
            "PATH": os.defpath,
        }
        with subprocess.Popen([PROGRAM, "notify"], cwd=guarded.folder, env=environ) as notifier:
            try:
                guarded.wait(lambda: _notifies(guarded))
                page = f"http://127.0.0.1:{environ['EXECUTOR_METRICS__NOTIFY_PORT']}/metrics"
                assert "aibetting_executor_notices_waiting" in requests.get(page, timeout=10).text
                _run(guarded, "operator", "halt", "--reason", "told by acl")
                _run(guarded, "operator", "resume")
                guarded.wait(lambda: "trading is OFF: told by acl" in receiver.text)
            finally:
                notifier.terminate()
    assert notifier.returncode == 0
    assert not _denials(guarded)


def _telegram_lines() -> str:
    """Return what the template says to add to the user `notify` for Telegram's /halt."""
    template = (ROOT / "deploy" / "redis" / "users.acl.template").read_text(encoding="utf-8").splitlines()
    first = next(at for at, line in enumerate(template) if "Telegram's /halt" in line) + 1
    lines = itertools.takewhile(lambda line: line.startswith("#  ("), template[first:])
    return " ".join(line.removeprefix("#").strip() for line in lines)


@pytest.mark.parametrize("may_halt", [False, True])
def test_telegram_looks_as_the_notifier_and_halts_with_the_lines_for_it(tmp_path: Path, *, may_halt: bool) -> None:
    server = GuardedRedis(tmp_path)
    rules = server.secrets / "users.acl"
    more = f" {_telegram_lines()}" if may_halt else ""
    text = rules.read_text()
    rules.write_text(re.sub(r"^user notify .*$", lambda found: found[0] + more, text, flags=re.MULTILINE))
    commands = ("/status", "/pnl", "/alerts", "/orders", "/halt")
    with server, server.client("worker") as client, telegram_server() as telegram:
        client.set(keys.IDENTITY, "paper")
        client.set(keys.TRADING_ENABLED, "true")
        for command in commands:
            telegram.send(command, int(client.time()[0]))
        environ = {
            "EXECUTOR_REDIS__URL_FILE": str(server.secrets / "redis-url-notify"),
            "EXECUTOR_NOTIFY__TELEGRAM_TOKEN": TOKEN,
            "EXECUTOR_NOTIFY__TELEGRAM_USERS": str(ANNA),
            "EXECUTOR_NOTIFY__TELEGRAM_API": telegram.url,
            "EXECUTOR_METRICS__NOTIFY_PORT": "0",
            "PATH": os.defpath,
        }
        with subprocess.Popen([PROGRAM, "notify"], cwd=tmp_path, env=environ) as notifier:
            try:
                deadline = time.monotonic() + 30
                while len(telegram.said) < len(commands):
                    assert time.monotonic() < deadline, telegram.said
                    time.sleep(0.05)
            finally:
                notifier.terminate()
        assert notifier.returncode == 0
        answers = [text for _, text in telegram.said]
        assert [text for text in answers[:-1] if "not done" in text] == []
        assert answers[-1].startswith("trading is OFF" if may_halt else "/halt: not done")
        assert client.get(keys.TRADING_ENABLED) == ("false" if may_halt else "true")
        assert bool(client.exists(keys.HALTED)) is may_halt
        audited = [fields["who"] for _, fields in client.xrange(keys.AUDIT)]
        assert audited == ([f"telegram user {ANNA}"] if may_halt else [])
        assert bool(server.denied()) is not may_halt


def _notifies(guarded: GuardedStack) -> int:
    with guarded.redis.client("operator") as client:
        return int(client.exists(keys.NOTIFY_ADDRESSES))


def _answers(browser: requests.Session, base: str) -> bool:
    try:
        return browser.get(f"{base}/health", timeout=2).ok
    except requests.ConnectionError:
        return False


@pytest.mark.parametrize("bundled", [False, True])
def test_what_was_written_at_once_is_there_after_a_restart(tmp_path: Path, *, bundled: bool) -> None:
    server = GuardedRedis(tmp_path, bundled=bundled, append_only=True)
    with server, server.client("worker") as client:
        with client.pipeline(transaction=True) as pipe:
            pipe.set("order:1", "one").hset("risk:limits", "Bankroll", "1").execute()
        client.eval("redis.call('SET', KEYS[1], 'two'); redis.call('SET', KEYS[2], 'two')", 2, "order:2", "order:3")
        server.stop()
        server.start()
        assert client.mget("order:1", "order:2", "order:3") == ["one", "two", "two"]
        assert client.hgetall("risk:limits") == {"Bankroll": "1"}


def test_in_whose_name_the_file_is_read_back_is_off_and_may_do_everything(tmp_path: Path) -> None:
    server = GuardedRedis(tmp_path)  # the version of Redis at hand may be one that needs no permission for it
    default = next(line for line in (server.secrets / "users.acl").read_text().splitlines() if " default " in line)
    assert default.split() == ["user", "default", "off", "resetpass", "~*", "&*", "+@all"]


def test_the_rules_load_and_let_nobody_in_without_a_name(tmp_path: Path) -> None:
    with GuardedRedis(tmp_path, bundled=True) as server:  # not the one on PATH, which the other tests use
        for user in USERS:
            with server.client(user) as client:
                assert client.ping()
        for password in ("", "x", server.password("worker")):
            with pytest.raises(redis.AuthenticationError), server.client("publisher", password=password) as client:
                client.ping()
        with pytest.raises(redis.AuthenticationError), redis.Redis(host=HOST, port=server.port) as client:
            client.ping()
