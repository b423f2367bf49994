"""Every example of docs/publishing.md, run as it is written: what it publishes is a signal that the intake takes."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, cast

import pytest
import redis
from support.sandbox_client import wait_for

from executor import keys
from executor.adapters.signatures import JwsSignatures
from executor.devstack.redis_server import PrivateRedis, find_redis_server, free_port
from executor.domain.signal import Signal, SignalKind, parse_signal
from executor.settings.load import load_settings

PAGE: Final = (Path(__file__).parents[2] / "docs" / "publishing.md").read_text(encoding="utf-8")
BLOCKS: Final = dict(re.findall(r"^```\w+ ([\w-]+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))
RUN: Final = {
    "durable": (sys.executable, "example.py"),
    "redis-cli": ("bash", "example.sh"),
    "socket": ("bash", "example.sh"),
    "node": ("node", "example.js"),
    "java": ("java", "Publish.java"),
    "signed": (sys.executable, "example.py"),
    "signed-node": ("node", "example.js"),
}
_PATIENCE_S: Final = 60


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateRedis]:
    with PrivateRedis(tmp_path_factory.mktemp("redis"), append_only=False) as server:
        yield server


@pytest.fixture
def client(server: PrivateRedis) -> Iterator["redis.Redis"]:
    with redis.Redis.from_url(server.url(), decode_responses=True) as client:
        client.flushall()
        yield client


def start(name: str, folder: Path, server: PrivateRedis) -> "subprocess.Popen[str]":
    """Start an example; its port is the server's."""
    program, file = RUN.get(name, (sys.executable, "example.py"))
    if name == "redis-cli" and shutil.which(program) and not shutil.which("redis-cli"):
        beside = next((find_redis_server().parent / program for program in ("redis-cli", "valkey-cli")), None)
        if beside is None or not beside.exists():
            pytest.skip("redis-cli is not installed")
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    (folder / file).write_text(BLOCKS[name].replace("6379", str(server.port)))
    return subprocess.Popen([program, file], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def run(name: str, folder: Path, server: PrivateRedis) -> str:
    process = start(name, folder, server)
    said, _ = process.communicate(timeout=_PATIENCE_S)
    assert process.returncode == 0, said
    return said


def added(client: "redis.Redis") -> tuple[str, str, str]:
    """Return the one entry of the durable door: id, kind, payload."""
    ((entry, fields),) = cast("list[tuple[str, dict[str, Any]]]", client.xrange(keys.SIGNALS))
    return entry, fields["kind"], fields["payload"]


@pytest.mark.parametrize("name", ["durable", "redis-cli", "socket", "node", "java"])
def test_an_example_adds_a_good_signal(name: str, tmp_path: Path, server: PrivateRedis, client: "redis.Redis") -> None:
    said = run(name, tmp_path, server)
    entry, kind, payload = added(client)
    assert entry in said
    assert isinstance(parse_signal(SignalKind(kind), payload.encode()), Signal)


@pytest.mark.parametrize("name", ["signed", "signed-node"])
def test_a_signed_example_is_taken_with_the_key_of_the_example(
    name: str, tmp_path: Path, server: PrivateRedis, client: "redis.Redis"
) -> None:
    run("keys", tmp_path, server)
    run(name, tmp_path, server)
    _, kind, payload = added(client)
    opened = JwsSignatures(tmp_path / "keys.json", lambda: 0.0, required=True).open(payload.encode(), 0)
    assert (opened.key_id, opened.strategies) == ("publisher-1", frozenset({"Example"}))
    signal = parse_signal(SignalKind(kind), opened.payload)
    assert signal.sent_at is not None
    assert signal.strategy == "Example"


def test_the_publisher_of_pubsub_notices_that_nobody_listens(
    tmp_path: Path, server: PrivateRedis, client: "redis.Redis"
) -> None:
    process = start("pubsub", tmp_path, server)
    published = "cmdstat_publish"
    wait_for(lambda: client.info("commandstats").get(published, {}).get("calls", 0) >= 2, _PATIENCE_S)
    assert process.poll() is None
    with client.pubsub() as heard:  # type: ignore[no-untyped-call]
        heard.subscribe(keys.STRATEGY_SIGNALS)
        said, _ = process.communicate(timeout=_PATIENCE_S)
        assert (process.returncode, said) == (0, "heard\n")
        messages = [heard.get_message(timeout=5) for _ in range(2)]
    assert parse_signal(SignalKind.STRATEGY, messages[1]["data"].encode()).signal_id == "python-2"


def test_a_signal_is_handed_in_over_http(tmp_path: Path, server: PrivateRedis, client: "redis.Redis") -> None:
    port = free_port()
    environment = {
        "PATH": os.environ["PATH"],
        "EXECUTOR_REDIS__URL": server.url(),
        "EXECUTOR_DATA_DIR": str(tmp_path / "data"),
        "EXECUTOR_CONSOLE__PORT": str(port),
    }
    program = [sys.executable, "-c", "from executor.cli.main import run; run()"]
    made = subprocess.run(
        [*program, "token", "add", "docs", "--role", "publisher"],
        env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=_PATIENCE_S, check=True,
    )  # fmt: skip
    token = max(made.stdout.split(), key=len)
    (tmp_path / "example.sh").write_text(BLOCKS["curl"].replace("8080", str(port)))
    console = subprocess.Popen(
        [*program, "console"], env=environment, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:

        def handed_in() -> str:
            done = subprocess.run(
                ["bash", "example.sh"], cwd=tmp_path, env={**environment, "TOKEN": token},
                capture_output=True, text=True, timeout=_PATIENCE_S, check=False,
            )  # fmt: skip
            return done.stdout

        said = wait_for(handed_in, _PATIENCE_S)
        assert json.loads(said)["signal_id"] == "curl-1", said
        assert client.exists(keys.signal("curl-1"))
    finally:
        console.terminate()
        console.wait(_PATIENCE_S)


def test_every_example_is_run_here() -> None:
    assert set(BLOCKS) == {*RUN, "keys", "pubsub", "curl"}


def test_the_appsettings_shown_are_settings(tmp_path: Path) -> None:
    shown = re.search(r'^```json\n(\{\n  "Executor".*?)^```$', PAGE, re.MULTILINE | re.DOTALL)
    assert shown is not None
    (tmp_path / "appsettings.json").write_text(shown[1])
    settings = load_settings({}, tmp_path)
    assert settings.ignored == ()
    assert settings.betfair.username == "you"
