"""The Telegram bot against a local server that speaks its API: whom it answers, with what, and what it never does."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import redis
import structlog
from support.cli_rig import console
from support.process_rig import wait

from executor.devstack.redis_server import PrivateRedis
from executor.operations.access import Access
from executor.telegram import Answers, TelegramBot

TOKEN = "123456789:AAH-secret-secret-secret"
ANNA, STRANGER = 77, 99


class Server:
    """What Telegram would hold: messages to the bot, and what it said."""

    def __init__(self) -> None:
        self.updates: list[dict[str, Any]] = []
        self.said: list[tuple[str, str]] = []
        self.odd: bytes | None = None
        self.url = ""

    def send(self, text: str, at: int, user: int = ANNA, chat: int | None = None) -> None:
        message = {"from": {"id": user}, "chat": {"id": user if chat is None else chat}, "text": text, "date": at}
        self.updates.append({"update_id": len(self.updates) + 1, "message": message})

    def answer(self, path: str, body: dict[str, Any]) -> bytes:
        assert path.startswith(f"/bot{TOKEN}/")
        if self.odd is not None:
            return self.odd
        if path.endswith("/getUpdates"):
            new = [update for update in self.updates if update["update_id"] >= body["offset"]]
            return json.dumps({"ok": True, "result": new}).encode()
        self.said.append((body["chat_id"], body["text"]))
        return json.dumps({"ok": True, "result": {}}).encode()


@pytest.fixture
def telegram() -> Iterator[Server]:
    held = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            answer = held.answer(self.path, body)
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    held.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield held
    server.shutdown()
    server.server_close()


@pytest.fixture
def now(redis_client: "redis.Redis") -> int:
    redis_client.set("executor:identity", "paper")
    redis_client.set("trading:enabled", "true")
    return int(redis_client.time()[0])


@pytest.fixture
def bot(tmp_path: Path, private_redis: PrivateRedis, telegram: Server) -> TelegramBot:
    access = Access(console(tmp_path, private_redis, {}).settings)
    return TelegramBot(telegram.url, TOKEN, {str(ANNA)}, Answers(access))


def newest(client: "redis.Redis", stream: str) -> dict[str, str]:
    info: Any = client.xinfo_stream(stream)
    return dict(info["last-entry"][1])


def test_a_listed_user_is_answered_and_can_halt(
    bot: TelegramBot, telegram: Server, now: int, redis_client: "redis.Redis"
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
    bot: TelegramBot, telegram: Server, now: int, redis_client: "redis.Redis", command: str
) -> None:
    redis_client.set("trading:enabled", "false")
    telegram.send(command, now)
    bot.answer_new(0)
    assert redis_client.get("trading:enabled") == "false"
    assert not redis_client.exists("risk:limits")


def test_nobody_else_is_answered_and_no_group(
    bot: TelegramBot, telegram: Server, now: int, redis_client: "redis.Redis"
) -> None:
    telegram.send("/halt", now, user=STRANGER)
    telegram.send("/halt", now, user=ANNA, chat=-5)
    telegram.send("/status", now, user=STRANGER, chat=ANNA)
    telegram.updates.append({"update_id": 4, "message": {"text": "/halt"}})
    telegram.updates.append({"update_id": 5})
    with structlog.testing.capture_logs() as logged:
        bot.answer_new(0)
    assert telegram.said == []
    assert redis_client.get("trading:enabled") == "true"
    assert [line["event"] for line in logged].count("telegram_not_listed") == 2


def test_what_is_old_is_not_acted_on(bot: TelegramBot, telegram: Server, now: int, redis_client: "redis.Redis") -> None:
    telegram.send("/halt", now - 3600)
    bot.answer_new(0)
    assert redis_client.get("trading:enabled") == "true"
    assert "send it again" in telegram.said[0][1]


def test_what_is_no_answer_stops_nothing_and_shows_no_token(bot: TelegramBot, telegram: Server) -> None:
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


def test_the_notifier_answers_where_it_is_switched_on(
    tmp_path: Path, private_redis: PrivateRedis, telegram: Server, now: int
) -> None:
    environ = {
        "EXECUTOR_NOTIFY__TELEGRAM_TOKEN": TOKEN,
        "EXECUTOR_NOTIFY__TELEGRAM_USERS": str(ANNA),
        "EXECUTOR_NOTIFY__TELEGRAM_API": telegram.url,
        "EXECUTOR_METRICS__NOTIFY_PORT": "0",
    }
    telegram.send("/status", now)
    running = console(tmp_path, private_redis, environ).start("notify")
    try:
        wait(lambda: telegram.said)
    finally:
        running.terminate()
        _, errors = running.communicate(timeout=30)
    assert telegram.said[0][1].startswith("trading is on")
    assert running.returncode == 0, errors
    assert "secret" not in errors
    alone = console(tmp_path, private_redis, {"EXECUTOR_NOTIFY__TELEGRAM_TOKEN": TOKEN}).run("status")
    assert (alone.code, "EXECUTOR_NOTIFY__TELEGRAM_USERS" in alone.err, TOKEN in alone.err) == (1, True, False)
