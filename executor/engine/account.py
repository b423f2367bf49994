"""The account at the exchange: its money, how its exposure compares with our orders, and what its markets are.

Invariant: each function is one tick of beat; its next tick is its retry. Amounts in account currency.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import Final

from executor.domain.exposure import held_range
from executor.domain.foreign import ForeignBet
from executor.domain.money import ZERO
from executor.domain.order import Order
from executor.engine.engine import Engine
from executor.engine.markets import refresh
from executor.errors import ExecutorError

_RATES_MS: Final = 3_600_000
_ROUNDING: Final = Decimal("1.00")  # the exchange rounds each market's exposure; a hundred markets make no more


def refresh_account(engine: Engine) -> None:
    """Read the account's money, currency and rates, and what markets are; none waits for another.

    Raises:
        ExecutorError: the first that could not be read, when all the others have been.
    """
    failed: list[ExecutorError] = []
    for work in (_save_funds, _save_currency, _save_rates, _save_market_types, refresh):
        try:
            work(engine)
        except ExecutorError as error:
            failed.append(error)
    if failed:
        raise failed[0]


def _save_market_types(engine: Engine) -> None:
    markets = engine.market_facts.unknown_markets()[:50]  # weight 1 each; Betfair allows 200 per request
    if markets:
        known = {info.market_id: info.market_type for info in engine.exchange.market_info(markets)}
        engine.market_facts.save_market_types(known)


def _save_funds(engine: Engine) -> None:
    reading = engine.accounts.before_reading()
    orders, foreign = engine.store.unsettled_orders(), engine.store.foreign_bets()
    funds = engine.exchange.funds()
    difference = ZERO if engine.policy.paper else _unexplained(funds.exposure, orders, foreign)
    engine.accounts.save_account(funds, difference, reading)


def _save_currency(engine: Engine) -> None:
    engine.accounts.save_currency(engine.exchange.currency())


def _save_rates(engine: Engine) -> None:
    """Read the exchange's rates every hour; at once where they are of another currency than the limits are in now."""
    account, now, wanted = engine.accounts.account(), engine.store.now(), engine.policy.rules.currency
    wanted = wanted or account.currency
    if not account.currency or (now - account.rates_at < _RATES_MS and account.rate_from == wanted):
        return
    if rates := engine.exchange.currency_rates():
        engine.accounts.save_rates(rates, wanted)


def _unexplained(held: Decimal, orders: Sequence[Order], foreign: Sequence[ForeignBet]) -> Decimal:
    """Return how far the exposure that the exchange holds is above (or below) what our orders can explain.

    Foreign bets may hold their worst case or nothing; where that cannot be told, no exposure is too much.
    """
    least, most = held_range(orders)
    most += sum((bet.worst for bet in foreign), ZERO)
    if held > most + _ROUNDING:
        return held - most if all(bet.worst_known for bet in foreign) else ZERO
    return held - least if held < least - _ROUNDING else ZERO
