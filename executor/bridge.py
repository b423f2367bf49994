"""The signal bridge: from pub/sub and `stream:signals` to a recorded signal and its chain. Thin: no risk, no exchange.

Invariants: record first, then the chain; nothing that anyone publishes stops it; a dropped connection is noticed,
counted and made anew; what a restarted Redis may have lost of the last messages is recorded again. Pub/sub loses what
is published while nobody listens, so run two. The stream has a thread and a connection of its own (`durable_door`), so
that neither door waits for the other.
"""

import math
import os
import signal
import socket
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any, Final

import redis
import structlog
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from executor import keys, wiring
from executor.adapters.clock import monotonic
from executor.adapters.redis.client import connect_bytes, run_of
from executor.adapters.redis.clock import RedisClock
from executor.adapters.redis.topology import MasterWatch
from executor.app import app, serving
from executor.domain.signal import MAX_BYTES, SignalKind
from executor.domain.signal_record import SignalRecord
from executor.durable_door import DurableDoor
from executor.engine.intake import Intake, Message, Receipt, receive, receive_all
from executor.errors import SignalUnrecordable, StoreUnavailable
from executor.observability import exporter
from executor.settings.load import Settings
from executor.settings.urls import queues_db
from executor.tasks import dispatch, first_message

log = structlog.get_logger(__name__)

_CHANNELS: Final = {
    keys.SUREBET_SIGNALS.encode(): SignalKind.SUREBET,
    keys.STRATEGY_SIGNALS.encode(): SignalKind.STRATEGY,
}
_TOGETHER: Final = 50  # messages; the last of them waits for the others' records, 10 ms
_WAIT_S: Final = 0.2  # how long a stop may go unnoticed
_PING_S: Final = 5
_SILENT_S: Final = 15  # three pings without an answer: the connection is dead, whatever the socket says
_RECONNECT_S: Final = 0.5
_DRAIN_S: Final = 10  # less than the 15 that compose and systemd give it; thousands of messages
_MOVED_S: Final = 2  # of a server that is not the master any more, and may not answer at all
# A killed Redis loses up to three seconds (a sync each second, and writes wait two more for a slow one): as many
# messages as a hundred a second bring in that time, at most 32 MB.
_REMEMBERED: Final = 500
_LOSABLE_MS: Final = 5000  # what is older is on Redis's disk: in the stream, or recorded
_KNOWN_MARGIN_S: Final = 5  # two bridges hear one message this far apart at most, or the later one renews what is known
# A message is short-lived: what cannot be queued quickly is left to the sweep, which has the record.
_PUBLISH_POLICY: Final = {"max_retries": 2, "interval_start": 0, "interval_step": 0.1, "interval_max": 0.2}


_Message = tuple[SignalKind, bytes, str]  # with its token
_Heard = tuple[str, bytes, int, float]  # kind, message, arrival, when this process had it


