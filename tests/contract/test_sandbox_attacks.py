"""Some seconds of `make fuzz-sandbox`: hostile connections, damaged recordings; and clients that are just slow."""

import socket
import ssl
import time
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from fuzz_sandbox.__main__ import KINDS
from support.sandbox_client import RunningSandbox

pytest_plugins = ["support.sandbox_fixtures"]

SECONDS = 7


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.parametrize("kind", sorted(KINDS))
def test_nothing_comes_of_it(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = KINDS[kind](7, SECONDS, tmp_path)
    assert wrong == 0, capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_who_is_slow_is_cut_and_holds_up_nobody(sandbox: RunningSandbox) -> None:
    """A thousand connections without a handshake, one whose body comes byte by byte."""
    address = ("127.0.0.1", urlsplit(sandbox.api).port or 0)
    context = ssl.create_default_context(cafile=str(sandbox.paths.ca))
    with ExitStack() as held:
        body = held.enter_context(context.wrap_socket(socket.create_connection(address), server_hostname="localhost"))
        body.sendall(b"POST /sandbox/prices HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n")
        silent = [held.enter_context(socket.create_connection(address)) for _ in range(600)]
        started = time.monotonic()
        assert sandbox.call("listEventTypes", filter={}) == []
        assert time.monotonic() - started < 10
        for line in silent:
            line.settimeout(60)
            assert line.recv(1) == b""
        body.settimeout(60)
        while time.monotonic() - started < 60:
            try:
                body.sendall(b" ")
            except OSError:
                break  # cut
            time.sleep(0.5)  # its pace
        else:
            raise AssertionError("a body that never ends was waited for")
        assert sandbox.new_session().get(f"{sandbox.api}/sandbox").status_code == 200


@pytest.mark.slow
def test_connections_that_have_ended_keep_nobody_out(sandbox: RunningSandbox) -> None:
    """More than a port takes at once, one after the other: served, given up before a handshake, after one."""
    address = ("127.0.0.1", urlsplit(sandbox.api).port or 0)
    context = ssl.create_default_context(cafile=str(sandbox.paths.ca))
    for turn in range(1_100):
        line = socket.create_connection(address)
        if turn % 4:
            line = context.wrap_socket(line, server_hostname="localhost")
        if turn % 4 > 1:
            line.sendall(b"GET /sandbox HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert line.recv(15) == b"HTTP/1.1 200 OK"
        line.close()
    assert sandbox.new_session().get(f"{sandbox.api}/sandbox").status_code == 200


@pytest.mark.parametrize(
    "origin", ["https://elsewhere.example", "null", "http://localhost:1", "https://127.0.0.1.example"]
)
def test_a_page_of_another_site_changes_nothing(sandbox: RunningSandbox, origin: str) -> None:
    sandbox.market("1.5")
    for method, path in (
        ("POST", "void"),
        ("POST", "reset"),
        ("POST", "faults"),
        ("DELETE", "faults"),
        ("POST", "replay"),
    ):
        headers = {"Origin": origin, "Content-Type": "text/plain"}
        reply = sandbox.session.request(
            method, f"{sandbox.api}/sandbox/{path}", data='{"marketId":"1.5"}', headers=headers
        )
        assert reply.status_code == 403, path
        assert "Access-Control-Allow-Origin" not in reply.headers
    assert [row["status"] for row in sandbox.call("listMarketBook", marketIds=["1.5"])] == ["OPEN"]


@pytest.mark.parametrize(
    "path", ["../server.py", "..%2f..%2fserver.py", "%2e%2e/page.py", "/etc/passwd", "page.html%00.css", "static", ""]
)
def test_only_the_pages_own_files_are_served(sandbox: RunningSandbox, path: str) -> None:
    address = urlsplit(sandbox.api)
    context = ssl.create_default_context(cafile=str(sandbox.paths.ca))
    with (
        socket.create_connection(("127.0.0.1", address.port or 0)) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as line,  # as it is: clients tidy paths up
    ):
        line.sendall(f"GET /sandbox/static/{path} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
        assert b"HTTP/1.1 404" in line.recv(4_096)


def test_a_body_that_is_too_big_is_refused(sandbox: RunningSandbox) -> None:
    headers = {**sandbox.headers, "Expect": ""}
    with sandbox.new_session() as session, pytest.raises(OSError, match=r"."):
        session.post(sandbox.url(""), data=b" " * 5_000_000, headers=headers).raise_for_status()
    assert sandbox.call("listEventTypes", filter={}) == []
