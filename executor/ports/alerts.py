"""What the watchdog looks at, and where its alerts stand. May raise StoreUnavailable.

Money in account currency; times and ages in milliseconds.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Final, Protocol


class Alert(StrEnum):
    """What must not last; the closed label set of the gauge `alert`."""

    CIRCUIT_BREAKER = "circuit_breaker"  # open: nothing is placed until a person resumes
    BRIDGE_DEAD = "bridge_dead"  # signals are published and nobody hears them
    SESSION_EXPIRING = "session_expiring"  # none, or not kept alive for several intervals
    UNKNOWN_ORDERS = "unknown_orders"  # the exchange has not said what became of them
    EXPOSURE_HIGH = "exposure_high"
    HEDGE_WAITING = "hedge_waiting"  # a position is due, and is not hedged: the mode, the market, or the price
    MARKET_ABOVE_LIMIT = "market_above_limit"  # a runner has left, a void, a bet of somebody else, or a lower limit
    RATES_UNKNOWN = "rates_unknown"  # limits of another currency than the account's: nothing is placed
    DAILY_LOSS_NEAR_LIMIT = "daily_loss_near_limit"
    FAILURES_NEAR_BREAKER = "failures_near_breaker"
    TRANSACTIONS_NEAR_CAP = "transactions_near_cap"
    LEDGER_LAG = "ledger_lag"
    SIGNALS_WAITING = "signals_waiting"  # in the durable door, and nobody records them
    SIGNAL_STREAM_MISUSED = "signal_stream_misused"  # somebody drops entries that nobody read, or makes ids of his own
    CLOCK_SKEW = "clock_skew"
    DISK_FULL = "disk_full"  # a worker cannot write its data folder: nothing new is placed until it can
    SET_ASIDE = "set_aside"  # rows of the exchange's answers, or records of ours, that cannot be read
    FOREIGN_BETS = "foreign_bets"  # under our strategy ref, of a kind that our records cannot hold
    CANCELS_REFUSED = "cancels_refused"  # again and again, of bets that are live
    STREAM_SILENT = "stream_silent"  # the order stream is not heard, or late: fills are learned of by the poll
    HEARTBEAT_MISSING = "heartbeat_missing"  # the exchange has heard nothing for as long as it waits
    CANCELLED_BY_EXCHANGE = "cancelled_by_exchange"  # for want of heartbeats
    EXPOSURE_DIFFERENCE = "exposure_difference"  # the exchange holds another exposure than our orders explain


# For these somebody is to be woken: nothing is traded, or nobody knows what is.
CRITICAL: Final = frozenset(
    {
        Alert.CIRCUIT_BREAKER,
        Alert.BRIDGE_DEAD,
        Alert.SESSION_EXPIRING,
        Alert.UNKNOWN_ORDERS,
        Alert.RATES_UNKNOWN,
        Alert.DAILY_LOSS_NEAR_LIMIT,
        Alert.DISK_FULL,
        Alert.CANCELS_REFUSED,
        Alert.FOREIGN_BETS,
        Alert.EXPOSURE_DIFFERENCE,
        Alert.CANCELLED_BY_EXCHANGE,
        Alert.HEARTBEAT_MISSING,
    }
)


@dataclass(frozen=True, slots=True)
class HealthSnapshot:
    """One look; None where something is not known or cannot be read."""

    trading: bool
    tripped: bool
    failures: int
    limits: Mapping[str, Decimal]
    daily_pnl: Decimal | None
    exposure: Decimal
    transactions: int
    bridges: int
    ledger_lag: int
    ledger_age: int  # of the oldest entry that the ledger has not got; 0: it has all
    signals_waiting: int  # in the durable door
    signals_age: int  # of the oldest of them; 0: there is none
    misuse_age: int | None  # since somebody last dropped entries there, or made ids of his own
    session_age: int | None  # since it was last logged in or kept alive; None: no session
    clock_ahead: int  # this machine's clock before Redis's
    difference: Decimal
    difference_age: int  # how long the difference has lasted
    market_exposure: Mapping[str, Decimal] = field(default_factory=dict)  # what rule 4 counts
    login_refused: str = ""  # the code with which the last login was refused for good
    stream_silent: int = 0  # for how long the watchdog has found the order stream unheard or late; 0: it is heard
    stream_behind: bool = False  # it is connected, and the exchange says that its data are late
    heartbeat_age: int | None = None  # since the exchange took one; None: it never did
    watched: bool = False  # this is not the watchdog's first look at these data
    switch_fired: str = ""  # what the exchange last did for want of heartbeats
    switch_fired_age: int = 0


class Alerts(Protocol):
    """The watchdog's eyes and voice."""

    def snapshot(self) -> HealthSnapshot:
        """Take one look."""

    def keep_switch_fired(self, action: str) -> None:
        """Keep what the exchange did for want of heartbeats: it says so only once."""

    def is_tripped(self) -> bool:
        """Tell whether the breaker is open: tripped, and not reset by a person since."""

    def raise_alerts(self, alerts: Mapping[Alert, str]) -> tuple[list[Alert], list[Alert]]:
        """Replace the alerts that stand, with what each means, and publish; returns those that are new, and gone."""

    def tell_day(self, day: str, text: str) -> bool:
        """Write a UTC day's summary as a notice, unless that was done; tells whether it was now."""
