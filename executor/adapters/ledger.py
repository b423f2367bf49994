"""The accounts in SQL: SQLite by default, PostgreSQL by URL.

Invariants: an entry of the feed is booked once, whatever is read again (unique keys, and fills are booked as the
difference to what is booked already); amounts are stored as exact decimals; writing is one transaction per batch.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from sqlalchemy import (
    Column,
    Connection,
    Engine,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    create_engine,
    event,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.types import TypeDecorator

from executor.domain.money import ZERO
from executor.domain.order import TradeKind
from executor.errors import LedgerUnavailable

_TIMEOUT_S: Final = 5  # a ledger that does not answer is away; its entries wait in the stream


class Amount(TypeDecorator[Decimal]):
    """A decimal as text: exact in every database."""

    impl = String(32)
    cache_ok = True

    def process_bind_param(self, value: Decimal | None, dialect: Any) -> str | None:  # noqa: ANN401, ARG002
        """Write it."""
        return None if value is None else f"{value:f}"

    def process_result_value(self, value: str | None, dialect: Any) -> Decimal | None:  # noqa: ANN401, ARG002
        """Read it."""
        return None if value is None else Decimal(value)


metadata: Final = MetaData()
trades: Final = Table(
    "trades",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("entry", String(64), nullable=False),  # the feed's entry id
    Column("kind", String(16), nullable=False),
    Column("identity", String(256), nullable=False),
    Column("order_id", String(40), nullable=False),
    Column("signal_id", String(200), nullable=False),
    Column("bet_id", String(64), nullable=False),
    Column("strategy", String(128), nullable=False),
    Column("market_id", String(32), nullable=False),
    Column("selection_id", String(24), nullable=False),
    Column("side", String(8), nullable=False),
    Column("size", Amount, nullable=False),  # matched (fill) or taken back (void) by this entry
    Column("price", Amount, nullable=False),
    Column("size_matched", Amount, nullable=False),
    Column("average_price_matched", Amount, nullable=False),
    Column("at", String(32), nullable=False),
    Column("paper", Integer, nullable=False),
    Index("trades_once", "identity", "bet_id", "kind", "size_matched", "average_price_matched", unique=True),
    Index("trades_at", "at"),
)
settlements: Final = Table(
    "settlements",
    metadata,
    Column("identity", String(256), primary_key=True),
    Column("bet_id", String(64), primary_key=True),
    Column("order_id", String(40), nullable=False),
    Column("strategy", String(128), nullable=False),
    Column("market_id", String(32), nullable=False),
    Column("profit", Amount, nullable=False),
    Column("commission", Amount, nullable=False),
    Column("net_profit", Amount, nullable=False),
    Column("at", String(32), nullable=False),
    Column("entry", String(64), nullable=False),
)
_TEXT: Final = ("order_id", "signal_id", "bet_id", "strategy", "market_id", "selection_id", "side", "at")


def _engine(url: str) -> Engine:
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        if parsed.database:
            Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
        engine = create_engine(parsed, connect_args={"timeout": _TIMEOUT_S})
        event.listen(engine, "connect", _durable)
        return engine
    return create_engine(parsed, pool_pre_ping=True, connect_args={"connect_timeout": _TIMEOUT_S})


def _durable(connection: Any, _record: object) -> None:  # noqa: ANN401 - the driver's own connection
    connection.execute("PRAGMA journal_mode=WAL")  # readers (the CLI) do not wait for the writer
    connection.execute("PRAGMA synchronous=FULL")


class SqlLedger:
    """`Ledger` on a database; the schema is made on first use."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._ready: Engine | None = None

    def _begin(self) -> Any:  # noqa: ANN401 - a context manager yielding Connection
        if self._ready is None:
            engine = _engine(self._url)
            metadata.create_all(engine)
            self._ready = engine
        return self._ready.begin()

    def _run(self, work: Any) -> Any:  # noqa: ANN401 - of whatever `work` returns
        try:
            with self._begin() as connection:
                return work(connection)
        except (SQLAlchemyError, OSError) as error:
            raise LedgerUnavailable(f"ledger: {str(error).splitlines()[0]}") from error

    def exists(self) -> bool:
        """Tell whether there is something to read: a file that the first write makes may not be there yet."""
        url = make_url(self._url)
        return url.get_backend_name() != "sqlite" or (url.database is not None and Path(url.database).exists())

    def write(self, entries: Sequence[tuple[str, Mapping[str, str]]]) -> None:
        """Book entries of the feed; one booked before changes nothing."""

        def book(connection: Connection) -> None:
            for entry, fields in entries:
                if fields.get("type") == TradeKind.SETTLEMENT:
                    _book_settlement(connection, entry, fields)
                elif fields.get("type") in {TradeKind.FILL, TradeKind.VOID}:
                    _book_trade(connection, entry, fields)

        self._run(book)

    def is_empty(self, identity: str) -> bool:
        """Tell whether nothing was ever booked for this identity."""

        def look(connection: Connection) -> bool:
            counts = [
                connection.scalar(select(func.count()).select_from(table).where(table.c.identity == identity))
                for table in (trades, settlements)
            ]
            return not any(counts)

        return bool(self._run(look))

    def profits(self, identity: str) -> dict[str, dict[str, Decimal]]:
        """Return UTC day -> bet id -> net profit of every settlement booked for this identity."""

        def look(connection: Connection) -> dict[str, dict[str, Decimal]]:
            days: dict[str, dict[str, Decimal]] = {}
            wanted = select(settlements.c.at, settlements.c.bet_id, settlements.c.net_profit)
            for at, bet_id, net in connection.execute(wanted.where(settlements.c.identity == identity)):
                days.setdefault(at[:10], {})[bet_id] = net
            return days

        found: dict[str, dict[str, Decimal]] = self._run(look)
        return found

    def entries(self, limit: int) -> list[dict[str, Any]]:
        """Return the newest fills and voids, newest first."""
        wanted = select(trades).order_by(trades.c.id.desc()).limit(limit)
        rows: list[dict[str, Any]] = self._run(
            lambda connection: [dict(row) for row in connection.execute(wanted).mappings()]
        )
        return rows

    def count(self) -> int:
        """Return how many fills and voids are booked."""
        return int(self._run(lambda connection: connection.scalar(select(func.count()).select_from(trades))))

    def close(self) -> None:
        """Give the connections back."""
        if self._ready is not None:
            self._ready.dispose()


