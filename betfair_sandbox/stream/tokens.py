"""The clocks that clients give back to go on where they stopped: `initialClk` and `clk`.

Owns: writing and reading them. Invariant: only clocks of this run of the exchange, of the same criteria and not older
than what is still remembered are good; everything else is INVALID_CLOCK. Units: sequence numbers.
"""

import base64
import binascii
import hashlib
import json
import secrets
from collections import deque
from typing import Final

from betfair_sandbox.api.wire import Json
from betfair_sandbox.market.rules import to_whole

# Betfair states nowhere how long its clocks are good; whoever was away longer than this takes a new image.
LIFE_MS: Final = 600_000
_MARK_EVERY_MS: Final = 1_000
_CRITERIA: Final = ("marketFilter", "marketDataFilter", "orderFilter")


class Clock:
    """The sequence of changes, and which of its instants are still good to go on from."""

    def __init__(self) -> None:
        self.seq = 0
        self._run = secrets.token_hex(4)
        self._marks: deque[tuple[int, int]] = deque()
        self._oldest = 0

    def restart(self) -> None:
        """Make all earlier clocks worthless."""
        self._run = secrets.token_hex(4)
        self._marks.clear()
        self._oldest = self.seq

    def tick(self, now_ms: int) -> int:
        """Return the sequence of what changes now."""
        self.seq += 1
        if not self._marks or now_ms - self._marks[-1][0] >= _MARK_EVERY_MS:
            self._marks.append((now_ms, self.seq))
        while self._marks[0][0] < now_ms - LIFE_MS:
            self._oldest = self._marks.popleft()[1]
        return self.seq

    def initial(self, request: Json) -> str:
        """Return the `initialClk` of a subscription: which run, which criteria."""
        criteria = {name: request.get(name) for name in (*_CRITERIA, "op")}
        digest = hashlib.sha256(json.dumps(criteria, sort_keys=True, default=str).encode()).hexdigest()[:16]
        return _encoded(f"{self._run}.{digest}")

    def now(self) -> str:
        """Return the `clk` of what was published last."""
        return _encoded(f"{self._run}.{self.seq}")

    def since(self, request: Json, initial: object, clk: object) -> int | None:
        """Return the sequence that a client has seen; None when its clocks are not good for this subscription."""
        if initial != self.initial(request) or not isinstance(clk, str):
            return None
        run, _, seq = _decoded(clk).partition(".")
        seen = to_whole(seq)
        if run != self._run or seen is None:
            return None
        return seen if self._oldest <= seen <= self.seq else None


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _decoded(text: str) -> str:
    try:
        return base64.b64decode(text, validate=True).decode("ascii")
    except (binascii.Error, ValueError):
        return ""
