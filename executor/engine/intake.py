"""The first step, the same behind every door: a message becomes a recorded signal, or a recorded refusal.

Invariant: a signal is recorded, with its deadline, before anything else happens to it; whatever arrives ends in exactly
one record; nothing that anyone publishes raises out of here but StoreUnavailable. Times are Redis', in milliseconds.
"""

import hashlib
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

import structlog

from executor.domain.risk import Reason
from executor.domain.signal import MAX_BYTES, Signal, SignalKind, deadline, parse_signal
from executor.domain.signal_json import readable_id
from executor.domain.signal_record import SignalRecord, SignalStatus, advance
from executor.engine.engine import Policy
from executor.engine.overload import Overload
from executor.errors import InvalidSignal, StoreUnavailable
from executor.ports import Arrival, Opened, OrderStore, QueuedMessage, Recorded, Signatures, Telemetry

log = structlog.get_logger(__name__)

_SNIPPET: Final = 512  # of a malformed message: enough to recognise its sender
_SKEW_MS: Final = 5000  # contract section 3
_REPLAY_MARGIN_S: Final = 5  # a replay is looked at somewhat later than it arrived
_NEW: Final = frozenset({Recorded.NEW, Recorded.STARTED})
_MAX_KIND: Final = 40  # characters of a kind that is none


class Door(StrEnum):
    """How a message came."""

    PUBSUB = "pubsub"
    STREAM = "stream"
    HTTP = "http"


@dataclass(frozen=True, slots=True)
class Intake:
    """What the bridge needs: no exchange, no risk."""

    store: OrderStore
    telemetry: Telemetry
    policy: Policy
    overload: Overload | None = None  # None: nothing is refused early
    signatures: Signatures | None = None  # None: no message is taken as a signed one
    first_message: Callable[[SignalRecord], QueuedMessage | None] = lambda _: None


