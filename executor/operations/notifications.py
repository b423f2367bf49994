"""Whom notifications reach, in words: one line for each address. Reads only."""

from collections.abc import Mapping
from typing import Any

from executor.domain.times import iso
from executor.operations.wording import counted, duration
from executor.ports.system_snapshot import SystemSnapshot, amount


def addresses_json(state: SystemSnapshot) -> list[dict[str, Any]]:
    """Return the addresses for programs; none holds a secret."""
    return [
        {
            "service": one["service"],
            "shown": one["shown"],
            "waiting": _number(one, "waiting"),
            "critical": _number(one, "critical"),
            "failures": _number(one, "failures"),
            "failing_since": _moment(one, "failing_since"),
            "sent_at": _moment(one, "sent_at"),
            "error": one["error"],
        }
        for one in state.notify
    ]


def failing(state: SystemSnapshot) -> list[str]:
    """Say which addresses do not take their messages, since when, and why."""
    return [_failing(one, state.now) for one in state.notify if _number(one, "failures")]


def _failing(one: Mapping[str, str], now: float) -> str:
    for_s = max(0.0, now - _number(one, "failing_since") / 1000)
    waiting = counted(_number(one, "waiting"), "notice")
    return f"{one['shown']} takes no messages for {duration(for_s)} ({waiting} waiting): {one['error'] or '?'}"


def _number(one: Mapping[str, str], name: str) -> int:
    return int(amount(one[name]) or 0)


def _moment(one: Mapping[str, str], name: str) -> str | None:
    ms = _number(one, name)
    return iso(ms) if ms > 0 else None
