"""The order stream end to end: our adapter and process on the sandbox's stream, a real Redis, a real ledger.

Polls are not run here but where a test says so: what is recorded was heard on the stream.
"""

import os
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis
from support.exchange_rig import sandbox_settings
from support.http_proxy import HttpProxy
from support.sandbox_client import RunningSandbox, start_process, wait_for
from support.trading_rig import TradingRig, trading

from executor import keys
from executor.adapters.betfair.exchange import BetfairExchange
from executor.adapters.betfair.order_stream import BetfairOrderStream
from executor.adapters.redis.client import run_of
from executor.adapters.redis.stream_status import RedisStreamStatus
from executor.devstack.stack import EXECUTOR
from executor.domain.order import Order, OrderStatus
from executor.engine.reconciliation import PollReport, poll
from executor.errors import NotSent
from executor.stream import StreamProcess

pytest_plugins = ["support.sandbox_fixtures"]

SELECTION = 1  # of RunningSandbox.market


def make_stream(rig: TradingRig, sandbox: RunningSandbox, proxy: str = "") -> BetfairOrderStream:
    settings = sandbox_settings(sandbox).betfair
    assert settings.stream_address is not None
    assert isinstance(rig.engine.exchange, BetfairExchange)
    return BetfairOrderStream(
        settings.stream_address,
        rig.engine.exchange.session,
        app_key=settings.app_key.get_secret_value(),
        strategy_ref=settings.strategy_ref,
        ca_bundle=str(settings.ca_bundle),
        proxy=proxy,
    )


@contextmanager
def listening(rig: TradingRig, sandbox: RunningSandbox, client: "redis.Redis") -> Iterator[StreamProcess]:
    process = StreamProcess(rig.engine, make_stream(rig, sandbox), RedisStreamStatus(client, "test"))
    thread = threading.Thread(target=process.run)
    thread.start()
    try:
        wait_for(lambda: rig.state.read().stream)
        yield process
    finally:
        process.stop()
        thread.join(timeout=20)
        assert not thread.is_alive()


@pytest.fixture
def rig(redis_client: "redis.Redis", sandbox: RunningSandbox, tmp_path: Path) -> Iterator[TradingRig]:
    with trading(redis_client, sandbox, tmp_path) as found:
        yield found


def order_of(rig: TradingRig, signal_id: str) -> Order:
    record = rig.engine.store.signal(signal_id)
    assert record is not None
    return rig.engine.store.orders(record.order_ids)[0]


def unmatched(rig: TradingRig, sandbox: RunningSandbox, signal_id: str, market: str = "1.555") -> Order:
    sandbox.market(market, [[2.0, 100]], [])
    selection = {"selectionId": str(SELECTION), "recommendedOdds": 10.0, "stake": 10, "betType": "Back"}
    step = rig.trade(signal_id, market, primarySelection=selection)
    assert step.verdict == "COMPLETED", step
    return order_of(rig, signal_id)


def offer(sandbox: RunningSandbox, size: float, market: str = "1.555") -> None:
    """Let the house lay this much at our price, and no more."""
    sandbox.control("prices", marketId=market, selectionId=SELECTION, availableToBack=[[10.0, size]], availableToLay=[])


def matched(rig: TradingRig, signal_id: str) -> float:
    return float(order_of(rig, signal_id).size_matched)


def test_fills_and_ends_are_recorded_without_a_poll(
    rig: TradingRig, sandbox: RunningSandbox, redis_client: "redis.Redis"
) -> None:
    with listening(rig, sandbox, redis_client):
        order = unmatched(rig, sandbox, "s-1")
        assert order.status is OrderStatus.PENDING
        offer(sandbox, 4)
        wait_for(lambda: matched(rig, "s-1") == 4)
        offer(sandbox, 6)
        wait_for(lambda: order_of(rig, "s-1").status is OrderStatus.MATCHED)
        cancelled = unmatched(rig, sandbox, "s-2", "1.556")
        rig.engine.exchange.cancel("1.556", [cancelled.bet_id])
        wait_for(lambda: order_of(rig, "s-2").status is OrderStatus.CANCELLED)
    assert rig.telemetry.counts["matched BACK"] == 1


