"""A publisher's message as JSON: bounded in size and depth, numbers as Decimal, no name twice with two values.

Invariant: whatever the bytes are, the outcome is a value or `InvalidSignal`.
"""

import json
from collections.abc import Iterable
from decimal import Decimal
from typing import Any, Final

from executor.errors import InvalidSignal

MAX_BYTES: Final = 64 * 1024  # a signal is a few hundred bytes; contract section 3
MAX_DEPTH: Final = 32  # a signal nests twice, what it carries besides is ignored; far from Python's recursion limit


def _pairs(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found and found[name] != value:
            raise InvalidSignal(name[:64] if name.isprintable() else "message", "is given twice with different values")
        found[name] = value
    return found


def _no_constant(name: str) -> Decimal:
    raise InvalidSignal("message", f"{name} is not a number")


def decode(raw: bytes) -> object:
    """Read a message.

    Raises:
        InvalidSignal: naming what is wrong.
    """
    if len(raw) > MAX_BYTES:
        raise InvalidSignal("message", f"{len(raw)} bytes exceed {MAX_BYTES}")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InvalidSignal("message", "is not UTF-8 text") from None
    try:
        data = json.loads(text, parse_float=Decimal, parse_constant=_no_constant, object_pairs_hook=_pairs)
    except (ValueError, ArithmeticError, RecursionError):
        raise InvalidSignal("message", "is not JSON") from None
    if _nests_deeper(data, MAX_DEPTH):
        raise InvalidSignal("message", f"nests deeper than {MAX_DEPTH}")
    return data


def _nests_deeper(value: object, than: int) -> bool:
    if not isinstance(value, dict | list):
        return False
    inner = value.values() if isinstance(value, dict) else value
    return than == 0 or any(_nests_deeper(item, than - 1) for item in inner)
