"""Signals by hand and over HTTP: into the one intake, recorded before anybody is told so.

Invariant: what was answered is recorded; a chain that could not be queued is started by the sweep, from the record.
"""

import base64
import json
import secrets
from collections.abc import Mapping
from typing import Final

import structlog
from kombu.exceptions import OperationalError

from executor.domain.signal import SignalKind
from executor.domain.signal_record import SignalRecord
from executor.engine.intake import Door, Message, Receipt, receive_all
from executor.errors import StoreUnavailable
from executor.operations.access import Access

log = structlog.get_logger(__name__)

_TELLING: Final = "backselectionid"  # only a surebet has it
_DOTS: Final = 2  # of a compact JWS
_PROCESS: Final = secrets.token_hex(4)


def guess_kind(value: object) -> SignalKind:
    """Tell from a decoded message which of the two formats it has."""
    names = {str(name).replace("_", "").lower() for name in value} if isinstance(value, Mapping) else set()
    return SignalKind.SUREBET if _TELLING in names else SignalKind.STRATEGY


def kind_of(raw: bytes) -> SignalKind:
    """Tell the kind of a message, signed (a compact JWS) or not; one that cannot be read is refused by whoever does."""
    text = raw.strip()
    try:
        if not text.startswith(b"{") and text.count(b".") == _DOTS:
            payload = text.split(b".")[1]
            text = base64.urlsafe_b64decode(payload + b"=" * (-len(payload) % 4))
        return guess_kind(json.loads(text))
    except (ValueError, RecursionError):
        return SignalKind.STRATEGY


def recorder(name: str) -> str:
    """Return how the name of who recorded a signal begins when this publisher handed it in over HTTP."""
    return f"{Door.HTTP}:{name}:"


def hand_in(access: Access, name: str, raw: bytes) -> tuple[Receipt, SignalRecord]:
    """Record a signal that came over HTTP and start its chain; returns its receipt and the record that stands.

    Raises:
        StoreUnavailable: Redis is away; hand it in again, its id makes that safe.
    """
    intake = access.intake
    now = intake.store.now()
    message = Message(
        kind=kind_of(raw),
        raw=raw,
        arrived=now,
        read=now,
        bridge=recorder(name) + _PROCESS,
        token=secrets.token_hex(8),
        door=Door.HTTP,
        sole=True,
        publisher=name,
    )
    (receipt,) = receive_all(intake, [message])
    if isinstance(receipt, StoreUnavailable):
        raise receipt
    if receipt.to_start is not None:
        _start(access, receipt.to_start)
    return receipt, intake.store.signal(receipt.signal_id) or receipt.record


def _start(access: Access, record: SignalRecord) -> None:
    try:
        access.dispatch(record)
    except OperationalError as error:
        log.warning("chain_not_queued", signal_id=record.signal_id, error=str(error))
