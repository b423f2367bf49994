"""What `record.lua` is asked and answers: whether a message was new, and under which id it is known."""

from typing import Final

from redis.exceptions import RedisError

from executor import keys
from executor.adapters.redis.records import encode
from executor.domain.ledger_entry import encode_entry, of_signal
from executor.domain.signal_record import TERMINAL, SignalRecord
from executor.errors import SignalUnrecordable, StoreUnavailable
from executor.ports import Arrival, Recorded

_OWN_KEY: Final = "OWNKEY"  # what is wrong is this signal's alone
_STARTED: Final = "started"


def record_arguments(arrival: Arrival, identity: str, signal_s: int) -> tuple[list[str], list[str | int]]:
    """Return the keys and arguments for one message; `signal_s` is how long a finished record is kept."""
    record, message = arrival.record, arrival.first_message
    terminal = record.status in TERMINAL
    entry = encode_entry(of_signal(record, identity)) if terminal else {}
    names = [
        keys.seen(arrival.dedup_id),
        keys.signal(record.signal_id),
        keys.SIGNALS_OPEN,
        keys.TRADES,
        keys.SIGNALS_RECORDED,
    ]
    return names, [
        f"{record.bridge} {record.token} {record.signal_id}",
        encode(record),
        arrival.dedup_s,
        int(arrival.renew),
        signal_s if terminal else 0,
        "" if terminal else record.updated_at,
        f"{record.bridge} - {record.signal_id}",
        int(arrival.otherwise is not None),
        *((message.db, message.queue, message.text) if message else ("", "", "")),
        *[text for pair in entry.items() for text in pair],
    ]


def known_as(record: SignalRecord, answer: object) -> tuple[Recorded, str]:
    """Read what `record.lua` says: nothing, or what is remembered of the message (bridge, token, signal id)."""
    if answer is None:
        return Recorded.NEW, record.signal_id
    if answer == _STARTED:
        return Recorded.STARTED, record.signal_id
    bridge, _, rest = str(answer).partition(" ")
    token, _, signal_id = rest.partition(" ")
    if bridge == record.bridge:
        return Recorded.REPEAT, signal_id
    return (Recorded.TAKEN_OVER if token == record.token else Recorded.ELSEWHERE), signal_id


def not_recorded(error: RedisError) -> StoreUnavailable:
    """Say why a signal was not recorded: what stands in its own way, or in every signal's for now."""
    kind = SignalUnrecordable if _OWN_KEY in str(error) else StoreUnavailable
    return kind(f"Redis: {error}")
