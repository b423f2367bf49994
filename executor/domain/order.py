"""An order: one leg's bet, its life and what the exchange says of it.

Owns the statuses, the transition table and the merging of the exchange's answers into our record. Invariants: evidence
is merged monotonically (a fill is taken back by a void only, a finished order never becomes live again); every change
of the matched size comes out as one `Fill` or `Void`, a void that is taken back as a fill. Money in account currency,
times in milliseconds since the epoch, UTC.
"""

import hashlib
from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum
from typing import Final

from executor.domain.money import MAX_PRICE, MIN_PRICE, ZERO, Side
from executor.domain.times import day


class OrderStatus(StrEnum):
    """Where an order stands; contract section 5."""

    RESERVED = "RESERVED"  # passed risk, exposure held
    SUBMITTED = "SUBMITTED"  # intent durable, may be at the exchange
    PENDING = "PENDING"  # live, maybe partly matched
    MATCHED = "MATCHED"
    CANCELLED = "CANCELLED"
    LAPSED = "LAPSED"
    VOIDED = "VOIDED"
    SETTLED = "SETTLED"
    FAILED = "FAILED"  # certainly not placed
    EXPIRED = "EXPIRED"  # never submitted in time


S = OrderStatus
_AT_EXCHANGE: Final = frozenset({S.PENDING, S.MATCHED, S.CANCELLED, S.LAPSED, S.VOIDED})
# From -> to. What is not here does not happen: `move` refuses it.
TRANSITIONS: Final[dict[OrderStatus, frozenset[OrderStatus]]] = {
    S.RESERVED: frozenset({S.SUBMITTED, S.FAILED, S.EXPIRED}) | _AT_EXCHANGE,
    S.SUBMITTED: frozenset({S.RESERVED, S.FAILED, S.EXPIRED}) | _AT_EXCHANGE,
    S.PENDING: _AT_EXCHANGE | {S.SETTLED},
    S.MATCHED: frozenset({S.MATCHED, S.VOIDED, S.SETTLED}),
    S.CANCELLED: frozenset({S.CANCELLED, S.VOIDED, S.SETTLED}),
    S.LAPSED: frozenset({S.LAPSED, S.VOIDED, S.SETTLED}),
    S.VOIDED: frozenset({S.VOIDED, S.SETTLED, S.MATCHED, S.CANCELLED, S.LAPSED}),  # a void may be taken back
    S.SETTLED: frozenset({S.SETTLED, S.VOIDED}),
    S.FAILED: frozenset({S.RESERVED}) | _AT_EXCHANGE,  # retry by hand; a bet that turned up after all
    S.EXPIRED: frozenset({S.RESERVED}) | _AT_EXCHANGE,
}
ACTIVE: Final = frozenset({S.SUBMITTED, S.PENDING})  # `executor:active_orders_count`
UNPLACED: Final = frozenset({S.FAILED, S.EXPIRED})
MAX_LEGS: Final = 2  # a surebet's back and lay; primary and secondary selection
ADOPTED: Final = "adopted"  # strategy of a bet found at the exchange that we do not know


class CancelReason(StrEnum):
    """Why we asked the exchange to take an order back; the closed label set of `orders_cancelled_total`."""

    UNMATCHED_TIMEOUT = "UNMATCHED_TIMEOUT"
    MANUAL = "MANUAL"
    HALT = "HALT"
    CIRCUIT_BREAKER = "CIRCUIT_BREAKER"
    HALF_PLACED = "HALF_PLACED"
    EXCHANGE = "EXCHANGE"  # the exchange or the account's owner did it


@dataclass(frozen=True, slots=True)
class Order:
    """The record of one order; the one truth about it is this record in Redis."""

    order_id: str
    signal_id: str
    leg: int
    market_id: str
    selection_id: int
    side: Side
    price: Decimal
    size: Decimal
    strategy: str
    created_at: int
    received_at: int
    timeout_s: int
    attempt: int = 1
    paper: bool = False
    status: OrderStatus = S.RESERVED
    reason: str = ""
    detail: str = ""
    customer_ref: str = ""
    bet_id: str = ""
    size_matched: Decimal = ZERO
    average_price_matched: Decimal = ZERO
    size_cancelled: Decimal = ZERO
    size_lapsed: Decimal = ZERO
    size_voided: Decimal = ZERO
    submitted_at: int = 0  # the start of the placeOrders call
    answered_at: int = 0  # its recorded end; 0: none recorded
    placed_at: int = 0  # when we first knew that it is at the exchange
    matched_at: int = 0
    finished_at: int = 0
    cancel_reason: str = ""
    trade_count: int = 0
    profit: Decimal = ZERO
    commission: Decimal = ZERO
    settled_at: int = 0
    voided_at: int = 0  # when we first, or again, knew of a void

    @property
    def size_open(self) -> Decimal:
        """What may still be matched: everything unmatched until the exchange says otherwise."""
        status = self.status  # compared, not looked up: a hash of an Enum costs more, and every step asks every order
        if status is S.PENDING or status is S.SUBMITTED or status is S.RESERVED:
            gone = self.size_matched + self.size_cancelled + self.size_lapsed + self.size_voided
            return max(self.size - gone, ZERO)
        return ZERO

    @property
    def counts(self) -> bool:
        """Tell whether it adds to exposure: live, or matched and not yet settled."""
        return self.status is not S.SETTLED and (self.size_matched > ZERO or self.size_open > ZERO)

    @property
    def is_over(self) -> bool:
        """Tell whether nothing more is expected of it: settled, or over without a match."""
        return self.status is S.SETTLED or (
            self.status not in {S.RESERVED, S.SUBMITTED, S.PENDING} and self.size_matched == ZERO
        )

    @property
    def net_profit(self) -> Decimal:
        """Profit after its share of the market's commission."""
        return self.profit - self.commission


