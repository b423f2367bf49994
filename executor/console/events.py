"""Server-sent events for programs: a snapshot, then what happens; each event is whole, so that a gap needs no replay.

Invariants: one listener on Redis serves all streams, and only while there is one; a reader that does not keep up is
dropped, never waited for; a stream ends when the process stops. Seconds.
"""

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

import structlog

from executor.errors import NotAllowed, StoreUnavailable
from executor.ports import Updates

log = structlog.get_logger(__name__)

MOST: Final = 20  # streams; each holds a connection
_WAITING: Final = 500  # events that a reader may be behind
_QUIET_S: Final = 15.0  # then a comment, so that proxies keep the connection
_LOOK_S: Final = 0.5
_AGAIN_S: Final = 1.0


@dataclass(eq=False)
class _Reader:
    loop: asyncio.AbstractEventLoop
    queue: "asyncio.Queue[tuple[str, str]]" = field(default_factory=lambda: asyncio.Queue(_WAITING))
    lost: bool = False

    def put(self, event: tuple[str, str]) -> None:
        """Give it an event, from the listener's thread."""

        def put() -> None:
            if self.queue.full():
                self.lost = True
            else:
                self.queue.put_nowait(event)

        with suppress(RuntimeError):  # its loop is gone, and so is it
            self.loop.call_soon_threadsafe(put)


class Events:
    """Hands what happens on to the streams that are open."""

    def __init__(self, updates: Updates) -> None:
        self._updates = updates
        self._readers: set[_Reader] = set()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()

    def stop(self) -> None:
        """End every stream."""
        self._stopping.set()

    async def stream(self, snapshot: Callable[[], Mapping[str, Any]]) -> AsyncIterator[str]:
        """Yield events in the form of `text/event-stream`."""
        reader = _Reader(asyncio.get_running_loop())
        self._add(reader)
        try:
            first = await asyncio.to_thread(snapshot)
            yield _event("snapshot", json.dumps(first))
            quiet_since = time.monotonic()
            while not (self._stopping.is_set() or reader.lost):
                try:
                    name, data = await asyncio.wait_for(reader.queue.get(), _LOOK_S)
                except TimeoutError:
                    if time.monotonic() - quiet_since > _QUIET_S:
                        quiet_since = time.monotonic()
                        yield ": still here\n\n"
                    continue
                quiet_since = time.monotonic()
                yield _event(name, data)
        finally:
            with self._lock:
                self._readers.discard(reader)

    def _add(self, reader: _Reader) -> None:
        with self._lock:
            if len(self._readers) >= MOST:
                raise NotAllowed(f"{MOST} streams are open: close one")
            self._readers.add(reader)
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._listen, name="events", daemon=True)
                self._thread.start()

    def check_room(self) -> None:
        """Refuse one more than there is room for, before its answer begins.

        Raises:
            NotAllowed: there are enough.
        """
        with self._lock:
            if len(self._readers) >= MOST:
                raise NotAllowed(f"{MOST} streams are open: close one")

    def _listen(self) -> None:
        while not self._stopping.is_set():
            with self._lock:
                if not self._readers:
                    self._thread = None
                    return
            try:
                for name, data in self._updates.follow(self._is_wanted):
                    self._broadcast(name, data)
            except StoreUnavailable as error:
                log.warning("events_disconnected", error=str(error))
                self._stopping.wait(_AGAIN_S)

    def _is_wanted(self) -> bool:
        return bool(self._readers) and not self._stopping.is_set()

    def _broadcast(self, name: str, data: str) -> None:
        with self._lock:
            readers = list(self._readers)
        for reader in readers:
            reader.put((name, data))


def _event(name: str, data: str) -> str:
    return f"event: {name}\ndata: {data}\n\n"
