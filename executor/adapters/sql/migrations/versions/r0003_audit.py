"""What was done by hand, or refused: who, through which door, what, before, after, and what came of it."""

from typing import Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0003"
down_revision: Final = "0002"


def upgrade() -> None:
    """Make the table, and an index for what signals are asked for by."""
    op.create_table(
        "audit",
        sa.Column("identity", sa.String(256), primary_key=True),
        sa.Column("entry", sa.String(64), primary_key=True),
        sa.Column("at", sa.String(32), nullable=False),
        sa.Column("who", sa.String(128), nullable=False),
        sa.Column("role", sa.String(32), nullable=False),
        sa.Column("via", sa.String(16), nullable=False),
        sa.Column("address", sa.String(64), nullable=False),
        sa.Column("action", sa.String(64), nullable=False),
        sa.Column("target", sa.String(256), nullable=False),
        sa.Column("before", sa.Text, nullable=False),
        sa.Column("after", sa.Text, nullable=False),
        sa.Column("outcome", sa.String(500), nullable=False),
    )
    op.create_index("audit_at", "audit", ["at"])
    op.create_index("trades_signal", "trades", ["signal_id"])
