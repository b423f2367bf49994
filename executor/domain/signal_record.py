"""A signal's record and how it may change: the one table of a signal's states.

Invariant: a status changes only through `advance`, by `SIGNAL_TRANSITIONS`; a terminal record says why and since when.
Times are milliseconds since the epoch in UTC.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class SignalStatus(StrEnum):
    """Where a signal stands; contract section 5."""

    RECEIVED = "RECEIVED"
    ACCEPTED = "ACCEPTED"
    REJECTED = "REJECTED"
    EXPIRED = "EXPIRED"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"


TERMINAL: Final = frozenset({SignalStatus.REJECTED, SignalStatus.EXPIRED, SignalStatus.COMPLETED, SignalStatus.FAILED})


@dataclass(frozen=True, slots=True)
class SignalRecord:
    """The record of one signal; written before anything else happens to it."""

    signal_id: str
    kind: str
    status: SignalStatus
    payload: str
    market_id: str
    strategy: str
    received_at: int
    deadline: int
    updated_at: int
    bridge: str
    token: str
    attempt: int = 1
    dispatches: int = 0
    reason: str = ""
    detail: str = ""
    order_ids: tuple[str, ...] = ()
    finished_at: int = 0
    door: str = ""  # by which it came, where that was not pub/sub
    moved: str = ""  # what of its odds and stakes was brought to the ladder, or to whole pennies
    publisher: str = ""  # the key that signed it, or whom the door let in


_S = SignalStatus
# A record is born RECEIVED, or REJECTED where the message is no signal.
SIGNAL_TRANSITIONS: Final[Mapping[SignalStatus, frozenset[SignalStatus]]] = MappingProxyType(
    {
        _S.RECEIVED: frozenset({_S.ACCEPTED, _S.REJECTED, _S.EXPIRED, _S.RECEIVED}),
        _S.ACCEPTED: frozenset({_S.COMPLETED, _S.FAILED, _S.RECEIVED}),
        _S.FAILED: frozenset({_S.COMPLETED, _S.RECEIVED}),  # a bet turns up after all; a person tries again
        _S.REJECTED: frozenset({_S.RECEIVED}),  # a person tries again
        _S.EXPIRED: frozenset({_S.RECEIVED}),
        _S.COMPLETED: frozenset(),
    }
)


_AHEAD_MS: Final = 1000  # what a clock may be corrected by; more is a step
CLOCK_WENT_BACK: Final = "Redis's clock has gone back since: how much of its validity is left cannot be told"


def is_from_the_future(record: SignalRecord, now: int) -> bool:
    """Tell whether Redis's clock has gone back since the signal was last moved, so that its deadline means nothing."""
    return record.updated_at > now + _AHEAD_MS


def advance(record: SignalRecord, status: SignalStatus, now: int, reason: str = "", detail: str = "") -> SignalRecord:
    """Change a signal's status at `now`, by the transition table; a terminal one is finished then.

    Raises:
        ValueError: the table has no such transition; a defect of ours.
    """
    if status not in SIGNAL_TRANSITIONS[record.status]:
        raise ValueError(f"signal {record.signal_id}: no transition {record.status} -> {status}")
    finished_at = now if status in TERMINAL else 0
    return replace(record, status=status, reason=reason, detail=detail, updated_at=now, finished_at=finished_at)