@dataclass(frozen=True, slots=True)
class BetState:
    """What the exchange says of one bet (Betfair: CurrentOrderSummary, PlaceInstructionReport)."""

    bet_id: str
    order_id: str  # customerOrderRef; "" where the bet carries none
    market_id: str
    selection_id: int
    side: Side
    price: Decimal
    size: Decimal
    executable: bool
    size_matched: Decimal = ZERO
    average_price_matched: Decimal = ZERO
    size_cancelled: Decimal = ZERO
    size_lapsed: Decimal = ZERO
    size_voided: Decimal = ZERO
    placed_at: int = 0
    matched_at: int = 0


class TradeKind(StrEnum):
    """What an entry of `stream:trades` says."""

    FILL = "fill"
    VOID = "void"
    SETTLEMENT = "settlement"


@dataclass(frozen=True, slots=True)
class Trade:
    """One entry of the accounting feed: what changed, and the order's totals after it."""

    kind: TradeKind
    order: Order  # as it is after the change
    number: int  # 1, 2, ... within the order
    size: Decimal  # matched (fill) or taken back (void) by this entry
    price: Decimal  # average price of this entry's size
    at: int


def order_ids(signal_id: str, legs: int) -> tuple[str, ...]:
    """Name a signal's orders; at most 32 characters, as Betfair's customerOrderRef allows."""
    digest = hashlib.sha256(signal_id.encode()).hexdigest()[:28]
    return tuple(f"{digest}-{leg}" for leg in range(1, legs + 1))


def customer_ref(signal_id: str, attempt: int) -> str:
    """Name one placeOrders request; the exchange de-duplicates on it for 60 s (Betfair: placeOrders)."""
    return f"{hashlib.sha256(signal_id.encode()).hexdigest()[:28]}.{attempt}"


def move(order: Order, status: OrderStatus, reason: str = "", detail: str = "") -> Order:
    """Change the status, by the transition table.

    Raises:
        ValueError: the table has no such transition; a defect of ours.
    """
    if status not in TRANSITIONS[order.status]:
        raise ValueError(f"order {order.order_id}: no transition {order.status} -> {status}")
    return replace(order, status=status, reason=reason, detail=detail)


def status_of(bet: BetState) -> OrderStatus:
    """Return where an order stands whose bet the exchange describes so."""
    if bet.executable:
        return S.PENDING
    if bet.size_matched > ZERO:
        if bet.size_cancelled > ZERO:
            return S.CANCELLED
        return S.LAPSED if bet.size_lapsed > ZERO else S.MATCHED
    if bet.size_voided > ZERO:
        return S.VOIDED
    return S.CANCELLED if bet.size_cancelled > ZERO else S.LAPSED


def _is_stale(order: Order, bet: BetState, asked_at: int) -> bool:
    is_void_back = bet.size_voided < order.size_voided
    if is_void_back and not (order.voided_at and asked_at >= order.voided_at):
        return True
    if order.status is S.SETTLED and bet.size_voided == order.size_voided and bet.size_matched <= order.size_matched:
        return True
    finished = order.status in TRANSITIONS[S.PENDING] - {S.PENDING}
    if finished and bet.executable:
        return True
    # What was matched stays matched or void, and what is not open any more never opens again; the last is not asked of
    # a state that is over first, nor of one that brings a void: the cleared lists leave out what was cancelled before.
    known, new = order.size_matched + order.size_voided, bet.size_matched + bet.size_voided
    closed = order.size_cancelled + order.size_lapsed > bet.size_cancelled + bet.size_lapsed
    older = closed and new == known and bet.size_voided == order.size_voided and (finished or bet.executable)
    return new < known or older


