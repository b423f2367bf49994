"""The whole system at one glance, as status, metrics, alerts and the console see it.

Invariant: what could not be read is None or left out, so that a look works best when something is wrong. Money is
Decimal in account currency, times in epoch seconds.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Final

from executor.domain.account import Account, Unit, convert, rates_problem
from executor.domain.foreign import ForeignBet
from executor.domain.limits import SHARES
from executor.domain.money import ZERO
from executor.domain.order import Order, OrderStatus
from executor.domain.risk import is_true

_MAX_DIGITS: Final = 20  # more than any amount, count or time has before or after its point


@dataclass(frozen=True, slots=True)
class SystemSnapshot:
    """One look; amounts in account currency, limits in theirs, times in epoch seconds."""

    now: float
    identity: str | None
    trading: str | None
    started: bool
    reconciled: bool
    breaker: Mapping[str, str]
    halted: Mapping[str, str]  # at, reason, by: who switched trading off by command; only while it is off
    recent_failures: int
    limits: Mapping[str, Decimal]
    limit_problems: Mapping[str, str]
    daily_pnl: Decimal | None
    total_pnl: Decimal | None
    exposure: Mapping[str, Mapping[str, Decimal]]  # market -> selection -> amount
    orders: Sequence[Order]  # unsettled
    account: Mapping[str, str]
    session: bool
    queues: Mapping[str, int]
    processes: Sequence[str]
    last_success: Mapping[str, float]
    failed_tasks: int
    ledger_lag: int
    signals_waiting: int  # in the durable door, not recorded yet
    open_signals: int
    transactions: int = 0  # instructions sent in this clock hour
    denied: Mapping[str, float] = field(default_factory=dict)  # what Redis refused since it started, by kind
    stream: Mapping[str, str] = field(default_factory=dict)  # of the order stream's connection; empty: there is none
    notify: Sequence[Mapping[str, str]] = ()  # the addresses that are told, each with how it is
    alerts: Sequence[str] = ()  # of the watchdog, those that stand
    stopped_markets: Mapping[str, str] = field(default_factory=dict)  # markets where nothing is placed, and why
    foreign: Sequence[ForeignBet] = ()  # bets under our strategy ref that our records cannot hold
    set_aside: Mapping[str, str] = field(default_factory=dict)  # what cannot be read -> why
    counted: Mapping[str, Decimal] = field(default_factory=dict)  # market -> what rule 4 counts
    unreadable: Sequence[str] = ()  # ids of unsettled orders whose record is missing or no order

    @property
    def trading_enabled(self) -> bool:
        """Tell whether the kill switch lets orders through."""
        return is_true(self.trading)

    @property
    def unit(self) -> Unit:
        """Return what limits are in, by the newest rate: `rate_from` is their currency if not the account's."""
        theirs, rate = self.account.get("rate_from", ""), amount(self.account.get("rate"))
        other = theirs and theirs != self.account.get("currency") and rate is not None and rate > 0
        return Unit(theirs, rate) if other and rate else Unit()

    def rates_problem(self, currency: str) -> str:
        """Say why limits in this currency cannot be converted, so that nothing is placed; empty where they can."""
        held = self.account
        read_at = amount(held.get("rates_at"))
        account = Account(
            currency=self.currency,
            rate_from=held.get("rate_from", ""),
            rate=amount(held.get("rate")),
            rates_at=int(read_at or 0),
        )
        return rates_problem(account, currency, int(self.now * 1000))

    @property
    def account_limits(self) -> dict[str, Decimal]:
        """Return the limits in the account's currency, as all other amounts are."""
        rate = self.unit.rate
        return {name: value if name in SHARES else convert(value, rate) for name, value in self.limits.items()}

    @property
    def currency(self) -> str:
        """Return what amounts are in; "" where it is not known."""
        return self.account.get("currency", "")

    @property
    def stream_age_s(self) -> float | None:
        """Return how long ago the order stream was last heard; None where none is connected."""
        heard = amount(self.stream.get("heard_at"))
        return None if heard is None else max(self.now - float(heard) / 1000, 0.0)

    def count(self, *statuses: OrderStatus) -> int:
        """Count unsettled orders in these states."""
        return sum(order.status in statuses for order in self.orders)

    @property
    def total_exposure(self) -> Decimal:
        """Sum what the rules count, over all markets."""
        return sum(self.market_exposure.values(), ZERO)

    @property
    def market_exposure(self) -> dict[str, Decimal]:
        """Return market -> what rule 4 counts; the sum over its selections where nothing has been written since."""
        sums = {market: sum(selections.values(), ZERO) for market, selections in self.exposure.items()}
        return {market: self.counted.get(market, amount) for market, amount in sums.items()}

    @property
    def stake_deployed(self) -> Decimal:
        """Sum the matched and open sizes of unsettled orders."""
        return sum((order.size_matched + order.size_open for order in self.orders), ZERO)


def amount(text: str | None) -> Decimal | None:
    """Read an amount, None where it is none."""
    try:
        value = Decimal(text) if text is not None else None
    except InvalidOperation:
        return None
    # Written out, 1E+999999 is a megabyte, and as a float it is no number.
    return value if value is not None and value.is_finite() and abs(value.adjusted()) < _MAX_DIGITS else None
