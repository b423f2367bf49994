"""What waits to be told to one address, and when it goes: grouping, de-duplication, pace, retries. Pure.

Invariants: what happened since the last message goes in one; something that stands is told when it begins, when it
ends, and again every four hours while it is critical; critical first, and never dropped; a message is kept until it was
delivered, so that at most the one that was under way when the process ended is sent a second time, and says so.
Times in milliseconds.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from executor.domain.notice import Kind, Level, Notice
from executor.domain.times import iso

_SECOND: Final = 1000
_MINUTE: Final = 60 * _SECOND
_HOUR: Final = 60 * _MINUTE
# How long it waits for more of the same: until it is quiet for so long, at most so long. A burst is one message.
_QUIET: Final = {Level.CRITICAL: (1 * _SECOND, 5 * _SECOND), Level.WARNING: (10 * _SECOND, _MINUTE)}
_GAP: Final = {Level.CRITICAL: 30 * _SECOND, Level.WARNING: _MINUTE}  # between two messages to an address
_RETRIES: Final = (5 * _SECOND, 30 * _SECOND, 2 * _MINUTE, 10 * _MINUTE, 30 * _MINUTE)  # the last one for ever
KEEP: Final = 24 * _HOUR  # then only what is critical still matters
_REMIND: Final = 4 * _HOUR
_FLAPPING: Final = (3, 10 * _MINUTE)  # told so often within this: the next time is when this is over
_FORGET: Final = 7 * 24 * _HOUR
_MOST_ITEMS: Final = 300  # of things without a key; more of them are told as a number
_FOOT: Final = 120  # characters of what is said at the end of a message, beside its name
_SMALL: Final = 500  # characters of a body, an SMS's: hundreds of them tell nobody more
_MOST_TEXTS: Final = 5  # of one item


@dataclass(frozen=True, slots=True)
class Item:
    """Something to be told; `count` notices were about it."""

    kind: Kind
    level: Level
    text: str
    first_at: int  # by the notices' own times
    last_at: int
    taken_at: int
    count: int = 1
    began: bool = False  # it was told of a beginning
    over: bool = False
    more: tuple[str, ...] = ()  # other texts about it, the newest last


@dataclass(frozen=True, slots=True)
class Told:
    """What the address knows of something that stands, or stood; `at` are the times of the last messages about it."""

    over: bool
    level: Level
    text: str
    at: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Message:
    """One message; `items` are what it tells of, and come back when it is not delivered."""

    name: str  # the same for a repeat
    level: Level
    title: str
    body: str
    items: Mapping[str, Item]
    attempts: int = 1


@dataclass(frozen=True, slots=True)
class Mailbox:
    """One address; changed by making another one."""

    items: Mapping[str, Item] = field(default_factory=dict)
    told: Mapping[str, Told] = field(default_factory=dict)
    sending: Message | None = None
    sent_at: int = 0
    failures: int = 0
    failing_since: int = 0
    next_at: int = 0
    error: str = ""
    numbered: int = 0  # messages so far
    dropped: int = 0  # not told, as nobody could be told for a day

    @property
    def waiting(self) -> int:
        """Return how many things wait to be told."""
        return len(self.items) + (len(self.sending.items) if self.sending else 0)


def take(box: Mailbox, name: str, notice: Notice, now: int) -> Mailbox:
    """Put a notice in; `name` is unique to it."""
    key = notice.key or name
    held = box.items.get(key)
    if held is None and notice.key:
        told = box.told.get(key)
        known_over = told is None or told.over
        if told is not None and known_over == notice.over:
            return box  # it is told already
        if notice.over and told is None and not _is_sending(box, key):
            return box  # nobody was told that it began
    if held is None and not notice.key and len(box.items) >= _MOST_ITEMS:
        key = f"more:{notice.level}"
        held = box.items.get(key)
    return replace(box, items={**box.items, key: _merged(held, notice, now)})


def _is_sending(box: Mailbox, key: str) -> bool:
    return box.sending is not None and key in box.sending.items


def _merged(held: Item | None, notice: Notice, now: int) -> Item:
    if held is None:
        return Item(
            kind=notice.kind,
            level=notice.level,
            text=notice.text,
            first_at=notice.at,
            last_at=notice.at,
            taken_at=now,
            began=bool(notice.key) and not notice.over,
            over=notice.over,
        )
    text = held.text if notice.over else notice.text
    more = held.more if text == held.text or notice.key else (*held.more, held.text)[-_MOST_TEXTS:]
    return replace(
        held,
        level=max(held.level, notice.level, key=lambda level: level.rank),
        text=text,
        last_at=max(held.last_at, notice.at),
        count=held.count + 1,
        began=held.began or (bool(notice.key) and not notice.over),
        over=notice.over,
        more=more,
    )


def remind(box: Mailbox, now: int) -> Mailbox:
    """Put in again what is critical and stands for hours; forget what ended long ago, drop what waited for a day."""
    items = dict(box.items)
    for key, told in box.told.items():
        waits = key in items or _is_sending(box, key)
        if not (told.over or waits) and told.level is Level.CRITICAL and now - told.at[-1] >= _REMIND:
            items[key] = Item(Kind.ALERT, told.level, f"still: {told.text}", told.at[0], now, now, began=True)
    old = {key for key, item in items.items() if item.level is not Level.CRITICAL and now - item.taken_at >= KEEP}
    kept = {key: told for key, told in box.told.items() if not told.over or now - told.at[-1] < _FORGET}
    if items == box.items and not old and len(kept) == len(box.told):
        return box
    items = {key: item for key, item in items.items() if key not in old}
    return replace(box, items=items, told=kept, dropped=box.dropped + len(old))


def is_due(box: Mailbox, now: int) -> bool:
    """Tell whether a message should go now."""
    if box.sending is not None or now < box.next_at:
        return False
    ready = [item for key, item in box.items.items() if not _held_back(box, key, now)]
    newest = max((item.taken_at for item in ready), default=0)
    # Of a clock that went back: what seems to come from the future has waited long enough.
    return any(
        now < item.taken_at
        or (now >= item.taken_at + _wait(item, newest) and not 0 <= now - box.sent_at < _GAP[_pace(item)])
        for item in ready
    )


def _wait(item: Item, newest: int) -> int:
    quiet, most = _QUIET[_pace(item)]
    return min(newest - item.taken_at + quiet, most)


def _pace(item: Item) -> Level:
    return Level.CRITICAL if item.level is Level.CRITICAL else Level.WARNING


def _held_back(box: Mailbox, key: str, now: int) -> bool:
    """Tell whether something begins and ends too often to be told each time."""
    times, within = _FLAPPING
    told = box.told.get(key)
    return told is not None and len(told.at) >= times and 0 <= now - told.at[-times] < within


def begin(box: Mailbox, now: int, sender: str, longest: int) -> Mailbox:
    """Put the next message together; it is under way until `delivered` or `failed`.

    `sender` is said in its title; `longest` is how many characters the address takes in a body. What does not fit is
    named, then counted; what is critical and cannot even be named waits for the message after this, but for an SMS.
    """
    number = box.numbered + 1
    name = f"{iso(now)}-{number}"
    space = max(longest - len(name) - len("\n[]"), 1)
    ordered = sorted(box.items.items(), key=lambda pair: (-pair[1].level.rank, pair[1].first_at, pair[0]))
    chosen, lines = _fitting(ordered, space)
    level = max((item.level for item in chosen.values()), key=lambda one: one.rank, default=Level.INFO)
    if box.dropped:
        lines.append(f"{box.dropped} older notices could not be told for a day and were dropped")
    body = "\n".join(lines)[:space]
    message = Message(name, level, f"{sender}: {_headline(chosen)}", f"{body}\n[{name}]", chosen)
    left = {key: item for key, item in box.items.items() if key not in chosen}
    return replace(box, items=left, sending=message, numbered=number)


def _fitting(ordered: list[tuple[str, Item]], space: int) -> tuple[dict[str, Item], list[str]]:
    """Return what goes into a message of so many characters, and its lines."""
    whole = [_line(key, item) for key, item in ordered]
    foot = min(_FOOT, space // 4)
    if sum(len(line) + 1 for line in whole) + foot <= space:
        return dict(ordered), whole
    count, length = 1, len(whole[0])
    while count < len(whole) and length + 1 + len(whole[count]) <= space // 2:
        length += 1 + len(whole[count])
        count += 1
    lines, chosen = [line[:space] for line in whole[:count]], dict(ordered[:count])
    critical = [(key, item) for key, item in ordered[count:] if item.level is Level.CRITICAL]
    names: list[str] = []
    for key, item in critical:
        names.append(_subject(key, item))
        length += len(names[-1]) + len("also critical: " if len(names) == 1 else ", ")
        if length > space - foot:
            names.pop()
            break
        chosen[key] = item
    if names:
        lines.append(f"also critical: {', '.join(names)}")
    rest = [(key, item) for key, item in ordered if key not in chosen]
    if rest and (len(names) == len(critical) or space < _SMALL):
        lines.append(f"and {len(rest)} more: executor status, executor failed, or the console")
        chosen |= dict(rest)
    return chosen, lines


def _headline(items: Mapping[str, Item]) -> str:
    if len(items) == 1:
        key, item = next(iter(items.items()))
        return _subject(key, item)
    counts = {level: sum(item.level is level for item in items.values()) for level in reversed(Level)}
    words = {Level.CRITICAL: "critical", Level.WARNING: "warnings", Level.INFO: "notes"}
    return ", ".join(f"{number} {words[level]}" for level, number in counts.items() if number)


def _subject(key: str, item: Item) -> str:
    what = key.partition(":")[2].replace("_", " ") if item.began or item.over else item.kind.replace("_", " ")
    return f"{what or item.kind}: over" if item.over and not item.began else what or item.kind


def _line(key: str, item: Item) -> str:
    at, until = iso(item.first_at)[11:19], iso(item.last_at)[11:19]
    mark = f"{item.level.upper()} " if item.level is Level.CRITICAL else ""
    if item.over and item.began:
        head = f"{at}-{until} {mark}{_subject(key, item)}, over now"
    elif item.over:
        head = f"{until} {_subject(key, item)}"
    else:
        head = f"{at} {mark}{_subject(key, item)}"
    often = f" ({item.count} times)" if item.count > 1 and not (item.over and item.began) else ""
    texts = "; ".join((*item.more, item.text))
    return f"{iso(item.first_at)[:10]} {head}: {texts}{often}"


def delivered(box: Mailbox, now: int) -> Mailbox:
    """Say that the message under way arrived."""
    message = box.sending
    if message is None:
        return box
    told = dict(box.told)
    for key, item in message.items.items():
        if item.began or item.over:
            before = told[key].at if key in told else ()
            told[key] = Told(item.over, item.level, item.text.removeprefix("still: "), (*before, now)[-_FLAPPING[0] :])
    return replace(
        box, told=told, sending=None, sent_at=now, failures=0, failing_since=0, next_at=0, error="", dropped=0
    )


def failed(box: Mailbox, error: str, now: int) -> Mailbox:
    """Say that the message under way did not arrive: what it told of waits again, with what has come since."""
    message = box.sending
    if message is None:
        return box
    items = dict(message.items)
    for key, newer in box.items.items():
        items[key] = _joined(items[key], newer) if key in items else newer
    wait = _RETRIES[min(box.failures, len(_RETRIES) - 1)]
    return replace(
        box,
        items=items,
        sending=None,
        failures=box.failures + 1,
        failing_since=box.failing_since or now,
        next_at=now + wait,
        error=error,
    )


def _joined(older: Item, newer: Item) -> Item:
    return replace(
        newer,
        level=max(older.level, newer.level, key=lambda level: level.rank),
        text=older.text if newer.over and not newer.began else newer.text,
        first_at=older.first_at,
        taken_at=older.taken_at,
        count=older.count + newer.count,
        began=older.began or newer.began,
    )


def again(box: Mailbox) -> Mailbox:
    """Send once more what was under way when the process before this one ended: it may have arrived."""
    message = box.sending
    if message is None:
        return box
    said = "perhaps told already: the notifier ended while it sent this"
    body = message.body if said in message.body else f"({said})\n{message.body}"
    return replace(box, sending=replace(message, body=body, attempts=message.attempts + 1))
