"""What people read of the ledger: trades, settlements, how signals ended, what was done by hand.

Reads only; lists come newest first and a page at a time, the next beginning after the last row of the one before.
Amounts are exact decimals, times ISO 8601 in UTC.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from sqlalchemy import Connection, func, or_, select

from executor.adapters.sql.tables import audit, settlements, signals, trades

T = TypeVar("T")


class LedgerReads(ABC):
    """The part of `SqlLedger` that people look at."""

    @abstractmethod
    def run(self, work: Callable[[Connection], T]) -> T:
        """Do some work in one transaction."""

    def entries(self, limit: int, *, market: str = "", before: int | None = None) -> list[dict[str, Any]]:
        """Return the newest fills and voids, newest first; `before` is the id of the last one seen."""
        wanted = select(trades).order_by(trades.c.id.desc()).limit(limit)
        if market:
            wanted = wanted.where(trades.c.market_id == market)
        return self._rows(wanted if before is None else wanted.where(trades.c.id < before))

    def trades_by_identity(self) -> dict[str, int]:
        """Return how many fills and voids are booked of each account and mode."""
        wanted = select(trades.c.identity, func.count()).group_by(trades.c.identity).order_by(trades.c.identity)
        return self.run(lambda connection: {row[0]: row[1] for row in connection.execute(wanted)})

    def entries_of(self, signal_id: str) -> list[dict[str, Any]]:
        """Return the fills and voids of a signal's orders, oldest first."""
        return self._rows(select(trades).where(trades.c.signal_id == signal_id).order_by(trades.c.id).limit(1000))

    def settled(self, identity: str) -> list[dict[str, Any]]:
        """Return every settlement of this identity, oldest first."""
        own = select(settlements).where(settlements.c.identity == identity)
        return self._rows(own.order_by(settlements.c.at, settlements.c.bet_id))

    def ended(
        self, limit: int, *, filters: Mapping[str, str] | None = None, after: tuple[str, str] | None = None
    ) -> list[dict[str, Any]]:
        """Return how signals ended, newest first; `after` is (finished_at, signal_id) of the last one seen."""
        newest = (signals.c.finished_at.desc(), signals.c.signal_id, signals.c.identity)
        wanted = select(signals).order_by(*newest).limit(limit)
        for column, value in (filters or {}).items():
            if value:
                wanted = wanted.where(signals.c[column] == value)
        if after is not None:
            at, signal_id = after
            older = signals.c.finished_at < at
            wanted = wanted.where(or_(older, (signals.c.finished_at == at) & (signals.c.signal_id > signal_id)))
        return self._rows(wanted)

    def ended_per_minute(self, since: str) -> list[tuple[str, str, int]]:
        """Return (minute, status, number) of the signals that ended since a moment, oldest first."""
        minute = func.substr(signals.c.finished_at, 1, 16)
        wanted = (
            select(minute, signals.c.status, func.count())
            .where(signals.c.finished_at >= since)
            .group_by(minute, signals.c.status)
            .order_by(minute)
        )
        return self.run(lambda connection: [(at, status, number) for at, status, number in connection.execute(wanted)])

    def acts(self, identity: str, limit: int, *, after: tuple[str, str] | None = None) -> list[dict[str, Any]]:
        """Return what was done by hand, newest first; `after` is (at, entry) of the last one seen."""
        wanted = select(audit).where(audit.c.identity == identity)
        if after is not None:
            at, entry = after
            wanted = wanted.where(or_(audit.c.at < at, (audit.c.at == at) & (audit.c.entry < entry)))
        return self._rows(wanted.order_by(audit.c.at.desc(), audit.c.entry.desc()).limit(limit))

    def _rows(self, wanted: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - a select
        return self.run(lambda connection: [dict(row) for row in connection.execute(wanted).mappings()])
