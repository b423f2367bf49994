"""Signals and orders as the engine stores them: records, one atomic view, one atomic change.

Times are milliseconds since the epoch in UTC. Every method of `OrderStore` may raise `StoreUnavailable`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Protocol

from executor.domain.account import UNKNOWN, Account
from executor.domain.foreign import ForeignBet
from executor.domain.market import Market
from executor.domain.order import Order, Trade
from executor.domain.signal_record import SignalRecord
from executor.errors import StoreUnavailable


class Recorded(StrEnum):
    """What became of an attempt to record a signal."""

    NEW = "NEW"
    STARTED = "STARTED"  # new, and its first message was put into its queue in the same step
    REPEAT = "REPEAT"  # this bridge has had it before
    ELSEWHERE = "ELSEWHERE"  # another bridge recorded it
    TAKEN_OVER = "TAKEN_OVER"  # another bridge recorded this very message, which was then given to this one


@dataclass(frozen=True, slots=True)
class QueuedMessage:
    """A message as it lies in a queue of this server, in one of its dbs."""

    db: int
    queue: str
    text: str


@dataclass(frozen=True, slots=True)
class Arrival:
    """A record to write unless its message is known: by which name, for how long, and whether a repeat renews that."""

    record: SignalRecord
    dedup_id: str
    dedup_s: int
    renew: bool = False
    otherwise: SignalRecord | None = None  # to write instead where another message has the record's id; malformed ones
    first_message: QueuedMessage | None = None  # what starts its chain, to be queued in the same step if it is new


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
    transactions: int  # instructions sent in this clock hour
    transactions_key: str
    breaker: Mapping[str, str]
    failures: int  # counted since the last success, trip and reset, within the window
    failures_since: str  # lower bound of that count, a score of `failed:orders`
    orders: Mapping[str, Order]  # the market's orders that count, and those asked for
    signals: Mapping[str, SignalRecord]  # those asked for that exist
    signals_raw: Mapping[str, str]
    stop_reason: str = ""  # why nothing may be placed in this market though all others are reconciled
    foreign: Mapping[str, ForeignBet] = field(default_factory=dict)  # bet id -> what our records cannot hold
    unreadable: Sequence[str] = ()  # records left out because they are none; only where they were asked to be
    market: Market | None = None  # what the exchange says that it is; None: not known
    market_asked: bool = False  # it has been looked up, with whatever result
    account: Account = UNKNOWN
    held_elsewhere: Decimal = Decimal(0)  # the most that the exchange holds for our orders in all other markets
    lock_token: str = ""  # of a market locked by `lock_market`
    netting: bool = False  # what rule 4 counts is netted over the market's results, where its facts are known
    replicated: bool = True  # what the last commit wrote would outlive its server, as far as that was asked for


@dataclass(frozen=True, slots=True)
class SendState:
    """What sending rests on, read at one moment."""

    now: int
    trading: str | None
    reconciled: bool
    stop_reason: str  # why nothing is placed in the market; "" where it is
    orders: Mapping[str, Order]


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
    """What one atomic step writes; at least an order, a signal, a foreign bet or a recount."""

    orders: Sequence[Order] = ()
    signals: Sequence[SignalRecord] = ()
    trades: Sequence[Trade] = ()
    gates: frozenset[Gate] = frozenset()
    failure: Failure | None = None
    trip: str = ""  # why the breaker trips in this step
    reset_breaker: bool = False
    transactions: int = 0  # instructions that are about to be sent
    transactions_max: int | None = None  # most of a clock hour, these included
    foreign: Sequence[ForeignBet] = ()
    foreign_gone: Sequence[str] = ()  # bet ids
    held_elsewhere_max: Decimal | None = None  # the most that other markets may hold for it; None: whatever it is
    recount: bool = False  # what the market's facts say has changed: write anew what is derived from the orders
    durable: bool = False  # it must outlive the server before anything is done on its strength
    success_at: int = 0  # start of a call that placed something: failures before it no longer count


class OrderStore(Protocol):
    """The one truth about signals and orders, in Redis."""

    def now(self) -> int:
        """Return Redis TIME."""

    def record(self, arrivals: Sequence[Arrival]) -> list[tuple[Recorded, str] | StoreUnavailable]:
        """Write each signal's record unless its message is known; returns the signal ids under which they are known.

        What is wrong with one alone is in its place; the others are written.
        """

    def close(self, ends: Sequence[tuple[SignalRecord, SignalRecord]]) -> list[bool]:
        """Give signals their terminal records where they are still as they were read; tells which."""

    def signal(self, signal_id: str) -> SignalRecord | None:
        """Return a signal's record."""

    def view(
        self,
        market_id: str,
        *,
        signal_ids: Sequence[str] = (),
        order_ids: Sequence[str] = (),
        leave_out_unreadable: bool = False,
    ) -> MarketView:
        """Read all that a step on this market may depend on, at one moment.

        Raises:
            RecordUnreadable: an order is none, unless such are to be left out; a signal that is none is left out.
        """

    def lock_market(self, market_id: str) -> str:
        """Become the only one who may change the market's orders, for some seconds; "" while somebody else is."""

    def unlock_market(self, market_id: str, lock_token: str) -> None:
        """Let others change the market's orders again."""

    def send_state(self, market_id: str, order_ids: Sequence[str]) -> SendState:
        """Read, at one moment, what sending these orders rests on; the last look before a call's first byte."""

    def commit(self, view: MarketView, change: Change) -> MarketView | None:
        """Write a change if nothing that it depends on has changed since `view`; returns the view after it, or None.

        What the change did to breaker and failures is not in it.
        """

    def owners(self, bet_ids: Iterable[str]) -> dict[str, str]:
        """Return bet id -> the id of its order, of those bets that have one."""

    def ever_foreign(self, bet_ids: Iterable[str]) -> set[str]:
        """Return those of these bets that are, or were until their market was settled, kept as foreign."""

    def foreign_bets(self) -> list[ForeignBet]:
        """Return every bet that is kept as foreign, those of a market together."""

    def unreadable(self, order_ids: Iterable[str]) -> dict[str, str]:
        """Return which of these orders have a record that is none, and why."""

    def unreadable_signals(self, moved_before: int) -> dict[str, int]:
        """Return the open signals that nothing moved since and whose record is none: id -> when it was moved last."""

    def replace_unreadable(self, record: SignalRecord) -> None:
        """Set aside what is no record of a signal, and put this terminal one in its place."""

    def repair_keys(self) -> list[str]:
        """Set aside keys of another type than ours, make indexes anew from the records; returns what was done."""

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

    def signals_ahead(self, now: int, limit: int) -> list[SignalRecord]:
        """Return signals without a terminal state that were moved after `now`: Redis's clock has gone back."""
