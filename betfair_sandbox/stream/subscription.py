"""What the two kinds of subscription share: pace, heartbeats, the frame of a change message.

Owns: when something may be sent, and its outer fields. Invariants: every message has the subscription's id and a
publishing time; within `heartbeatMs` there is a message. Units: milliseconds.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Final

from betfair_sandbox.api.wire import BadValue, Json, Params, dump_json
from betfair_sandbox.stream.tokens import Clock

# Betfair: bounds of what a client may ask for; out of bounds is clamped, and the image reports what is in force.
_MAX_CONFLATE_MS: Final = 120_000
_HEARTBEAT_MS: Final = (500, 5_000)
_DELAYED_CONFLATE_MS: Final = 180_000  # of a delayed key, whatever it asks for
_SEGMENT_MARKETS: Final = 25  # Betfair states no size; about 100 KB of full books
END: Final = b"\r\n"


@dataclass(frozen=True, slots=True)
class Pace:
    """How often, and in which pieces."""

    conflate_ms: int
    heartbeat_ms: int
    segmented: bool

    @classmethod
    def read(cls, params: Params, *, delayed: bool) -> "Pace":
        """Read the common parameters of a subscription.

        Raises:
            BadValue: one has another type.

        """
        conflate = min(max(params.integer("conflateMs"), 0), _MAX_CONFLATE_MS)
        low, high = _HEARTBEAT_MS
        heartbeat = min(max(params.integer("heartbeatMs", high), low), high)
        return cls(_DELAYED_CONFLATE_MS if delayed else conflate, heartbeat, params.flag("segmentationEnabled"))


class Subscription(ABC):
    """One subscription of one connection."""

    op = ""
    items = ""

    def __init__(self, request_id: object, request: Json, pace: Pace, clock: Clock) -> None:
        self.request_id = request_id
        self.pace = pace
        self.since = -1  # what the client has seen
        self._clock = clock
        self._initial = clock.initial(request)
        self._first = "SUB_IMAGE"  # what the next message is, empty: an update
        self._sent_ms = 0
        self._sent_data_ms = 0

    def resume(self, since: int) -> None:
        """Go on after what the client says that it has seen."""
        self.since, self._first = since, "RESUB_DELTA"

    def restart(self) -> None:
        """Send everything anew: the exchange was reset."""
        self.since, self._first = -1, "SUB_IMAGE"

    def due(self, now_ms: int, *, unhealthy: bool) -> list[bytes]:
        """Return the messages to send now; `unhealthy`: nothing but word that the data are behind."""
        if unhealthy:
            return [self._heartbeat(now_ms, status=503)] if self._quiet(now_ms) else []
        if self._first or now_ms - self._sent_data_ms >= self.pace.conflate_ms:
            fragments = self._take()
            if fragments or self._first:
                return self._messages(fragments, now_ms)
        return [self._heartbeat(now_ms)] if self._quiet(now_ms) else []

    def say_unhealthy(self, now_ms: int) -> bytes:
        """Return the word that the data are behind."""
        return self._heartbeat(now_ms, status=503)

    @abstractmethod
    def _take(self) -> list[bytes]:
        """Return what changed since the last call, a market each, and move `since` on."""

    def _quiet(self, now_ms: int) -> bool:
        return now_ms - self._sent_ms >= self.pace.heartbeat_ms

    def _heartbeat(self, now_ms: int, status: int | None = None) -> bytes:
        self._sent_ms = now_ms
        frame: Json = {"op": self.op, "id": self.request_id, "clk": self._clock.now(), "pt": now_ms, "ct": "HEARTBEAT"}
        return dump_json(frame if status is None else {**frame, "status": status}) + END

    def _messages(self, fragments: list[bytes], now_ms: int) -> list[bytes]:
        self._sent_ms = self._sent_data_ms = now_ms
        first, self._first = self._first, ""
        size = _SEGMENT_MARKETS if self.pace.segmented else len(fragments) or 1
        parts = [fragments[at : at + size] for at in range(0, len(fragments), size)] or [[]]
        return [self._message(part, at, len(parts), first, now_ms) for at, part in enumerate(parts)]

    def _message(self, fragments: list[bytes], at: int, parts: int, first: str, now_ms: int) -> bytes:
        frame: Json = {"op": self.op, "id": self.request_id}
        last = at == parts - 1
        if first:
            frame["ct"] = first
        if parts > 1:
            frame["segmentType"] = "SEG_END" if last else "SEG" if at else "SEG_START"
        if last:
            if first:
                frame["initialClk"] = self._initial
            frame["clk"] = self._clock.now()
        if first:
            frame["conflateMs"], frame["heartbeatMs"] = self.pace.conflate_ms, self.pace.heartbeat_ms
        frame["pt"] = now_ms
        head = dump_json(frame)
        if not fragments:
            return head + END
        return b'%s,"%s":[%s]}%s' % (head[:-1], self.items.encode(), b",".join(fragments), END)


def request_id_of(value: object) -> int | None:
    """Return a request's id.

    Raises:
        BadValue: it is no whole number.

    """
    if value is None or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    raise BadValue("id is not a whole number")
