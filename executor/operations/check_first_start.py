"""The part of `executor check` for a system that has never run: what its first start will make, not that it is missing.

Invariant: only where nothing of ours was ever here; after a loss of Redis there is a ledger, and a missing switch or
limit is a failure.
"""

from collections.abc import Iterator

from executor.domain.limits import LIMIT_FIELDS, shown_limits
from executor.errors import LedgerUnavailable
from executor.operations.access import Access
from executor.operations.check_result import SKIP, Finding
from executor.ports.system_snapshot import SystemSnapshot
from executor.settings.load import Settings


def never_ran(access: Access, state: SystemSnapshot) -> bool:
    """Tell whether nothing of ours is here: no identity, no switch, no process, and no trade in the ledger."""
    if state.identity or state.started or state.trading or state.processes or state.orders:
        return False
    try:
        return not (access.ledger.exists() and access.ledger.count())
    except LedgerUnavailable:
        return False


def before_first_start(settings: Settings) -> Iterator[Finding]:
    """Yield what the first start will make."""
    yield Finding("identity", SKIP, f"nobody's db yet; the first start makes it {settings.identity}'s")
    yield Finding("processes", SKIP, "none yet", "executor up --live starts them all, or one by one: README, Go live")
    yield Finding("trading", SKIP, "the first start switches it on, unless the exchange has orders of ours")
    settled = {name: getattr(settings.risk, attribute) for name, attribute in LIMIT_FIELDS.items()}
    yield Finding("limits", SKIP, f"the first start writes {shown_limits(settled)}")
