"""What every request passes first."""

import asyncio
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from executor.console.guard import MAX_BODY, Guard

HOST = {"host": "localhost:8080"}
OWN = {"sec-fetch-site": "same-origin"}


async def _hello(scope: Scope, receive: Receive, send: Send) -> None:
    del scope
    while (await receive()).get("more_body"):
        pass
    headers = [(b"content-type", b"text/plain"), (b"cache-control", b"public")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"hello"})


def ask(
    headers: dict[str, str], method: str = "GET", path: str = "/", **more: Any
) -> tuple[int, dict[str, str], list[str]]:
    refused: list[str] = []
    guard = Guard(_hello, {"localhost", "::1"}, secure=more.pop("secure", False), refused=refused.append)
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "method": method, "path": path, "headers": raw, **more}
    asyncio.run(guard(scope, receive, send))
    found = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], found, refused


@pytest.mark.parametrize(
    ("method", "headers", "status", "reason"),
    [
        ("GET", HOST, 200, ""),
        ("GET", {"host": "[::1]:8080"}, 200, ""),
        ("GET", {"host": "LOCALHOST"}, 200, ""),
        ("GET", {"host": "evil.example"}, 421, "host"),
        ("GET", {"host": "localhost.evil.example:8080"}, 421, "host"),
        ("GET", {}, 421, "host"),
        ("POST", HOST, 403, "origin"),
        ("POST", {**HOST, **OWN}, 200, ""),
        ("POST", {**HOST, "sec-fetch-site": "same-site"}, 403, "origin"),
        ("POST", {**HOST, "sec-fetch-site": "cross-site"}, 403, "origin"),
        ("POST", {**HOST, "sec-fetch-site": "none"}, 403, "origin"),
        ("POST", {**HOST, "sec-fetch-site": "cross-site", "origin": "http://localhost:8080"}, 403, "origin"),
        ("POST", {**HOST, "origin": "http://localhost:8080"}, 200, ""),
        ("POST", {**HOST, "origin": "http://localhost:3000"}, 403, "origin"),
        ("POST", {**HOST, "origin": "https://localhost:8080"}, 403, "origin"),
        ("POST", {**HOST, "origin": "null"}, 403, "origin"),
        ("DELETE", {**HOST, "origin": "http://evil.example"}, 403, "origin"),
        ("POST", {**HOST, "authorization": "Bearer exe_x"}, 200, ""),
        ("POST", {**HOST, "authorization": "Basic YTpi"}, 403, "origin"),
        ("POST", {**HOST, **OWN, "content-length": str(MAX_BODY + 1)}, 413, "body"),
        ("POST", {**HOST, **OWN, "content-length": "9" * 30}, 413, "body"),
        ("POST", {**HOST, **OWN, "content-length": "-1"}, 413, "body"),
        ("POST", {**HOST, **OWN, "content-length": "\u00b2"}, 413, "body"),
    ],
)
def test_who_passes(method: str, headers: dict[str, str], status: int, reason: str) -> None:
    found, _, refused = ask(headers, method)
    assert (found, refused) == (status, [reason] if reason else [])


def test_every_answer_forbids_what_no_page_needs() -> None:
    for headers in (HOST, {"host": "evil.example"}):
        _, found, _ = ask(headers)
        assert "default-src 'none'" in found["content-security-policy"]
        assert "unsafe" not in found["content-security-policy"]
        assert found["x-content-type-options"] == "nosniff"
        assert found["cache-control"] == "no-store"
        assert found["referrer-policy"] == "no-referrer"
    _, found, _ = ask(HOST, path="/static/console.js")
    assert found["cache-control"] == "no-cache"
    _, found, _ = ask(HOST, secure=True)
    assert "strict-transport-security" in found


def test_a_websocket_is_closed() -> None:
    refused: list[str] = []
    sent: list[Message] = []
    guard = Guard(_hello, {"localhost"}, secure=False, refused=refused.append)

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    async def send(message: Message) -> None:
        sent.append(message)

    asyncio.run(guard({"type": "websocket", "path": "/", "headers": []}, receive, send))
    assert sent == [{"type": "websocket.close", "code": 1008}]
    assert refused == ["websocket"]
