"""What a worker notes in Redis of the messages that it holds: after the task has them, before they could be lost."""

import json
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from celery.concurrency.asynpool import AsynPool
from kombu.asynchronous import Hub
from kombu.connection import Connection
from kombu.entity import Queue
from kombu.transport.redis import Channel, MultiChannelPoller, QoS
from kombu.transport.virtual import QoS as VirtualQoS
from redis import Redis
from redis.exceptions import ResponseError
from support.sandbox_client import wait_for

from executor import broker
from executor.devstack.redis_server import PrivateRedis

QUEUE = Queue("held", routing_key="held")


class Loop:
    """A worker's loop and its consumer, which does what it is told with each message."""

    def __init__(self, url: str, client: "Redis") -> None:
        self.client = client
        self.connection = Connection(url, transport_options={"priority_steps": [0]})
        self.taken: list[tuple[Any, int]] = []  # messages, and how many notes there were when each was taken
        self.hub = Hub()
        self.connection.transport.register_with_event_loop(self.connection.connection, self.hub)
        self.channel = self.connection.default_channel
        self.consumer = self.connection.Consumer(
            [QUEUE], channel=self.channel, on_message=lambda message: self.taken.append((message, self.notes))
        )
        self.consumer.consume()

    @property
    def notes(self) -> int:
        return int(self.client.hlen("unacked"))

    def publish(self, number: int = 1) -> None:
        with self.connection.Producer() as producer:
            for at in range(number):
                producer.publish({"at": at}, routing_key="held", declare=[QUEUE], delivery_tag=str(uuid.uuid4()))

    def turn_until(self, look: Callable[[], object]) -> None:
        loop = self.hub.create_loop()

        def turned() -> object:
            next(loop)
            return look()

        wait_for(turned)


@pytest.fixture
def client(private_redis: PrivateRedis) -> Iterator["Redis"]:
    with Redis.from_url(private_redis.url(5), decode_responses=True) as client:
        client.flushdb()
        yield client


@pytest.fixture
def loop(private_redis: PrivateRedis, client: "Redis") -> Iterator[Loop]:
    broker.install()
    loop = Loop(private_redis.url(5), client)
    yield loop
    loop.connection.close()
    loop.hub.close()


def test_a_message_is_noted_after_it_was_handed_on_and_the_note_taken_back(loop: Loop) -> None:
    loop.publish()
    loop.turn_until(lambda: loop.taken)
    message, notes = loop.taken[0]
    assert notes == 0, "the order waits for no note"
    loop.turn_until(lambda: loop.notes)
    (noted,) = loop.client.hgetall("unacked").items()
    assert noted[0] == message.delivery_tag
    assert json.loads(noted[1])[2] == "held"
    assert loop.client.zscore("unacked_index", message.delivery_tag)
    message.ack()
    loop.turn_until(lambda: not loop.notes and not loop.client.zcard("unacked_index"))


def test_what_is_held_at_a_stop_goes_back_into_its_queue(loop: Loop) -> None:
    loop.publish(3)
    loop.turn_until(lambda: len(loop.taken) == 3)
    loop.taken[0][0].ack()
    loop.connection.close()  # within the turn: of the last message at least there is no note yet
    assert loop.client.llen("held") == 2
    assert loop.notes == 0


def test_where_redis_went_away_the_turns_stop_trying_and_the_end_tries_once_more(loop: Loop) -> None:
    loop.publish()
    loop.turn_until(lambda: loop.taken)
    loop.client.set("unacked", "of another type: as good as away")
    with pytest.raises(ResponseError):
        loop.turn_until(lambda: False)
    for settle in loop.hub.on_tick:
        if settle.__module__ == "executor.held_messages":
            settle()  # as a stopping worker's timers do: it waits for no time-out
    loop.client.delete("unacked")
    loop.connection.close()
    assert loop.client.llen("held") == 1


def test_a_message_that_is_put_back_at_once_is_not_lost(loop: Loop) -> None:
    loop.publish()
    loop.turn_until(lambda: loop.taken)
    loop.taken[0][0].requeue()
    loop.turn_until(lambda: len(loop.taken) == 2)
    assert loop.taken[0][0].body == loop.taken[1][0].body


def test_without_a_loop_a_message_is_noted_before_it_is_handed_on(client: "Redis", private_redis: PrivateRedis) -> None:
    broker.install()
    with Connection(private_redis.url(5), transport_options={"priority_steps": [0]}) as connection:
        with connection.Producer() as producer:
            producer.publish({}, routing_key="held", declare=[QUEUE])
        message = connection.default_channel.basic_get("held")
        assert client.hlen("unacked") == 1
        message.ack()
        assert client.hlen("unacked") == 0


def test_kombu_and_celery_are_as_what_we_replace_of_them_needs() -> None:
    """Names that are no public interface; constraints.txt holds the versions."""
    assert {"append", "ack", "reject", "restore_unacked_once"} <= set(dir(QoS))
    assert "_delivered" in vars(VirtualQoS)
    assert Channel.QoS is QoS
    assert "_channels" in vars(MultiChannelPoller())
    assert {"_create_write_handlers", "on_job_ready", "register_with_event_loop"} <= set(dir(AsynPool))
    names = AsynPool._create_write_handlers.__code__
    used = {"_quick_put", "on_poll_start", "consolidate_callback", "outbound_buffer", "_all_inqueues"}
    assert used | {"_active_writes", "_busy_workers"} <= set(names.co_names)
