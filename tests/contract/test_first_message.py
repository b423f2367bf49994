"""What starts a signal's chain, queued by the script that records it: once, and as Celery would have sent it."""

import base64
import json
from collections.abc import Iterator
from dataclasses import replace

import pytest
import redis
from celery import chain
from kombu.connection import Connection
from support.store_worlds import World, make_record, redis_world

from executor.app import app
from executor.devstack.redis_server import PrivateRedis
from executor.domain.signal_record import SignalRecord
from executor.errors import StoreUnavailable
from executor.ports import Arrival, QueuedMessage, Recorded
from executor.tasks import first_message

DB, QUEUE = 1, "signals"


@pytest.fixture
def world(redis_client: "redis.Redis") -> World:
    return redis_world(redis_client)


@pytest.fixture
def queues(redis_client: "redis.Redis", private_redis: PrivateRedis) -> Iterator["redis.Redis"]:
    """The queues' db, beside the state's on the same server."""
    del redis_client  # which has emptied it
    with redis.Redis.from_url(private_redis.url(DB), decode_responses=True) as client:
        yield client


def record_with(world: World, record: SignalRecord, text: str = "x") -> Recorded:
    message = QueuedMessage(DB, QUEUE, text)
    (answer,) = world.store.record([Arrival(record, record.signal_id, 60, first_message=message)])
    assert not isinstance(answer, StoreUnavailable)
    return answer[0]


def test_a_new_signal_is_queued_once_in_the_step_that_records_it(world: World, queues: "redis.Redis") -> None:
    record = make_record(world.store.now())
    assert record_with(world, record, "first") is Recorded.STARTED
    assert record_with(world, replace(record, token="2"), "again") is Recorded.REPEAT
    assert record_with(world, replace(record, token="3", bridge="bridge-2"), "other") is Recorded.ELSEWHERE
    assert queues.lrange(QUEUE, 0, -1) == ["first"]
    assert world.store.signal("signal-1") == record, "the connection is still in its own db"


def test_many_are_queued_in_their_order(world: World, queues: "redis.Redis") -> None:
    records = [make_record(world.store.now(), signal_id=f"signal-{at}", token=str(at)) for at in range(5)]
    arrivals = [
        Arrival(record, record.signal_id, 60, first_message=QueuedMessage(DB, QUEUE, record.signal_id))
        for record in records
    ]
    assert [answer for answer in world.store.record(arrivals) if not isinstance(answer, StoreUnavailable)] == [
        (Recorded.STARTED, record.signal_id) for record in records
    ]
    assert queues.lrange(QUEUE, 0, -1) == [record.signal_id for record in reversed(records)]


@pytest.mark.parametrize("trouble", ["another type", "no such db"])
def test_a_queue_that_does_not_take_it_costs_no_record(world: World, queues: "redis.Redis", trouble: str) -> None:
    record = make_record(world.store.now())
    queues.set(QUEUE, "text")
    db = 10**6 if trouble == "no such db" else DB
    message = QueuedMessage(db, QUEUE, "")
    assert world.store.record([Arrival(record, "one", 60, first_message=message)]) == [(Recorded.NEW, "signal-1")]
    assert world.store.signal("signal-1") == record


def test_it_is_the_message_that_celery_itself_would_send(
    world: World, queues: "redis.Redis", private_redis: PrivateRedis
) -> None:
    record = make_record(world.store.now(), signal_id="first", market_id="1.5")
    message = first_message(record, db=DB)
    assert message is not None
    assert (message.db, message.queue) == (DB, QUEUE)
    ids = {"validate_risk": "risk-first", "place_order": "place-first", "log_trade": "log-first"}
    signatures = [app.tasks[f"executor.{name}"].si("first", "1.5").set(task_id=own) for name, own in ids.items()]
    signatures[0].set(headers={"deadline": record.deadline})
    with Connection(private_redis.url(DB)) as connection:
        chain(*signatures).apply_async(connection=connection)
    (theirs,) = queues.lrange(QUEUE, 0, -1)
    assert _fixed(message.text) == _fixed(str(theirs))


def _fixed(raw: str) -> object:
    """Return a message without what is random, or its sender's, in it."""
    message = json.loads(raw)
    del message["headers"]["origin"]
    for name in ("reply_to", "delivery_tag"):
        assert message["properties"].pop(name)
    args, kwargs, rest = json.loads(base64.b64decode(message.pop("body")))
    for step in rest["chain"]:
        assert step["options"].pop("reply_to")
    return message, args, kwargs, rest
