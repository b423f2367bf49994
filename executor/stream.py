"""The order stream's process: what the exchange says of our bets is applied at once. Thin: decode, apply, count.

Invariants: one process at a time is connected (a lock; two would do no harm); after each connection, and after each gap
that the exchange admits, every order is read at once, because what ended unheard is in no message; a refused token is
renewed once and never hammered; without this process everything works as before, at the poll's pace. Seconds.
"""

import os
import signal
import socket
import threading
from dataclasses import dataclass, field
from typing import Final

import structlog

from executor import wiring
from executor.adapters.clock import monotonic
from executor.adapters.redis.stream_status import RedisStreamStatus
from executor.app import serving
from executor.engine.engine import Engine
from executor.engine.reconciliation import poll
from executor.engine.streaming import StreamApplier
from executor.errors import ExecutorError, LoginRefused, Refused, SessionExpired, StoreUnavailable, Throttled
from executor.observability import exporter
from executor.ports import Hold, OrderStream, StreamMessage
from executor.settings.load import Settings, SettingsError

log = structlog.get_logger(__name__)

_LOCK: Final = "order_stream"
_POLL: Final = "poll_orders"  # the lock that beat's polls take
_FOLLOW_S: Final = 2.0  # how often one that is not connected looks whether it should be
_SAY_S: Final = 1.0
_BACK_OFF_S: Final = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
_STEADY_S: Final = 10.0  # to be let in and shown out sooner, again and again, is to be refused
_REFUSED_S: Final = 300.0  # a person has to do something; the session itself holds back logins
_PAUSE_S: Final = 0.2
_MOST_ODD: Final = 1000  # rows that are told once each


