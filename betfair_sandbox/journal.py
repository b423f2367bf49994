"""The journal: one JSON line per call that the exchange received, for tests that ask what really arrived.

Owns: the lines. Invariants: a line is written when the call arrives and completed when it is answered, so a call that
was cut off is seen too; no password and no token is ever in it. Units: epoch seconds with microseconds.
"""

from collections import deque
from dataclasses import dataclass
from itertools import islice
from typing import Final

from betfair_sandbox.api.wire import dump_json

# A long storm's calls; at about 500 bytes each the journal stays near 100 MB. The oldest lines go first.
_MAX_LINES: Final = 200_000
# A call with 200 instructions has about 50 KB; longer ones are noted by their length, or the bound above would be void.
_MAX_PARAMS: Final = 100_000
_MAX_BYTES: Final = 256 * 1024 * 1024


@dataclass(slots=True, eq=False)
class Entry:
    """One call; `account` is whose session it came in, `fault` names the injected fault it met."""

    received_at: float
    method: str
    params: bytes
    status: str | None = None
    error: str | None = None
    fault: str | None = None
    account: str | None = None

    def line(self) -> bytes:
        """Return the entry as a line of JSON."""
        rest = dump_json({"status": self.status, "error": self.error, "fault": self.fault, "account": self.account})
        head = f'{{"received_at":{self.received_at:.6f},"method":'.encode()
        return head + dump_json(self.method) + b',"params":' + self.params + b"," + rest[1:] + b"\n"


class Journal:
    """The calls, oldest first."""

    def __init__(self) -> None:
        self._entries: deque[Entry] = deque()
        self._bytes = 0

    def open(self, received_at: float, method: str, params: object) -> Entry:
        """Note a call that just arrived."""
        encoded = dump_json(params)
        if len(encoded) > _MAX_PARAMS:
            encoded = dump_json({"bytes": len(encoded)})
        entry = Entry(received_at, method, encoded)
        self._entries.append(entry)
        self._bytes += len(encoded)
        while len(self._entries) > _MAX_LINES or self._bytes > _MAX_BYTES:
            self._bytes -= len(self._entries.popleft().params)
        return entry

    def latest(self, count: int) -> list[Entry]:
        """Return the last `count` entries, the latest first."""
        return list(islice(reversed(self._entries), count))

    def entries(self, method: str = "", since: float = 0.0) -> list[Entry]:
        """Return what is noted now, of one method and from one instant on when given."""
        return [
            entry for entry in self._entries if (not method or entry.method == method) and entry.received_at >= since
        ]
