"""The first step: a message becomes a recorded signal, or a recorded refusal.

Invariant: a signal is recorded, with its deadline, before anything else happens to it; whatever arrives ends in exactly
one record; nothing that anyone publishes raises out of here but StoreUnavailable.
"""

import hashlib
import secrets
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

import structlog

from executor.domain.risk import Reason
from executor.domain.signal import Signal, SignalKind, deadline, parse_signal
from executor.domain.signal_record import SignalRecord, SignalStatus, advance
from executor.engine.context import Policy
from executor.errors import InvalidSignal
from executor.ports import OrderStore, Recorded, Telemetry

log = structlog.get_logger(__name__)

_SNIPPET: Final = 512  # of a malformed message: enough to recognise its sender
_SKEW_MS: Final = 5000  # contract section 3


@dataclass(frozen=True, slots=True)
class Intake:
    """What the bridge needs: no exchange, no risk."""

    store: OrderStore
    telemetry: Telemetry
    policy: Policy


def receive(
    intake: Intake, kind: SignalKind, raw: bytes, arrived: int, bridge: str, *, token: str = ""
) -> SignalRecord | None:
    """Record one message; returns the record when a chain is to be started for it.

    `arrived` is Redis time in ms, `bridge` names this process. Whoever calls again for the same message, not knowing
    whether the first call wrote, gives it the same `token`, or it would meet itself as a repeat.
    """
    token = token or secrets.token_hex(8)
    try:
        signal = parse_signal(kind, raw)
    except InvalidSignal as error:
        _malformed(intake, kind, raw, arrived, error, bridge=bridge, token=token)
        return None
    record = replace(_record(intake.policy, signal, raw, arrived), bridge=bridge, token=token)
    surebet = kind is SignalKind.SUREBET
    known, signal_id = intake.store.record(
        record,
        dedup_id=signal.signal_id,
        dedup_s=intake.policy.max_age_s if surebet else intake.policy.dedup_s,
        renew=surebet,
    )
    if known is Recorded.NEW:
        return _new(intake, signal, record)
    if known is Recorded.REPEAT:
        intake.telemetry.signal_received(signal.strategy)
        intake.telemetry.signal_rejected(Reason.DUPLICATE_SIGNAL)
        log.warning("signal_rejected", signal_id=signal_id, reason=Reason.DUPLICATE_SIGNAL, market_id=signal.market_id)
    return None


def _record(policy: Policy, signal: Signal, raw: bytes, arrived: int) -> SignalRecord:
    until = deadline(
        signal,
        datetime.fromtimestamp(arrived / 1000, UTC),
        max_age_s=policy.max_age_s,
        max_validity_s=policy.max_validity_s,
    )
    surebet = signal.kind is SignalKind.SUREBET
    record = SignalRecord(
        signal_id=f"{signal.signal_id}-{arrived}" if surebet else signal.signal_id,
        kind=signal.kind,
        status=SignalStatus.RECEIVED,
        payload=raw.decode("utf-8-sig"),
        market_id=signal.market_id,
        strategy=signal.strategy,
        received_at=arrived,
        deadline=int(until.timestamp() * 1000),
        updated_at=arrived,
        bridge="",
        token="",
    )
    if record.deadline > arrived:
        return record
    detail = (
        "validityWindow is not positive"
        if signal.validity_s is not None and signal.validity_s <= 0
        else "arrived after its deadline"
    )
    late = f"Signal expired {arrived - record.deadline} ms ago: {detail}"
    return advance(record, SignalStatus.EXPIRED, arrived, Reason.SIGNAL_EXPIRED, late)


def _new(intake: Intake, signal: Signal, record: SignalRecord) -> SignalRecord | None:
    intake.telemetry.signal_received(signal.strategy)
    bound = log.bind(signal_id=record.signal_id, market_id=record.market_id, strategy=record.strategy)
    if record.status is SignalStatus.RECEIVED:
        bound.info("signal_received", legs=len(signal.legs), valid_ms=record.deadline - record.received_at)
        return record
    intake.telemetry.signal_rejected(Reason.SIGNAL_EXPIRED)
    bound.warning("signal_rejected", reason=record.reason, detail=record.detail)
    if signal.sent_at is not None:
        skew = record.received_at - int(signal.sent_at.timestamp() * 1000)
        if abs(skew) > _SKEW_MS:
            bound.warning("clock_skew", age_ms=skew, hint="the sender's clock, or the signal's way here, is off")
    return None


def _malformed(
    intake: Intake, kind: SignalKind, raw: bytes, arrived: int, error: InvalidSignal, *, bridge: str, token: str
) -> None:
    digest = hashlib.sha256(raw).hexdigest()[:24]
    record = SignalRecord(
        signal_id=f"malformed-{digest}",
        kind=kind,
        status=SignalStatus.REJECTED,
        payload=raw[:_SNIPPET].decode("utf-8", "replace"),
        market_id="",
        strategy="",
        received_at=arrived,
        deadline=arrived,
        updated_at=arrived,
        bridge=bridge,
        token=token,
        reason=Reason.MALFORMED_SIGNAL,
        detail=str(error)[:_SNIPPET],
        finished_at=arrived,
    )
    # As long as its record lives: a repeat must be told from what another bridge counted already.
    known, _ = intake.store.record(record, dedup_id=record.signal_id, dedup_s=intake.policy.dedup_s, renew=False)
    if known is not Recorded.ELSEWHERE:
        intake.telemetry.signal_received("malformed")
        intake.telemetry.signal_rejected(Reason.MALFORMED_SIGNAL)
        log.warning("signal_rejected", reason=Reason.MALFORMED_SIGNAL, field=error.field, problem=error.problem)
