"""How a notice is written: in the step that makes it true, by whoever makes it true.

Invariants: the stream is bounded, and nothing waits for its reader; a stream that cannot be written stops no step.
"""

import json
from typing import Any, Final

from executor import keys
from executor.adapters.redis.client import hash_of
from executor.domain.notice import Notice, notice_fields

MOST: Final = 10_000  # some 4 MB: a notifier that is away for days finds the newest


def notice_args(notice: Notice, identity: str) -> list[str]:
    """Return fields and values of a notice, as XADD takes them; for scripts."""
    return [text for pair in notice_fields(notice, identity).items() for text in pair]


def add_notice(pipe: Any, notice: Notice, identity: str) -> None:  # noqa: ANN401 - redis-py's pipeline
    """Write a notice as part of a transaction."""
    pipe.xadd(keys.NOTICES, hash_of(notice_fields(notice, identity)), maxlen=MOST, approximate=True)


def shown_addresses(texts: object) -> list[dict[str, str]]:
    """Read what the notifier says of its addresses, as Redis gave it; what is none is left out."""
    found: list[dict[str, str]] = []
    for text in texts if isinstance(texts, list) else ():
        try:
            loaded = json.loads(text)
        except (ValueError, TypeError, RecursionError):
            continue
        if isinstance(loaded, dict):
            fields = ("service", "shown", "waiting", "critical", "sent_at", "failing_since", "failures", "error")
            found.append({name: str(loaded.get(name, "")) for name in fields})
    return sorted(found, key=lambda one: one["shown"])
