"""How lists are asked for, a page at a time."""

import base64
import binascii
import json
from typing import Annotated, Final

from fastapi import Query

from executor.domain.risk import InvalidLimits

MOST: Final = 500
Limit = Annotated[int, Query(ge=1, le=MOST, description="At most this many.")]
After = Annotated[str, Query(max_length=600, description="`next` of the page before.")]


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
        first, second = json.loads(base64.urlsafe_b64decode(text.encode()))
    except (ValueError, binascii.Error, TypeError):
        raise InvalidCursor("after: should be `next` of the page before") from None
    return str(first), str(second)
