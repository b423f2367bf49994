"""The notifier: from the stream of notices into a mailbox for each address, and from there out.

Invariants: a notice is in every mailbox before the stream is read on; a mailbox is written before and after each
message, so that a restart loses nothing, and repeats at most the message that was under way; one address that does not
take its messages holds up no other.
"""

import threading
from collections.abc import Callable, Iterable
from typing import Final

import structlog

from executor.domain import mailbox
from executor.domain.mailbox import Mailbox, Message
from executor.domain.notice import Level
from executor.domain.process_watch import watch_processes
from executor.domain.times import iso
from executor.ports import Address, NotDelivered, NoticeStore, Notifier, NotifierTelemetry

log = structlog.get_logger(__name__)

_BATCH: Final = 500
_LOOK_BACK_MS: Final = 3600_000  # what a first start still tells of
_LOOK_MS: Final = 5000  # how often processes are looked at


class Notifying:
    """Collects in one thread and sends in one for each address; `redact` takes secrets out of a text."""

    def __init__(
        self,
        store: NoticeStore,
        notifiers: Iterable[Notifier],
        telemetry: NotifierTelemetry,
        *,
        least: Level,
        sender: str,
        redact: Callable[[str], str] = lambda text: text,
    ) -> None:
        self._store = store
        self._notifiers = {notifier.address.name: notifier for notifier in notifiers}
        self._telemetry = telemetry
        self._least = least
        self._sender = sender
        self._redact = redact
        self._lock = threading.RLock()
        self._boxes: dict[str, Mailbox] = {}
        self._unsaved: set[str] = set()  # for want of Redis
        self._position = ""
        self._looked_at = 0

    @property
    def addresses(self) -> list[str]:
        """Name the addresses."""
        return list(self._notifiers)

    def load(self) -> None:
        """Go on where the process before this one ended; what it was sending is sent again, and says so.

        Raises:
            StoreUnavailable: Redis is away.
        """
        with self._lock:
            held = self._store.mailboxes()
            self._store.forget(held.keys() - self._notifiers.keys())
            self._position = self._store.position() or f"{self._store.now() - _LOOK_BACK_MS}-0"
            self._boxes = {name: mailbox.again(held.get(name, Mailbox())) for name in self._notifiers}
            self._save(self._boxes, self._position)

    def collect(self, wait_ms: int) -> int:
        """Put what the stream has into the mailboxes; returns how many entries.

        Raises:
            StoreUnavailable: Redis is away.
        """
        entries = self._store.read(self._position, _BATCH, wait_ms)
        now = self._store.now()
        with self._lock:
            changed = {name: mailbox.remind(box, now) for name, box in self._boxes.items()}
            for entry, notice in entries:
                if notice is None:
                    log.error("notice_not_readable", entry=entry)
                elif notice.wanted(self._least):
                    changed = {name: mailbox.take(box, entry, notice, now) for name, box in changed.items()}
            moved = {name: box for name, box in changed.items() if box is not self._boxes[name]}
            for name, box in moved.items():
                if lost := box.dropped - self._boxes[name].dropped:
                    self._telemetry.notices_dropped(self._notifiers[name].address.service, lost)
            position = entries[-1][0] if entries else self._position
            if moved or entries or self._unsaved:
                self._save(moved, position)
            self._boxes |= moved
            self._position = position
        return len(entries)

    def look_at_processes(self) -> None:
        """Write a notice of each kind of process of which some have died, or are back.

        Raises:
            StoreUnavailable: Redis is away.
        """
        now = self._store.now()
        if 0 <= now - self._looked_at < _LOOK_MS:
            return
        self._looked_at = now
        before = self._store.processes()
        after, notices = watch_processes(before, self._store.alive(), now)
        if notices or after != before:
            self._store.add(notices, after)

    def send_due(self, name: str) -> bool:
        """Send an address what is due to it; tells whether there was anything.

        Raises:
            StoreUnavailable: Redis is away; nothing is lost.
        """
        notifier = self._notifiers[name]
        with self._lock:
            message = self._begin(name)
        if message is None:
            return False
        try:
            notifier.send(self._redact(message.title), self._redact(message.body), message.level)
        except NotDelivered as error:
            self._ended(name, message, self._redact(str(error)) or type(error).__name__)
        else:
            self._ended(name, message, "")
        return True

    def _begin(self, name: str) -> Message | None:
        box, now = self._boxes[name], self._store.now()
        if box.sending is None:
            if not mailbox.is_due(box, now):
                return None
            box = mailbox.begin(box, now, self._sender, self._notifiers[name].address.longest)
            self._save({name: box})
            self._boxes[name] = box
        return box.sending  # one that was not is what the process before this one left

    def _ended(self, name: str, message: Message, error: str) -> None:
        address = self._notifiers[name].address
        fields = {"service": address.shown, "message": message.name, "notices": len(message.items)}
        with self._lock:
            now = self._store.now()
            box = self._boxes[name]
            box = mailbox.failed(box, error, now) if error else mailbox.delivered(box, now)
            self._boxes[name] = box  # before it is saved: what arrived is not to be sent again for want of Redis
            self._unsaved.add(name)
            self._telemetry.notification_sent(address.service, delivered=not error)
            if error:
                log.error("notification_failed", **fields, error=error, failures=box.failures, next_at=iso(box.next_at))
            else:
                log.info("notification_sent", **fields)
            self._save({})

    def _save(self, boxes: dict[str, Mailbox], position: str | None = None) -> None:
        boxes = {name: self._boxes[name] for name in self._unsaved} | boxes
        changed: dict[str, tuple[Address, Mailbox]] = {
            name: (self._notifiers[name].address, box) for name, box in boxes.items()
        }
        self._store.save(changed, position)
        self._unsaved.clear()
