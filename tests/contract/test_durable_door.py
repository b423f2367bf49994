"""The reader of the durable door on a real Redis, its records in memory: what goes first, and what an outage leaves."""

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

import pytest
import redis
from support.engine_rig import Rig, strategy_message
from support.sandbox_client import wait_for

from executor import durable_door, keys
from executor.adapters.redis.client import connect_bytes
from executor.adapters.redis.signal_stream import SignalStream
from executor.domain.signal_record import SignalRecord, SignalStatus
from executor.durable_door import DurableDoor
from executor.errors import StoreUnavailable
from executor.ports import Arrival

Start = Callable[[], DurableDoor]


@pytest.fixture
def started() -> list[str]:
    return []


@pytest.fixture
def open_door(redis_client: "redis.Redis", rig: Rig, started: list[str]) -> Iterator[Start]:
    """Return what opens the door in a thread of its own; the rig's clock is Redis's, standing still."""
    rig.clock.now = redis_client.time()[0] * 1000
    options = redis_client.connection_pool.connection_kwargs
    url = f"redis://{options['host']}:{options['port']}/{options['db']}"
    stopping = threading.Event()
    threads: list[threading.Thread] = []

    def start(record: SignalRecord) -> None:
        started.append(record.signal_id)

    def open_it() -> DurableDoor:
        door = DurableDoor(
            SignalStream(connect_bytes(url), "one"),
            rig.intake,
            name="one",
            now=lambda: rig.clock.now,
            start=start,
            remember=lambda *_: None,
            misused=lambda *_: None,
            stopping=stopping,
        )
        threads.append(threading.Thread(target=door.run))
        threads[-1].start()
        return door

    yield open_it
    stopping.set()
    for thread in threads:
        thread.join()


def add(client: "redis.Redis", rig: Rig, name: str, *, ago_s: float, number: int = 0) -> None:
    fields: Any = {"kind": "strategy", "payload": strategy_message(name, validityWindow=300)}
    client.xadd(keys.SIGNALS, fields, id=f"{rig.clock.now - int(ago_s * 1000)}-{number}")


def test_what_is_too_old_for_any_signal_waits_for_what_is_not(
    redis_client: "redis.Redis", rig: Rig, open_door: Start, started: list[str]
) -> None:
    """A backlog is closed in its order, and a fresh signal goes before nearly all of it."""
    old = [f"old-{number}" for number in range(1000)]
    for number, name in enumerate(old):
        add(redis_client, rig, name, ago_s=400, number=number)
    add(redis_client, rig, "waited-but-valid", ago_s=299)
    add(redis_client, rig, "fresh", ago_s=0)
    open_door()
    wait_for(lambda: len(rig.memory.signals) == 1002, 30)
    wait_for(lambda: not redis_client.xlen(keys.SIGNALS), 30)
    recorded = list(rig.memory.signals)
    assert started == ["waited-but-valid", "fresh"]
    assert recorded.index("fresh") < 250
    assert [name for name in recorded if name in set(old)] == old
    assert {rig.memory.signals[name].status for name in old} == {SignalStatus.EXPIRED}


def test_what_cannot_be_recorded_now_stays_and_is_recorded_once_later(
    redis_client: "redis.Redis", rig: Rig, open_door: Start, started: list[str]
) -> None:
    rig.memory.away = {"record"}
    for number in range(5):
        add(redis_client, rig, f"signal-{number}", ago_s=0, number=number)
    open_door()
    wait_for(lambda: redis_client.xinfo_groups(keys.SIGNALS), 30)
    wait_for(lambda: redis_client.xpending(keys.SIGNALS, keys.SIGNALS_GROUP)["pending"] == 5, 30)
    assert not rig.memory.signals
    rig.memory.away = set()
    wait_for(lambda: not redis_client.xlen(keys.SIGNALS), 30)
    assert started == list(rig.memory.signals) == [f"signal-{number}" for number in range(5)]


def test_what_is_wrong_with_one_alone_keeps_that_one(
    redis_client: "redis.Redis", rig: Rig, open_door: Start, started: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Redis refuses one of many: the others are recorded, and it is not acknowledged until it is."""
    record, refused = rig.store.record, [StoreUnavailable("Redis: OOM")]

    def record_some(arrivals: Sequence[Arrival]) -> Any:
        answers: list[Any] = record([arrival for arrival in arrivals if arrival.dedup_id != "signal-2" or not refused])
        held = [at for at, arrival in enumerate(arrivals) if arrival.dedup_id == "signal-2" and refused]
        for at in held:
            answers.insert(at, refused.pop())
        return answers

    monkeypatch.setattr(rig.store, "record", record_some)
    for number in range(5):
        add(redis_client, rig, f"signal-{number}", ago_s=0, number=number)
    open_door()
    wait_for(lambda: not redis_client.xlen(keys.SIGNALS), 30)
    assert sorted(started) == sorted(rig.memory.signals) == [f"signal-{number}" for number in range(5)]
    assert started[-1] == "signal-2"


def test_junk_among_its_facts_stops_nothing(
    redis_client: "redis.Redis", rig: Rig, open_door: Start, started: list[str]
) -> None:
    redis_client.set(keys.SIGNALS_FACTS, "junk")
    add(redis_client, rig, "one", ago_s=0)
    open_door()
    wait_for(lambda: started == ["one"], 30)


def test_the_entries_of_the_dead_are_anothers_within_what_is_promised(
    redis_client: "redis.Redis", rig: Rig, open_door: Start, started: list[str]
) -> None:
    """Promise: within 15 s. Their idle time is set back by hand, so that only this reader's own pause is waited for."""
    assert durable_door._IDLE_MS / 1000 + durable_door._LOOK_S < 15 / 1.5
    add(redis_client, rig, "orphan", ago_s=0)
    redis_client.xgroup_create(keys.SIGNALS, keys.SIGNALS_GROUP, id="0")
    redis_client.xreadgroup(keys.SIGNALS_GROUP, "the dead", {keys.SIGNALS: ">"})
    ((entry, _),) = cast("list[tuple[str, Any]]", redis_client.xrange(keys.SIGNALS))
    open_door()
    wait_for(lambda: len(redis_client.xinfo_consumers(keys.SIGNALS, keys.SIGNALS_GROUP)) == 2, 30)
    assert not started
    redis_client.xclaim(
        keys.SIGNALS, keys.SIGNALS_GROUP, "the dead", 0, [entry], idle=durable_door._IDLE_MS + 1, justid=True
    )
    wait_for(lambda: started == ["orphan"], 30)