def test_what_ended_while_nobody_listened_is_right_after_one_poll_of_the_gap(
    rig: TradingRig, sandbox: RunningSandbox, redis_client: "redis.Redis"
) -> None:
    with listening(rig, sandbox, redis_client) as process:
        unmatched(rig, sandbox, "s-1")
        sandbox.control("faults", method="orderSubscription", kind="drop_connection", count=1)
        offer(sandbox, 10)
        wait_for(lambda: process.connections == 2)
        wait_for(lambda: order_of(rig, "s-1").status is OrderStatus.MATCHED)


def test_a_dead_token_is_renewed_once(rig: TradingRig, sandbox: RunningSandbox, redis_client: "redis.Redis") -> None:
    token = sandbox_token(rig)
    sandbox.session.post(f"{sandbox.api}/api/logout", headers={**sandbox.headers, "X-Authentication": token})
    with listening(rig, sandbox, redis_client) as process:
        assert process.connections == 1
    assert sandbox_token(rig) != token
    assert len(sandbox.journal("certlogin")) == 3, "the fixture, the rig, the stream"


@pytest.fixture
def ending(tmp_path: Path) -> Iterator[RunningSandbox]:
    """Run an exchange that ends streams with their session."""
    process = start_process(tmp_path / "ending", stream_ends_with_session=True)
    assert process.stdout is not None
    assert "ready" in process.stdout.readline()
    running = RunningSandbox.at(tmp_path / "ending")
    running.log_in()
    yield running
    running.session.close()
    process.terminate()
    process.communicate(timeout=10)


def test_a_session_that_ends_in_mid_stream_is_renewed_once(
    redis_client: "redis.Redis", ending: RunningSandbox, tmp_path: Path
) -> None:
    with trading(redis_client, ending, tmp_path) as rig, listening(rig, ending, redis_client) as process:
        unmatched(rig, ending, "s-1")
        token, logins = sandbox_token(rig), len(ending.journal("certlogin"))
        ending.session.post(f"{ending.api}/api/logout", headers={**ending.headers, "X-Authentication": token})
        offer(ending, 10)
        wait_for(lambda: process.connections == 2)
        wait_for(lambda: order_of(rig, "s-1").status is OrderStatus.MATCHED)
        assert sandbox_token(rig) != token
        assert len(ending.journal("certlogin")) == logins + 1, "told so, it asks for a new token and connects with it"
        asked = [entry for entry in ending.journal("authentication") if entry["error"]]
        assert not asked, "the dead token is not tried again"


