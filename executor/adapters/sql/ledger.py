"""The accounts in SQL: SQLite by default, PostgreSQL by URL.

Invariants: an entry of the feed is booked once, whatever is read again (by its id); a fill is booked as the difference
to what is booked already, so that one told anew after a loss of Redis adds nothing; of a settlement, and of a signal's
end, the newest entry stands; amounts are exact decimals; writing is one transaction per batch.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, TypeVar

import structlog
from sqlalchemy import Connection, Engine, Table, and_, bindparam, create_engine, event, func, insert, select, update
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DataError, SQLAlchemyError

from executor.adapters.redis.records import AUDIT, SIGNAL
from executor.adapters.sql.migrations import upgrade
from executor.adapters.sql.reads import LedgerReads
from executor.adapters.sql.tables import audit, settlements, signals, trades
from executor.domain.money import ZERO
from executor.domain.order import ADOPTED, TradeKind
from executor.errors import LedgerUnavailable

log = structlog.get_logger(__name__)

_TIMEOUT_S: Final = 5  # a ledger that does not answer is away; its entries wait in the stream
_TEXT: Final = ("order_id", "signal_id", "bet_id", "strategy", "market_id", "selection_id", "side", "at")
_SETTLED: Final = ("order_id", "market_id", "at")
_SIGNAL: Final = ("kind", "strategy", "market_id", "status", "reason", "detail", "received_at", "finished_at")
_ACT: Final = ("at", "who", "role", "via", "address", "action", "target", "before", "after", "outcome")

# Made once: putting a statement together costs more than running it.
_INSERT: Final = {table: insert(table) for table in (trades, settlements, signals, audit)}
_BOOKED: Final = (
    select(trades)
    .where(trades.c.identity == bindparam("identity"), trades.c.bet_id == bindparam("bet_id"))
    .order_by(trades.c.id)
)
_HELD: Final = {
    table: select(table.c.entry)
    .where(*(column == bindparam(column.name) for column in table.primary_key))
    .with_for_update()
    for table in (settlements, signals, audit)
}

Entry = tuple[str, Mapping[str, str]]
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
            return self._ready

    def exists(self) -> bool:
        """Tell whether there is something to read: a file that the first write makes may not be there yet."""
        url = make_url(self._url)
        return url.get_backend_name() != "sqlite" or (url.database is not None and Path(url.database).exists())

    def write(self, entries: Sequence[Entry]) -> None:
        """Book entries of the feed; one booked before changes nothing, one that nobody can book is logged and left."""

        def book(connection: Connection, some: Sequence[Entry]) -> None:
            for entry, fields in some:
                try:
                    _book(connection, entry, fields)
                except (KeyError, ArithmeticError, ValueError) as error:
                    _unreadable(entry, error)

        try:
            self.run(lambda connection: book(connection, entries))
        except LedgerUnavailable as error:
            if not isinstance(error.__cause__, DataError):
                raise
            for one in entries:  # the database refuses the content of one of them
                self._alone(one, book)

    def _alone(self, one: Entry, book: Callable[[Connection, Sequence[Entry]], None]) -> None:
        try:
            self.run(lambda connection: book(connection, [one]))
        except LedgerUnavailable as error:
            if not isinstance(error.__cause__, DataError):
                raise
            _unreadable(one[0], error)

    def is_empty(self, identity: str) -> bool:
        """Tell whether no trade and no settlement was ever booked for this identity."""

        def look(connection: Connection) -> bool:
            tables: tuple[Table, ...] = (trades, settlements)
            own = (select(table.c.bet_id).where(table.c.identity == identity).limit(1) for table in tables)
            return not any(connection.scalar(one) for one in own)

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
                matched[row.bet_id] = matched.get(row.bet_id, ZERO) + _signed(row.kind, row.size)
            oldest = min((first[bet] for bet, size in matched.items() if size > ZERO), default=None)
            return None if oldest is None else int(datetime.fromisoformat(oldest).timestamp() * 1000)

        return self.run(look)

    def count(self) -> int:
        """Return how many fills and voids are booked."""
        return self.run(lambda connection: connection.scalar(select(func.count()).select_from(trades)) or 0)

    def close(self) -> None:
        """Give the connections back."""
        if self._ready is not None:
            self._ready.dispose()


def _unreadable(entry: str, error: Exception) -> None:
    log.error("ledger_entry_unreadable", entry=entry, error=f"{type(error).__name__}: {error}", hint="not booked")


def _book(connection: Connection, entry: str, fields: Mapping[str, str]) -> None:
    if fields.get("type") == TradeKind.SETTLEMENT:
        _book_settlement(connection, entry, fields)
    elif fields.get("type") in {TradeKind.FILL, TradeKind.VOID}:
        _book_trade(connection, entry, fields)
    elif fields.get("type") == SIGNAL:
        _book_signal(connection, entry, fields)
    elif fields.get("type") == AUDIT:
        _book_act(connection, entry, fields)
    else:
        raise ValueError("not an entry of ours")


def _amount(fields: Mapping[str, str], name: str) -> Decimal:
    value = Decimal(fields[name])
    if not value.is_finite():
        raise ValueError(f"{name} is no amount")
    return value


def _signed(kind: str, size: Decimal) -> Decimal:
    return size if kind == TradeKind.FILL else -size


def _book_trade(connection: Connection, entry: str, fields: Mapping[str, str]) -> None:
    kind, total = fields["type"], _amount(fields, "size_matched")
    average = _amount(fields, "average_price_matched")
    booked = connection.execute(_BOOKED, {"identity": fields["identity"], "bet_id": fields["bet_id"]}).all()
    if any((row.entry, row.size_matched) == (entry, total) for row in booked):
        return
    matched = sum((_signed(row.kind, row.size) for row in booked), ZERO)
    size = _signed(kind, total - matched)
    # Less than nothing: an answer older than what is booked. Nothing, at the same price: told before.
    if size < ZERO or (size == ZERO and booked and booked[-1].average_price_matched == average):
        return
    values = {
        "entry": entry,
        "kind": kind,
        "identity": fields["identity"],
        "size": size,
        "price": _amount(fields, "price"),
        "size_matched": total,
        "average_price_matched": average,
        "paper": int(fields.get("paper") == "true"),
    }
    connection.execute(_INSERT[trades], values | {name: fields[name] for name in _TEXT})


def _book_settlement(connection: Connection, entry: str, fields: Mapping[str, str]) -> None:
    identity, bet_id = fields["identity"], fields["bet_id"]
    values = {
        **{name: fields[name] for name in _SETTLED},
        **{name: _amount(fields, name) for name in ("profit", "commission", "net_profit")},
        "strategy": fields["strategy"],
    }
    if values["strategy"] == ADOPTED:  # Redis forgot whose bet this was; the accounts may know
        own = (trades.c.identity == identity) & (trades.c.bet_id == bet_id)
        known = connection.scalar(select(trades.c.strategy).where(own).order_by(trades.c.id).limit(1))
        values["strategy"] = known or ADOPTED
    _put_newest(connection, settlements, entry, {"identity": identity, "bet_id": bet_id}, values)


def _book_signal(connection: Connection, entry: str, fields: Mapping[str, str]) -> None:
    key = {"identity": fields["identity"], "signal_id": fields["signal_id"]}
    values = {name: fields[name].replace("\0", "") for name in _SIGNAL}  # PostgreSQL's text knows no NUL
    _put_newest(connection, signals, entry, key, values)


def _book_act(connection: Connection, entry: str, fields: Mapping[str, str]) -> None:
    key = {"identity": fields["identity"], "entry": entry}
    if connection.scalar(_HELD[audit], key) is None:
        values = {name: fields[name].replace("\0", "") for name in _ACT}
        connection.execute(_INSERT[audit], {**key, **values})


def _put_newest(
    connection: Connection, table: Table, entry: str, key: Mapping[str, str], values: Mapping[str, object]
) -> None:
    """Write a row that replaces the one before it, unless that comes from a later entry of the feed."""
    held = connection.scalar(_HELD[table], key)
    if held is None:
        connection.execute(_INSERT[table], {"entry": entry, **key, **values})
    elif _order(held) < _order(entry):
        own = and_(*(table.c[name] == value for name, value in key.items()))
        connection.execute(update(table).where(own).values(entry=entry, **values))


def _order(entry: str) -> tuple[int, int]:
    """Return what entry ids (milliseconds-number) are sorted by."""
    milliseconds, _, number = entry.partition("-")
    return int(milliseconds), int(number or 0)
