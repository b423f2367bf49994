"""How an entry of the feed is booked: a fill or void as a difference, of settlements and signals' ends the newest.

Invariant: whatever is told again, in whatever order, leaves the same books. One transaction is the caller's.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Final

import structlog
from sqlalchemy import Connection, Table, and_, bindparam, insert, select, update

from executor.adapters.sql.tables import audit, feeds, settlements, signals, trades
from executor.domain.ledger_entry import (
    ACT_FIELDS,
    Act,
    Fill,
    LedgerEntry,
    Settlement,
    SignalEnd,
    Unreadable,
    Void,
    kind_of,
)
from executor.domain.money import ZERO
from executor.domain.order import ADOPTED, TradeKind
from executor.domain.times import iso

log = structlog.get_logger(__name__)

_TEXT: Final = ("order_id", "signal_id", "bet_id", "strategy", "market_id")
_SETTLED: Final = ("order_id", "market_id", "currency", "profit", "commission", "net_profit")
_SIGNAL: Final = ("kind", "strategy", "market_id", "status", "reason", "detail")

_ACTS_LOOKED_AT: Final = 1000  # ids are text, which sorts otherwise than by time; times are to the millisecond

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
_FEED: Final = (
    select(feeds.c.entry)
    .where(feeds.c.identity == bindparam("identity"), feeds.c.generation == bindparam("generation"))
    .with_for_update()
)


def unreadable(entry: str, problem: str) -> None:
    """Say that nobody can book an entry."""
    log.error("ledger_entry_unreadable", entry=entry, error=problem, hint="not booked")


def book_entry(connection: Connection, entry_id: str, entry: LedgerEntry) -> None:
    """Book one entry of the feed; one that is none is told of and left."""
    match entry:
        case Unreadable():
            unreadable(entry_id, entry.problem)
        case Settlement():
            _book_settlement(connection, entry_id, entry)
        case SignalEnd():
            _book_signal(connection, entry_id, entry)
        case Act():  # of a version that had one feed for all
            book_act(connection, entry_id, entry)
        case _:
            _book_trade(connection, entry_id, entry)


def signed(kind: str, size: Decimal) -> Decimal:
    """Return what an entry's size adds to what is matched."""
    return size if kind == TradeKind.FILL else -size


def _book_trade(connection: Connection, entry_id: str, entry: Fill | Void) -> None:
    kind, total, average = kind_of(entry), entry.size_matched, entry.average_price_matched
    booked = connection.execute(_BOOKED, {"identity": entry.identity, "bet_id": entry.bet_id}).all()
    if any((row.entry, row.size_matched) == (entry_id, total) for row in booked):
        return
    if kind is TradeKind.VOID and total == ZERO:
        _void_settlement(connection, entry_id, entry)
    matched = sum((signed(row.kind, row.size) for row in booked), ZERO)
    size = signed(kind, total - matched)
    # Less than nothing: an answer older than what is booked. Nothing, at the same price: told before.
    is_told = kind is TradeKind.VOID or (booked and booked[-1].average_price_matched == average)
    if size < ZERO or (size == ZERO and is_told):
        return
    values = {
        "entry": entry_id,
        "kind": kind.value,
        "identity": entry.identity,
        "selection_id": str(entry.selection_id),
        "side": entry.side.value,
        "size": size,
        "price": entry.price,
        "size_matched": total,
        "average_price_matched": average,
        "at": iso(entry.at),
        "paper": int(entry.paper),
        "currency": entry.currency,
    }
    connection.execute(_INSERT[trades], values | {name: getattr(entry, name) for name in _TEXT})


def _void_settlement(connection: Connection, entry_id: str, entry: Void | Fill) -> None:
    """Take back what a bet that is wholly void had won or lost, unless a later entry said so anew."""
    own = and_(*(settlements.c[name] == getattr(entry, name) for name in ("identity", "bet_id")))
    held = connection.scalar(select(settlements.c.entry).where(own).with_for_update())
    if held is not None and order(held) < order(entry_id):
        nothing = dict.fromkeys(("profit", "commission", "net_profit"), ZERO)
        connection.execute(update(settlements).where(own).values(entry=entry_id, **nothing))


