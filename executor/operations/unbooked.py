"""What has happened and is not in the ledger yet, laid over what is: a few seconds, more while the ledger is away.

Invariants: reads only; whatever is booked while it is read counts once; without Redis the ledger tells alone.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from executor.adapters.redis.unbooked import unbooked_entries
from executor.domain.ledger_entry import LedgerEntry, Settlement, SignalEnd, Void
from executor.domain.money import ZERO
from executor.domain.order import ADOPTED
from executor.domain.times import iso
from executor.errors import StoreUnavailable
from executor.operations.access import Access

_MOST: Final = 2000  # a ledger that is away for long says so elsewhere: a page need not read all that waits

Entries = list[tuple[str, LedgerEntry]]
Row = dict[str, Any]


def unbooked(access: Access) -> Entries:
    """Return what the ledger has not got, oldest first; to be read before the ledger is."""
    try:
        return unbooked_entries(access.redis, _MOST)
    except StoreUnavailable:
        return []


def with_settlements(rows: Iterable[Row], entries: Entries, identity: str) -> list[Row]:
    """Return the settlements of an identity as they will be once these entries are booked, oldest first."""
    found = {row["bet_id"]: row for row in rows}
    for entry_id, entry in entries:
        if isinstance(entry, Settlement) and entry.identity == identity:
            held = found.get(entry.bet_id)
            if held is None or _order(held["entry"]) < _order(entry_id):
                found[entry.bet_id] = _settlement(entry_id, entry, held)
        elif isinstance(entry, Void) and entry.identity == identity and not entry.size_matched:
            held = found.get(entry.bet_id)
            if held is not None and _order(held["entry"]) < _order(entry_id):
                nothing = dict.fromkeys(("profit", "commission", "net_profit"), ZERO)
                found[entry.bet_id] = {**held, **nothing, "entry": entry_id}
    return sorted(found.values(), key=lambda row: (row["at"], row["bet_id"]))


def _settlement(entry_id: str, entry: Settlement, held: Row | None) -> Row:
    strategy = held["strategy"] if held and entry.strategy == ADOPTED else entry.strategy
    names = ("bet_id", "order_id", "market_id", "profit", "commission", "net_profit", "currency", "identity")
    facts = {name: getattr(entry, name) for name in names}
    return {**facts, "strategy": strategy, "at": iso(entry.at), "entry": entry_id}


def with_ends(rows: Iterable[Row], entries: Entries, filters: Mapping[str, str]) -> list[Row]:
    """Return how signals ended as the ledger will tell it once these entries are booked, newest first."""
    found = {(row["identity"], row["signal_id"]): row for row in rows}
    for entry_id, entry in entries:
        if not isinstance(entry, SignalEnd):
            continue
        key = (entry.identity, entry.signal_id)
        held = found.get(key)
        if held is None or _order(held["entry"]) < _order(entry_id):
            found[key] = _end(entry_id, entry)
    wanted = [row for row in found.values() if all(row[name] == value for name, value in filters.items() if value)]
    named = sorted(wanted, key=lambda row: (row["signal_id"], row["identity"]))
    return sorted(named, key=lambda row: row["finished_at"], reverse=True)


def _end(entry_id: str, entry: SignalEnd) -> Row:
    names = ("signal_id", "kind", "strategy", "market_id", "status", "reason", "detail", "identity")
    times = {"received_at": iso(entry.received_at), "finished_at": iso(entry.finished_at)}
    return {name: getattr(entry, name) for name in names} | times | {"entry": entry_id}


def _order(entry: str) -> tuple[int, int]:
    milliseconds, _, number = entry.partition("-")
    return int(milliseconds), int(number or 0)
