"""Which processes have died and were not replaced, told from the signs of life that are seen. Pure.

Invariants: one that is replaced within the grace is no news; how many there should be is what was there for a minute,
so that one that is restarted is not counted twice while its old sign of life lapses. Times in milliseconds.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from executor.domain.notice import Kind, Level, Notice

GRACE: Final = 20_000  # after its sign of life has lapsed, which takes up to 30 s
_STEADY: Final = 60_000
_GIVEN_UP: Final = 24 * 3600_000  # then that is how many there are
REQUIRED: Final = ("worker", "beat", "bridge")  # without one of each nothing is traded
_KEY: Final = "process:"


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known of a kind of process; 0 for "not now"."""

    steady: int = 0  # how many there should be
    names: tuple[str, ...] = ()
    fewer_since: int = 0
    more_since: int = 0
    told_at: int = 0


def watch_processes(before: Mapping[str, Seen], alive: Iterable[str], now: int) -> tuple[dict[str, Seen], list[Notice]]:
    """Look at the names (kind:host:pid) that live now; returns what is known then, and what is to be told."""
    found: dict[str, list[str]] = {kind: [] for kind in (*REQUIRED, *before)}
    for name in alive:
        kind, _, where = name.partition(":")
        found.setdefault(kind, []).append(where)
    after: dict[str, Seen] = {}
    notices: list[Notice] = []
    for kind, names in found.items():
        seen = before.get(kind, Seen(steady=1 if kind in REQUIRED else 0))
        after[kind], notice = _look(kind, seen, tuple(sorted(names)), now)
        notices += [notice] if notice else []
    return after, notices


def _look(kind: str, seen: Seen, names: tuple[str, ...], now: int) -> tuple[Seen, Notice | None]:
    number = len(names)
    key = f"{_KEY}{kind}"
    if number < seen.steady:
        since = seen.fewer_since or now
        if seen.told_at and now - seen.told_at >= _GIVEN_UP:
            return Seen(steady=number, names=names), None
        if seen.told_at or now - since < GRACE:
            return replace(seen, fewer_since=since, more_since=0), None
        text = f"{number} of {seen.steady} {kind} processes live"
        if gone := sorted(set(seen.names) - set(names)):
            text += f"; died or stopped: {', '.join(gone)}"
        level = Level.WARNING if number or kind not in REQUIRED else Level.CRITICAL
        told = replace(seen, fewer_since=since, more_since=0, told_at=now)
        return told, Notice(kind=Kind.PROCESS, level=level, text=text, at=now, key=key)
    notice = None
    if seen.told_at:
        text = f"{number} {kind} processes live"
        notice = Notice(kind=Kind.PROCESS, level=Level.WARNING, text=text, at=now, key=key, over=True)
    if number == seen.steady:
        return Seen(steady=number, names=names), notice
    since = seen.more_since or now
    if now - since >= _STEADY:
        return Seen(steady=number, names=names), notice
    return Seen(steady=seen.steady, names=names, more_since=since), notice
