"""What the engine needs of the outside, in domain words. Adapters implement these; tests have one fake for each.

Money is Decimal, times are milliseconds since the epoch in UTC. Every method of `Exchange` may raise the errors of
`executor.errors` that its docstring names; every method of `OrderStore` may raise `StoreUnavailable`.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Protocol

from executor.domain.money import ZERO, Side
from executor.domain.order import BetState, Order, Trade
from executor.domain.risk import Reason

# --- the exchange ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Instruction:
    """One bet to place: LIMIT, persistence LAPSE (Betfair: PlaceInstruction)."""

    order_id: str
    selection_id: int
    side: Side
    price: Decimal
    size: Decimal


class LegOutcome(StrEnum):
    """What became of one instruction."""

    PLACED = "PLACED"
    REFUSED = "REFUSED"
    NOT_SENT = "NOT_SENT"  # the exchange did not act on it and says so: it may be sent again
    UNKNOWN = "UNKNOWN"


@dataclass(frozen=True, slots=True)
class LegReport:
    """The exchange's answer for one instruction; `bet` when PLACED, `code` (Betfair's) otherwise."""

    order_id: str
    outcome: LegOutcome
    code: str = ""
    detail: str = ""
    bet: BetState | None = None


@dataclass(frozen=True, slots=True)
class CancelReport:
    """The answer to one cancel: done, or Betfair's code; `size_cancelled` is what it took back."""

    bet_id: str
    done: bool
    code: str = ""
    size_cancelled: Decimal = ZERO


class ClearedKind(StrEnum):
    """Betfair: BetStatus."""

    SETTLED = "SETTLED"
    VOIDED = "VOIDED"
    LAPSED = "LAPSED"
    CANCELLED = "CANCELLED"


@dataclass(frozen=True, slots=True)
class ClearedBet:
    """A bet that left the current list (Betfair: ClearedOrderSummary); `profit` is before commission."""

    kind: ClearedKind
    bet_id: str
    order_id: str
    market_id: str
    selection_id: int
    side: Side
    price_requested: Decimal
    price_matched: Decimal
    size_settled: Decimal
    size_cancelled: Decimal
    profit: Decimal
    settled_at: int
    placed_at: int


@dataclass(frozen=True, slots=True)
class Funds:
    """The account's money (Betfair: getAccountFunds); `exposure` is positive here."""

    available: Decimal
    exposure: Decimal


@dataclass(frozen=True, slots=True)
class MarketInfo:
    """What a market is (Betfair: MarketCatalogue.description)."""

    market_id: str
    market_type: str


class Exchange(Protocol):
    """Betfair, the sandbox, or paper. Safe to use from several threads at once.

    Reads may raise NotSent, Throttled, SessionExpired, Refused or OutcomeUnknown alike: the caller's next tick retries.
    """

    def prepare(self) -> None:
        """Do what the first order should not pay for: log in, open the connection.

        Raises:
            LoginRefused, NotSent, Throttled, OutcomeUnknown: there is no session.
        """

    def place(self, market_id: str, instructions: Sequence[Instruction], customer_ref: str) -> list[LegReport]:
        """Send one placeOrders call and nothing else; one report per instruction, in any order.

        Raises:
            NotSent, Throttled, SessionExpired: certainly not acted on.
            Refused: the whole call was refused.
            OutcomeUnknown: it may have been acted on.
        """

    def cancel(self, market_id: str, bet_ids: Sequence[str]) -> list[CancelReport]:
        """Take bets back, at most 60 of one market; an empty list is refused, it would cancel the whole market."""

    def executable_orders(self) -> list[BetState]:
        """Return every bet of our strategy ref that is not completely matched, all pages."""

    def current_orders(self) -> list[BetState]:
        """Return every bet of our strategy ref in markets that are not settled, all pages."""

    def find_current(self, order_ids: Sequence[str]) -> list[BetState]:
        """Return the bets with these references (at most 250) in markets that are not settled."""

    def find_cleared(self, order_ids: Sequence[str], kind: ClearedKind) -> list[ClearedBet]:
        """Return the cleared bets of one kind with these references (at most 250)."""

    def settled_since(self, since: int, kind: ClearedKind) -> list[ClearedBet]:
        """Return our SETTLED or VOIDED bets that were settled at or after `since`, all pages."""

    def commissions(self, market_ids: Sequence[str], since: int) -> dict[str, Decimal]:
        """Return market id -> commission charged on our bets there; markets that the exchange omits are left out."""

    def funds(self) -> Funds:
        """Return the account's money."""

    def market_info(self, market_ids: Sequence[str]) -> list[MarketInfo]:
        """Return what is known of these markets; unknown or closed ones are left out."""

    def keep_alive(self) -> bool:
        """Extend the session; returns False when the exchange no longer knows it."""

    def reauthenticate(self, older_than_s: int) -> bool:
        """Log in anew when the token is older; on failure the old token stays. Returns True when a new one is in use.

        Raises:
            LoginRefused, NotSent, Throttled, OutcomeUnknown: the new login failed.
        """

    def session_age_s(self) -> int | None:
        """Return the age of the session token, or None where there is none."""


