"""The ledger's schema, step by step: each file in `versions` is one step that Alembic knows by its revision.

Invariants: steps only add to the chain and are never edited once released; any number of processes may start at once
(one upgrades, the others wait and find it done); a database that is newer than this program is left alone.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, text

from executor.errors import LedgerUnavailable

_FOLDER: Final = Path(__file__).parent
_LOCK_ID: Final = 50_032_026  # of PostgreSQL's advisory locks: any number that nobody else takes
_alembic = threading.Lock()  # Alembic keeps a step's operations in a module of its own


def upgrade(engine: Engine) -> None:
    """Bring a database to the newest schema; it may be empty, old, or done.

    Raises:
        LedgerUnavailable: it was made by a newer version of this program.
    """
    script = ScriptDirectory(_FOLDER)
    with engine.connect() as connection:  # without a lock: who only reads should not wait for who writes
        current = MigrationContext.configure(connection).get_current_revision()
    if current == script.get_current_head():
        return
    with _alembic, _alone(engine) as connection:
        _run(script, connection)


@contextmanager
def _alone(engine: Engine) -> Iterator[Connection]:
    """Hold a transaction that no other process can hold at the same time."""
    if engine.dialect.name != "sqlite":
        with engine.begin() as connection:
            connection.execute(text("SELECT pg_advisory_xact_lock(:id)"), {"id": _LOCK_ID})
            yield connection
        return
    with engine.connect() as plain:  # the driver by itself would begin a transaction at the first INSERT only
        connection = plain.execution_options(isolation_level="AUTOCOMMIT")
        connection.execute(text("BEGIN IMMEDIATE"))
        try:
            yield connection
        except BaseException:
            connection.execute(text("ROLLBACK"))
            raise
        connection.execute(text("COMMIT"))


def _run(script: ScriptDirectory, connection: Connection) -> None:
    context = MigrationContext.configure(connection)
    current = context.get_current_revision()
    if current not in {None, *(revision.revision for revision in script.walk_revisions())}:
        raise LedgerUnavailable(f"ledger: the database has schema {current!r}, made by a newer version of this program")
    with Operations.context(context):
        for step in reversed(list(script.iterate_revisions("head", current or "base"))):
            step.module.upgrade()
    context.stamp(script, "head")
