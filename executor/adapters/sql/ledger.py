"""The accounts in SQL: SQLite by default, PostgreSQL by URL.

Invariants: an entry of the feed is booked once, whatever is read again (by its id); a fill is booked as the difference
to what is booked already, so that one told anew after a loss of Redis adds nothing; of a settlement, and of a signal's
end, the newest entry stands; a bet that is wholly void has won and lost nothing; how far a feed is booked is written
with what is booked; amounts are exact decimals; writing is one transaction per batch.
"""

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, TypeVar
from weakref import finalize

import structlog
from sqlalchemy import Connection, Engine, Table, create_engine, event, func, select
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DataError, SQLAlchemyError

from executor.adapters.sql import booking
from executor.adapters.sql.migrations import upgrade
from executor.adapters.sql.reads import LedgerReads
from executor.adapters.sql.tables import feeds, settlements, signals, trades
from executor.domain.ledger_entry import LedgerEntry
from executor.domain.money import ZERO
from executor.domain.order import MAX_LEGS, order_ids
from executor.domain.times import iso
from executor.errors import LedgerUnavailable

log = structlog.get_logger(__name__)

_TIMEOUT_S: Final = 5  # a ledger that does not answer is away; its entries wait in the stream
_HOUR_MS: Final = 3_600_000  # a signal's end is booked when its orders are placed; by Redis's clock, not the exchange's
_AT_ONCE: Final = 500  # values in one statement
_COMPLETED: Final = "COMPLETED"  # a signal whose orders were placed

Entry = tuple[str, LedgerEntry]
T = TypeVar("T")


def _engine(url: str) -> Engine:
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        if parsed.database:
            Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
        engine = create_engine(parsed, connect_args={"timeout": _TIMEOUT_S})
        event.listen(engine, "connect", _durable)
        return engine
    # A server whose machine is gone does not even refuse: the kernel gives up for it.
    waits = {"connect_timeout": _TIMEOUT_S, "tcp_user_timeout": _TIMEOUT_S * 1000}
    return create_engine(parsed, pool_pre_ping=True, connect_args=waits)


def _close(engine: Engine, pid: int) -> None:
    if pid == os.getpid():
        engine.dispose()


def _durable(connection: Any, _record: object) -> None:  # noqa: ANN401 - the driver's own connection
    connection.execute("PRAGMA journal_mode=WAL")  # readers (the CLI) do not wait for the writer
    connection.execute("PRAGMA synchronous=FULL")