@dataclass(frozen=True, slots=True)
class Message:
    """What a door was given: `arrived` is when its sender was answered, `read` when this process got to it.

    Whoever hands in the same message again, not knowing whether the first time wrote, gives it the same `token`, or it
    would meet itself as a repeat. `sole`: no other process is given it, so that a repeat is told by whoever meets it.
    """

    kind: str
    raw: bytes
    arrived: int
    read: int
    bridge: str
    token: str
    door: Door = Door.PUBSUB
    sole: bool = False
    publisher: str = ""  # whom the door let in; a signature names its own


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a message: under which id it is known, since when, and the record that it asked for."""

    known: Recorded
    signal_id: str
    record: SignalRecord
    problem: InvalidSignal | None = None

    @property
    def is_new(self) -> bool:
        """Tell whether this message has made the record."""
        return self.known in _NEW

    @property
    def to_start(self) -> SignalRecord | None:
        """Return the record whose chain is to be started, if any."""
        return self.record if self.known is Recorded.NEW and self.record.status is SignalStatus.RECEIVED else None


@dataclass(frozen=True, slots=True)
class _Read:
    message: Message
    arrival: Arrival
    signal: Signal | None = None
    problem: InvalidSignal | None = None


def receive(
    intake: Intake, kind: str, raw: bytes, arrived: int, bridge: str, *, token: str = ""
) -> SignalRecord | None:
    """Record one message of pub/sub that `bridge` has just heard; returns the record whose chain is to be started.

    Raises:
        StoreUnavailable: it may or may not have been recorded.
    """
    message = Message(kind, raw, arrived, arrived, bridge, token or secrets.token_hex(8))
    (receipt,) = receive_all(intake, [message])
    if isinstance(receipt, StoreUnavailable):
        raise receipt
    return receipt.to_start


def receive_all(
    intake: Intake, messages: Sequence[Message], start: Callable[[SignalRecord], None] = lambda _: None
) -> list[Receipt | StoreUnavailable]:
    """Record messages in their order; returns what became of each, or what kept it from being recorded.

    `start` is called for each new signal that has not been started, before any of them is counted or logged.

    Raises:
        StoreUnavailable: any of them may or may not have been recorded.
    """
    read = [_with_first_message(intake, _in_time(intake, _read(intake, message))) for message in messages]
    answers = intake.store.record([message.arrival for message in read]) if read else []
    receipts = [
        answer if isinstance(answer, StoreUnavailable) else Receipt(*answer, message.arrival.record, message.problem)
        for message, answer in zip(read, answers, strict=True)
    ]
    for receipt in receipts:
        if isinstance(receipt, Receipt) and receipt.to_start is not None:
            start(receipt.to_start)
    for message, receipt in zip(read, receipts, strict=True):
        if isinstance(receipt, Receipt):
            _tell(intake, message, receipt.known, receipt.signal_id)
    if intake.overload is not None and messages:
        intake.overload.look_behind(messages[-1].read)
    return receipts


def _read(intake: Intake, message: Message) -> _Read:
    policy = intake.policy
    try:
        kind = _kind(message.kind)
        opened = _opened(intake, message)
        signal = parse_signal(kind, opened.payload)
        if opened.key_id:
            _may_sign(policy, opened, signal, message)
    except InvalidSignal as error:
        record = _refusal(message, error)
        known_as = readable_id(message.raw)
        named = replace(record, signal_id=known_as) if known_as else record
        # As long as its record lives: a repeat must be told from what another bridge counted already.
        arrival = Arrival(named, record.signal_id, policy.dedup_s, otherwise=record if known_as else None)
        return _Read(message, arrival, problem=error)
    surebet = kind is SignalKind.SUREBET
    remembered_s = policy.max_age_s if surebet else policy.dedup_s
    if opened.key_id and signal.sent_at is not None:  # whoever has it may send it again for as long as it is valid
        replayed_ms = _ms(signal.sent_at) + policy.max_validity_s * 1000 - message.arrived
        remembered_s = max(remembered_s, replayed_ms // 1000 + _REPLAY_MARGIN_S)
    arrival = Arrival(_record(policy, signal, message, opened), signal.signal_id, remembered_s, renew=surebet)
    return _Read(message, arrival, signal)


def _opened(intake: Intake, message: Message) -> Opened:
    if intake.signatures is None or len(message.raw) > MAX_BYTES:  # which is refused for its length
        return Opened(message.raw)
    return intake.signatures.open(message.raw, message.read)


def _may_sign(policy: Policy, opened: Opened, signal: Signal, message: Message) -> None:
    """See that a key may sign this signal, and that the signal says when it was sent: a replay ends by that."""
    if opened.strategies is not None and signal.strategy not in opened.strategies:
        raise InvalidSignal("signature", f"is of key {opened.key_id!r}, which may not sign for this strategy")
    if signal.sent_at is None:
        raise InvalidSignal("timestamp", "is missing: a signed signal must say when it was sent")
    if _ms(signal.sent_at) > message.arrived + policy.max_validity_s * 1000:
        raise InvalidSignal("timestamp", "is of a time to come: a signed signal must say when it was sent")


def _ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def _kind(text: str) -> SignalKind:
    try:
        return SignalKind(text.lower())
    except ValueError:
        shown = text[:_MAX_KIND] if text.isprintable() else ascii(text[:_MAX_KIND])
        raise InvalidSignal("kind", f"{shown or 'nothing'} is none of {', '.join(SignalKind)}") from None


def _record(policy: Policy, signal: Signal, message: Message, opened: Opened) -> SignalRecord:
    until = deadline(
        signal,
        datetime.fromtimestamp(message.arrived / 1000, UTC),
        max_age_s=policy.max_age_s,
        max_validity_s=policy.max_validity_s,
    )
    ends = _ms(until)
    if opened.key_id and signal.sent_at is not None:
        ends = min(ends, _ms(signal.sent_at) + policy.max_validity_s * 1000)
    surebet = signal.kind is SignalKind.SUREBET
    record = SignalRecord(
        signal_id=f"{signal.signal_id}-{message.arrived}" if surebet else signal.signal_id,
        kind=signal.kind,
        status=SignalStatus.RECEIVED,
        payload=opened.payload.decode("utf-8-sig"),
        market_id=signal.market_id,
        strategy=signal.strategy,
        received_at=message.arrived,
        deadline=ends,
        updated_at=message.read,
        bridge=message.bridge,
        token=message.token,
        door="" if message.door is Door.PUBSUB else message.door,
        publisher=opened.key_id or message.publisher,
        moved=signal.moved,
    )
    late_ms = message.read - record.deadline
    return record if late_ms < 0 else _expired(record, signal, message.read, late_ms)


def _expired(record: SignalRecord, signal: Signal, now: int, late_ms: int) -> SignalRecord:
    if signal.validity_s is not None and signal.validity_s <= 0:
        why = "validityWindow is not positive"
    elif record.deadline > record.received_at:
        why = "nobody read it before its deadline"
    else:
        why = "arrived after its deadline"
    detail = f"Signal expired {late_ms} ms ago: {why}"
    return advance(record, SignalStatus.EXPIRED, now, Reason.SIGNAL_EXPIRED, detail)


def _in_time(intake: Intake, read: _Read) -> _Read:
    """Refuse what would expire while it waits for a worker."""
    record = read.arrival.record
    if intake.overload is None or record.status is not SignalStatus.RECEIVED:
        return read
    now = read.message.read
    wait_ms, left_ms = intake.overload.wait_ms(now), record.deadline - now
    if wait_ms <= left_ms:
        intake.overload.added(1)
        return read
    detail = f"Signals wait {wait_ms / 1000:.0f} s for a worker, this one is valid for {left_ms / 1000:.1f} s"
    refused = advance(record, SignalStatus.REJECTED, now, Reason.OVERLOADED, detail)
    return replace(read, arrival=replace(read.arrival, record=refused))


def _with_first_message(intake: Intake, read: _Read) -> _Read:
    record = read.arrival.record
    message = intake.first_message(record) if record.status is SignalStatus.RECEIVED else None
    return replace(read, arrival=replace(read.arrival, first_message=message)) if message else read


def _refusal(message: Message, error: InvalidSignal) -> SignalRecord:
    return SignalRecord(
        signal_id=f"malformed-{hashlib.sha256(message.raw).hexdigest()[:24]}",
        kind=message.kind[:_MAX_KIND],
        status=SignalStatus.REJECTED,
        payload=message.raw[:_SNIPPET].decode("utf-8", "replace"),
        market_id="",
        strategy="",
        received_at=message.arrived,
        deadline=message.arrived,
        updated_at=message.read,
        bridge=message.bridge,
        token=message.token,
        door="" if message.door is Door.PUBSUB else message.door,
        reason=Reason.MALFORMED_SIGNAL,
        detail=str(error)[:_SNIPPET],
        finished_at=message.read,
        publisher=message.publisher,
    )


def _tell(intake: Intake, read: _Read, known: Recorded, signal_id: str) -> None:
    """Count and log what is told here and nowhere else."""
    record = read.arrival.record
    repeat = known is Recorded.REPEAT or (known is Recorded.ELSEWHERE and read.message.sole)
    if known in _NEW or repeat:
        intake.telemetry.signal_received(record.strategy if read.signal else "malformed")
        if read.problem is not None:
            _malformed(intake, read.problem, signal_id if read.arrival.otherwise else "")
        elif repeat:
            _repeated(intake, record, signal_id)
        elif read.signal is not None:
            _new(intake, read.signal, record)


def _malformed(intake: Intake, error: InvalidSignal, signal_id: str) -> None:
    intake.telemetry.signal_rejected(Reason.MALFORMED_SIGNAL)
    told = {"signal_id": signal_id} if signal_id else {}
    reason = Reason.MALFORMED_SIGNAL
    log.warning("signal_rejected", reason=reason, field=error.field, problem=error.problem, **told)


def _repeated(intake: Intake, record: SignalRecord, signal_id: str) -> None:
    intake.telemetry.signal_rejected(Reason.DUPLICATE_SIGNAL)
    log.warning("signal_rejected", signal_id=signal_id, reason=Reason.DUPLICATE_SIGNAL, market_id=record.market_id)


def _new(intake: Intake, signal: Signal, record: SignalRecord) -> None:
    bound = log.bind(signal_id=record.signal_id, market_id=record.market_id, strategy=record.strategy)
    if record.publisher:
        bound = bound.bind(publisher=record.publisher)
    if record.status is SignalStatus.RECEIVED:
        moved = {"moved": signal.moved} if signal.moved else {}
        bound.info("signal_received", legs=len(signal.legs), valid_ms=record.deadline - record.received_at, **moved)
        return
    intake.telemetry.signal_rejected(Reason(record.reason))
    bound.warning("signal_rejected", reason=record.reason, detail=record.detail)
    if signal.sent_at is not None and record.reason == Reason.SIGNAL_EXPIRED:
        skew = record.received_at - _ms(signal.sent_at)
        if abs(skew) > _SKEW_MS:
            bound.warning("clock_skew", age_ms=skew, hint="the sender's clock, or the signal's way here, is off")