# --- Redis -----------------------------------------------------------------------------------------------------------


class SignalStatus(StrEnum):
    """Where a signal stands; contract section 5."""

    RECEIVED = "RECEIVED"
    ACCEPTED = "ACCEPTED"
    REJECTED = "REJECTED"
    EXPIRED = "EXPIRED"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"


TERMINAL = frozenset({SignalStatus.REJECTED, SignalStatus.EXPIRED, SignalStatus.COMPLETED, SignalStatus.FAILED})


@dataclass(frozen=True, slots=True)
class SignalRecord:
    """The record of one signal; written before anything else happens to it."""

    signal_id: str
    kind: str
    status: SignalStatus
    payload: str
    market_id: str
    strategy: str
    received_at: int
    deadline: int
    updated_at: int
    bridge: str
    token: str
    attempt: int = 1
    dispatches: int = 0
    reason: str = ""
    detail: str = ""
    order_ids: tuple[str, ...] = ()
    finished_at: int = 0


class Recorded(StrEnum):
    """What became of an attempt to record a signal."""

    NEW = "NEW"
    REPEAT = "REPEAT"  # this bridge has had it before
    ELSEWHERE = "ELSEWHERE"  # another bridge recorded it


@dataclass(frozen=True, slots=True)
class MarketView:
    """One atomic read: everything a step on one market may depend on. `revision` fences the market's orders."""

    market_id: str
    revision: str | None
    now: int
    identity: str | None
    trading: str | None
    reconciled: bool
    limits: Mapping[str, str]
    pnl_key: str
    daily_pnl: str | None
    breaker: Mapping[str, str]
    failures: int  # counted since the last success, trip and reset, within the window
    failures_since: str  # lower bound of that count, a score of `failed:orders`
    orders: Mapping[str, Order]  # the market's orders that count, and those asked for
    signals: Mapping[str, SignalRecord]  # those asked for that exist
    signals_raw: Mapping[str, str]


class Gate(StrEnum):
    """What a commit compares with the view beside the orders themselves."""

    TRADING = "TRADING"
    RECONCILED = "RECONCILED"
    LIMITS = "LIMITS"
    PNL = "PNL"
    BREAKER = "BREAKER"
    DEADLINE = "DEADLINE"  # Redis TIME is before the deadline of the signals in the view


@dataclass(frozen=True, slots=True)
class Failure:
    """One placeOrders call (or, by setting, a rejection) that counts for the breaker, dated by its start."""

    order_id: str
    reason: str
    at: int


@dataclass(frozen=True, slots=True)
class Change:
    """What one atomic step writes; at least an order or a signal."""

    orders: Sequence[Order] = ()
    signals: Sequence[SignalRecord] = ()
    trades: Sequence[Trade] = ()
    gates: frozenset[Gate] = frozenset()
    failure: Failure | None = None
    trip: str = ""  # why the breaker trips in this step
    reset_breaker: bool = False
    success_at: int = 0  # start of a call that placed something: failures before it no longer count


class OrderStore(Protocol):
    """The one truth about signals and orders, in Redis."""

    def now(self) -> int:
        """Return Redis TIME."""

    def record(self, record: SignalRecord, *, dedup_id: str, dedup_s: int, renew: bool) -> tuple[Recorded, str]:
        """Write a signal's record unless its message is known; returns the signal id under which it is known."""

    def signal(self, signal_id: str) -> SignalRecord | None:
        """Return a signal's record."""

    def view(self, market_id: str, *, signal_ids: Sequence[str] = (), order_ids: Sequence[str] = ()) -> MarketView:
        """Read all that a step on this market may depend on, at one moment."""

    def commit(self, view: MarketView, change: Change) -> int:
        """Write a change if nothing that it depends on has changed since `view`; returns Redis TIME, or 0 if not."""

    def orders(self, order_ids: Iterable[str]) -> list[Order]:
        """Return these orders' records, those that exist."""

    def active_orders(self) -> list[Order]:
        """Return the SUBMITTED and PENDING orders, oldest first."""

    def unsettled_orders(self) -> list[Order]:
        """Return every order that is not over: reserved, live, or matched and not settled."""

    def recent_orders(self, limit: int) -> list[Order]:
        """Return the newest orders, newest first."""

    def open_signals(self, moved_before: int, limit: int) -> list[SignalRecord]:
        """Return signals without a terminal state that nothing moved since, oldest first."""