def test_an_order_that_no_image_shows_is_not_concluded_to_be_gone(
    rig: TradingRig, sandbox: RunningSandbox, redis_client: "redis.Redis", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("executor.stream.poll", lambda _engine: PollReport(0, 0, 0, 0))  # the stream alone
    unmatched(rig, sandbox, "s-1")
    offer(sandbox, 10)  # complete before anybody listens: it is in no image
    with listening(rig, sandbox, redis_client) as process:
        unmatched(rig, sandbox, "s-2", "1.556")
        sandbox.control("faults", method="orderSubscription", kind="drop_connection", count=1)
        wait_for(lambda: process.connections == 2)
        offer(sandbox, 10, "1.556")
        wait_for(lambda: order_of(rig, "s-2").status is OrderStatus.MATCHED)
        assert order_of(rig, "s-1").status is OrderStatus.PENDING
    poll(rig.engine)
    assert order_of(rig, "s-1").status is OrderStatus.MATCHED


def sandbox_token(rig: TradingRig) -> str:
    assert isinstance(rig.engine.exchange, BetfairExchange)
    return rig.engine.exchange.session.current() or ""


@pytest.mark.slow
def test_one_of_two_is_connected_and_the_other_takes_over(
    rig: TradingRig, sandbox: RunningSandbox, redis_client: "redis.Redis"
) -> None:
    with listening(rig, sandbox, redis_client):
        second = StreamProcess(rig.engine, make_stream(rig, sandbox), RedisStreamStatus(redis_client, "second"))
        thread = threading.Thread(target=second.run)
        thread.start()
        time.sleep(3)  # longer than it takes one that follows to look again
        assert second.connections == 0
    try:
        wait_for(lambda: second.connections == 1)
    finally:
        second.stop()
        thread.join(timeout=20)


@pytest.mark.slow
def test_who_finds_another_in_its_place_leaves_the_stream(
    rig: TradingRig, sandbox: RunningSandbox, redis_client: "redis.Redis"
) -> None:
    with listening(rig, sandbox, redis_client) as process:
        redis_client.set(keys.task_lock("order_stream"), f"{run_of(redis_client)} theirs", ex=60)
        wait_for(lambda: not redis_client.exists(keys.ORDER_STREAM), 20)
        redis_client.delete(keys.task_lock("order_stream"))
        wait_for(lambda: process.connections == 2)


@pytest.mark.slow
def test_a_silent_stream_is_left(rig: TradingRig, sandbox: RunningSandbox, redis_client: "redis.Redis") -> None:
    with listening(rig, sandbox, redis_client) as process:
        sandbox.control(
            "faults", method="orderSubscription", kind="silence", count=1, seconds=30
        )  # Betfair: twice its heartbeats at most
        wait_for(lambda: process.connections == 2, 20)


def test_nothing_is_trusted_while_the_exchange_says_that_it_is_behind(
    rig: TradingRig, sandbox: RunningSandbox, redis_client: "redis.Redis"
) -> None:
    with listening(rig, sandbox, redis_client):
        unmatched(rig, sandbox, "s-1")
        sandbox.control("faults", method="orderSubscription", kind="status_503", count=1, seconds=3)
        wait_for(lambda: rig.state.read().stream.get("behind") == "1")
        offer(sandbox, 10)
        wait_for(lambda: order_of(rig, "s-1").status is OrderStatus.MATCHED)  # by the poll when it has caught up


def test_nobody_there_is_said_once_per_try(rig: TradingRig, sandbox: RunningSandbox) -> None:
    stream = make_stream(rig, sandbox)
    stream._address = ("127.0.0.1", 1)
    with pytest.raises(NotSent, match="no connection"):
        stream.connect()


def test_on_paper_it_waits_and_says_why(tmp_path: Path, redis_client: "redis.Redis") -> None:
    kwargs = redis_client.connection_pool.connection_kwargs
    url = f"redis://{kwargs['host']}:{kwargs['port']}/{kwargs['db']}"
    environment = {
        "PATH": os.environ["PATH"],
        "EXECUTOR_REDIS__URL": url,
        "EXECUTOR_DATA_DIR": str(tmp_path),
        "EXECUTOR_METRICS__STREAM_PORT": "0",
        "EXECUTOR_LOGGING__FORMAT": "json",
    }
    command = [*EXECUTOR, "stream"]
    process = subprocess.Popen(command, env=environment, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    said = next(line for line in process.stderr if "no_order_stream" in line)
    assert "paper trading" in said
    assert process.poll() is None
    process.terminate()
    assert process.wait(20) == 0
    process.stderr.close()


def test_the_stream_goes_through_the_proxy_that_is_set(rig: TradingRig, sandbox: RunningSandbox) -> None:
    with HttpProxy("ann:proxy-secret") as proxy:
        way = proxy.url("ann:proxy-secret")
        stream = make_stream(rig, sandbox, way)
        assert stream.connect()
        message = stream.read()
        assert message is not None
        assert message.image
        stream.close()
        settings = sandbox_settings(sandbox).betfair
        assert settings.stream_address is not None
        assert proxy.asked == ["{}:{}".format(*settings.stream_address)]
        with pytest.raises(NotSent, match=r"407") as refused:
            make_stream(rig, sandbox, proxy.url("ann:wrong-secret")).connect()
        assert "secret" not in str(refused.value)
    with pytest.raises(NotSent, match="through the proxy") as away:
        make_stream(rig, sandbox, way).connect()
    assert "secret" not in str(away.value)