def merge(order: Order, bet: BetState, now: int, asked_at: int = 0) -> tuple[Order, tuple[Trade, ...]]:
    """Take in what the exchange says; returns the new record and what it means for the accounts.

    Answers may arrive late and out of order: what is older than the record changes nothing, nor does another bet with
    its reference (Betfair does not keep it unique). Of a settled order only a void is news, and an unknown match.
    `asked_at` is a time before the question, 0 if unknown: only who asked after a void was known can take it back.
    """
    if _is_stale(order, bet, asked_at) or (order.bet_id and bet.bet_id != order.bet_id):
        return order, ()
    cancelled, lapsed = max(order.size_cancelled, bet.size_cancelled), max(order.size_lapsed, bet.size_lapsed)
    bet = replace(bet, size_cancelled=cancelled, size_lapsed=lapsed)
    status = S.SETTLED if order.status is S.SETTLED else status_of(bet)
    # A missing average would make a matched lay look free of risk; the limit is the worst that it can be.
    average = (bet.average_price_matched or order.price) if bet.size_matched else ZERO
    merged = replace(
        order,
        status=status,
        reason="" if order.status in UNPLACED or status is S.PENDING else order.reason,
        detail="" if order.status in UNPLACED else order.detail,
        bet_id=bet.bet_id,
        size_matched=bet.size_matched,
        average_price_matched=average,
        size_cancelled=bet.size_cancelled,
        size_lapsed=bet.size_lapsed,
        size_voided=bet.size_voided,
        placed_at=order.placed_at or now,
        matched_at=(bet.matched_at or now) if bet.size_matched > order.size_matched else order.matched_at,
        finished_at=0 if status is S.PENDING else (now if order.status in UNPLACED else order.finished_at or now),
        voided_at=now if bet.size_voided > order.size_voided else order.voided_at,
    )
    if status is S.CANCELLED and not merged.cancel_reason:
        merged = replace(merged, cancel_reason=CancelReason.EXCHANGE)
    return _booked(order, merged, now)


def _booked(before: Order, after: Order, now: int) -> tuple[Order, tuple[Trade, ...]]:
    """Make the entries that a change of the matched size means: what was taken back, then what came or is repriced.

    More void than was known to be matched was matched unseen: that fill comes first, so that whoever knew of it (the
    ledger, after a loss of Redis) takes it back, too.
    """
    voided, held = max(after.size_voided - before.size_voided, ZERO), before.size_matched
    price, trades = before.average_price_matched or after.average_price_matched or after.price, list[Trade]()

    def enter(kind: TradeKind, size: Decimal, total: Decimal, average: Decimal, paid: Decimal) -> None:
        number = before.trade_count + len(trades) + 1
        then = replace(after, trade_count=number, size_matched=total, average_price_matched=average)
        trades.append(Trade(kind, then, number, size, paid, now))

    if voided > held:
        unseen = after.size_matched + voided - held
        held += unseen
        enter(TradeKind.FILL, unseen, held, price, price)
    if voided:
        held -= voided
        rest = before.average_price_matched if held else ZERO  # the exchange's, unless something came on top
        enter(TradeKind.VOID, voided, held, after.average_price_matched if held == after.size_matched else rest, price)
    fill, average = after.size_matched - held, after.average_price_matched
    if fill or (not voided and after.size_matched > ZERO and average != before.average_price_matched):
        enter(TradeKind.FILL, fill, after.size_matched, average, _fill_price(before, after, fill))
    return replace(after, trade_count=before.trade_count + len(trades)), tuple(trades)


def _fill_price(before: Order, after: Order, delta: Decimal) -> Decimal:
    average = after.average_price_matched
    if ZERO in {delta, before.size_matched} or after.size_voided != before.size_voided:
        return average
    paid = after.size_matched * average - before.size_matched * before.average_price_matched
    price = (paid / delta).quantize(Decimal("0.0001"))
    # Earlier fills were repriced in between: the increment's own price cannot be known.
    return price if MIN_PRICE <= price <= MAX_PRICE else average


def settle(order: Order, profit: Decimal, commission: Decimal, settled_at: int) -> tuple[Order, Trade | None]:
    """Book the exchange's verdict on a matched order; a later, different verdict replaces it.

    Raises:
        ValueError: the order was never seen at the exchange, its bet must be merged first; a defect of ours.
    """
    if S.SETTLED not in TRANSITIONS[order.status]:
        raise ValueError(f"order {order.order_id}: no transition {order.status} -> {S.SETTLED}")
    booked = (order.profit, order.commission, day(order.settled_at))
    if order.status is S.SETTLED and booked == (profit, commission, day(settled_at)):
        return order, None
    settled = replace(
        order,
        status=S.SETTLED,
        profit=profit,
        commission=commission,
        settled_at=settled_at,
        finished_at=order.finished_at or settled_at,
        trade_count=order.trade_count + 1,
    )
    size, price, number = settled.size_matched, settled.average_price_matched, settled.trade_count
    return settled, Trade(TradeKind.SETTLEMENT, settled, number, size, price, settled_at)