def _book_trade(connection: Connection, entry: str, fields: Mapping[str, str]) -> None:
    total, price = Decimal(fields["size_matched"]), Decimal(fields["average_price_matched"])
    own = (trades.c.identity == fields["identity"]) & (trades.c.bet_id == fields["bet_id"])
    same = (trades.c.kind == fields["type"]) & (trades.c.size_matched == total)
    if connection.scalar(select(trades.c.id).where(own & same & (trades.c.average_price_matched == price))):
        return
    booked = sum(
        (row.size if row.kind == TradeKind.FILL else -row.size)
        for row in connection.execute(select(trades.c.kind, trades.c.size).where(own))
    )
    size = total - booked if fields["type"] == TradeKind.FILL else booked - total
    if size < ZERO:  # an older entry of what is booked already
        return
    connection.execute(
        insert(trades).values(
            entry=entry,
            kind=fields["type"],
            identity=fields["identity"],
            size=size,
            price=Decimal(fields["price"]),
            size_matched=total,
            average_price_matched=price,
            paper=int(fields.get("paper") == "true"),
            **{name: fields[name] for name in _TEXT},
        )
    )


def _book_settlement(connection: Connection, entry: str, fields: Mapping[str, str]) -> None:
    values = {
        "order_id": fields["order_id"],
        "strategy": fields["strategy"],
        "market_id": fields["market_id"],
        "profit": Decimal(fields["profit"]),
        "commission": Decimal(fields["commission"]),
        "net_profit": Decimal(fields["net_profit"]),
        "at": fields["at"],
        "entry": entry,
    }
    own = (settlements.c.identity == fields["identity"]) & (settlements.c.bet_id == fields["bet_id"])
    if not connection.execute(update(settlements).where(own).values(values)).rowcount:
        connection.execute(insert(settlements).values(identity=fields["identity"], bet_id=fields["bet_id"], **values))
