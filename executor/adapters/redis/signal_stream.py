"""`stream:signals`, the durable door: read through one consumer group over all bridges.

Invariants: an entry is dropped only when it is acknowledged; the group begins at the stream's first entry, whoever
makes it; whatever a process was given and did not acknowledge is given again, to it or to another. Times in ms.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar, cast

from redis import Redis
from redis.exceptions import ResponseError

from executor import keys
from executor.adapters.redis.client import guarded, script

T = TypeVar("T")

MISUSE: Final = ("removed_at", "ahead_at", "own_id_at")  # facts: when somebody last did that
_GONE: Final = ("NOGROUP", "no such key", "UNBLOCKED")  # the last of who waits when the key goes, of Redis 7.0
_GROUP_EXISTS: Final = "BUSYGROUP"
_FROM_THE_FIRST: Final = "0"
_FORGOTTEN_MS: Final = 3_600_000  # a consumer that holds nothing and asked for nothing for so long has ended
_AHEAD_MS: Final = 1000  # an id of XADD * is never ahead of the clock that made it, unless that was set back


@dataclass(frozen=True, slots=True)
class Entry:
    """One message; `at` is the time in its id. Without fields: somebody removed it before it was acknowledged."""

    id: str
    at: int
    fields: Mapping[bytes, bytes] | None


@dataclass(frozen=True, slots=True)
class Misuse:
    """What somebody did to the stream since the last look."""

    removed: int  # entries dropped by somebody else: XADD with MAXLEN or MINID, XDEL, XTRIM
    ahead: bool  # ids of a time to come


class SignalStream:
    """The stream as one process of the group reads it; `client` does not decode."""

    def __init__(self, client: "Redis", consumer: str) -> None:
        self._redis = client
        self._consumer = consumer
        self._tend = client.register_script(script("tend_signals"))

    @guarded
    def read_new(self, count: int, wait_ms: int) -> list[Entry]:
        """Return entries that nobody was given yet, oldest first; waits for the first one, if told to."""
        return self._read(">", count, wait_ms)

    @guarded
    def read_pending(self, after: str, count: int) -> list[Entry]:
        """Return entries that this process was given and has not acknowledged, with ids above `after`, oldest first."""
        return self._read(after, count, 0)

    def _read(self, after: str, count: int, wait_ms: int) -> list[Entry]:
        def read() -> Any:  # noqa: ANN401 - what redis-py makes of it
            return self._redis.xreadgroup(
                keys.SIGNALS_GROUP, self._consumer, {keys.SIGNALS: after}, count=count, block=wait_ms or None
            )

        answer = self._in_group(read)
        streams = answer.values() if isinstance(answer, Mapping) else [entries for _, entries in answer or ()]
        return [_entry(entry) for entries in streams for entry in _flat(entries)]

    @guarded
    def claim_idle(self, idle_ms: int, start: str, count: int) -> tuple[str, list[Entry]]:
        """Take entries that their readers have had for too long; returns where to go on (0-0: none left) and them."""
        answer = self._in_group(
            lambda: self._redis.xautoclaim(
                keys.SIGNALS, keys.SIGNALS_GROUP, self._consumer, idle_ms, start_id=start, count=count
            )
        )
        # Redis 6.2 says nothing instead of an entry that somebody removed.
        return _text(answer[0]), [_entry(entry) for entry in answer[1] if entry[0] is not None]

    @guarded
    def acknowledge(self, ids: Sequence[str]) -> None:
        """Say that these are recorded."""
        self._redis.xack(keys.SIGNALS, keys.SIGNALS_GROUP, *ids)

    @guarded
    def tend(self) -> Misuse:
        """Drop what is acknowledged, and look whether somebody else dropped anything or made ids of his own."""
        answer = self._in_group(
            lambda: self._tend(
                keys=[keys.SIGNALS, keys.SIGNALS_FACTS],
                args=[keys.SIGNALS_GROUP, _FORGOTTEN_MS, _AHEAD_MS],
            )
        )
        removed, ahead = cast("list[int]", answer)
        return Misuse(removed, bool(ahead))

    @guarded
    def note_own_id(self, at: int) -> None:
        """Remember that somebody made an id of his own."""
        self._redis.hset(keys.SIGNALS_FACTS, "own_id_at", str(at))

    def _in_group(self, command: Callable[[], T]) -> T:
        """Do something in the group; make it where it is gone: a first start, a FLUSHALL, a failover."""
        try:
            return command()
        except ResponseError as error:
            if not any(word in str(error) for word in _GONE):  # Redis 6.2 begins with the script's name
                raise
        try:
            self._redis.xgroup_create(keys.SIGNALS, keys.SIGNALS_GROUP, id=_FROM_THE_FIRST, mkstream=True)
        except ResponseError as error:
            if not str(error).startswith(_GROUP_EXISTS):
                raise
        return command()


def _flat(entries: Any) -> list[Any]:  # noqa: ANN401 - RESP3 wraps the entries of a stream in one more list
    nested = bool(entries) and isinstance(entries[0], list)
    return [entry for part in entries for entry in part] if nested else list(entries or ())


def _text(raw: bytes | str) -> str:
    return raw.decode() if isinstance(raw, bytes) else raw


def _entry(raw: tuple[bytes, Mapping[bytes, bytes] | None]) -> Entry:
    name = _text(raw[0])
    return Entry(name, int(name.partition("-")[0]), raw[1] or None)
