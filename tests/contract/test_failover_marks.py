"""What holds when the master changes: a mark, a lock or a memory of another run of the master is worth nothing.

Two servers that are promoted by hand; no sentinel is needed for that.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis
from support.factories import make_order
from support.sandbox_client import wait_for
from support.store_worlds import MARKET, World, redis_world

from executor import keys
from executor.adapters.redis.client import connect, run_of
from executor.adapters.redis.snapshot import RedisSnapshot
from executor.devstack.redis_server import HOST, PrivateRedis
from executor.ports import Change, Gate

HOLD_S = 600


@dataclass
class Server:
    process: PrivateRedis
    client: "redis.Redis"

    def follow(self, other: "Server") -> None:
        self.client.execute_command("REPLICAOF", HOST, str(other.process.port))  # type: ignore[no-untyped-call]
        wait_for(lambda: self.client.info("replication").get("master_link_status") == "up")

    def lead(self) -> None:
        self.client.execute_command("REPLICAOF", "NO", "ONE")  # type: ignore[no-untyped-call]


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[tuple[Server, Server]]:
    with (
        PrivateRedis(tmp_path / "a", append_only=False) as first,
        PrivateRedis(tmp_path / "b", append_only=False) as second,
    ):
        pair = [Server(one, connect(one.url())) for one in (first, second)]
        for server in pair:
            server.client.config_set("repl-diskless-sync-delay", 0)
        pair[1].follow(pair[0])
        yield pair[0], pair[1]
        for server in pair:
            server.client.close()


def reserves(world: World) -> bool:
    view = world.store.view(MARKET)
    change = Change(orders=(make_order(order_id="order-9"),), gates=frozenset({Gate.RECONCILED}))
    return world.store.commit(view, change) is not None


def reconcile(world: World) -> None:
    world.controls.claim_identity()
    assert world.controls.confirm_reconciled(HOLD_S, world.controls.data_generation(), {})


def test_the_mark_of_a_master_that_is_promoted_a_second_time_is_worth_nothing(servers: tuple[Server, Server]) -> None:
    first, second = servers
    world = redis_world(first.client)
    reconcile(world)
    assert world.store.view(MARKET).reconciled
    wait_for(lambda: second.client.get(keys.RECONCILED))
    run_id = first.client.info("server")["run_id"]
    second.lead()
    first.follow(second)
    second.client.set("written", "by the second")
    wait_for(lambda: first.client.get("written"))
    first.lead()
    assert first.client.get(keys.RECONCILED), "the mark is there"
    assert first.client.info("server")["run_id"] == run_id, "and the server is the same"
    assert not world.store.view(MARKET).reconciled
    assert not world.store.send_state("1.1", []).reconciled
    assert not reserves(world)
    assert not RedisSnapshot(first.client, first.client, breaker_window_s=600).read().reconciled
    reconcile(world)
    assert reserves(world)


def test_a_poll_that_began_on_another_master_does_not_count(servers: tuple[Server, Server]) -> None:
    first, second = servers
    world = redis_world(first.client)
    world.controls.claim_identity()
    began = world.controls.data_generation()
    wait_for(lambda: second.client.get(keys.DATA_GENERATION))
    second.lead()
    after = redis_world(second.client)
    assert not after.controls.confirm_reconciled(HOLD_S, began, {})
    assert after.controls.full_read_due(60, after.controls.data_generation())


def test_a_lock_that_a_failover_brought_along_is_taken_over_at_once(servers: tuple[Server, Server]) -> None:
    first, second = servers
    with redis_world(first.client).locks.single_flight("poll_orders") as ours:
        assert ours
        wait_for(lambda: second.client.exists(keys.task_lock("poll_orders")))
        second.lead()
        with redis_world(second.client).locks.single_flight("poll_orders") as theirs:
            assert theirs


def test_each_start_and_each_promotion_is_another_run(servers: tuple[Server, Server]) -> None:
    first, second = servers
    runs = [run_of(first.client)]
    assert run_of(second.client) == runs[0], "a replica's data are its master's"
    second.lead()
    runs.append(run_of(second.client))
    first.process.restart()
    runs.append(run_of(first.client))
    assert len(set(runs)) == len(runs)
