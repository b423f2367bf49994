"""The limits of the settings, written to where the rules read them.

Invariant: a limit that somebody has changed since is kept, unless its setting has changed, too. Account currency.
"""

import structlog

from executor.engine.engine import Engine

log = structlog.get_logger(__name__)


def apply_limits(engine: Engine, *, missing_only: bool) -> None:
    """Write the settings' limits: those that differ from what was applied last (at a worker's start), or were lost."""
    for field, (old, new) in engine.controls.apply_limits(engine.policy.limits, missing_only=missing_only).items():
        why = "it was missing" if old is None else "the setting differs from the one applied last"
        log.warning("limit_changed", limit=field, old=old, new=new, why=why)
