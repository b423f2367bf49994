"""The first message of a chain as Celery writes it: written by Celery once, and filled in for each signal.

`apply_async` routes, declares, copies and signs each message anew, half of what a bridge does for a signal. Invariant:
what is published is what it would publish, but for the ids, the arguments and the deadline; a test holds the one
against the other.
"""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from celery import Celery, Task
from celery.utils.saferepr import saferepr
from kombu.connection import Connection
from kombu.utils.json import dumps, loads
from kombu.utils.uuid import uuid

from executor.ports import QueuedMessage

_FILLED_IN: Final = frozenset({"correlation_id", "delivery_info", "body_encoding", "delivery_tag"})


@dataclass(frozen=True, slots=True)
class _Written:
    """What is the same in each message: headers, properties, kombu's options, and the body's third part."""

    headers: Mapping[str, Any]
    properties: Mapping[str, Any]
    options: Mapping[str, Any]
    embed: Mapping[str, Any]


class ChainMessage:
    """Publishes first messages of chains that begin with `task`, outside of a task."""

    def __init__(self, app: Celery, task: Task) -> None:
        self._app = app
        self._task = task
        self._written: _Written | None = None

    def publish(self, task_id: str, args: Sequence[str], chain: Sequence[object], deadline: int) -> None:
        """Put a message into its queue, with the app's own retries.

        Raises:
            OperationalError: it may or may not be there.
        """
        written, headers, body = self._filled_in(task_id, args, chain, deadline)
        with self._app.producer_pool.acquire(block=True) as producer:
            producer.publish(
                body,
                headers=headers,
                correlation_id=task_id,
                retry=self._app.conf.task_publish_retry,
                retry_policy=self._app.conf.task_publish_retry_policy,
                **written.options,
            )

    def queued(
        self, db: int, task_id: str, args: Sequence[str], chain: Sequence[object], deadline: int
    ) -> QueuedMessage:
        """Return a message as kombu's transport for Redis puts it into its queue, in this db."""
        written, headers, body = self._filled_in(task_id, args, chain, deadline)
        envelope = {
            "body": b64encode(body.encode()).decode(),
            "content-encoding": written.options["content_encoding"],
            "content-type": written.options["content_type"],
            "headers": headers,
            "properties": {
                **written.properties,
                "correlation_id": task_id,
                "delivery_info": {"exchange": "", "routing_key": written.options["routing_key"]},
                "body_encoding": "base64",
                "delivery_tag": uuid(),
            },
        }
        return QueuedMessage(db, written.options["routing_key"], dumps(envelope))

    def _filled_in(
        self, task_id: str, args: Sequence[str], chain: Sequence[object], deadline: int
    ) -> tuple["_Written", dict[str, Any], str]:
        written = self._written = self._written or self._write(args, chain, deadline)
        headers = {
            **written.headers,
            "id": task_id,
            "root_id": task_id,
            "argsrepr": saferepr(tuple(args), self._app.amqp.argsrepr_maxsize),
            "deadline": deadline,
        }
        return written, headers, dumps([args, {}, {**written.embed, "chain": chain}])

    def _write(self, args: Sequence[str], chain: Sequence[object], deadline: int) -> _Written:
        """Let Celery write a message, to a queue in this process's memory."""
        queue = self._app.amqp.router.route({}, self._task.name)["queue"].name
        with Connection("memory://") as connection:
            self._task.apply_async(
                tuple(args), task_id="", chain=list(chain), headers={"deadline": deadline}, connection=connection
            )
            message = connection.default_channel.basic_get(queue, no_ack=True)
        properties = {name: value for name, value in message.properties.items() if name not in _FILLED_IN}
        options = {**properties, "exchange": "", "routing_key": queue}
        options |= {"content_type": message.content_type, "content_encoding": message.content_encoding}
        return _Written(message.headers, properties, options, loads(message.body)[2])
