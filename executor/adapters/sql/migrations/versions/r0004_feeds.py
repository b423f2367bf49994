"""How far each feed is booked: a ledger that was restored from a backup knows what it has not got."""

from typing import Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0004"
down_revision: Final = "0003"


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "feeds",
        sa.Column("identity", sa.String(256), primary_key=True),
        sa.Column("generation", sa.String(64), primary_key=True),
        sa.Column("entry", sa.String(64), nullable=False),
    )
