"""The durable door on a real Redis: nothing unread is dropped, the group is made anew, misuse is seen."""

import time
from collections.abc import Callable
from typing import Any

import pytest
import redis
from support.redis_versions import counts_entries

from executor import keys
from executor.adapters.redis.client import connect_bytes
from executor.adapters.redis.signal_stream import Entry, Misuse, SignalStream

KIND: Any = {"kind": "strategy", "payload": "{}"}
LAST = "18446744073709551615"


@pytest.fixture
def open_stream(redis_client: "redis.Redis") -> Callable[[str], SignalStream]:
    """Return what opens the stream as some process."""
    options = redis_client.connection_pool.connection_kwargs
    url = f"redis://{options['host']}:{options['port']}/{options['db']}"
    return lambda consumer: SignalStream(connect_bytes(url), consumer)


@pytest.fixture
def stream(open_stream: Callable[[str], SignalStream]) -> SignalStream:
    return open_stream("one")


def add(client: "redis.Redis", count: int = 1, **options: Any) -> list[str]:
    return [str(client.xadd(keys.SIGNALS, KIND, **options)) for _ in range(count)]


def held(client: "redis.Redis") -> list[str]:
    return [str(entry) for entry, _ in client.xrange(keys.SIGNALS) or ()]


def ids(entries: list[Entry]) -> list[str]:
    return [entry.id for entry in entries]


def test_what_was_added_before_anybody_read_is_read_in_its_order(
    redis_client: "redis.Redis", stream: SignalStream
) -> None:
    added = add(redis_client, 5)
    assert ids(stream.read_new(3, 0)) == added[:3]
    (entry, _) = found = stream.read_new(3, 0)
    assert ids(found) == added[3:]
    assert entry.fields == {b"kind": b"strategy", b"payload": b"{}"}
    assert entry.at == int(added[3].partition("-")[0])
    assert stream.read_new(3, 1) == []


def test_what_one_was_given_is_given_to_it_again_until_acknowledged(
    redis_client: "redis.Redis", stream: SignalStream, open_stream: Callable[[str], SignalStream]
) -> None:
    added = add(redis_client, 3)
    stream.read_new(10, 0)
    assert ids(stream.read_pending("0", 2)) == added[:2]
    assert ids(stream.read_pending(added[1], 2)) == added[2:]
    stream.acknowledge(added[:1])
    assert ids(stream.read_pending("0", 10)) == added[1:]
    assert open_stream("two").read_pending("0", 10) == []


def test_what_one_has_had_for_too_long_is_taken_over(
    redis_client: "redis.Redis", stream: SignalStream, open_stream: Callable[[str], SignalStream]
) -> None:
    added = add(redis_client, 3)
    stream.read_new(10, 0)
    other = open_stream("two")
    assert other.claim_idle(60_000, "0-0", 10)[1] == []
    start, taken = other.claim_idle(0, "0-0", 2)
    assert ids(taken) == added[:2]
    assert ids(other.claim_idle(0, start, 2)[1]) == added[2:]
    assert ids(other.read_pending("0", 10)) == added
    assert stream.read_pending("0", 10) == []


def test_only_what_is_acknowledged_is_dropped(redis_client: "redis.Redis", stream: SignalStream) -> None:
    added = add(redis_client, 6)
    received = ids(stream.read_new(4, 0))
    stream.acknowledge([received[0], received[2], received[3]])  # one before the last is still on its way
    assert stream.tend() == Misuse(0, ahead=False)
    assert held(redis_client) == added[1:]
    stream.acknowledge([received[1]])
    stream.tend()
    assert held(redis_client)[-2:] == added[4:], "nobody was received these yet"
    stream.acknowledge(ids(stream.read_new(10, 0)))
    assert stream.tend() == Misuse(0, ahead=False)
    assert redis_client.xlen(keys.SIGNALS) == 0


@pytest.mark.parametrize("loss", ["flushall", "delete", "destroy"])
def test_the_group_is_made_anew_at_the_first_entry(
    redis_client: "redis.Redis", stream: SignalStream, loss: str
) -> None:
    stream.read_new(1, 0)
    if loss == "flushall":
        redis_client.flushdb()
    elif loss == "delete":
        redis_client.delete(keys.SIGNALS)
    else:
        redis_client.xgroup_destroy(keys.SIGNALS, keys.SIGNALS_GROUP)
    added = add(redis_client, 2)
    stream.tend()
    assert ids(stream.read_new(10, 0)) == added
    stream.claim_idle(0, "0-0", 1)


@pytest.mark.parametrize("options", [{"maxlen": 1, "approximate": False}, {"minid": LAST, "approximate": False}])
def test_what_a_publisher_drops_is_seen_and_told_once(
    redis_client: "redis.Redis", stream: SignalStream, options: dict[str, Any]
) -> None:
    if not counts_entries(redis_client):
        pytest.skip("this server does not count what was added to a stream; `executor check` says so")
    stream.acknowledge(ids(stream.read_new(1, 0)) or ["0-1"])
    add(redis_client, 3)
    redis_client.xadd(keys.SIGNALS, KIND, **options)
    left = int(redis_client.xlen(keys.SIGNALS))
    assert left < 4
    assert stream.tend().removed == 4 - left
    assert stream.tend().removed == 0
    assert redis_client.hget(keys.SIGNALS_FACTS, "removed_at")
    stream.acknowledge(ids(stream.read_new(10, 0)) or ["0-1"])
    assert stream.tend().removed == 0
    add(redis_client)
    redis_client.xtrim(keys.SIGNALS, 0, approximate=False)
    assert stream.tend().removed == 1


def test_a_stream_made_anew_is_no_loss(redis_client: "redis.Redis", stream: SignalStream) -> None:
    add(redis_client, 5)
    stream.acknowledge(ids(stream.read_new(10, 0)))
    stream.tend()
    redis_client.delete(keys.SIGNALS)
    add(redis_client, 2)
    assert stream.tend().removed == 0
    stream.acknowledge(ids(stream.read_new(10, 0)))
    assert stream.tend().removed == 0


@pytest.mark.parametrize("last", [True, False])
def test_ids_of_a_time_to_come_do_not_stay(redis_client: "redis.Redis", stream: SignalStream, *, last: bool) -> None:
    redis_client.xadd(keys.SIGNALS, KIND, id=f"{LAST}-{LAST}" if last else f"{int(time.time() * 1000) + 3_600_000}-0")
    if last:
        with pytest.raises(redis.ResponseError):
            add(redis_client)
    assert stream.tend().ahead
    assert not stream.tend().ahead, "told once a minute"
    stream.acknowledge(ids(stream.read_new(10, 0)))
    stream.tend()
    (added,) = add(redis_client)
    assert abs(int(added.partition("-")[0]) - int(redis_client.time()[0]) * 1000) < 3_000_000
    assert ids(stream.read_new(10, 0)) == [added]


def test_a_consumer_that_ended_is_forgotten_one_with_entries_is_not(
    redis_client: "redis.Redis", open_stream: Callable[[str], SignalStream], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("executor.adapters.redis.signal_stream._FORGOTTEN_MS", -1)
    add(redis_client)
    holds, ended = open_stream("holds"), open_stream("ended")
    holds.read_new(1, 0)
    ended.read_new(1, 0)
    ended.tend()
    assert [consumer["name"] for consumer in redis_client.xinfo_consumers(keys.SIGNALS, keys.SIGNALS_GROUP)] == [
        "holds"
    ]
