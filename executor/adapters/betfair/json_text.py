"""Betfair's JSON as text: numbers out as exact decimal digits, objects in.

Invariants: no float ever; what is no sound JSON within a row of a list is a value that no field takes, so that it costs
that row; what is not sound elsewhere is no reply.
"""

import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

Row = Mapping[str, Any]

_MAX_DIGITS: Final = 100  # of a whole number; more is no value of any field, and Python reads no more than 4300
_MAX_EXPONENT: Final = 1000  # beyond any binary float's; to compute with 1e9999999 fails


class WireError(ValueError):
    """A reply does not have the shape that Betfair documents; the text names the field, never a value of ours."""


def encode(value: object) -> str:
    """Write JSON; a Decimal becomes a number with exactly its digits.

    Raises:
        TypeError: a value that has no place in a call of ours; a float above all.
    """
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{json.dumps(str(key))}:{encode(item)}" for key, item in value.items()) + "}"
    if isinstance(value, Decimal):
        if not value.is_finite():
            raise TypeError("not a finite number")
        return format(value, "f")
    if value is None or isinstance(value, str | bool | int):
        return json.dumps(value)
    if isinstance(value, Sequence):
        return "[" + ",".join(encode(item) for item in value) + "]"
    raise TypeError(f"{type(value).__name__} does not go on the wire")


class Repeated(dict[str, Any]):
    """An object in which a name is there twice: it says nothing, and nothing of what is beside it is less true."""


class NoNumber:
    """What JSON does not have and some write all the same: NaN, Infinity. It is no value of any field."""


def decode(body: bytes) -> Row:
    """Read a JSON object; numbers with a fraction become Decimal.

    What is no JSON within a row costs that row (`lists`, `order_stream`).

    Raises:
        WireError: it is none.
    """
    try:
        value = json.loads(
            body, parse_float=_fraction, parse_int=_whole, parse_constant=_no_constant, object_pairs_hook=_object
        )
    except (ValueError, RecursionError, ArithmeticError):
        raise WireError("no JSON") from None
    return as_row(value, "reply")


def sound(value: object, what: str) -> None:
    """See that nothing within is there twice or no number.

    Raises:
        WireError: something is.
    """
    if isinstance(value, Repeated | NoNumber):
        raise WireError(f"{what} says something twice, or no number")
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        sound(item, what)


def _fraction(text: str) -> Decimal | NoNumber:
    try:
        value = Decimal(text)
    except ArithmeticError:
        return NoNumber()
    return value if abs(value.adjusted()) <= _MAX_EXPONENT else NoNumber()


def _whole(text: str) -> int | NoNumber:
    return int(text) if len(text) <= _MAX_DIGITS else NoNumber()


def _no_constant(_name: str) -> NoNumber:
    return NoNumber()


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    row = dict(pairs)
    return Repeated(row) if len(row) < len(pairs) else row


def as_row(value: object, what: str) -> Row:
    """Take an object for what it should be."""
    if not isinstance(value, dict) or isinstance(value, Repeated):
        raise WireError(f"{what} is no object")
    return value
