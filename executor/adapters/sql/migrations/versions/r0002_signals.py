"""Signals' terminal records; a trade is known by its entry in the feed.

Known by its totals, as before, a fill was taken for an earlier one when a void had brought the totals back in between.
"""

from typing import Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0002"
down_revision: Final = "0001"


def upgrade() -> None:
    """Make the table, and the index anew."""
    op.create_table(
        "signals",
        sa.Column("identity", sa.String(256), primary_key=True),
        sa.Column("signal_id", sa.String(200), primary_key=True),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("strategy", sa.String(128), nullable=False),
        sa.Column("market_id", sa.String(32), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("reason", sa.String(64), nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
        sa.Column("received_at", sa.String(32), nullable=False),
        sa.Column("finished_at", sa.String(32), nullable=False),
        sa.Column("entry", sa.String(64), nullable=False),
    )
    op.create_index("signals_finished_at", "signals", ["finished_at"])
    op.create_index("settlements_at", "settlements", ["at"])
    op.drop_index("trades_once", "trades")
    op.create_index("trades_once", "trades", ["identity", "bet_id", "entry", "size_matched"], unique=True)
