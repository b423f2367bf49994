"""How lists are asked for, a page at a time."""

import base64
import binascii
import json
import re
from typing import Annotated, Final

from fastapi import Query

from executor.domain.risk import InvalidLimits

MOST: Final = 500
_NUMBER: Final = re.compile(r"[0-9]{1,18}", re.ASCII)
Limit = Annotated[int, Query(ge=1, le=MOST, description="At most this many.")]
WITHOUT_NUL: Final = r"^[^\x00]*$"  # PostgreSQL's text knows none
Named = Annotated[str, Query(max_length=128, pattern=WITHOUT_NUL)]
After = Annotated[str, Query(max_length=600, description="`next` of the page before.")]


_WRONG: Final = "after: should be `next` of the page before"


class InvalidCursor(InvalidLimits):
    """`after` is not what a page of ours gave."""


def cursor(*parts: str) -> str:
    """Write where a page ended."""
    return base64.urlsafe_b64encode(json.dumps(parts).encode()).decode()


def read_cursor(text: str) -> tuple[str, str] | None:
    """Read where the page before ended.

    Raises:
        InvalidCursor: it did not come from here.
    """
    if not text:
        return None
    try:
        parts = json.loads(base64.urlsafe_b64decode(text.encode()))
    except (ValueError, binascii.Error, RecursionError):
        parts = None
    if not (isinstance(parts, list) and len(parts) == len(("where", "which")) and all(map(_is_ours, parts))):
        raise InvalidCursor(_WRONG)
    return parts[0], parts[1]


def _is_ours(part: object) -> bool:
    """Tell whether a database could be asked for it."""
    return isinstance(part, str) and "\0" not in part and not any("\ud800" <= sign <= "\udfff" for sign in part)


def read_number(place: tuple[str, str]) -> int:
    """Return the number where the page before ended, for lists that go by one.

    Raises:
        InvalidCursor: it did not come from here.
    """
    if not _NUMBER.fullmatch(place[0]):
        raise InvalidCursor(_WRONG)
    return int(place[0])
