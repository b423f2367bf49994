"""One session for all processes: the login under a race, after a fork, and its store, in memory and in Redis."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from support.exchange_rig import (
    ANY_TIME,
    MemoryTelemetry,
    MemoryTokenStore,
    ScriptedServer,
    caught,
    live,
    make_instruction,
    run_together,
    sandbox_settings,
)
from support.sandbox_client import RunningSandbox, wait_for
from support.store_worlds import RETENTION

from betfair_sandbox.options import sandbox_env
from executor.adapters.betfair.exchange import BetfairExchange
from executor.adapters.redis.session import RedisTokenStore
from executor.adapters.redis.store import RedisStore
from executor.devstack.redis_server import PrivateRedis, free_port
from executor.errors import NotSent, StoreUnavailable
from executor.ports.token_store import LoginBan, TokenStore

pytest_plugins = ["support.exchange_fixtures", "support.sandbox_fixtures"]
ROOT = Path(__file__).parents[2]
READER = """
import sys
from pathlib import Path
import redis
from executor.adapters.betfair.exchange import BetfairExchange
from executor.adapters.redis.session import RedisTokenStore
from executor.settings.load import load_settings
class Telemetry:
    def api_call(self, method, seconds, error_type):
        pass
settings = load_settings(folder=Path("/nonexistent"))
tokens = RedisTokenStore(redis.Redis.from_url(sys.argv[1], decode_responses=True), settings.identity)
exchange = BetfairExchange(settings.betfair, tokens, Telemetry())
exchange.funds()
if sys.argv[2] == "fork":
    import os
    child = os.fork()
    exchange.funds()
    if child:
        assert os.waitpid(child, 0)[1] == 0
        exchange.funds()
exchange.close()
"""


def reader(sandbox: RunningSandbox, server: PrivateRedis, what: str = "") -> "subprocess.Popen[bytes]":
    env = sandbox_env(sandbox.directory) | {"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}", "PATH": "/usr/bin:/bin"}
    return subprocess.Popen([sys.executable, "-W", "error", "-c", READER, server.url(), what], env=env)


def test_everybody_logs_in_once(
    sandbox: RunningSandbox, session_redis: PrivateRedis, session_client: redis.Redis
) -> None:
    before = len(sandbox.journal("certlogin"))
    processes = [reader(sandbox, session_redis) for _ in range(2)]
    exchange = live(sandbox, RedisTokenStore(session_client, sandbox_settings(sandbox).identity))

    def read() -> None:
        exchange.funds()
        exchange.close()

    run_together(*[read] * 6)
    assert [process.wait(20) for process in processes] == [0, 0]
    assert len(sandbox.journal("certlogin")) == before + 1
    # All of them find the session dead at once: one login more.
    sandbox.control("faults", method="getAccountFunds", kind="expire_session", count=1)
    run_together(*[read] * 6)
    assert len(sandbox.journal("certlogin")) == before + 2


def test_a_fork_gets_connections_of_its_own(
    sandbox: RunningSandbox, session_redis: PrivateRedis, session_client: redis.Redis
) -> None:
    assert session_client.dbsize() == 0
    assert reader(sandbox, session_redis, "fork").wait(20) == 0
    assert [entry["status"] for entry in sandbox.journal("getAccountFunds")] == ["SUCCESS"] * 4


# --- the token store: the fake and the real one ----------------------------------------------------------------------


@pytest.fixture(params=["memory", "redis"])
def tokens(request: pytest.FixtureRequest, session_client: redis.Redis) -> TokenStore:
    return MemoryTokenStore() if request.param == "memory" else RedisTokenStore(session_client, "live someone")


def test_token_is_kept_and_forgotten_by_name(tokens: TokenStore) -> None:
    assert tokens.get() is None
    tokens.put("first", 7)
    tokens.put("second", 8)
    tokens.touch()
    tokens.forget("first")
    assert tokens.get() == ("second", 8)
    tokens.forget("second")
    tokens.forget("second")
    assert tokens.get() is None


def test_one_login_at_a_time(tokens: TokenStore) -> None:
    held, go_on = threading.Event(), threading.Event()

    def log_in() -> None:
        with tokens.login_lock(5) as acquired:
            assert acquired
            held.set()
            go_on.wait(5)

    thread = threading.Thread(target=log_in)
    thread.start()
    assert held.wait(5)
    with tokens.login_lock(0.1) as acquired:
        assert not acquired
    go_on.set()
    with tokens.login_lock(5) as acquired:
        assert acquired
    thread.join()


def test_readers_share_three_places(tokens: TokenStore) -> None:
    with ExitStack() as inside:
        assert all(inside.enter_context(tokens.read_slot(3, 1)) for _ in range(3))
        with tokens.read_slot(3, 0.1) as acquired:
            assert not acquired
    with tokens.read_slot(3, 0.1) as acquired:
        assert acquired


_READER = """
import sys, time
import redis
from executor.adapters.redis.session import RedisTokenStore
tokens = RedisTokenStore(redis.Redis.from_url(sys.argv[1], decode_responses=True), "live someone", lease_ms=600)
with tokens.read_slot(3, 30) as acquired:
    print(acquired, flush=True)
    time.sleep(60)
