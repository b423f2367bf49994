"""What `record.lua` answers: whether a message was new, and under which id it is known."""

from typing import Final

from redis.exceptions import RedisError

from executor.domain.signal_record import SignalRecord
from executor.errors import SignalUnrecordable, StoreUnavailable
from executor.ports import Recorded

_OWN_KEY: Final = "OWNKEY"  # what is wrong is this signal's alone


def known_as(record: SignalRecord, answer: object) -> tuple[Recorded, str]:
    """Read what `record.lua` says: nothing, or what is remembered of the message (bridge, token, signal id)."""
    if answer is None:
        return Recorded.NEW, record.signal_id
    bridge, _, rest = str(answer).partition(" ")
    token, _, signal_id = rest.partition(" ")
    if bridge == record.bridge:
        return Recorded.REPEAT, signal_id
    return (Recorded.TAKEN_OVER if token == record.token else Recorded.ELSEWHERE), signal_id


def not_recorded(error: RedisError) -> StoreUnavailable:
    """Say why a signal was not recorded: what stands in its own way, or in every signal's for now."""
    kind = SignalUnrecordable if _OWN_KEY in str(error) else StoreUnavailable
    return kind(f"Redis: {error}")
