"""A local server that speaks Telegram's Bot API, as far as the bot needs it: getUpdates and sendMessage.

Updates that were confirmed by a higher offset are gone; a wrong token is answered 401, as Telegram does. Loopback only.
"""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

TOKEN: Final = "123456789:AAH-secret-secret-secret"
ANNA: Final = 77


class TelegramServer:
    """What Telegram would hold: messages to the bot, and what it said."""

    def __init__(self) -> None:
        self.updates: list[dict[str, Any]] = []
        self.said: list[tuple[str, str]] = []
        self.odd: bytes | None = None  # answered to everything
        self.refuse: tuple[int, str] | None = None  # to sendMessage
        self.url = ""
        self.asked = 0
        self._last = 0

    def send(self, text: str | None, at: int, user: int = ANNA, chat: int | None = None) -> None:
        """Write to the bot: in a private chat, unless another one is given."""
        where = user if chat is None else chat
        kind = "private" if where > 0 else "supergroup"
        message = {
            "message_id": len(self.updates) + 1,
            "from": {"id": user, "is_bot": False, "first_name": "A", "language_code": "en"},
            "chat": {"id": where, "type": kind},
            "date": at,
        }
        self.put({"message": message | ({} if text is None else {"text": text})})

    def put(self, update: dict[str, Any]) -> None:
        """Have an update waiting."""
        self._last += 1
        self.updates.append({"update_id": self._last, **update})

    def answer(self, path: str, body: dict[str, Any]) -> tuple[int, bytes]:
        """Answer a call."""
        self.asked += 1
        if not path.startswith(f"/bot{TOKEN}/"):
            return 401, _refusal(401, "Unauthorized")
        if self.odd is not None:
            return 200, self.odd
        if path.endswith("/getUpdates"):
            return 200, json.dumps({"ok": True, "result": self._updates(body)}).encode()
        if self.refuse is not None:
            return self.refuse[0], _refusal(*self.refuse)
        self.said.append((str(body["chat_id"]), body["text"]))
        return 200, json.dumps({"ok": True, "result": {"message_id": 1, "text": body["text"]}}).encode()

    def _updates(self, body: dict[str, Any]) -> list[dict[str, Any]]:
        deadline = time.monotonic() + min(body.get("timeout", 0), 1)
        while True:
            self.updates = [update for update in self.updates if update["update_id"] >= body["offset"]]
            if self.updates or time.monotonic() > deadline:
                return self.updates[:100]
            time.sleep(0.02)


def _refusal(code: int, description: str) -> bytes:
    return json.dumps({"ok": False, "error_code": code, "description": description}).encode()


@contextmanager
def telegram_server() -> Iterator[TelegramServer]:
    """Run one."""
    held = TelegramServer()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status, answer = held.answer(self.path, body)
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    held.url = f"http://127.0.0.1:{server.server_port}"
    serving = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    serving.start()
    try:
        yield held
    finally:
        server.shutdown()
        server.server_close()
        serving.join(5)
