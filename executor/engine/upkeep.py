"""What is kept up beside orders: the limits, the account's money and the session.

Each function that beat calls is one tick; its next tick is its retry.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import Final

import structlog

from executor.domain.exposure import held_range
from executor.domain.money import ZERO
from executor.domain.order import Order
from executor.engine.context import Engine

log = structlog.get_logger(__name__)

_ROUNDING: Final = Decimal("1.00")  # the exchange rounds each market's exposure; a hundred markets make no more


def refresh_account(engine: Engine) -> None:
    """Read the account's money, and the types of markets that are not known yet."""
    orders = engine.store.unsettled_orders()
    funds = engine.exchange.funds()
    engine.accounts.save_account(funds, ZERO if engine.policy.paper else _unexplained(funds.exposure, orders))
    engine.accounts.save_currency(engine.exchange.currency())
    markets = engine.market_facts.unknown_markets()[:50]  # weight 1 each; Betfair allows 200 per request
    if markets:
        known = {info.market_id: info.market_type for info in engine.exchange.market_info(markets)}
        engine.market_facts.save_market_types(known)


def _unexplained(held: Decimal, orders: Sequence[Order]) -> Decimal:
    """Return how far the exposure that the exchange holds is above (or below) what our orders can explain."""
    least, most = held_range(orders)
    if held > most + _ROUNDING:
        return held - most
    return held - least if held < least - _ROUNDING else ZERO


def apply_limits(engine: Engine, *, missing_only: bool) -> None:
    """Write the settings' limits: those that differ from what was applied last (at a worker's start), or were lost."""
    for field, (old, new) in engine.controls.apply_limits(engine.policy.limits, missing_only=missing_only).items():
        why = "it was missing" if old is None else "the setting differs from the one applied last"
        log.warning("limit_changed", limit=field, old=old, new=new, why=why)


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
