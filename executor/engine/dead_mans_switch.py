"""The exchange's dead-man's switch: without heartbeats of ours it takes back every unmatched bet of the account.

Invariants: it is the lack of heartbeats that cancels, so they go on while trading is halted with orders to keep, and a
clean stop takes the registration back; what the exchange did for want of one is told once. Seconds.
"""

from contextlib import ExitStack
from typing import Final

import structlog

from executor.engine.engine import Engine
from executor.ports import HeartbeatAction, HeartbeatReport

log = structlog.get_logger(__name__)

_STANDS: Final = frozenset({HeartbeatAction.NONE})


def renew_switch(engine: Engine) -> HeartbeatReport:
    """Say that we live; tells what was cancelled while we seemed not to, and has every order read by the next poll.

    Raises:
        ExecutorError: the exchange did not take it; the next one is due in a third of the time-out.
    """
    report = engine.exchange.heartbeat(engine.policy.heartbeat_s)
    if report.action not in _STANDS:
        log.critical("orders_cancelled_by_exchange", action=report.action, why="no heartbeat reached it in time")
        _note(engine, report.action)
    if report.timeout_s < engine.policy.heartbeat_s:
        log.warning("heartbeat_timeout_shortened", asked=engine.policy.heartbeat_s, in_force=report.timeout_s)
    return report


def _note(engine: Engine, action: str) -> None:
    """Do all that has to be done about it, whichever part of it fails: the exchange says it once.

    Raises:
        StoreUnavailable: a part of it was not done.
    """
    with ExitStack() as each:  # the last one in is done first, and an error of one keeps no other from being done
        each.callback(engine.alerts.keep_switch_fired, action)
        each.callback(engine.controls.alert, "orders_cancelled_by_exchange", {"action": action})
        each.callback(engine.controls.require_full_read)


def unregister(engine: Engine) -> None:
    """Take the registration back at a clean stop: orders stay as they are while an upgrade goes on."""
    if engine.policy.heartbeat_s:
        engine.exchange.heartbeat(0)
        log.info("heartbeat_unregistered", why="a clean stop keeps the orders")
