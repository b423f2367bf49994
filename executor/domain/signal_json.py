"""What a message that is no signal tells: its id, and whether it is one of the other format.

Invariant: the id read from a malformed one is only a name to find its refusal by; it reserves nothing, and a signal
that is well formed may have it afterwards.
"""

import json
import re
from collections.abc import Mapping
from typing import Any, Final

from executor.domain.message import MAX_BYTES

MAX_ID: Final = 128
_ID: Final = "signalid"
_IN_TEXT: Final = re.compile(r'"signal_?id"\s*:\s*"([^"\\]*)"', re.IGNORECASE)  # of what is not quite JSON
# A name that only one of the formats has, and how to publish that one.
_SUREBET: Final = ("backselectionid", "a surebet: it belongs on channel:trading-signals (kind surebet)")
_STRATEGY: Final = ("primaryselection", "a strategy signal: it belongs on channel:strategy-signals (kind strategy)")


def _folded(data: Mapping[Any, Any]) -> dict[str, Any]:
    return {str(name).replace("_", "").lower(): value for name, value in data.items()}


def other_format(data: object, *, surebet: bool) -> str:
    """Say that a message came by the door of the other format; empty where it did not."""
    names = _folded(data) if isinstance(data, Mapping) else {}
    (own, _), (other, text) = (_SUREBET, _STRATEGY) if surebet else (_STRATEGY, _SUREBET)
    return f"is {text}" if other in names and own not in names else ""


def readable_id(raw: bytes) -> str:
    """Return the signal id in a malformed message; empty where none can be read."""
    text = raw[:MAX_BYTES].decode("utf-8", "replace")
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        named = _IN_TEXT.search(text)
        return _usable(named[1]) if named else ""
    if not isinstance(found, Mapping):
        return ""
    return _usable(_folded(found).get(_ID))


def _usable(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int):
        return ""
    text = str(value)
    return text if text.isprintable() and len(text) <= MAX_ID else ""
