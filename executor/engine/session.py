"""The session at the exchange: kept alive, and renewed before it is old.

Invariant: each function is one tick of beat; its next tick is its retry. Seconds.
"""

import structlog

from executor.engine.engine import Engine

log = structlog.get_logger(__name__)


def keep_alive(engine: Engine) -> bool:
    """Extend the session; one that the exchange no longer knows is replaced at once, unless somebody else has.

    Raises:
        LoginRefused, NotSent, Throttled, OutcomeUnknown: there is none, or it is not known to last.
    """
    if engine.exchange.session_age_s() is not None and engine.exchange.keep_alive():
        return True
    log.warning("session_lost", hint="logging in again")
    engine.exchange.prepare()
    return True


def reauthenticate(engine: Engine) -> bool:
    """Replace a session that is older than the renewal interval; a failed login keeps the old one."""
    return engine.exchange.reauthenticate(engine.policy.reauthenticate_after_s)
