"""What the accounting feed has and the ledger has not acknowledged, for who shows it before it is booked.

Reads only: no entry becomes anybody's by being looked at.
"""

from typing import Any, cast

from redis import Redis
from redis.exceptions import ResponseError

from executor import keys
from executor.adapters.redis.client import guarded
from executor.domain.ledger_entry import LedgerEntry, decode_entry


@guarded
def unbooked_entries(client: "Redis", most: int) -> list[tuple[str, LedgerEntry]]:
    """Return at most so many entries of the feed that are not booked yet, or may not be; oldest first."""
    try:
        groups = client.xinfo_groups(keys.TRADES)
        group = next((group for group in groups if group["name"] == keys.TRADES_GROUP), None)
        waiting = client.xpending(keys.TRADES, keys.TRADES_GROUP) if group else {}
        start = waiting.get("min") or (f"({group['last-delivered-id']}" if group else "-")
        found = cast("list[Any]", client.xrange(keys.TRADES, min=start, count=most))
    except ResponseError:  # no feed yet, or no stream
        return []
    return [(entry, decode_entry(fields)) for entry, fields in found]