def _book_settlement(connection: Connection, entry_id: str, entry: Settlement) -> None:
    identity, bet_id, strategy = entry.identity, entry.bet_id, entry.strategy
    if strategy == ADOPTED:  # Redis forgot whose bet this was; the accounts may know
        own = (trades.c.identity == identity) & (trades.c.bet_id == bet_id)
        known = connection.scalar(select(trades.c.strategy).where(own).order_by(trades.c.id).limit(1))
        strategy = known or ADOPTED
    values = {name: getattr(entry, name) for name in _SETTLED} | {"at": iso(entry.at), "strategy": strategy}
    _put_newest(connection, settlements, entry_id, {"identity": identity, "bet_id": bet_id}, values)


def _book_signal(connection: Connection, entry_id: str, entry: SignalEnd) -> None:
    key = {"identity": entry.identity, "signal_id": entry.signal_id}
    values = {name: _text(getattr(entry, name)) for name in _SIGNAL}
    values |= {"received_at": iso(entry.received_at), "finished_at": iso(entry.finished_at)}
    _put_newest(connection, signals, entry_id, key, values)


def book_act(connection: Connection, entry_id: str, entry: LedgerEntry) -> None:
    """Book what was done by hand; what is no act is told of and left."""
    if not isinstance(entry, Act):
        unreadable(entry_id, entry.problem if isinstance(entry, Unreadable) else "no act")
        return
    key = {"identity": entry.identity, "entry": entry_id}
    if connection.scalar(_HELD[audit], key) is None:
        values = {name: _text(getattr(entry, name)) for name in ACT_FIELDS}
        connection.execute(_INSERT[audit], {**key, **values, "at": iso(entry.at)})


def _text(text: str) -> str:
    return text.replace("\0", "")  # PostgreSQL's text knows no NUL


def _put_newest(
    connection: Connection, table: Table, entry: str, key: Mapping[str, str], values: Mapping[str, object]
) -> None:
    """Write a row that replaces the one before it, unless that comes from a later entry of the feed."""
    held = connection.scalar(_HELD[table], key)
    if held is None:
        connection.execute(_INSERT[table], {"entry": entry, **key, **values})
    elif order(held) < order(entry):
        own = and_(*(table.c[name] == value for name, value in key.items()))
        connection.execute(update(table).where(own).values(entry=entry, **values))


def order(entry: str) -> tuple[int, int]:
    """Return what entry ids (milliseconds-number) are sorted by."""
    milliseconds, _, number = entry.partition("-")
    return int(milliseconds), int(number or 0)


def reached(connection: Connection, feed: tuple[str, str]) -> str | None:
    """Return the id of the entry up to which a feed (identity, generation) is booked."""
    return connection.scalar(_FEED, {"identity": feed[0], "generation": feed[1]})


def remember(connection: Connection, feed: tuple[str, str], held: str | None, entry: str) -> None:
    """Say that a feed is booked up to an entry; never takes that back."""
    own = {"identity": feed[0], "generation": feed[1]}
    if held is None:
        connection.execute(insert(feeds), {**own, "entry": entry})
    elif order(held) < order(entry):
        this = and_(*(feeds.c[name] == value for name, value in own.items()))
        connection.execute(update(feeds).where(this).values(entry=entry))


def newest_entry(connection: Connection, identity: str) -> str:
    """Return the newest entry of which something is booked, "" where nothing is."""
    tables: tuple[Table, ...] = (trades, settlements, signals)  # not the audit: its feed is another one
    own = (select(table.c.entry).where(table.c.identity == identity) for table in tables)
    return max((entry for wanted in own for entry in connection.scalars(wanted)), key=order, default="")


def newest_act(connection: Connection, identity: str) -> str:
    """Return the newest act that is booked, "" where none is."""
    own = select(audit.c.entry).where(audit.c.identity == identity)
    return max(connection.scalars(own.order_by(audit.c.at.desc()).limit(_ACTS_LOOKED_AT)), key=order, default="")
