"""What beat does beside orders: the account's money, the session, the watchdog.

Each function is one tick; its next tick is its retry.
"""

import structlog

from executor.domain.order import OrderStatus
from executor.engine.context import Engine
from executor.engine.reconciliation import is_ripe

log = structlog.get_logger(__name__)


def refresh_account(engine: Engine) -> None:
    """Read the account's money, and the types of markets that are not known yet."""
    engine.desk.save_account(engine.exchange.funds())
    markets = engine.desk.unknown_markets()[:50]  # weight 1 each; Betfair allows 200 per request
    if markets:
        known = {info.market_id: info.market_type for info in engine.exchange.market_info(markets)}
        engine.desk.save_market_types(known)


def keep_alive(engine: Engine) -> bool:
    """Extend the session; one that the exchange no longer knows is replaced at once."""
    if engine.exchange.session_age_s() is None or not engine.exchange.keep_alive():
        log.warning("session_lost", hint="logging in again")
        return engine.exchange.reauthenticate(0)
    return True


def reauthenticate(engine: Engine) -> bool:
    """Replace a session that is older than the renewal interval; a failed login keeps the old one."""
    return engine.exchange.reauthenticate(engine.policy.reauthenticate_after_s)


def watchdog(engine: Engine) -> list[str]:
    """Look for what must not last; returns the alerts raised."""
    alerts: list[str] = []
    if engine.policy.breaker_enabled:
        why = engine.desk.trip_breaker(engine.policy.breaker_failures, engine.policy.breaker_window_s)
        if why:
            alerts.append("circuit_breaker_tripped")
            log.critical("circuit_breaker_tripped", why=why, hint="after fixing the cause: executor resume")
    now = engine.store.now()
    unknown = [order for order in engine.store.active_orders() if order.status is OrderStatus.SUBMITTED]
    lost = [order.order_id for order in unknown if is_ripe(engine, order, now)]
    if lost:
        alerts.append("unknown_orders")
        engine.desk.alert("unknown_orders", {"order_ids": ",".join(lost[:20]), "count": str(len(lost))})
        log.error("unknown_orders", order_ids=lost[:20], count=len(lost), hint="executor orders; executor resolve")
    return alerts
