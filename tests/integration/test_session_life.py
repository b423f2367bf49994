"""The session's life at the sandbox: kept alive inside its life, renewed at its age, banned, lost; never logged out."""

import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from support.exchange_rig import run_together
from support.sandbox_client import RunningSandbox, wait_for
from support.trading_rig import IDENTITY, TradingRig, trading

from executor import keys
from executor.adapters.redis.session import RedisTokenStore
from executor.engine.reconciliation import poll
from executor.engine.session import keep_alive, reauthenticate
from executor.engine.watchdog import watch
from executor.errors import LoginRefused
from executor.ports import Alert

LIFETIME_S = 2
_DAY_S = 12 * 3600


@pytest.fixture
def brief(sandbox: RunningSandbox) -> Iterator[RunningSandbox]:
    """Return the sandbox with sessions that live two seconds."""
    sandbox.control("reset", sessionLifetime=LIFETIME_S)
    yield sandbox
    sandbox.control("reset", sessionLifetime=_DAY_S)


@pytest.fixture
def rig(redis_client: "redis.Redis", brief: RunningSandbox, tmp_path: Path) -> Iterator[TradingRig]:
    with trading(redis_client, brief, tmp_path) as rig:
        yield rig


def calls(sandbox: RunningSandbox) -> Counter[str]:
    return Counter(call["method"] for call in sandbox.journal())


def token(client: "redis.Redis") -> str:
    held = RedisTokenStore(client, IDENTITY).get()
    assert held is not None
    return held[0]


def outlive(sandbox: RunningSandbox, held: str) -> None:
    """Wait until a session that nobody keeps alive is over; asking does not extend it."""
    headers = {**sandbox.headers, "X-Authentication": held}
    wait_for(lambda: "error" in sandbox.envelope("getAccountFunds", {}, headers))


def test_a_session_that_is_kept_alive_lasts_beyond_its_life(
    rig: TradingRig, brief: RunningSandbox, redis_client: "redis.Redis"
) -> None:
    first, ends = token(redis_client), time.monotonic() + 2.5 * LIFETIME_S
    while time.monotonic() < ends:
        assert keep_alive(rig.engine)
        poll(rig.engine)
        time.sleep(LIFETIME_S / 4)
    assert token(redis_client) == first
    seen = calls(brief)
    assert (seen["certlogin"], seen["logout"]) == (1, 0)


def test_a_session_that_died_is_replaced_once_by_however_many_notice(
    rig: TradingRig, brief: RunningSandbox, redis_client: "redis.Redis", tmp_path: Path
) -> None:
    first = token(redis_client)
    (tmp_path / "b").mkdir()
    with trading(redis_client, brief, tmp_path / "b") as other:
        outlive(brief, first)
        run_together(lambda: keep_alive(rig.engine), lambda: keep_alive(other.engine), other.engine.exchange.funds)
    assert token(redis_client) != first
    seen = calls(brief)
    assert (seen["certlogin"], seen["logout"]) == (2, 0)


def test_a_renewal_leaves_the_old_session_to_those_who_use_it(
    rig: TradingRig, sandbox: RunningSandbox, redis_client: "redis.Redis"
) -> None:
    first = token(redis_client)
    assert not reauthenticate(rig.engine), "younger than six hours"
    store = RedisTokenStore(redis_client, IDENTITY)
    store.put(first, store.now() - 6 * 3600 * 1000)
    assert reauthenticate(rig.engine)
    assert not reauthenticate(rig.engine)
    assert token(redis_client) != first
    assert "result" in sandbox.envelope("getAccountFunds", {}, {**sandbox.headers, "X-Authentication": first})
    assert calls(sandbox)["logout"] == 0


@pytest.mark.parametrize("code", ["TEMPORARY_BAN_TOO_MANY_REQUESTS", "ACCOUNT_NOW_LOCKED"])
def test_a_ban_is_sat_out_and_told(
    rig: TradingRig, sandbox: RunningSandbox, redis_client: "redis.Redis", code: str
) -> None:
    sandbox.control("faults", method="certlogin", kind=f"error:{code}", count=1)
    redis_client.delete(keys.session(IDENTITY))
    before = calls(sandbox)["certlogin"]
    for _ in range(3):
        with pytest.raises(LoginRefused, match=code):
            keep_alive(rig.engine)
    assert calls(sandbox)["certlogin"] == before + 1
    redis_client.set(keys.heartbeat("bridge:test:1"), "now", ex=30)
    assert Alert.SESSION_EXPIRING in watch(rig.engine)
    redis_client.delete(keys.login_ban(IDENTITY))
    if code == "ACCOUNT_NOW_LOCKED":
        with pytest.raises(LoginRefused, match="executor check --login"):
            keep_alive(rig.engine)
        rig.engine.exchange.allow_login()
    assert keep_alive(rig.engine)
    assert Alert.SESSION_EXPIRING not in watch(rig.engine)


def test_a_failed_renewal_keeps_the_session_that_works(
    rig: TradingRig, sandbox: RunningSandbox, redis_client: "redis.Redis"
) -> None:
    first = token(redis_client)
    store = RedisTokenStore(redis_client, IDENTITY)
    store.put(first, store.now() - 7 * 3600 * 1000)
    sandbox.control("faults", method="certlogin", kind="error:INTERNAL_ERROR", count=1)
    with pytest.raises(LoginRefused):
        reauthenticate(rig.engine)
    assert token(redis_client) == first
    poll(rig.engine)
    assert reauthenticate(rig.engine)
