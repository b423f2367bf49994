"""The currency of each amount: "" in rows of before, which are in the account's."""

from typing import Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0005"
down_revision: Final = "0004"


def upgrade() -> None:
    """Add the column to what has amounts."""
    for table in ("trades", "settlements"):
        op.add_column(table, sa.Column("currency", sa.String(3), nullable=False, server_default=""))