class SqlLedger(LedgerReads):
    """`Ledger` on a database; its schema is made, or upgraded, on the first use by each process."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._ready: Engine | None = None
        self._starting = threading.Lock()

    def run(self, work: Callable[[Connection], T]) -> T:
        """Do some work in one transaction.

        Raises:
            LedgerUnavailable: the database does not answer.
        """
        try:
            with self._start().begin() as connection:
                return work(connection)
        except ImportError as error:
            hint = "pip install 'aibetting-executor[postgres]'"
            raise LedgerUnavailable(f"ledger: the database's driver is not installed ({error.name}): {hint}") from error
        except (SQLAlchemyError, OSError) as error:
            raise LedgerUnavailable(f"ledger: {str(error).splitlines()[0]}") from error

    def _start(self) -> Engine:
        with self._starting:
            if self._ready is None:
                engine = _engine(self._url)
                try:
                    upgrade(engine)
                except BaseException:
                    engine.dispose()
                    raise
                self._ready = engine
                # Who lets go of a ledger need not think of its connections; those of a parent are not ours to close.
                finalize(self, _close, engine, os.getpid()).atexit = False
            return self._ready

    def exists(self) -> bool:
        """Tell whether there is something to read: a file that the first write makes may not be there yet."""
        url = make_url(self._url)
        return url.get_backend_name() != "sqlite" or (url.database is not None and Path(url.database).exists())

    def write(self, entries: Sequence[Entry], *, identity: str = "", generation: str = "") -> None:
        """Book entries of the feed; one booked before changes nothing, one that nobody can book is logged and left."""
        feed = (identity, generation)

        def book(connection: Connection, some: Sequence[Entry]) -> None:
            held = booking.reached(connection, feed) if generation else None
            for entry_id, entry in some:
                if held is None or booking.order(entry_id) > booking.order(held):
                    booking.book_entry(connection, entry_id, entry)
            if generation and some:
                booking.remember(connection, feed, held, some[-1][0])

        self._write(entries, book)

    def write_acts(self, entries: Sequence[Entry]) -> None:
        """Book what was done by hand; whatever else stands in its feed is logged and never booked."""

        def book(connection: Connection, some: Sequence[Entry]) -> None:
            for entry_id, entry in some:
                booking.book_act(connection, entry_id, entry)

        self._write(entries, book)

    def reached_acts(self, identity: str) -> str:
        """Return the id of the newest act that is booked, "" where none is."""
        return self.run(lambda connection: booking.newest_act(connection, identity))

    def _write(self, entries: Sequence[Entry], book: Callable[[Connection, Sequence[Entry]], None]) -> None:
        try:
            self.run(lambda connection: book(connection, entries))
        except LedgerUnavailable as error:
            if not isinstance(error.__cause__, DataError):
                raise
            for row in entries:  # the database refuses the content of one of them
                self._alone(row, book)

    def _alone(self, row: Entry, book: Callable[[Connection, Sequence[Entry]], None]) -> None:
        try:
            self.run(lambda connection: book(connection, [row]))
        except LedgerUnavailable as error:
            if not isinstance(error.__cause__, DataError):
                raise
            booking.unreadable(row[0], str(error))

    def reached(self, identity: str, generation: str) -> str:
        """Return the id of the entry up to which a feed is booked, "" where nothing of it is."""

        def look(connection: Connection) -> str:
            held = booking.reached(connection, (identity, generation))
            if held is not None:
                return held
            known = connection.scalar(select(feeds.c.entry).where(feeds.c.identity == identity).limit(1))
            return "" if known else booking.newest_entry(connection, identity)  # as before there was this table

        return self.run(look)

    def knows(self, identity: str, bets: Mapping[str, str], since: int) -> set[str]:
        """Return those of these bets (bet id -> order id) that are booked, or whose signal is, as placed."""
        started = iso(max(since - _HOUR_MS, 0))

        def look(connection: Connection) -> set[str]:
            names = list(bets)
            booked: set[str] = set()
            for at in range(0, len(names), _AT_ONCE):
                some = select(trades.c.bet_id).where(trades.c.identity == identity)
                booked |= set(connection.scalars(some.where(trades.c.bet_id.in_(names[at : at + _AT_ONCE]))))
            s = signals.c
            ended = select(s.signal_id).where((s.identity == identity) & (s.finished_at >= started))
            completed = connection.scalars(ended.where(s.status == _COMPLETED))
            placed = {order_id for signal_id in completed for order_id in order_ids(signal_id, MAX_LEGS)}
            return {bet for bet, order_id in bets.items() if bet in booked or order_id in placed}

        return self.run(look)

    def matched(self, identity: str, bets: Sequence[str]) -> dict[str, Decimal]:
        """Return bet id -> what is booked as matched, of those of these bets of which something is."""

        def look(connection: Connection) -> dict[str, Decimal]:
            sizes: dict[str, Decimal] = {}
            for at in range(0, len(bets), _AT_ONCE):
                t = trades.c
                own = select(t.bet_id, t.kind, t.size).where(t.identity == identity)
                for row in connection.execute(own.where(t.bet_id.in_(bets[at : at + _AT_ONCE]))):
                    sizes[row.bet_id] = sizes.get(row.bet_id, ZERO) + booking.signed(row.kind, row.size)
            return sizes

        return self.run(look)

    def newest_settlement(self, identity: str) -> int | None:
        """Return when what was booked as settled last was settled; None where nothing was."""
        newest = select(func.max(settlements.c.at)).where(settlements.c.identity == identity)
        at = self.run(lambda connection: connection.scalar(newest))
        return None if at is None else _ms(at)

    def is_empty(self, identity: str) -> bool:
        """Tell whether no trade and no settlement was ever booked for this identity."""

        def look(connection: Connection) -> bool:
            tables: tuple[Table, ...] = (trades, settlements)
            own = (select(table.c.bet_id).where(table.c.identity == identity).limit(1) for table in tables)
            return not any(connection.scalar(query) for query in own)

        return self.run(look)

    def profits(self, identity: str) -> dict[str, dict[str, Decimal]]:
        """Return UTC day -> bet id -> net profit of every settlement booked for this identity."""

        def look(connection: Connection) -> dict[str, dict[str, Decimal]]:
            days: dict[str, dict[str, Decimal]] = {}
            wanted = select(settlements.c.at, settlements.c.bet_id, settlements.c.net_profit)
            for at, bet_id, net in connection.execute(wanted.where(settlements.c.identity == identity)):
                days.setdefault(at[:10], {})[bet_id] = net
            return days

        return self.run(look)

    def oldest_unsettled(self, identity: str) -> int | None:
        """Return when the oldest bet that is matched and not settled was first matched; None where all are settled."""

        def look(connection: Connection) -> int | None:
            t, s = trades.c, settlements.c
            settled = select(s.bet_id).where((s.identity == t.identity) & (s.bet_id == t.bet_id)).exists()
            matched: dict[str, Decimal] = {}
            first: dict[str, str] = {}
            for row in connection.execute(
                select(t.bet_id, t.kind, t.size, t.at).where((t.identity == identity) & ~settled).order_by(t.id)
            ):
                first.setdefault(row.bet_id, row.at)
                matched[row.bet_id] = matched.get(row.bet_id, ZERO) + booking.signed(row.kind, row.size)
            oldest = min((first[bet] for bet, size in matched.items() if size > ZERO), default=None)
            return None if oldest is None else _ms(oldest)

        return self.run(look)

    def count(self) -> int:
        """Return how many fills and voids are booked."""
        return self.run(lambda connection: connection.scalar(select(func.count()).select_from(trades)) or 0)

    def close(self) -> None:
        """Give the connections back."""
        if self._ready is not None:
            self._ready.dispose()


def _ms(at: str) -> int:
    return int(datetime.fromisoformat(at).timestamp() * 1000)
