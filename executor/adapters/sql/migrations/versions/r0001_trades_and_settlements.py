"""Trades and settlements, as the first version made them; a database that it made is taken as it is."""

from typing import Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0001"
down_revision: Final = None


def upgrade() -> None:
    """Make what is not there."""
    op.create_table(
        "trades",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("entry", sa.String(64), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("identity", sa.String(256), nullable=False),
        sa.Column("order_id", sa.String(40), nullable=False),
        sa.Column("signal_id", sa.String(200), nullable=False),
        sa.Column("bet_id", sa.String(64), nullable=False),
        sa.Column("strategy", sa.String(128), nullable=False),
        sa.Column("market_id", sa.String(32), nullable=False),
        sa.Column("selection_id", sa.String(24), nullable=False),
        sa.Column("side", sa.String(8), nullable=False),
        sa.Column("size", sa.String(32), nullable=False),
        sa.Column("price", sa.String(32), nullable=False),
        sa.Column("size_matched", sa.String(32), nullable=False),
        sa.Column("average_price_matched", sa.String(32), nullable=False),
        sa.Column("at", sa.String(32), nullable=False),
        sa.Column("paper", sa.Integer, nullable=False),
        if_not_exists=True,
    )
    once = ["identity", "bet_id", "kind", "size_matched", "average_price_matched"]
    op.create_index("trades_once", "trades", once, unique=True, if_not_exists=True)
    op.create_index("trades_at", "trades", ["at"], if_not_exists=True)
    op.create_table(
        "settlements",
        sa.Column("identity", sa.String(256), primary_key=True),
        sa.Column("bet_id", sa.String(64), primary_key=True),
        sa.Column("order_id", sa.String(40), nullable=False),
        sa.Column("strategy", sa.String(128), nullable=False),
        sa.Column("market_id", sa.String(32), nullable=False),
        sa.Column("profit", sa.String(32), nullable=False),
        sa.Column("commission", sa.String(32), nullable=False),
        sa.Column("net_profit", sa.String(32), nullable=False),
        sa.Column("at", sa.String(32), nullable=False),
        sa.Column("entry", sa.String(64), nullable=False),
        if_not_exists=True,
    )