class Bridge:
    """One bridge process; `run` returns when `stop` was called."""

    def __init__(
        self,
        settings: Settings,
        intake: Intake,
        count_reconnect: Callable[[], None],
        misused: Callable[[str, int], None],
    ) -> None:
        self._intake = intake
        self._count_reconnect = count_reconnect
        self._name = f"{socket.gethostname()}:{os.getpid()}:{os.urandom(4).hex()}"
        self._clock = RedisClock(intake.store.now, monotonic)
        self._stopping = threading.Event()
        # Of each door, so that a backlog of the stream does not push out what only this process has heard.
        self._replay_buffer: deque[_Heard] = deque(maxlen=_REMEMBERED)
        self._read: deque[_Heard] = deque(maxlen=_REMEMBERED)
        self._memory = threading.Lock()
        self._run = ""  # of the master in which they were recorded
        self._door = DurableDoor(
            wiring.signal_stream(settings, self._name),
            intake,
            name=self._name,
            now=self._clock.ms,
            start=self._start,
            remember=self._remember_read,
            misused=misused,
            stopping=self._stopping,
        )
        self._client = connect_bytes(settings.redis.url)  # it repeats nothing: a gap must be noticed
        self._watch = MasterWatch(self._client.connection_pool)

    @property
    def stopping(self) -> threading.Event:
        """Tell those who work beside the bridge that it stops."""
        return self._stopping

    def stop(self, *_: object) -> None:
        """Stop after what has been sent to it."""
        self._stopping.set()

    def run(self) -> None:
        """Listen and read until stopped; reconnect for ever."""
        reader = threading.Thread(target=self._door.run, name="durable door")
        reader.start()
        connections = 0
        while not self._stopping.is_set():
            try:
                self._listen(connections)
            except RedisError as error:
                connections += 1
                self._count_reconnect()
                log.warning("bridge_disconnected", error=str(error), gap_possible=True, reconnects=connections)
                self._stopping.wait(_RECONNECT_S)
        reader.join()
        log.info("bridge_stopped")

    def _listen(self, connections: int) -> None:
        with self._client.pubsub() as pubsub:  # type: ignore[no-untyped-call]
            pubsub.subscribe(*_CHANNELS)
            log.info("bridge_listening", channels=[name.decode() for name in _CHANNELS], reconnects=connections)
            try:
                self._replay(pubsub)
            except RedisError:
                with suppress(RedisError):
                    while (said := pubsub.get_message(timeout=_WAIT_S)) is not None:
                        self._take(pubsub, said)  # its publisher was told that somebody heard it
                raise
            heard = pinged = monotonic()
            while not self._stopping.is_set():
                message = pubsub.get_message(timeout=_WAIT_S)
                now = monotonic()
                if message is not None:
                    heard = now
                    self._take(pubsub, message)
                if now - pinged > _PING_S:
                    pubsub.ping()
                    pinged = now
                if now - heard > _SILENT_S:
                    raise redis.ConnectionError("no answer to pings")
                if self._watch.has_left(pubsub.connection):
                    # It goes on answering, and telling publishers that somebody heard them.
                    self._drain(pubsub, _MOVED_S)
                    raise redis.ConnectionError("the master has moved")
            self._drain(pubsub)

    def _drain(self, pubsub: "redis.client.PubSub", within_s: float = _DRAIN_S) -> None:
        """Take what was sent to us before Redis knew that we stop: its publishers were told that somebody heard it."""
        pubsub.unsubscribe()  # type: ignore[no-untyped-call]
        deadline = monotonic() + within_s
        while pubsub.subscribed and monotonic() < deadline:
            message = pubsub.get_message(timeout=_WAIT_S)
            if message is not None:
                self._take(pubsub, message)
        if pubsub.subscribed:
            log.error("bridge_stopped_early", hint="what it had been sent and did not record is lost")

    def _take(self, pubsub: "redis.client.PubSub", message: dict[str, Any]) -> None:
        """Take a message and what has arrived behind it: a burst is recorded many at a trip."""
        together = [message]
        broken: RedisError | None = None
        try:
            while len(together) < _TOGETHER and (more := pubsub.get_message(timeout=0)) is not None:
                together.append(more)
        except RedisError as error:  # first what was heard: its publishers were told so
            broken = error
        # The token is of this message: who records it again, not knowing whether the last try wrote, must not meet it.
        self._handle(
            [
                (_CHANNELS[message["channel"]], message["data"], os.urandom(8).hex())
                for message in together
                if message["type"] == "message" and message["channel"] in _CHANNELS
            ]
        )
        if broken is not None:
            raise broken

    def _handle(self, heard: list[_Message]) -> None:
        try:
            self._record(heard)
        except Exception:  # whatever it is, the others and the next message must be heard
            if len(heard) == 1:
                log.exception("message_not_handled", channel=heard[0][0])
            else:
                for message in heard:
                    self._handle([message])

    def _start(self, record: SignalRecord | None) -> None:
        """Start the chain of a signal that is new; where that fails the sweep does it."""
        try:
            if record is not None:
                dispatch(record)
        except OperationalError as error:
            log.warning("chain_not_queued", signal_id=record.signal_id if record else "", error=str(error))

    def _replay(self, pubsub: "redis.client.PubSub") -> None:
        """Record the last messages once more in a Redis that was restarted or is another; it keeps those that it knows.

        A surebet is known by its content, and only for a while: a later or a second copy would be a new signal. What
        comes meanwhile is taken at once: nobody has it but this process, which may be killed.
        """
        run = run_of(self._client)
        remembered = self._remembered() if self._run not in {"", run} else ()
        self._run = run
        said: set[bytes] = set()
        broken: RedisError | None = None
        for kind, data, arrived, heard in remembered:
            broken = broken or self._take_waiting(pubsub)
            is_surebet = kind.lower() == SignalKind.SUREBET  # the stream's kinds are as their publishers wrote them
            known_s = self._intake.policy.max_age_s - _KNOWN_MARGIN_S if is_surebet else math.inf
            # Under another name: for this one they would be repeats, to be counted and logged.
            name, token = f"{self._name}:{run[:8]}", os.urandom(8).hex()
            while data not in said and monotonic() - heard < known_s and not self._stopping.is_set():
                try:
                    self._start(receive(self._intake, kind, data, arrived, name, token=token))
                    said.add(data)
                except StoreUnavailable as error:
                    # Waiting keeps what has been heard meanwhile; another restart starts the whole anew.
                    if isinstance(error, SignalUnrecordable) or self._stopping.wait(_RECONNECT_S):
                        break
            said.add(data)
        if remembered:
            log.warning("redis_restarted", messages=len(said), why="what it may have lost of them was recorded again")
        if broken is not None:
            raise broken

    def _remembered(self) -> tuple[_Heard, ...]:
        with self._memory:
            return (*self._read, *self._replay_buffer)

    def _remember_read(self, kind: str, data: bytes, arrived: int) -> None:
        """Keep what the stream has brought, too: who added it was answered by a Redis that may lose a second."""
        if self._clock.ms() - arrived < _LOSABLE_MS:
            with self._memory:
                self._read.append((kind, data, arrived, monotonic()))

    def _take_waiting(self, pubsub: "redis.client.PubSub") -> RedisError | None:
        """Take what has arrived; returns why no more can."""
        try:
            while (message := pubsub.get_message(timeout=0)) is not None:
                self._take(pubsub, message)
        except RedisError as error:
            return error
        return None

    def _record(self, heard: list[_Message]) -> None:
        """Record messages, waiting while Redis is away; they arrived when they were heard, however long that takes."""
        began = monotonic()
        arrived = 0
        while heard:
            answers: Sequence[Receipt | StoreUnavailable]
            try:
                arrived = arrived or self._clock.ms() - int((monotonic() - began) * 1000)
                now = self._clock.ms()
                messages = [Message(kind, data, arrived, now, self._name, token) for kind, data, token in heard]
                answers = receive_all(self._intake, messages, self._start)
            except StoreUnavailable as error:
                answers = [error] * len(heard)
            pairs = zip(heard, answers, strict=True)
            left = [message for message, answer in pairs if not self._is_done(message, answer, arrived)]
            if left:
                why = next(str(answer) for answer in answers if isinstance(answer, StoreUnavailable))
                log.warning("waiting_for_redis", messages=len(left), error=why)
                over = monotonic() - began > self._intake.policy.max_validity_s
                if over or self._stopping.wait(_RECONNECT_S):
                    for _, data, _ in left:
                        log.error("signal_lost", why=why, data=data[:200])
                    return
            heard = left

    def _is_done(self, message: _Message, answer: Receipt | StoreUnavailable, arrived: int) -> bool:
        """Tell whether nothing is left to be done for this message; what is recorded has been started."""
        kind, data, _ = message
        if isinstance(answer, StoreUnavailable):
            if isinstance(answer, SignalUnrecordable):
                log.error("signal_lost", why=str(answer), data=data[:200])
                return True
            return False
        if len(data) <= MAX_BYTES:
            with self._memory:
                self._replay_buffer.append((kind, data, arrived, monotonic()))
        return True


def main() -> int:
    """Run a bridge until SIGTERM or Ctrl-C.

    Raises:
        IdentityMismatch, PortInUse: it must not start.
    """
    settings = wiring.get_settings()
    exporter.prepare(settings.data_dir, settings.metrics.bridge_port, settings.metrics.instance)
    app.conf.task_publish_retry_policy = _PUBLISH_POLICY
    from executor.observability.counters import RECONNECTS, count_misuse  # noqa: PLC0415 - after `prepare`

    intake = wiring.intake(settings)
    if (db := queues_db(settings.redis.url, settings.redis.broker_url)) is not None:
        intake = replace(intake, first_message=partial(first_message, db=db))
    bridge = Bridge(settings, intake, RECONNECTS.inc, count_misuse)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, bridge.stop)
    with serving("bridge", settings.metrics.bridge_port, bridge.stopping):
        bridge.run()
    return 0
