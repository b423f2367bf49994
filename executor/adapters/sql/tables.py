"""The tables of the ledger as the code sees them; how a database gets to look like this is in `migrations`.

A test compares the two. Amounts are exact decimals, times ISO 8601 in UTC, `entry` is the feed's entry id.
"""

from decimal import Decimal
from typing import Any, Final

from sqlalchemy import Column, Index, Integer, MetaData, String, Table, Text
from sqlalchemy.types import TypeDecorator


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
    Column("entry", String(64), nullable=False),
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
    Column("currency", String(3), nullable=False, server_default=""),  # "": an entry of before, in the account's
    Index("trades_once", "identity", "bet_id", "entry", "size_matched", unique=True),
    Index("trades_at", "at"),
    Index("trades_signal", "signal_id"),
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
    Column("currency", String(3), nullable=False, server_default=""),
    Index("settlements_at", "at"),
)
signals: Final = Table(
    "signals",
    metadata,
    Column("identity", String(256), primary_key=True),
    Column("signal_id", String(200), primary_key=True),
    Column("kind", String(32), nullable=False),
    Column("strategy", String(128), nullable=False),
    Column("market_id", String(32), nullable=False),
    Column("status", String(16), nullable=False),
    Column("reason", String(64), nullable=False),
    Column("detail", Text, nullable=False),
    Column("received_at", String(32), nullable=False),
    Column("finished_at", String(32), nullable=False),
    Column("entry", String(64), nullable=False),
    Index("signals_finished_at", "finished_at"),
)
audit: Final = Table(
    "audit",
    metadata,
    Column("identity", String(256), primary_key=True),
    Column("entry", String(64), primary_key=True),
    Column("at", String(32), nullable=False),
    Column("who", String(128), nullable=False),
    Column("role", String(32), nullable=False),
    Column("via", String(16), nullable=False),
    Column("address", String(64), nullable=False),
    Column("action", String(64), nullable=False),
    Column("target", String(256), nullable=False),
    Column("before", Text, nullable=False),
    Column("after", Text, nullable=False),
    Column("outcome", String(500), nullable=False),
    Index("audit_at", "at"),
)
feeds: Final = Table(  # how far each feed is booked
    "feeds",
    metadata,
    Column("identity", String(256), primary_key=True),
    Column("generation", String(64), primary_key=True),
    Column("entry", String(64), nullable=False),
)
