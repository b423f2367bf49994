"""The transaction charge: what an account's calls count for, hour by hour.

Owns: the count and what it costs. Nothing is taken from a balance: Betfair computes the charge once a day and sets it
off against commission. Units: clock hours (epoch milliseconds / 3,600,000), account currency.

Betfair, T&C section 7: every bet placed and every failed transaction counts; a successful cancel does not; beyond 5,000
in a clock hour each costs 0.002.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from betfair_sandbox.market.accounts import Account
from betfair_sandbox.market.money import ZERO

_HOUR_MS: Final = 3_600_000
FREE_PER_HOUR: Final = 5_000
PER_TRANSACTION: Final = Decimal("0.002")
_HOURS_KEPT: Final = 48
_PLACES: Final = ("placeOrders", "replaceOrders")
_CHANGES: Final = ("cancelOrders", "updateOrders")


def count_transactions(account: Account, method: str, report: Mapping[str, Any], now_ms: int) -> None:
    """Count what an execution report tells."""
    if method not in {*_PLACES, *_CHANGES}:
        return
    items = report.get("instructionReports", [])
    counted = len(items) if method in _PLACES else sum(item["status"] == "FAILURE" for item in items)
    if not counted:
        return
    hour = now_ms // _HOUR_MS
    account.transactions[hour] = account.transactions.get(hour, 0) + counted
    for old in [other for other in account.transactions if other <= hour - _HOURS_KEPT]:
        del account.transactions[old]


def transactions_in_hour(account: Account, now_ms: int) -> int:
    """Return what counts in the clock hour of `now_ms`."""
    return account.transactions.get(now_ms // _HOUR_MS, 0)


def transaction_charge(account: Account) -> Decimal:
    """Return what the hours that are remembered cost, before commission is set off."""
    return sum((PER_TRANSACTION * max(0, count - FREE_PER_HOUR) for count in account.transactions.values()), ZERO)
