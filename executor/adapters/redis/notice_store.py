"""What the notifier has in Redis: the stream of notices as it reads it, and what it remembers.

Invariants: a mailbox for each address, as JSON, is written whole; what is shown of an address holds no secret. Times in
milliseconds.
"""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Final, cast

from pydantic import TypeAdapter, ValidationError
from redis import Redis
from redis.exceptions import ResponseError

from executor import keys
from executor.adapters.redis.adapter import RedisAdapter
from executor.adapters.redis.client import guarded
from executor.adapters.redis.notices import add_notice
from executor.domain.mailbox import Mailbox
from executor.domain.notice import Level, Notice, read_notice
from executor.domain.process_watch import Seen
from executor.ports import Address

_MAILBOX: Final = TypeAdapter(Mailbox)
_POSITION: Final = re.compile("[0-9]{1,15}-[0-9]{1,19}")  # an id of a stream
_PROCESSES: Final = TypeAdapter(dict[str, Seen])


class RedisNotices(RedisAdapter):
    """`NoticeStore` on one Redis db; `reader` is a connection of its own, as it waits there."""

    def __init__(self, client: "Redis", reader: "Redis", identity: str) -> None:
        super().__init__(client)
        self._reader = reader
        self._identity = identity

    @guarded
    def now(self) -> int:
        """Return Redis TIME."""
        return self._now()

    @guarded
    def read(self, after: str, count: int, wait_ms: int) -> list[tuple[str, Notice | None]]:
        """Return the next entries after this one; None for one that is no notice."""
        try:
            answer = self._reader.xread({keys.NOTICES: after}, count=count, block=wait_ms or None)
        except ResponseError:  # of another type: the poll sets it aside
            return []
        streams = cast("list[tuple[str, list[tuple[str, dict[str, str]]]]]", answer or [])
        return [(entry, _read(entry, fields)) for _, entries in streams for entry, fields in entries]

    @guarded
    def add(self, notices: Iterable[Notice], processes: Mapping[str, Seen]) -> None:
        """Write notices of our own, and what is known of the processes, in one step."""
        pipe = self._redis.pipeline(transaction=True)
        pipe.set(keys.NOTIFY_PROCESSES, _PROCESSES.dump_json(dict(processes)).decode())
        for notice in notices:
            add_notice(pipe, notice, self._identity)
        pipe.execute()

    @guarded
    def position(self) -> str:
        """Return up to where the stream is in the mailboxes."""
        found = self._get(keys.NOTIFY_POSITION) or ""
        return found if _POSITION.fullmatch(found) else ""

    @guarded
    def processes(self) -> dict[str, Seen]:
        """Return what is known of the processes."""
        try:
            return _PROCESSES.validate_json(self._get(keys.NOTIFY_PROCESSES) or "{}")
        except ValidationError:
            return {}

    @guarded
    def alive(self) -> list[str]:
        """Return the processes that live, each as kind:host:pid."""
        prefix = keys.heartbeat("")
        return sorted(name.removeprefix(prefix) for name in self._redis.scan_iter(keys.HEARTBEATS, count=1000))

    @guarded
    def mailboxes(self) -> dict[str, Mailbox]:
        """Return the mailboxes by their address's name; one that cannot be read begins anew."""
        held = cast("dict[str, str]", self._redis.hgetall(keys.NOTIFY_MAILBOXES))
        found: dict[str, Mailbox] = {}
        for name, text in held.items():
            try:
                found[name] = _MAILBOX.validate_json(text)
            except ValidationError:
                found[name] = Mailbox()
        return found

    @guarded
    def save(self, changed: Mapping[str, tuple[Address, Mailbox]], position: str | None = None) -> None:
        """Write mailboxes, and up to where the stream is in them, in one step."""
        pipe = self._redis.pipeline(transaction=True)
        for name, (address, box) in changed.items():
            pipe.hset(keys.NOTIFY_MAILBOXES, name, _MAILBOX.dump_json(box).decode())
            pipe.hset(keys.NOTIFY_ADDRESSES, name, json.dumps(_summary(address, box)))
        if position is not None:
            pipe.set(keys.NOTIFY_POSITION, position)
        pipe.execute()

    @guarded
    def forget(self, names: Iterable[str]) -> None:
        """Drop mailboxes of addresses that are no more; and what is shown of addresses without one."""
        shown = cast("list[str]", self._redis.hkeys(keys.NOTIFY_ADDRESSES))
        held = set(cast("list[str]", self._redis.hkeys(keys.NOTIFY_MAILBOXES)))
        gone = set(names)
        pipe = self._redis.pipeline(transaction=True)
        for name in gone:
            pipe.hdel(keys.NOTIFY_MAILBOXES, name)
        for name in gone | (set(shown) - held):
            pipe.hdel(keys.NOTIFY_ADDRESSES, name)
        pipe.execute()


def _read(entry: str, fields: Mapping[str, str]) -> Notice | None:
    try:
        return read_notice(fields, int(entry.partition("-")[0]))
    except ValueError:
        return None


def _summary(address: Address, box: Mailbox) -> dict[str, object]:
    """Return what status, metrics and pages show of an address."""
    items = [*box.items.values(), *(box.sending.items.values() if box.sending else ())]
    return {
        "service": address.service,
        "shown": address.shown,
        "waiting": box.waiting,
        "critical": sum(item.level is Level.CRITICAL for item in items),
        "sent_at": box.sent_at,
        "failing_since": box.failing_since,
        "failures": box.failures,
        "error": box.error,
    }
