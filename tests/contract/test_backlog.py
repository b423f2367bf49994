"""A backlog in Redis: what expired is taken off a queue and closed by the hundred, the rest stays as it is."""

import json
from dataclasses import replace
from typing import Any

import pytest
import redis
from support.store_worlds import World, make_record, memory_world, record_one, redis_world

from executor import keys
from executor.adapters.redis.backlog import RedisBacklog
from executor.adapters.redis.locks import RedisLocks
from executor.domain.ledger_entry import encode_entry
from executor.domain.signal_record import SignalRecord, SignalStatus, advance

QUEUE = "signals"
NOW = 1_000_000


@pytest.fixture(params=["memory", "redis"])
def world(request: pytest.FixtureRequest) -> World:
    if request.param == "memory":
        return memory_world()
    return redis_world(request.getfixturevalue("redis_client"))


def message(name: str, deadline: object = None) -> str:
    headers: dict[str, Any] = {"id": name} | ({} if deadline is None else {"deadline": deadline})
    return json.dumps({"body": "W10=", "headers": headers, "properties": {}})


def ended(record: SignalRecord, at: int) -> SignalRecord:
    return advance(record, SignalStatus.EXPIRED, at, "SIGNAL_EXPIRED", "too late")


def test_signals_are_closed_where_they_are_as_they_were_read(world: World) -> None:
    now = world.store.now()
    records = [make_record(now, signal_id=f"signal-{at}") for at in range(3)]
    for record in records:
        record_one(world.store, record, dedup_id=record.signal_id, dedup_s=60, renew=False)
    stale = replace(records[1], dispatches=1)
    ends = [(record, ended(record, now)) for record in (records[0], stale, records[2])]
    assert world.store.close(ends) == [True, False, True]
    assert world.store.close(ends) == [False, False, False]
    assert world.store.close([]) == []
    assert [record.signal_id for record in world.store.open_signals(now + 1, 10)] == ["signal-1"]
    closed = world.store.signal("signal-0")
    assert closed is not None
    assert (closed.status, closed.reason, closed.finished_at) == (SignalStatus.EXPIRED, "SIGNAL_EXPIRED", now)
    told = [encode_entry(entry)["signal_id"] for _, entry in world.trade_feed.read_trades(10)]
    assert told == [
        "signal-0",
        "signal-2",
    ]


@pytest.mark.parametrize("parts", [1, 3, 500])
def test_expired_messages_leave_the_queue_and_the_others_stay_in_order(
    redis_client: "redis.Redis", monkeypatch: pytest.MonkeyPatch, parts: int
) -> None:
    monkeypatch.setattr("executor.adapters.redis.locks._DROPPED_AT_ONCE", parts)
    stay = [message("plain"), "no json", "[1]", '{"headers": 3}', message("text", "soon"), message("later", NOW + 1)]
    stay += [message(f"later-{at}", NOW + 1 + at) for at in range(20)]
    gone = [message(f"gone-{at}", NOW - at) for at in range(30)]
    mixed = [message for pair in zip(gone, stay, strict=False) for message in pair] + gone[len(stay) :]
    redis_client.lpush(QUEUE, *mixed)
    locks = RedisLocks(redis_client, redis_client)
    assert locks.drop_expired(QUEUE, NOW) == len(gone)
    assert redis_client.lrange(QUEUE, 0, -1) == stay[::-1]
    assert locks.drop_expired(QUEUE, NOW) == 0
    assert locks.drop_expired("nothing there", NOW) == 0


def test_a_queue_of_expired_ones_alone_is_emptied(redis_client: "redis.Redis") -> None:
    redis_client.lpush(QUEUE, *[message(f"gone-{at}", NOW) for at in range(1234)])
    assert RedisLocks(redis_client, redis_client).drop_expired(QUEUE, NOW) == 1234
    assert not redis_client.exists(QUEUE)


def test_a_look_counts_what_was_recorded_for_validation_and_what_waits(redis_client: "redis.Redis") -> None:
    world = redis_world(redis_client)
    backlog = RedisBacklog(redis_client, redis_client, QUEUE)
    assert (backlog.look().recorded, backlog.look().waiting) == (0, 0)
    now = world.store.now()
    for at in range(3):
        for _ in range(2):
            record_one(world.store, make_record(now, signal_id=f"s-{at}"), dedup_id=f"s-{at}", dedup_s=60, renew=False)
    over = ended(make_record(now, signal_id="over"), now)
    record_one(world.store, over, dedup_id="over", dedup_s=60, renew=False)
    redis_client.lpush(QUEUE, "one", "two")
    assert (backlog.look().recorded, backlog.look().waiting) == (3, 2)
    redis_client.set(keys.SIGNALS_RECORDED, "junk")
    assert backlog.look().recorded == 0
