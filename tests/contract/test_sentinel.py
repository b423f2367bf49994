"""Clients of a Redis behind real sentinels: they follow the master, leave one that is cut off, wait for replicas."""

from collections.abc import Iterator

import pytest
from redis.exceptions import RedisError
from support.factories import make_order
from support.sandbox_client import wait_for
from support.sentinels import Cluster, cluster
from support.store_worlds import MARKET, World, redis_world

from executor import keys
from executor.adapters.redis.client import connect, connect_bytes
from executor.adapters.redis.topology import MasterWatch, look_at
from executor.errors import StoreUnavailable
from executor.ports import Change
from executor.settings.urls import sentinel_url

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with cluster(tmp_path_factory.mktemp("sentinels")) as running:
        yield running


@pytest.fixture
def world(nodes: Cluster) -> Iterator[World]:
    nodes.wait(nodes.is_whole, "a whole cluster")
    with connect(nodes.url()) as client:
        yield redis_world(client)


def writes(world: World) -> bool:
    """Write once, as every step does; tells whether that was taken."""
    try:
        world.locks.succeeded("test")
    except StoreUnavailable:
        return False
    return True


def commit(world: World, name: str) -> bool:
    """Commit as the submit step does; tells whether a replica has it."""
    view = world.store.view(MARKET)
    after = world.store.commit(view, Change(orders=(make_order(order_id=name),), durable=True))
    assert after is not None
    return after.replicated


def test_what_must_outlive_the_server_is_on_a_replica_or_says_that_it_is_not(nodes: Cluster, world: World) -> None:
    assert commit(world, "order-1")
    assert world.store.commit(world.store.view(MARKET), Change(orders=(make_order(order_id="o-2"),))) is not None
    master = nodes.master()
    others = [port for port in nodes.nodes if port != master]
    for port in others:
        nodes.freeze(port)
    try:
        assert not world.controls.set_trading(enabled=False, reason="a test"), "written, and on no replica"
        assert not commit(world, "order-3")
    except StoreUnavailable as error:  # the master knew already that its replicas are gone: nothing was written
        if "has lost its replicas" not in str(error):
            raise
    finally:
        for port in others:
            nodes.thaw(port)
    nodes.wait(nodes.is_whole, "the replicas")
    assert commit(world, "order-4")


def test_a_repeated_commit_waits_for_a_replica_as_well(nodes: Cluster, world: World) -> None:
    """On a new connection WAIT would have nothing to wait for: what was written before is another connection's."""
    client = world.store._redis  # type: ignore[attr-defined]
    view = world.store.view(MARKET)
    tokens = ["00" * 8] * 2
    secrets = "executor.adapters.redis.store.secrets.token_hex"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(secrets, lambda _size: tokens[0])
        change = Change(orders=(make_order(order_id="order-5"),), durable=True)
        assert world.store.commit(view, change) is not None
        client.connection_pool.disconnect()
        others = [port for port in nodes.nodes if port != nodes.master()]
        for port in others:
            nodes.freeze(port)
        try:
            again = world.store.commit(view, change)
            assert again is not None
            assert not again.replicated, "what it repeated on the new connection is on no replica"
        except StoreUnavailable:
            pass
        finally:
            for port in others:
                nodes.thaw(port)


def test_a_client_leaves_a_master_that_is_cut_off_and_listeners_are_told(nodes: Cluster, world: World) -> None:
    old = nodes.master()
    assert writes(world)
    listener, reader = connect_bytes(nodes.url()), connect_bytes(nodes.url())
    assert reader.exists(keys.LAST_SUCCESS)
    watch = MasterWatch(listener.connection_pool)
    with listener.pubsub() as pubsub:  # type: ignore[no-untyped-call]
        pubsub.subscribe(keys.STRATEGY_SIGNALS)
        assert not watch.has_left(pubsub.connection)
        nodes.cut_off(old)
        try:
            new = nodes.wait_for_another_master(old)
            wait_for(lambda: writes(world), 20)
            with nodes.node(new) as client:
                assert client.hexists(keys.LAST_SUCCESS, "test")
            assert nodes.ask(old, "PUBLISH", keys.STRATEGY_SIGNALS, "x") == 1, "the old one says that somebody heard it"
            wait_for(lambda: watch.has_left(pubsub.connection), 20)
            with nodes.node(new) as client:
                client.set("only-here", "1")
            wait_for(lambda: reader.exists("only-here"), 20)  # the old one answers reads as if nothing had happened
        finally:
            nodes.rejoin(old)
    listener.close()
    reader.close()


def test_a_silent_master_is_left_within_seconds_of_its_successor(nodes: Cluster, world: World) -> None:
    old = nodes.master()
    assert writes(world)
    nodes.freeze(old)
    try:
        nodes.wait_for_another_master(old)
        wait_for(lambda: writes(world), 15)
    finally:
        nodes.thaw(old)


def test_the_first_sentinel_of_the_list_may_be_dead(nodes: Cluster, world: World) -> None:
    first = nodes.sentinels[0]
    nodes.kill(first)
    try:
        with connect(nodes.url()) as client:
            assert client.ping()
        found = look_at(sentinel_url(nodes.url()))
        assert [name.partition(":")[2] for name in found.silent] == [str(first)]
        assert found.master.endswith(f":{nodes.master()}")
        assert found.settings["min-replicas-to-write"] == "1"
    finally:
        nodes.start_sentinel(first)
    del world


def test_nobody_there_is_said_in_one_line() -> None:
    with connect("sentinel://127.0.0.1:1,127.0.0.1:2/0?master=m") as client, pytest.raises(RedisError):
        client.ping()
