"""The kill switch is never refused for settings: it halts, says whose that was, and names what it could not cancel."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from support.cli_rig import MARKET, Console, console
from support.sandbox_client import RunningSandbox

from betfair_sandbox.options import sandbox_env
from executor import keys
from executor.devstack.redis_server import PrivateRedis
from executor.engine.engine import Engine

pytestmark = pytest.mark.usefixtures("redis_client")


@pytest.fixture
def live(tmp_path: Path, private_redis: PrivateRedis, redis_client: "redis.Redis", sandbox: RunningSandbox) -> Console:
    del redis_client  # empties the db
    sandbox.market(MARKET, [{"price": 3, "size": 4}], [])
    (tmp_path / "live").mkdir()
    return console(tmp_path / "live", private_redis, sandbox_env(sandbox.directory))


@pytest.fixture
def engine(live: Console) -> Iterator[Engine]:
    with live.engine() as engine:
        yield engine


@pytest.fixture
def elsewhere(tmp_path: Path, private_redis: PrivateRedis) -> Console:
    (tmp_path / "elsewhere").mkdir()
    return console(tmp_path / "elsewhere", private_redis, {})


def test_a_halt_with_papers_settings_halts_what_is_live(
    live: Console, engine: Engine, elsewhere: Console, redis_client: "redis.Redis"
) -> None:
    order_id = live.trade(engine, "signal-1", selection=2)
    ran = elsewhere.run("halt", "--cancel", "--reason", "prices look wrong")
    assert redis_client.get(keys.TRADING_ENABLED) == "false"
    assert ran.out.startswith("trading is off")
    assert ran.code == 1
    assert f"'{live.settings.identity}'" in ran.err
    assert f"not cancelled: {order_id}, bet " in ran.err
    assert "1 order cannot be cancelled from here" in ran.err
    [order] = engine.store.orders([order_id])
    assert order.status == "PENDING", "paper's adapter may not say that it cancelled a live bet"
    plain = elsewhere.run("halt")
    assert plain.code == 0, "without --cancel it did all that it was asked for"
    found = live.run("trades", "--json")
    assert found.code == 0


def test_who_halted_when_and_why_is_told_until_trading_is_on(
    live: Console, engine: Engine, elsewhere: Console, redis_client: "redis.Redis"
) -> None:
    del engine
    elsewhere.run("halt", "--reason", "prices look wrong")
    state = live.run("status", "--json").json
    assert state["halted"]["reason"] == "prices look wrong"
    assert "@" in state["halted"]["by"]
    assert state["halted"]["at"].endswith("Z")
    assert "prices look wrong (" in " ".join(live.run("status").out.split())
    assert live.run("resume").code == 0
    assert redis_client.exists(keys.HALTED) == 0
    assert live.run("status", "--json").json["halted"] == {}


@pytest.mark.parametrize(
    ("words", "why", "said"),
    [
        (["prices look wrong"], "prices look wrong", "'prices look wrong' is taken as the reason"),
        (["prices", "look wrong"], "prices look wrong", "--reason"),
        (["cancel", "--reason", "why"], "why", "'cancel' is left out"),
    ],
)
def test_words_without_their_option_halt_all_the_same(
    live: Console, redis_client: "redis.Redis", words: list[str], why: str, said: str
) -> None:
    redis_client.set(keys.TRADING_ENABLED, "true")
    ran = live.run("halt", *words)
    assert (ran.code, redis_client.get(keys.TRADING_ENABLED)) == (0, "false")
    assert said in ran.err
    assert "--cancel" in ran.err
    assert live.run("status", "--json").json["halted"]["reason"] == why


def test_a_switch_thrown_later_by_hand_is_not_told_as_the_one_before(
    engine: Engine, live: Console, redis_client: "redis.Redis"
) -> None:
    live.run("halt", "--reason", "an old reason")
    redis_client.set(keys.TRADING_ENABLED, "true")
    engine.controls.trip_breaker(5, 600)  # as the watchdog does, every few seconds
    redis_client.set(keys.TRADING_ENABLED, "false")
    assert live.run("status", "--json").json["halted"] == {}


@pytest.mark.parametrize(
    ("file", "text"),
    [
        (".env", "EXECUTOR_RISK__BANKROLL=much\nEXECUTOR_RIKS__BANKROLL=1\n"),
        ("appsettings.json", "{"),
        pytest.param(".env", "EXECUTOR_TRADING__ENABLE_PAPER_TRADING=false\n", marks=pytest.mark.slow),
        pytest.param("appsettings.json", '{"Executor": {"Risk": {"MaxStake": 5}}}', marks=pytest.mark.slow),
        pytest.param(".env", "EXECUTOR_REDIS__NO_SUCH=1\n", marks=pytest.mark.slow),
    ],
)
def test_settings_that_cannot_be_used_do_not_stop_a_halt(
    elsewhere: Console, redis_client: "redis.Redis", file: str, text: str
) -> None:
    redis_client.set(keys.TRADING_ENABLED, "true")
    (elsewhere.folder / file).write_text(text)
    assert elsewhere.run("resume").code == 1
    ran = elsewhere.run("halt")
    assert redis_client.get(keys.TRADING_ENABLED) == "false"
    assert ran.code == 0, ran.err
    assert "the settings here cannot be used" in ran.err


def test_a_halt_says_that_it_may_be_the_wrong_redis(elsewhere: Console, private_redis: PrivateRedis) -> None:
    """The address may stand in a file that cannot be read, and what is halted is somebody else's."""
    (elsewhere.folder / ".env").write_text(f"EXECUTOR_REDIS__URL={private_redis.url(0)}\n")
    (elsewhere.folder / "appsettings.json").write_text("{")
    without = {name: value for name, value in elsewhere.environ.items() if name != "EXECUTOR_REDIS__URL"}
    ran = Console(elsewhere.folder, without).run("halt")
    assert ran.code == 1
    assert f"halted at {private_redis.url(0)}" in ran.err
    assert "another Redis" in ran.err
    wrong = elsewhere.but(EXECUTOR_REDIS__URL="nonsense").run("halt")
    assert (wrong.code, "EXECUTOR_REDIS__URL" in wrong.err) == (1, True)
