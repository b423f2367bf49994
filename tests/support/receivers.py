"""What receives notifications in tests: a real HTTP server and a real SMTP server, on loopback.

Each keeps what it took. `away` answers as a service that is down does, `moved` as one that is elsewhere now;
`hold` takes the message and never answers.
"""

import email
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from executor.devstack.redis_server import free_port


@dataclass
class HttpReceiver:
    """A webhook; `took` are the bodies."""

    port: int
    took: list[dict[str, Any]] = field(default_factory=list)
    away: bool = False
    moved: bool = False
    hold: threading.Event | None = None
    tried: int = 0

    @property
    def url(self) -> str:
        return f"json://127.0.0.1:{self.port}/hook"

    @property
    def text(self) -> str:
        return "\n".join(f"{body['title']}\n{body['message']}" for body in self.took)


@contextmanager
def http_receiver() -> Iterator[HttpReceiver]:
    """Run a webhook."""
    receiver = HttpReceiver(0)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            receiver.tried += 1
            if not (receiver.away or receiver.moved):
                receiver.took.append(json.loads(body))
            if receiver.hold is not None:
                receiver.hold.wait(60)
            self.send_response(503 if receiver.away else 302 if receiver.moved else 200)
            if receiver.moved:
                self.send_header("Location", "/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def do_GET(self) -> None:
            """Be the page that is found where a redirect leads."""
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    receiver.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        if receiver.hold is not None:
            receiver.hold.set()
        server.shutdown()
        server.server_close()
        thread.join()


@dataclass
class SmtpReceiver:
    """A mail server; `took` are the messages."""

    port: int
    took: list[Message] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"mailto://127.0.0.1:{self.port}/?from=executor@example.org&to=me@example.org&mode=insecure"

    @property
    def text(self) -> str:
        parts = [part for mail in self.took for part in mail.walk() if part.get_content_type() == "text/plain"]
        return "\n".join(bytes(part.get_payload(decode=True)).decode() for part in parts)

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        del server, session
        assert envelope.content is not None
        content = envelope.content
        self.took.append(email.message_from_bytes(content if isinstance(content, bytes) else content.encode()))
        return "250 OK"


@contextmanager
def smtp_receiver() -> Iterator[SmtpReceiver]:
    """Run a mail server."""
    receiver = SmtpReceiver(free_port())
    controller = Controller(receiver, hostname="127.0.0.1", port=receiver.port)
    controller.start()
    try:
        yield receiver
    finally:
        controller.stop()