"""


def test_readers_killed_in_mid_read_keep_others_out_for_their_lease_only(session_client: redis.Redis) -> None:
    """Two API time-outs, a minute, would outlast `executor:reconciled`."""
    url = "redis://{host}:{port}/{db}".format(**session_client.connection_pool.connection_kwargs)
    command = [sys.executable, "-c", _READER, url]
    readers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    try:
        assert [reader.stdout and reader.stdout.readline().strip() for reader in readers] == ["True"] * 3
        tokens = RedisTokenStore(session_client, "live someone", lease_ms=600)
        with tokens.read_slot(3, 1.5) as acquired:
            assert not acquired, "three who read renew their places"
    finally:
        for reader in readers:
            reader.kill()
            reader.wait(10)
            assert reader.stdout
            reader.stdout.close()
    began = time.monotonic()
    with tokens.read_slot(3, 30) as acquired:
        assert acquired
    assert time.monotonic() - began < 10


def test_two_processes_never_read_orders_more_than_three_at_a_time(
    sandbox: RunningSandbox, session_client: redis.Redis
) -> None:
    """The sandbox refuses a fourth one, as Betfair does."""
    clients = [live(sandbox, RedisTokenStore(session_client, "live someone")) for _ in range(2)]
    clients[0].prepare()
    sandbox.control("faults", method="listCurrentOrders", kind="delay", seconds=0.1, count=8)

    def read(exchange: BetfairExchange) -> None:
        exchange.current_orders()
        exchange.close()

    run_together(*[partial(read, each) for each in clients * 4])
    assert [entry["status"] for entry in sandbox.journal("listCurrentOrders")] == ["SUCCESS"] * 8


def test_ban_ends_by_itself(tokens: TokenStore) -> None:
    assert tokens.ban() is None
    ban = LoginBan("CODE", tokens.now() + 60_000)
    tokens.put_ban(ban)
    assert tokens.ban() == ban
    tokens.put_ban(LoginBan("CODE", tokens.now() - 1))
    wait_for(lambda: tokens.ban() is None)


@pytest.mark.parametrize("until", ["1e400", "99999999999999999999", "[]", "4102444800000"])
def test_a_ban_that_none_of_ours_can_be_forbids_nothing(session_client: redis.Redis, until: str) -> None:
    tokens = RedisTokenStore(session_client, "live someone")
    session_client.set("executor:login_ban:live someone", f'{{"code": "X", "until": {until}}}')
    assert tokens.ban() is None


def test_a_readers_place_that_no_reader_can_have_is_free(session_client: redis.Redis) -> None:
    """Of before the clock was set back, or of nobody: three of them would stop every poll."""
    tokens = RedisTokenStore(session_client, "live someone")
    ahead = tokens.now() + 3_600_000
    session_client.zadd("executor:reads:live someone", {"a": ahead, "b": ahead, "c": float("inf")})
    with ExitStack() as inside:
        assert all(inside.enter_context(tokens.read_slot(3, 1)) for _ in range(3))
        with tokens.read_slot(3, 0.1) as acquired:
            assert not acquired, "three who read now have theirs"


@pytest.mark.parametrize("kind", ["string", "list", "hash", "zset"])
def test_keys_of_another_type_stop_no_login_and_no_read_for_good(session_client: redis.Redis, kind: str) -> None:
    tokens = RedisTokenStore(session_client, "paper")
    store = RedisStore(session_client, "paper", RETENTION)
    kinds = {"session": "string", "login_ban": "string", "login_refusals": "hash", "reads": "zset", "lock:login": ""}
    for name in (name for name, right in kinds.items() if right != kind):
        put: dict[str, Callable[[str], object]] = {
            "string": lambda key: session_client.set(key, "garbage"),
            "list": lambda key: session_client.rpush(key, "garbage"),
            "hash": lambda key: session_client.hset(key, "garbage", "x"),
            "zset": lambda key: session_client.zadd(key, {"garbage": 7}),
        }
        put[kind](f"executor:{name}:paper")
    store.repair_keys()  # the poll's first act
    assert (tokens.get(), tokens.ban(), tokens.refusal("a")) == (None, None, None)
    tokens.put_refusal("a", "CODE")
    tokens.put("token", 7)
    assert (tokens.refusal("a"), tokens.get()) == ("CODE", ("token", 7))
    with tokens.read_slot(3, 0.1) as reads, tokens.login_lock(0.1) as logs_in:
        assert reads
        assert logs_in


def test_a_refusal_stands_until_it_is_forgotten(tokens: TokenStore) -> None:
    assert tokens.refusal("a") is None
    tokens.put_refusal("a", "CODE")
    tokens.put_refusal("b", "OTHER")
    assert (tokens.refusal("a"), tokens.refusal("b"), tokens.refusal("c")) == ("CODE", "OTHER", None)
    tokens.forget_refusals()
    assert (tokens.refusal("a"), tokens.refusal("b")) == (None, None)


def test_a_refusal_that_cannot_be_read_is_one(session_client: redis.Redis) -> None:
    tokens = RedisTokenStore(session_client, "live someone")
    for broken in ("no json", "[]", "{}", ""):
        session_client.hset("executor:login_refusals:live someone", "a", broken)
        assert tokens.refusal("a") == "LOGIN_REFUSED"


def test_keys_of_the_session(session_client: redis.Redis) -> None:
    tokens = RedisTokenStore(session_client, "live someone")
    tokens.put("first", 7)
    key = "executor:session:live someone"
    assert json.loads(str(session_client.get(key))) == {"token": "first", "created_at": 7}
    session_client.expire(key, 100)
    tokens.touch()
    assert 43_000 < int(str(session_client.ttl(key))) <= 43_200
    for broken in ("no json", "[]", '{"token": 1}', "", '{"token": "x", "created_at": 1e400}', "[" * 5000):
        session_client.set(key, broken)
        assert tokens.get() is None
        tokens.forget("first")


def test_store_that_is_gone_means_not_sent(server: ScriptedServer) -> None:
    gone = redis.Redis(port=free_port(), decode_responses=True, retry=Retry(NoBackoff(), 0))
    tokens = RedisTokenStore(gone, "live someone")
    with pytest.raises(StoreUnavailable):
        tokens.get()
    with closing(BetfairExchange(server.settings(), tokens, MemoryTelemetry())) as exchange:
        assert type(caught(lambda: exchange.place("1.2", [make_instruction()], "ref-1", ANY_TIME))) is NotSent
        assert type(caught(exchange.funds)) is NotSent
    gone.close()
    assert server.requests == []
