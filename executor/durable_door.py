"""The durable door: what was added to `stream:signals` is recorded, its chain started, and then acknowledged.

Invariants: an entry is acknowledged only when its signal is recorded, so that none is lost, whoever is killed; each
process handles its entries in the order of their arrival, but for those that waited longer than any signal is valid:
they are put off, and closed in their order while newer ones go first. Memory holds one batch. Times in milliseconds.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import structlog

from executor.adapters.clock import monotonic
from executor.adapters.redis.signal_stream import Entry, SignalStream
from executor.domain.signal import MAX_BYTES
from executor.domain.signal_record import SignalRecord
from executor.engine.intake import Door, Intake, Message, Receipt, receive_all
from executor.errors import SignalUnrecordable, StoreUnavailable

log = structlog.get_logger(__name__)

_BATCH: Final = 100  # at 64 KiB each 6 MB; the last of them waits for the others' records, 20 ms
_WAIT_MS: Final = 200  # how long a stop may go unnoticed; the first entry ends it
_RETRY_S: Final = 0.5
# A dead bridge's entries are another's after the sum of both at the latest: within 15 s, says the contract. A live one
# needs far less for a batch; where it does not, both record it, and the record is one.
_IDLE_MS: Final = 6000
_LOOK_S: Final = 3.0
_TEND_S: Final = 1.0
_OWN_ID_MS: Final = 5000  # older than this although nothing waited: no XADD * made that id


@dataclass
class DurableDoor:
    """One process's part of the stream; `run` returns when `stopping` is set. `now` is Redis TIME."""

    stream: SignalStream
    intake: Intake
    name: str
    now: Callable[[], int]
    start: Callable[[SignalRecord], None]
    remember: Callable[[str, bytes, int], None]
    misused: Callable[[str, int], None]
    stopping: threading.Event
    _recorded: set[str] = field(default_factory=set)  # and not acknowledged, because Redis went away in between
    _pending_after: str | None = "0"  # our own entries, unacknowledged, are behind this id; None: there are none
    _claim_from: str = "0-0"
    _looked: float = 0.0
    _tended: float = 0.0
    _empty_at: int = 0  # when nothing was waiting

    def run(self) -> None:
        """Read until stopped, whatever becomes of Redis."""
        while not self.stopping.is_set():
            try:
                self._turn()
            except StoreUnavailable as error:
                log.warning("signal_stream_unavailable", error=str(error))
                self._start_over()
            except Exception:  # whatever it is, the next entry must be read
                log.exception("signal_stream_not_handled")
                self._start_over()

    def _start_over(self) -> None:
        self._pending_after = "0"  # what a lost answer brought
        self._empty_at = 0
        self.stopping.wait(_RETRY_S)

    def _turn(self) -> None:
        """Handle one batch of each: own ones from before, new ones, those of the dead."""
        if self._pending_after is not None:
            entries = self.stream.read_pending(self._pending_after, _BATCH)
            self._pending_after = entries[-1].id if entries else None
            self._handle(entries)
        self._read_new()
        now = monotonic()
        if now - self._looked > _LOOK_S:
            self._claim_from, entries = self.stream.claim_idle(_IDLE_MS, self._claim_from, _BATCH)
            self._handle(entries)
            if self._claim_from == "0-0":
                self._looked = now
        if now - self._tended > _TEND_S:
            self._tended = now
            try:
                self._tend()
            except StoreUnavailable as error:  # nothing is lost by it, and what comes must not wait for it
                log.warning("signal_stream_not_tended", error=str(error))

    def _read_new(self) -> None:
        before = self.now()
        entries = self.stream.read_new(_BATCH, 0 if self._pending_after is not None else _WAIT_MS)
        while entries and self.now() - entries[-1].at > self._longest_ms() and not self.stopping.is_set():
            # Too old whatever they say: they stay ours, and what is behind them is looked at first.
            self._pending_after = self._pending_after or "0"
            self._look_at_ids(entries)
            entries = self.stream.read_new(_BATCH, 0)
        if not entries:
            self._empty_at = before
            return
        self._look_at_ids(entries)
        self._handle(entries)

    def _longest_ms(self) -> int:
        return 1000 * max(self.intake.policy.max_age_s, self.intake.policy.max_validity_s)

    def _look_at_ids(self, entries: Sequence[Entry]) -> None:
        old = sum(entry.at < self._empty_at - _OWN_ID_MS for entry in entries)
        if old:
            self.misused("own_id", old)
            self.stream.note_own_id(self.now())
            log.error("signal_stream_misused", own_ids=old, hint="publishers must add with *: the id is the arrival")

    def _handle(self, entries: Sequence[Entry]) -> None:
        """Record, start, acknowledge; who cannot be recorded now stays unacknowledged, and so do those behind it."""
        done = [entry.id for entry in entries if entry.fields is None or entry.id in self._recorded]
        entries = [entry for entry in entries if entry.id not in set(done)]
        problem: StoreUnavailable | None = None
        if entries:
            now = self.now()
            messages = [self._message(entry, now) for entry in entries]
            receipts = receive_all(self.intake, messages, self.start)
            for entry, message, receipt in zip(entries, messages, receipts, strict=True):
                if isinstance(receipt, Receipt):
                    self._remember(message)
                elif isinstance(receipt, SignalUnrecordable):
                    log.error("signal_lost", why=str(receipt), data=message.raw[:200])
                else:
                    problem = receipt
                    continue
                done.append(entry.id)
        self._recorded.update(done)
        if done:
            self.stream.acknowledge(done)
            self._recorded.difference_update(done)
        if problem is not None:
            raise problem

    def _remember(self, message: Message) -> None:
        if len(message.raw) <= MAX_BYTES:
            self.remember(message.kind, message.raw, message.arrived)

    def _message(self, entry: Entry, now: int) -> Message:
        fields = {name.lower(): value for name, value in (entry.fields or {}).items()}
        return Message(
            kind=fields.get(b"kind", b"").decode("utf-8", "replace").strip().lower(),
            raw=fields.get(b"payload", b""),
            arrived=min(entry.at, now),
            read=now,
            bridge=self.name,
            token=entry.id,
            door=Door.STREAM,
            sole=True,
        )

    def _tend(self) -> None:
        misuse = self.stream.tend()
        if misuse.removed:
            self.misused("removed", misuse.removed)
            log.error(
                "signal_stream_misused",
                removed=misuse.removed,
                hint="somebody dropped entries (XADD with MAXLEN or MINID, XTRIM, XDEL); unread ones are lost",
            )
        if misuse.ahead:
            self.misused("own_id", 1)
            log.error("signal_stream_misused", ahead=True, hint="somebody added an entry with an id of a time to come")
