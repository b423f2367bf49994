"""The Telegram bot against a local server that speaks its API: whom it answers, with what, and what it never does."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
import requests
import structlog
from support.cli_rig import MARKET, Console, console
from support.process_rig import wait
from support.telegram_server import ANNA, TOKEN, TelegramServer, telegram_server

from executor.devstack.redis_server import PrivateRedis, free_port
from executor.operations.access import Access
from executor.ports.telemetry import Became
from executor.telegram import Answers, TelegramBot, TelegramRefused

STRANGER = 99


@pytest.fixture
def telegram() -> Iterator[TelegramServer]:
    with telegram_server() as held:
        yield held


@pytest.fixture
def now(redis_client: "redis.Redis") -> int:
    redis_client.set("executor:identity", "paper")
    redis_client.set("trading:enabled", "true")
    return int(redis_client.time()[0])


@pytest.fixture
def bot(tmp_path: Path, private_redis: PrivateRedis, telegram: TelegramServer) -> TelegramBot:
    return make_bot(console(tmp_path, private_redis, {}), telegram, lambda _: None)


def make_bot(program: Console, telegram: TelegramServer, count: Callable[[Became], None]) -> TelegramBot:
    return TelegramBot(telegram.url, TOKEN, {str(ANNA)}, Answers(Access(program.settings)), count)


def newest(client: "redis.Redis", stream: str) -> dict[str, str]:
    info: Any = client.xinfo_stream(stream)
    return dict(info["last-entry"][1])


def test_a_listed_user_is_answered_and_can_halt(
    bot: TelegramBot, telegram: TelegramServer, now: int, redis_client: "redis.Redis"
) -> None:
    for command in ("/status", "/pnl", "/alerts", "/orders", "/help", "/halt@the_bot now"):
        telegram.send(command, now)
    bot.answer_new(0)
    assert {chat for chat, _ in telegram.said} == {str(ANNA)}
    status, pnl, alerts, orders, usage, halted = (text for _, text in telegram.said)
    assert status.startswith("trading is on")
    assert pnl == "today +0.00, in all +0.00 (settled, net)"
    assert (alerts, orders) == ("no alert stands", "no live orders")
    assert "/halt" in usage
    assert halted.startswith("trading is OFF")
    assert redis_client.get("trading:enabled") == "false"
    act = newest(redis_client, "stream:audit")
    assert (act["who"], act["via"], act["action"]) == (f"telegram user {ANNA}", "telegram", "halt")
    assert f"telegram user {ANNA}" in newest(redis_client, "stream:notices")["text"]
    bot.answer_new(0)
    assert len(telegram.said) == 6, "each once"


@pytest.mark.parametrize("command", ["/resume", "/limits Bankroll=1", "/halt --resume", "resume", "", "/HALTED"])
def test_it_never_resumes_and_changes_no_limit(
    bot: TelegramBot, telegram: TelegramServer, now: int, redis_client: "redis.Redis", command: str
) -> None:
    redis_client.set("trading:enabled", "false")
    telegram.send(command, now)
    bot.answer_new(0)
    assert redis_client.get("trading:enabled") == "false"
    assert not redis_client.exists("risk:limits")


def test_nobody_else_is_answered_and_no_group(
    bot: TelegramBot, telegram: TelegramServer, now: int, redis_client: "redis.Redis"
) -> None:
    telegram.send("/halt", now, user=STRANGER)
    telegram.send("/halt", now, user=ANNA, chat=-5)
    telegram.send("/status", now, user=STRANGER, chat=ANNA)
    telegram.put({"message": {"text": "/halt"}})
    telegram.put({})
    with structlog.testing.capture_logs() as logged:
        bot.answer_new(0)
    assert telegram.said == []
    assert redis_client.get("trading:enabled") == "true"
    assert [line["event"] for line in logged].count("telegram_not_listed") == 2


def test_what_is_old_is_not_acted_on(
    bot: TelegramBot, telegram: TelegramServer, now: int, redis_client: "redis.Redis"
) -> None:
    telegram.send("/halt", now - 3600)
    bot.answer_new(0)
    assert redis_client.get("trading:enabled") == "true"
    assert "send it again" in telegram.said[0][1]


def test_what_is_no_answer_stops_nothing_and_shows_no_token(bot: TelegramBot, telegram: TelegramServer) -> None:
    stopping = threading.Event()
    with structlog.testing.capture_logs() as logged:
        for odd in (b"", b"[]", b'{"ok": false}', b'{"ok": true, "result": [5, {}]}'):
            telegram.odd = odd
            running = threading.Thread(target=bot.run, args=(stopping,), daemon=True)
            stopping.clear()
            running.start()
            stopping.wait(0.2)
            stopping.set()
            running.join(10)
            assert not running.is_alive()
    assert TOKEN not in str(logged)


def test_each_command_says_what_there_is(
    tmp_path: Path, private_redis: PrivateRedis, telegram: TelegramServer, redis_client: "redis.Redis"
) -> None:
    program = console(tmp_path, private_redis, {})
    with program.engine() as engine:
        program.trade(engine, "signal-1")
    redis_client.hset("executor:alerts", "ledger_lag", "{}")
    redis_client.set("pnl:total", "-4.5")
    bot = make_bot(program, telegram, lambda _: None)
    now = int(redis_client.time()[0])
    for command in ("/status", "/pnl", "/alerts", "/orders", "/start"):
        telegram.send(command, now)
    bot.answer_new(0)
    status, pnl, alerts, orders, usage = (text for _, text in telegram.said)
    assert "10.00 at risk in 1 markets" in status
    assert "1 alert" in status
    assert pnl == "today +0.00, in all -4.50 (settled, net)"
    assert alerts == "ledger lag"
    assert orders == "no live orders", "paper fills at once"
    assert usage.startswith("/status /pnl /alerts /orders /halt")
    redis_client.set("trading:enabled", "false")
    redis_client.hset("risk:limits", "Bankroll", "much")
    telegram.send("/status", now)
    bot.answer_new(0)
    assert telegram.said[-1][1].startswith("trading is OFF")
    assert "Bankroll is not a number" in telegram.said[-1][1]
    assert MARKET not in status, "a glance"


def test_what_became_of_each_message_is_counted(
    tmp_path: Path, private_redis: PrivateRedis, telegram: TelegramServer, now: int
) -> None:
    counted: Counter[Became] = Counter()
    bot = make_bot(console(tmp_path, private_redis, {}), telegram, lambda became: counted.update([became]))
    telegram.send("/status", now)
    telegram.send("/status", now, user=STRANGER)
    telegram.send("/halt", now, user=STRANGER)
    telegram.send("/halt", now, chat=-5)
    telegram.send("/halt", now - 100)
    telegram.send(None, now)  # a picture
    telegram.put({"message": {"text": "/halt"}})
    bot.answer_new(0)
    assert counted == {Became.ANSWERED: 1, Became.NOT_LISTED: 3, Became.TOO_OLD: 1, Became.UNREADABLE: 2}
    assert len(telegram.said) == 2
    bot.answer_new(0)
    assert telegram.updates == [], "they are confirmed"


def test_a_refused_answer_costs_itself_and_a_halt_is_done_once(
    bot: TelegramBot, telegram: TelegramServer, now: int, redis_client: "redis.Redis"
) -> None:
    telegram.refuse = (403, "Forbidden: bot was blocked by the user")
    telegram.send("/halt", now)
    telegram.send("/status", now)
    with pytest.raises(TelegramRefused, match="sendMessage: 403 Forbidden"):
        bot.answer_new(0)
    assert redis_client.get("trading:enabled") == "false"
    redis_client.set("trading:enabled", "true")
    telegram.refuse = None
    bot.answer_new(0)
    assert redis_client.get("trading:enabled") == "true", "what was done is not done again"
    assert [text.partition("\n")[0] for _, text in telegram.said] == ["trading is on"]


def test_a_wrong_token_is_said_and_not_shown(
    tmp_path: Path, private_redis: PrivateRedis, telegram: TelegramServer, now: int
) -> None:
    del now
    access = Access(console(tmp_path, private_redis, {}).settings)
    bot = TelegramBot(telegram.url, "987654321:BBB-another-secret", {str(ANNA)}, Answers(access))
    stopping = threading.Event()
    with structlog.testing.capture_logs() as logged:
        running = threading.Thread(target=bot.run, args=(stopping,), daemon=True)
        running.start()
        wait(lambda: telegram.asked)
        stopping.set()
        running.join(20)
    assert logged[0]["error"] == "getUpdates: 401 Unauthorized"
    assert "another-secret" not in str(logged)


def test_the_notifier_answers_where_it_is_switched_on(
    tmp_path: Path, private_redis: PrivateRedis, telegram: TelegramServer, now: int
) -> None:
    environ = {
        "EXECUTOR_NOTIFY__TELEGRAM_TOKEN": TOKEN,
        "EXECUTOR_NOTIFY__TELEGRAM_USERS": str(ANNA),
        "EXECUTOR_NOTIFY__TELEGRAM_API": telegram.url,
        "EXECUTOR_METRICS__NOTIFY_PORT": str(port := free_port()),
        "EXECUTOR_LOGGING__LEVEL": "DEBUG",
        "EXECUTOR_LOGGING__FILE": "on",
    }
    telegram.send("/status", now, user=STRANGER)
    telegram.send("/status", now)
    running = console(tmp_path, private_redis, environ).start("notify")
    try:
        wait(lambda: telegram.said)
        page = requests.get(f"http://127.0.0.1:{port}/metrics", timeout=10).text
    finally:
        running.terminate()
        _, errors = running.communicate(timeout=30)
    assert telegram.said[0][1].startswith("trading is on")
    assert running.returncode == 0, errors
    assert "secret" not in errors
    assert 'aibetting_executor_telegram_messages_total{result="not_listed"} 1.0' in page
    assert 'aibetting_executor_telegram_messages_total{result="answered"} 1.0' in page
    logs = "".join(path.read_text() for path in (tmp_path / "data" / "logs").glob("*.log"))
    assert "telegram_asked" in logs
    assert "secret" not in logs
    alone = console(tmp_path, private_redis, {"EXECUTOR_NOTIFY__TELEGRAM_TOKEN": TOKEN}).run("status")
    assert (alone.code, "EXECUTOR_NOTIFY__TELEGRAM_USERS" in alone.err, TOKEN in alone.err) == (1, True, False)