class Desk(Protocol):
    """Everything else in Redis: controls, limits, P&L, the accounting feed. May raise StoreUnavailable."""

    def claim_identity(self) -> str:
        """Make this db ours if it is nobody's; returns whose it is."""

    def is_started(self) -> bool:
        """Tell whether the first-start decision has been made."""

    def first_start(self, *, anything_of_ours: bool) -> bool:
        """Decide once whether this is a first start; on one, enable trading. Returns True when it did."""

    def confirm_reconciled(self, ttl_s: int) -> None:
        """Say that a complete poll has just ended."""

    def apply_limits(self, limits: Mapping[str, Decimal]) -> dict[str, tuple[str | None, str]]:
        """Write limits that differ from the settings last applied, and missing ones; returns field -> (old, new)."""

    def full_read_due(self, every_s: int) -> bool:
        """Tell whether the last complete read of all orders is older, or none is known."""

    def full_read_done(self) -> None:
        """Remember that all orders have just been read."""

    def settled_at(self) -> int | None:
        """Return when settlements were last read completely, or None when that is not known."""

    def book_profits(self, days: Mapping[str, Mapping[str, Decimal]], *, settled_at: int) -> None:
        """Put each day's bet id -> net profit; recompute the days' and the total P&L from all of them."""

    def restore_pnl(self, days: Mapping[str, Mapping[str, Decimal]]) -> None:
        """Put back what the ledger knows of days that Redis has lost; never overwrites."""

    def read_trades(self, count: int) -> list[tuple[str, Mapping[str, str]]]:
        """Return entries of the feed that the ledger has not acknowledged, oldest first."""

    def acknowledge_trades(self, ids: Sequence[str]) -> None:
        """Say that the ledger has them; old acknowledged ones are trimmed."""

    def save_account(self, funds: Funds) -> None:
        """Remember the account's money for status and metrics."""

    def unknown_markets(self) -> list[str]:
        """Return markets with orders whose type is not known yet."""

    def save_market_types(self, types: Mapping[str, str]) -> None:
        """Remember markets' types for metric labels."""

    def trip_breaker(self, threshold: int, window_s: int) -> str:
        """Trip the breaker if its condition holds and it is closed; returns why, or nothing."""

    def alert(self, event: str, fields: Mapping[str, str]) -> None:
        """Publish an alert on `channel:kill-switch`."""

    def single_flight(self, task: str) -> AbstractContextManager[bool]:
        """Hold a task's lock while it runs; yields False when somebody else holds it."""

    def queue_length(self, queue: str) -> int:
        """Return how many messages wait in a queue."""


# --- the rest --------------------------------------------------------------------------------------------------------


class Ledger(Protocol):
    """The accounts in SQL."""

    def write(self, entries: Sequence[tuple[str, Mapping[str, str]]]) -> None:
        """Book entries of `stream:trades` (id, fields); one booked before changes nothing.

        Raises:
            LedgerUnavailable: the database did not answer; nothing was acknowledged.
        """

    def is_empty(self, identity: str) -> bool:
        """Tell whether nothing was ever booked for this identity."""

    def profits(self, identity: str) -> dict[str, dict[str, Decimal]]:
        """Return UTC day -> bet id -> net profit of every settlement booked for this identity."""


class Clock(Protocol):
    """Time, for what is measured or waited for within one process."""

    def monotonic(self) -> float:
        """Return seconds that never go back."""

    def sleep(self, seconds: float) -> None:
        """Wait."""


class Telemetry(Protocol):
    """What is counted, where it happens, by the winner of the state change."""

    def signal_received(self, strategy: str) -> None:
        """Count a signal that this process recorded."""

    def signal_rejected(self, reason: Reason) -> None:
        """Count a rejection, and a violation when one of the seven rules made it."""

    def order_placed(self, order: Order) -> None:
        """Count an order that the exchange took."""

    def order_matched(self, order: Order) -> None:
        """Count an order that is now fully matched, with its match latency."""

    def order_cancelled(self, reason: str) -> None:
        """Count an order that is now cancelled or lapsed."""

    def order_failed(self, reason: str) -> None:
        """Count an order that will not be placed."""

    def execution_latency(self, seconds: float) -> None:
        """Observe arrival of the signal to the last moment before sending."""

    def risk_validated(self, seconds: float) -> None:
        """Observe one decision step."""

    def signal_age(self, seconds: float) -> None:
        """Observe a signal's age at its decision."""

    def api_call(self, method: str, seconds: float, error_type: str) -> None:
        """Observe one exchange call; `error_type` is empty on success."""
