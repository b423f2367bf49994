"""What every request passes first, whatever it is for: plain ASGI, around everything else.

Invariants: only hosts that are ours are answered (no rebinding); nothing that changes something comes from another
origin, unless it carries a token, which no browser adds by itself; no websocket; no body above its bound is read; every
answer forbids what a page of ours does not need. What is refused is counted.
"""

import json
import secrets
from collections.abc import Callable, Iterable
from typing import Any, Final

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_BODY: Final = 64 * 1024
_TOO_LARGE: Final = f"more than {MAX_BODY} bytes"
_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; font-src 'self'; "
    "manifest-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS: Final = (
    (b"content-security-policy", _POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), microphone=(), geolocation=(), payment=()"),
)
_HSTS: Final = (b"strict-transport-security", b"max-age=31536000")


class TooLarge(HTTPException):
    """The body is larger than anything that is asked for; a chunked one shows it only while it is read."""

    def __init__(self) -> None:
        super().__init__(413, _TOO_LARGE)


class Guard:
    """Wraps the application; `hosts` are the names under which it may be asked for, without a port."""

    def __init__(self, app: ASGIApp, hosts: Iterable[str], *, secure: bool, refused: Callable[[str], None]) -> None:
        self._app = app
        self._hosts = frozenset(host.lower() for host in hosts)
        self._secure = secure
        self._refused = refused

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] == "websocket":
            self._refused("websocket")
            await receive()
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope["request_id"] = secrets.token_hex(8)
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        answer = self._answer(scope, send)
        if (reason := self._refusal(scope, headers)) is not None:
            self._refused(reason[0])
            await _refuse(answer, *reason, request_id=scope["request_id"])
            return
        await self._app(scope, self._bounded(receive), answer)

    def _refusal(self, scope: Scope, headers: dict[str, str]) -> tuple[str, int, str] | None:
        if _host(headers.get("host", "")) not in self._hosts:
            return "host", 421, "this name is not ours: EXECUTOR_CONSOLE__ALLOWED_HOSTS"
        length = headers.get("content-length", "0")
        if not (length.isascii() and length.isdigit()) or len(length) > 18 or int(length) > MAX_BODY:  # noqa: PLR2004 - digits of any length
            return "body", 413, _TOO_LARGE
        if scope["method"] not in _SAFE and not _bearer(headers) and not self._same_origin(headers):
            return "origin", 403, "a change must come from a page of ours, or with a token"
        return None

    def _same_origin(self, headers: dict[str, str]) -> bool:
        site = headers.get("sec-fetch-site")
        if site is not None:
            return site == "same-origin"
        scheme = "https" if self._secure else "http"
        return headers.get("origin", "").lower() == f"{scheme}://{headers.get('host', '').lower()}"

    def _bounded(self, receive: Receive) -> Receive:
        read = 0

        async def bounded() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > MAX_BODY:
                self._refused("body")
                raise TooLarge
            return message

        return bounded

    def _answer(self, scope: Scope, send: Send) -> Send:
        static = scope["path"].startswith("/static/")
        caching = (b"cache-control", b"no-cache" if static else b"no-store")
        more = [*_HEADERS, caching, (b"x-request-id", scope["request_id"].encode())]
        if self._secure:
            more.append(_HSTS)

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                names = {name for name, _ in more}
                kept = [pair for pair in message.get("headers", ()) if pair[0].lower() not in names]
                message = {**message, "headers": [*kept, *more]}
            await send(message)

        return answer


def _bearer(headers: dict[str, str]) -> bool:
    return headers.get("authorization", "").lower().startswith("bearer ")


def _host(text: str) -> str:
    """Return a Host header's name without its port."""
    if text.startswith("["):
        return text.partition("]")[0].removeprefix("[").lower()
    return text.partition(":")[0].lower()


async def _refuse(send: Send, code: str, status: int, detail: str, *, request_id: str) -> None:
    body: dict[str, Any] = {"type": "about:blank", "title": "Refused", "status": status, "detail": detail}
    text = json.dumps({**body, "code": f"refused_{code}", "request_id": request_id, "errors": []}).encode()
    headers = [(b"content-type", b"application/problem+json"), (b"content-length", str(len(text)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": text})