@dataclass
class StreamProcess:
    """One process; `run` returns when `stopping` is set."""

    engine: Engine
    stream: OrderStream
    status: RedisStreamStatus
    stopping: threading.Event = field(default_factory=threading.Event)
    connections: int = 0
    _gap: threading.Event = field(default_factory=threading.Event)
    _connection: str = ""
    _behind: bool = False
    _imaged: bool = False  # this connection's own image has come
    _said_at: float = float("-inf")
    _odd: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._applier = StreamApplier(self.engine, self.stopping, self._count)
        self.changed = 0

    def stop(self) -> None:
        """Stop soon."""
        self.stopping.set()

    def run(self) -> None:
        """Be the connected one, or wait to be."""
        reader = threading.Thread(target=self._read_gaps, name="gap", daemon=True)
        reader.start()
        while not self.stopping.is_set():
            try:
                with self.engine.locks.single_flight(_LOCK) as ours:
                    if ours:
                        self._lead(ours)
            except StoreUnavailable as error:
                log.warning("waiting_for_redis", error=str(error))
            self.stopping.wait(_FOLLOW_S)
        self._gap.set()  # who waits for the next one
        self._applier.close()
        reader.join(timeout=_BACK_OFF_S[-1])
        log.info("stream_stopped", changed=self.changed)

    def _count(self, changed: int) -> None:
        self.changed += changed

    def _lead(self, lead: Hold) -> None:
        failures = 0
        while not (self.stopping.is_set() or lead.lost):
            heard, steady_at, wait_s = monotonic(), float("inf"), 0.0
            try:
                self._connect()
                steady_at = monotonic() + _STEADY_S
                while not (self.stopping.is_set() or lead.lost):
                    self._take(self.stream.read())
            except ExecutorError as error:
                failures = failures if monotonic() < steady_at else 0
                wait_s = _wait_s(error, failures)
                failures += 1
                log.warning("stream_disconnected", error=str(error), after_s=round(monotonic() - heard), wait_s=wait_s)
            finally:
                self._leave()
            self.stopping.wait(wait_s)

    def _connect(self) -> None:
        self._connection = self.stream.connect()
        self.connections += 1
        self._behind = self._imaged = False
        log.info("stream_connected", connection_id=self._connection, connections=self.connections)
        self._say(at_once=True)
        self._gap.set()

    def _leave(self) -> None:
        self.stream.close()
        try:
            self.status.disconnected()
        except StoreUnavailable:
            log.debug("status_not_written")  # it ends by itself

    def _take(self, message: StreamMessage | None) -> None:
        if message is None:
            return
        if message.behind != self._behind:
            self._behind = message.behind
            log.warning("stream_behind" if message.behind else "stream_caught_up", connection_id=self._connection)
            if not message.behind:
                self._gap.set()
        elif message.image and self._imaged:
            self._gap.set()  # what ended before an image is in none of its messages
        self._imaged = self._imaged or message.image
        for odd in message.odd:
            if odd not in self._odd and len(self._odd) < _MOST_ODD:
                self._odd.add(odd)
                log.error("stream_row_not_read", row=odd, hint="the poll reads it, too, and says what becomes of it")
        if not message.behind:
            self._applier.put(message.bets)
        self._say()

    def _say(self, *, at_once: bool = False) -> None:
        if at_once or monotonic() - self._said_at >= _SAY_S:
            self._said_at = monotonic()
            try:
                self.status.connected(self._connection, behind=self._behind)
            except StoreUnavailable as error:
                log.warning("waiting_for_redis", error=str(error))

    def _read_gaps(self) -> None:
        """Read every order after each connection, beside the reader: nothing holds the stream up."""
        while not self.stopping.is_set():
            self._gap.wait()
            self._gap.clear()
            for wait_s in (*_BACK_OFF_S, *(_BACK_OFF_S[-1:] * 10)):
                if self.stopping.is_set() or self._read_everything():
                    break
                self.stopping.wait(wait_s)

    def _read_everything(self) -> bool:
        try:
            self.engine.controls.require_full_read()
            deadline = monotonic() + self.engine.policy.api_timeout_s
            while not self.stopping.is_set() and monotonic() < deadline:
                with self.engine.locks.single_flight(_POLL) as ours:
                    if ours:
                        report = poll(self.engine)
                        self.engine.locks.succeeded(_POLL)
                        log.info("stream_gap_read", listed=report.listed, changed=report.changed)
                        return True
                self.stopping.wait(_PAUSE_S)  # one that may have begun before the gap is under way
        except ExecutorError as error:
            log.warning("stream_gap_not_read", error=str(error))
        return False


def _wait_s(error: ExecutorError, failures: int) -> float:
    back_off_s = _BACK_OFF_S[min(failures, len(_BACK_OFF_S) - 1)]
    if isinstance(error, LoginRefused):
        return max(error.after_s, _BACK_OFF_S[-1])
    if isinstance(error, Refused):
        return _REFUSED_S
    if isinstance(error, Throttled):
        return max(error.after_s, back_off_s)
    if isinstance(error, SessionExpired) and not failures:
        return 0.0  # there is a new token
    return back_off_s


def main() -> int:
    """Run until SIGTERM or Ctrl-C; where there is no order stream (paper, switched off) only wait, and say why.

    Raises:
        SettingsError, PortInUse: it must not start.
    """
    settings = wiring.get_settings()
    wiring.refuse_without_account(settings)
    port = settings.metrics.stream_port
    exporter.prepare(settings.data_dir, port, settings.metrics.instance)
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    process = _process(settings, stopping)
    with serving("stream", port, stopping):
        if process:
            process.run()
        stopping.wait()
    return 0


def _process(settings: Settings, stopping: threading.Event) -> StreamProcess | None:
    """Return what listens; None where nothing is to be heard: ending would have a supervisor start it for ever."""
    name = f"{socket.gethostname()}:{os.getpid()}:{os.urandom(4).hex()}"
    try:
        stream = wiring.order_stream(settings)
    except SettingsError as error:
        log.warning("no_order_stream", why=str(error), hint="fills are learned of by the poll")
        return None
    return StreamProcess(wiring.get_engine(), stream, wiring.stream_status(settings, name), stopping)
