"""What a worker says in Redis of the messages that it holds: after it has handed them on, and many in one trip.

Kombu notes a message as held before the task sees it, and takes each note back by itself: two transactions, the first
of them in an order's way. Invariants: both are done in the turn of the worker's loop that follows, behind the task's
start, all of a turn in one trip; what is put back into its queue, at a shutdown above all, was noted before. A worker
killed within the turn leaves what a message lost in BRPOP leaves, and the sweep finds it; one killed before a note is
taken back lets the message come again, and the records say what was done. Where no loop turns, everything is kombu's.
"""

import threading
from time import time
from typing import Any, Final

import structlog
from kombu.transport import virtual
from kombu.transport.redis import QoS as RedisQoS
from kombu.utils.json import dumps
from redis.exceptions import RedisError

from executor.adapters.redis.client import hash_of

log = structlog.get_logger(__name__)

_SHOWN: Final = 200  # characters of an error, which may repeat a message
_SETTLED_WITHIN_S: Final = 0.5  # where a stopping worker's loop turns no more, and only its timers run


class QoS(RedisQoS):
    """Notes what is held a moment later than kombu does, where a loop turns that does it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - kombu's
        super().__init__(*args, **kwargs)  # type: ignore[no-untyped-call]
        self._guard = threading.Lock()  # a pool of threads acknowledges from them
        self._to_note: dict[str, str] = {}  # delivery tag -> note
        self._to_take_back: list[str] = []
        self.failed = False  # Redis was away: only the end tries again, as each try may wait for a time-out

    def append(self, message: Any, delivery_tag: str) -> None:  # noqa: ANN401 - kombu's
        """Hold a message; it is noted in this turn of the loop.

        Raises:
            ValueError, TypeError, LookupError: no note can be made of it, whoever sent it; it is not held.
        """
        if not getattr(self.channel.connection, "notes_later", False):
            super().append(message, delivery_tag)  # type: ignore[no-untyped-call]
            return
        if not isinstance(delivery_tag, str):
            raise TypeError("the delivery tag is no text")
        delivery_tag.encode()  # what Redis does not take must not be met in the loop's turn
        delivery = message.delivery_info
        note = str(dumps([message._raw, delivery["exchange"], delivery["routing_key"]]))  # noqa: SLF001 - as kombu's
        virtual.QoS.append(self, message, delivery_tag)
        with self._guard:
            self._to_note[delivery_tag] = note

    def ack(self, delivery_tag: str) -> None:
        """Let go of a message; its note, if there is one yet, is taken back with others."""
        self._let_go(delivery_tag)

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:  # noqa: FBT001, FBT002 - kombu's
        """Let go of a message, or put it back: that moves its note."""
        if not requeue:
            self._let_go(delivery_tag)
            return
        self.settle()
        super().reject(delivery_tag, requeue=True)  # type: ignore[no-untyped-call]

    def restore_unacked_once(self, stderr: Any = None) -> None:  # noqa: ANN401 - kombu's
        """Put back what is still held, at the end: from its notes."""
        try:
            self.settle()
        except (RedisError, OSError) as error:
            log.warning("held_messages_not_noted", messages=len(self._to_note), error=str(error)[:_SHOWN])
        super().restore_unacked_once(stderr)  # type: ignore[no-untyped-call]

    def settle(self) -> None:
        """Bring what Redis says up to date, in one trip."""
        with self._guard:
            notes, self._to_note = self._to_note, {}
            gone, self._to_take_back = self._to_take_back, []
        if not notes and not gone:
            return
        try:
            with self.channel.conn_or_acquire() as client, client.pipeline(transaction=True) as pipe:
                if gone:
                    pipe.zrem(self.unacked_index_key, *gone)
                    pipe.hdel(self.unacked_key, *gone)
                if notes:
                    pipe.zadd(self.unacked_index_key, dict.fromkeys(notes, time()))
                    pipe.hset(self.unacked_key, mapping=hash_of(notes))
                pipe.execute()
        except BaseException:
            self.failed = True
            with self._guard:  # none of it is forgotten: it may be tried again at the end
                self._to_note = {**notes, **self._to_note}
                self._to_take_back = [*gone, *self._to_take_back]
            raise

    def _let_go(self, delivery_tag: str) -> None:
        deferred = getattr(self.channel.connection, "notes_later", False)
        with self._guard:
            noted = self._to_note.pop(delivery_tag, None) is None
            if noted:
                self._to_take_back.append(delivery_tag)
        virtual.QoS.ack(self, delivery_tag)
        if noted and not deferred:
            self.settle()


class NotesLater:
    """The part of a transport that lets its channels' notes wait for the loop's turn."""

    notes_later = False
    cycle: Any

    def register_with_event_loop(self, connection: Any, loop: Any) -> None:  # noqa: ANN401 - kombu's
        """Let each turn of the loop bring up to date what Redis says."""
        super().register_with_event_loop(connection, loop)  # type: ignore[misc]
        cycle = self.cycle

        def settle() -> None:
            for channel in list(cycle._channels):  # noqa: SLF001 - kombu's poller
                if channel.active_queues and not channel.qos.failed:
                    channel.qos.settle()

        before = getattr(cycle, "_settle_tref", None)
        if before is not None:  # of a connection before this one
            before.cancel()
        loop.on_tick.add(settle)
        cycle._settle_tref = loop.call_repeatedly(_SETTLED_WITHIN_S, settle)  # noqa: SLF001
        self.notes_later = True
