"""What is kept up beside orders: the limits, the account's money and the session.

Each function that beat calls is one tick; its next tick is its retry.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import Final

import structlog

from executor.domain.exposure import held_range
from executor.domain.foreign import ForeignBet
from executor.domain.money import ZERO
from executor.domain.order import Order
from executor.engine.context import Engine

log = structlog.get_logger(__name__)

_ROUNDING: Final = Decimal("1.00")  # the exchange rounds each market's exposure; a hundred markets make no more


def refresh_account(engine: Engine) -> None:
    """Read the account's money, and the types of markets that are not known yet; neither waits for the other."""
    try:
        _save_account(engine)
    finally:
        _save_market_types(engine)


def _save_market_types(engine: Engine) -> None:
    markets = engine.market_facts.unknown_markets()[:50]  # weight 1 each; Betfair allows 200 per request
    if markets:
        known = {info.market_id: info.market_type for info in engine.exchange.market_info(markets)}
        engine.market_facts.save_market_types(known)


def _save_account(engine: Engine) -> None:
    orders, foreign = engine.store.unsettled_orders(), engine.store.foreign_bets()
    funds = engine.exchange.funds()
    difference = ZERO if engine.policy.paper else _unexplained(funds.exposure, orders, foreign)
    engine.accounts.save_account(funds, difference)
    engine.accounts.save_currency(engine.exchange.currency())


def _unexplained(held: Decimal, orders: Sequence[Order], foreign: Sequence[ForeignBet]) -> Decimal:
    """Return how far the exposure that the exchange holds is above (or below) what our orders can explain.

    Foreign bets may hold their worst case or nothing; where that cannot be told, no exposure is too much.
    """
    least, most = held_range(orders)
    most += sum((bet.worst for bet in foreign), ZERO)
    if held > most + _ROUNDING:
        return held - most if all(bet.worst_known for bet in foreign) else ZERO
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
