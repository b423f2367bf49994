"""What `record.lua` answers: whether a message was new, and under which id it is known."""

from executor.domain.signal_record import SignalRecord
from executor.ports import Recorded


def known_as(record: SignalRecord, answer: object) -> tuple[Recorded, str]:
    """Read what `record.lua` says: nothing, or what is remembered of the message (bridge, token, signal id)."""
    if answer is None:
        return Recorded.NEW, record.signal_id
    bridge, _, rest = str(answer).partition(" ")
    token, _, signal_id = rest.partition(" ")
    if bridge == record.bridge:
        return Recorded.REPEAT, signal_id
    return (Recorded.TAKEN_OVER if token == record.token else Recorded.ELSEWHERE), signal_id
