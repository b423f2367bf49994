"""Who acts, and on what: an actor, and the system as the settings name it.

Invariants: who acts says who he is; nobody acts on a db that belongs to another account or mode. Connections are made
at their first use and kept.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from executor import wiring
from executor.adapters.redis.client import connect
from executor.domain.signal_record import SignalRecord
from executor.engine.engine import Engine
from executor.errors import IdentityMismatch
from executor.settings.load import Settings

if TYPE_CHECKING:
    from redis import Redis

    from executor.adapters.redis.controls import RedisControls
    from executor.adapters.redis.failed import FailedTasks
    from executor.adapters.redis.snapshot import RedisSnapshot
    from executor.adapters.redis.store import RedisStore
    from executor.adapters.sql.ledger import SqlLedger
    from executor.engine.intake import Intake


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts: a name, through which door (`command`, `console`, `api`), in which role, from where."""

    name: str
    via: str = "command"
    role: str = "operator"
    address: str = ""

    def __str__(self) -> str:
        """Name him for the log."""
        return self.name if self.via == "command" else f"{self.name} ({self.via})"


class Access:
    """One system: what looks at it and what changes it; `build` puts its engine together, `dispatch` starts a chain."""

    def __init__(
        self,
        settings: Settings,
        build: Callable[[Settings], Engine] = wiring.build,
        dispatch: Callable[[SignalRecord], None] | None = None,
    ) -> None:
        self.settings = settings
        self._build = build
        self._dispatch = dispatch

    def dispatch(self, record: SignalRecord) -> None:
        """Start a signal's chain.

        Raises:
            OperationalError: its first message could not be queued; the sweep starts it later.
        """
        if self._dispatch is None:
            from executor.tasks import dispatch  # noqa: PLC0415 - it makes the Celery application; reading need not pay

            self._dispatch = dispatch
        self._dispatch(record)

    @cached_property
    def engine(self) -> Engine:
        """Return an engine; only what speaks to the exchange, or books, needs it."""
        return self._build(self.settings)

    @cached_property
    def redis(self) -> "Redis":
        """Return a connection to the state."""
        return connect(self.settings.redis.url)

    @cached_property
    def controls(self) -> "RedisControls":
        """Return the switch, the limits and the breaker."""
        return wiring.controls(self.settings)

    @cached_property
    def store(self) -> "RedisStore":
        """Return the signals and orders."""
        return wiring.store(self.settings)

    @cached_property
    def state(self) -> "RedisSnapshot":
        """Return what looks at the whole system."""
        return wiring.state(self.settings)

    @cached_property
    def failed(self) -> "FailedTasks":
        """Return the tasks that failed for good."""
        return wiring.failed_tasks(self.settings)

    @cached_property
    def intake(self) -> "Intake":
        """Return what records signals."""
        return wiring.intake(self.settings)

    @cached_property
    def ledger(self) -> "SqlLedger":
        """Return the accounts."""
        return wiring.ledger(self.settings)

    def require_identity(self) -> None:
        """Refuse to act on another's db.

        Raises:
            IdentityMismatch: it is another's.
            StoreUnavailable: Redis is away.
        """
        if problem := mismatch(self.settings, self.state.owner()):
            raise IdentityMismatch(f"refused: {problem}")


def mismatch(settings: Settings, owner: str | None) -> str:
    """Say what is wrong when the db belongs to another account or mode; empty when it is ours or nobody's."""
    if owner in {None, settings.identity}:
        return ""
    return (
        f"this Redis db belongs to {owner!r} and the settings say {settings.identity!r}: "
        "use the settings that its workers run with, or another db (EXECUTOR_REDIS__URL)"
    )
