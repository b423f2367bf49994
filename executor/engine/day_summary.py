"""A day's summary, told once when the day is over: what it made, and how things stand.

Invariant: told once a day, whoever looks first. Days are UTC; amounts in account currency.
"""

from collections.abc import Sequence
from typing import Final

from executor.domain.money import ZERO
from executor.domain.order import OrderStatus
from executor.domain.times import day
from executor.engine.engine import Engine

_AFTER_MS: Final = 300_000  # past midnight: what is settled in its last minutes is read by then
_DAY_MS: Final = 86_400_000


def sum_up_day(engine: Engine, alerts: Sequence[str]) -> bool:
    """Tell of the day before, once it is over by five minutes; tells whether that was now."""
    now = engine.store.now()
    if now % _DAY_MS < _AFTER_MS or not engine.locks.acquire_cooldown("day_summary", _AFTER_MS):
        return False
    yesterday = day(now - _DAY_MS)
    bets = engine.accounts.booked().get(yesterday, {})
    net = sum(bets.values(), ZERO)
    live = sum(order.status is OrderStatus.PENDING for order in engine.store.active_orders())
    snapshot = engine.alerts.snapshot()
    parts = [
        f"{yesterday}: net {net:+.2f} from {len(bets)} settled bets",
        f"now: trading is {'on' if snapshot.trading else 'OFF'}",
        f"{live} orders live, {snapshot.exposure:.2f} at risk",
        f"alerts: {', '.join(alerts) or 'none'}",
    ]
    return engine.alerts.tell_day(yesterday, "; ".join(parts))
