"""What arrives on a queue and is no message of ours: dropped, logged in one line and counted, and the worker lives.

Celery 5.7 and kombu end the worker on what they cannot read, and some of it is put back and ends the next one too: a
single LPUSH would stop trading for good. Invariant: whatever is pushed on a queue, the next message is taken.
"""

from collections.abc import Callable
from typing import Any, Final

import structlog
from billiard import pool as billiard_pool
from celery.worker.consumer import Consumer as CeleryConsumer
from kombu.exceptions import KombuError, OperationalError
from kombu.transport import TRANSPORT_ALIASES
from kombu.transport.redis import Channel as RedisChannel
from kombu.transport.redis import SentinelChannel as RedisSentinelChannel
from kombu.transport.redis import Transport as RedisTransport
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import DataError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry

from executor.adapters.redis.topology import FollowingConnection, FollowingSSLConnection, follow_newest_master
from executor.held_messages import NotesLater, QoS
from executor.ports import RefusedTask
from executor.settings.urls import SENTINEL

log = structlog.get_logger(__name__)

# What reading a value of the wrong shape raises. None of these is a lost connection (kombu counts KeyError in).
_WRONG_SHAPE: Final = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError, DataError)
UNPUBLISHED: Final = (OperationalError, RedisConnectionError, RedisTimeoutError)  # what a publish that fails raises
_SHOWN: Final = 200  # characters of what was wrong, and of a task's name
_SCHEMES: Final = ("redis", "rediss")
_HEARD_TRIES: Final = 15  # of a tenth of a second each
_EVENTS_S: Final = 0.2  # how late Flower hears of a task
_EVENTS: Final = 1000  # in one message at most, nine a signal; Celery's 24 would send one in each turn of the loop

# Headers of what beat sends. Celery's own `expires` is a time of day of the sender's machine.
SENT_AT: Final = "sent_at_ms"  # Redis time
GOOD_FOR: Final = "good_for_ms"  # how long after that it may be run


def refuse(reason: RefusedTask, **fields: object) -> None:
    """Say once, and count, that a message for a task was not followed."""
    from executor.observability.counters import REFUSED_TASKS  # noqa: PLC0415 - after `exporter.prepare` chose where to count

    REFUSED_TASKS.labels(reason).inc()
    log.warning("task_refused", reason=reason, **{name: str(value)[:_SHOWN] for name, value in fields.items()})


class Channel(RedisChannel):
    """A channel that drops what is no envelope (it was taken off the queue already), and keeps its client."""

    QoS = QoS
    _kept: Any = None

    def _create_client(self, asynchronous: bool = False) -> Any:  # noqa: ANN401, FBT001, FBT002 - kombu's
        """Return the client of the pool; kombu makes one for each publish and acknowledgement, 0.4 ms of work."""
        if asynchronous:
            return super()._create_client(asynchronous=True)  # type: ignore[no-untyped-call]
        if self._kept is None or self._kept.connection_pool is not self.pool:
            self._kept = super()._create_client()  # type: ignore[no-untyped-call]
        return self._kept

    def _brpop_read(self, **options: Any) -> Any:  # noqa: ANN401 - kombu's
        try:
            return super()._brpop_read(**options)  # type: ignore[no-untyped-call]
        except _WRONG_SHAPE as error:
            refuse(RefusedTask.UNREADABLE, error=f"{type(error).__name__}: {error}")
            return True

    def _connparams(self, asynchronous: bool = False) -> Any:  # noqa: ANN401, FBT001, FBT002 - kombu's
        """Return how to connect; a channel whose connection is gone says so in a way that is tried again on another."""
        if self.connection is None:
            raise RedisConnectionError("the channel's connection is closed")
        return super()._connparams(asynchronous)  # type: ignore[no-untyped-call]


class Transport(NotesLater, RedisTransport):
    """Kombu's transport, on such channels."""

    Channel = Channel


