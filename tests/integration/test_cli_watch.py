"""`--watch`: the same again until Ctrl+C; in place on a terminal, one after the other elsewhere."""

import json
import os
import pty
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis
from support.cli_rig import PATH, PROGRAM, Console, console

from executor import keys
from executor.devstack.redis_server import PrivateRedis

ENTER, LEAVE = b"\x1b[?1049h", b"\x1b[?1049l"  # xterm: the alternate screen


@pytest.fixture
def paper(tmp_path: Path, private_redis: PrivateRedis, redis_client: "redis.Redis") -> Console:
    del redis_client  # empties the db
    return console(tmp_path, private_redis, {})


@contextmanager
def watching(paper: Console, *words: str) -> Iterator["subprocess.Popen[str]"]:
    """Start a command; in the end Ctrl+C must end it well."""
    with paper.start(*words) as process:
        try:
            yield process
            process.send_signal(signal.SIGINT)
            assert process.wait(30) == 0
        finally:
            process.kill()


def read_until(process: "subprocess.Popen[str]", pattern: str) -> str:
    assert process.stdout is not None
    for line in process.stdout:
        if re.search(pattern, line):
            return line
    raise AssertionError(f"it ended without saying {pattern!r}")


def test_status_is_shown_again_until_ctrl_c(paper: Console, redis_client: "redis.Redis") -> None:
    with paper.engine(), watching(paper, "status", "--watch") as process:
        read_until(process, r"^trading +on *$")
        redis_client.set(keys.TRADING_ENABLED, "false")
        redis_client.hset(keys.ALERTS, "bridge_dead", "{}")
        read_until(process, "^trading +OFF: switched off by a person")
        read_until(process, "^alerts +bridge_dead *$")


def test_orders_are_watched_as_json_too(paper: Console) -> None:
    with paper.engine() as engine, watching(paper, "orders", "--watch", "--json") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "[]\n"
        order_id = paper.trade(engine, "signal-1")
        lines = [read_until(process, r"^\[$")]
        while lines[-1] != "]\n":
            lines.append(process.stdout.readline())
        assert [order["order_id"] for order in json.loads("".join(lines))] == [order_id]


def test_a_redis_that_is_away_does_not_end_it(tmp_path: Path) -> None:
    with PrivateRedis(tmp_path / "redis") as own, watching(console(tmp_path, own, {}), "status", "--watch") as process:
        assert process.stderr is not None
        read_until(process, "^mode")
        own.kill()
        assert "Redis" in process.stderr.readline()
        own.start()
        read_until(process, "^as of")


class Terminal:
    """`orders --watch` on a terminal of so many lines; `shown` is all that it got."""

    def __init__(self, paper: Console, lines: int) -> None:
        self._ours, theirs = pty.openpty()
        self._process = subprocess.Popen(
            [PROGRAM, "orders", "--watch"],
            cwd=paper.folder,
            env={**PATH, **paper.environ, "TERM": "xterm-256color", "COLUMNS": "80", "LINES": str(lines)},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
        )
        os.close(theirs)
        self.shown = b""

    def until(self, words: bytes, times: int = 1) -> None:
        while self.shown.count(words) < times:
            self.shown += os.read(self._ours, 4096)

    def end(self) -> int:
        self._process.send_signal(signal.SIGINT)
        self.until(LEAVE)
        code = self._process.wait(30)
        os.close(self._ours)
        return code


def test_a_terminal_gets_its_screen_back(paper: Console) -> None:
    terminal = Terminal(paper, 24)
    with paper.engine() as engine:
        terminal.until(b"no orders", times=2)  # the second one is another look
        order_id = paper.trade(engine, "signal-1")
        terminal.until(order_id.encode())
    assert terminal.end() == 0
    shown = terminal.shown
    assert shown.index(ENTER) < shown.index(b"no orders") < shown.index(LEAVE)
    assert b"Traceback" not in shown


def test_a_low_terminal_says_that_there_is_more(paper: Console) -> None:
    with paper.engine() as engine:
        for number in range(3):
            paper.trade(engine, f"signal-{number}")
    terminal = Terminal(paper, 8)
    terminal.until(b"taller window")
    assert terminal.end() == 0
    assert b"... 8 lines more" in terminal.shown  # a title, two lines of a head, four a bet, in 7 lines