class FollowingChannel(Channel, RedisSentinelChannel):
    """A channel to whichever server the sentinels say is the master."""

    connection_class = FollowingConnection
    connection_class_ssl: Any = FollowingSSLConnection

    def _sentinel_managed_pool(self, asynchronous: bool = False) -> Any:  # noqa: ANN401, FBT001, FBT002 - kombu's
        """Ask each sentinel once, as a dead one must not cost redis-py's repeats, and believe the newest."""
        self.sentinel_kwargs = {**(getattr(self, "sentinel_kwargs", None) or {}), "retry": Retry(NoBackoff(), 0)}
        pool = super()._sentinel_managed_pool(asynchronous)  # type: ignore[no-untyped-call]
        follow_newest_master(pool.sentinel_manager)
        return pool


class FollowingTransport(NotesLater, RedisTransport):
    """Kombu's transport, on those."""

    default_port = 26379
    Channel = FollowingChannel


class Consumer(CeleryConsumer):  # type: ignore[misc]
    """A consumer that drops what it cannot hand to a task, for good, and sends events a few times a second.

    `prepare` is what is done before the first message is taken, when the pool's processes are there.
    """

    prepare: Callable[[], None] = staticmethod(lambda: None)

    def on_send_event_buffered(self) -> None:
        """Leave events to the timer: Celery sends them at each turn of its loop, one message for nearly each event."""
        self.event_dispatcher.buffer_limit = _EVENTS

    def start(self) -> None:
        """Prepare, then start Celery's consumer and the timer."""
        self.prepare()
        self.timer.call_repeatedly(_EVENTS_S, self._send_events)
        super().start()

    def shutdown(self) -> None:
        """Send the last events, then end Celery's consumer."""
        self._send_events()
        super().shutdown()

    def _send_events(self) -> None:
        if self.event_dispatcher is not None:
            self.event_dispatcher.flush()

    def create_task_handler(self, *args: Any, **kwargs: Any) -> Callable[[Any], Any]:  # noqa: ANN401 - Celery's
        """Wrap Celery's handler: what it lets through must not end the consumer and come back to end the next."""
        handle = super().create_task_handler(*args, **kwargs)

        def handle_or_drop(message: Any) -> Any:  # noqa: ANN401 - kombu's
            try:
                return handle(message)
            except (*_WRONG_SHAPE, KombuError) as error:
                self._drop(message, error)

        return handle_or_drop

    def on_unknown_message(self, body: Any, message: Any) -> None:  # noqa: ANN401 - Celery's
        """Drop a message that names no task."""
        del body
        self._drop(message, "it names no task")

    def on_unknown_task(self, body: Any, message: Any, exc: Any) -> None:  # noqa: ANN401 - Celery's
        """Drop a message for a task that is none of ours."""
        del body
        self._drop(message, f"no such task: {exc}", RefusedTask.UNKNOWN_TASK)

    def on_invalid_task(self, body: Any, message: Any, exc: Any) -> None:  # noqa: ANN401 - Celery's
        """Drop a message that Celery refuses."""
        del body
        self._drop(message, exc)

    def on_decode_error(self, message: Any, exc: Any) -> None:  # noqa: ANN401 - Celery's
        """Drop a message whose body cannot be read."""
        self._drop(message, exc)

    def _drop(self, message: Any, error: object, reason: RefusedTask = RefusedTask.UNREADABLE) -> None:  # noqa: ANN401
        refuse(reason, error=error if isinstance(error, str) else f"{type(error).__name__}: {error}")
        message.reject_log_error(log, self.connection_errors)


def install() -> None:
    """Let kombu find the transport under the schemes of our URLs, and bound how long a worker's end takes.

    Before the first connection. On a lost connection Celery discards the tasks that it has just handed to its processes
    and reads no more of them; such a process waits for half a minute to be heard, and the worker for it. The record has
    what became of the task.
    """
    billiard_pool.GUARANTEE_MESSAGE_CONSUMPTION_RETRY_LIMIT = _HEARD_TRIES
    TRANSPORT_ALIASES.update(dict.fromkeys(_SCHEMES, f"{__name__}:Transport"))
    TRANSPORT_ALIASES[SENTINEL] = f"{__name__}:FollowingTransport"
