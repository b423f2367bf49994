"""Paper trading against the exchange's real book: nothing is sent, and an order gets what the book would have given it.

Invariants: the exchange is only read. What an order has become is derived from its record and the book at hand, so
that nothing is kept here and any process may ask; all that our unsettled orders have taken on a side of a runner, and
what others of ours are just taking, is gone for the next one. At its first look an order gets offers at its limit or
better, in play none (the bet delay); what stands open gets its own price once somebody offers that. Money in the
account's currency; times are left 0, the caller's clock says when.
"""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Final, Protocol

import structlog

from executor.adapters.paper import BET, PaperExchange, paper_bet
from executor.domain.book import Book, Fillable, averaged, take
from executor.domain.hedge import OPEN, Quotes
from executor.domain.market import Market
from executor.domain.money import ZERO, Side
from executor.domain.order import BetState, Order, OrderStatus
from executor.errors import ExecutorError
from executor.ports import (
    CancelReport,
    Exchange,
    Instruction,
    LegOutcome,
    LegReport,
    Listing,
    MarketInfo,
    OrderStore,
    SendPermit,
)

_log = structlog.get_logger(__name__)

_NOT_OPEN: Final = {"SUSPENDED": "MARKET_SUSPENDED"}  # Betfair: ExecutionReportErrorCode, by MarketStatus

Taken = dict[tuple[int, Side], Decimal]


class Reader(Exchange, Protocol):
    """The real exchange, of which nothing but reads and the session is used."""

    def books(self, market_ids: Sequence[str]) -> dict[str, Book]:
        """Return all that is offered in these markets; those that are not known are left out."""

    def close(self) -> None:
        """Close the connections."""


class PaperBookExchange(PaperExchange):
    """The port `Exchange` on the records of our orders and the books that `reader` reads."""

    def __init__(self, bankroll: Decimal, reader: Reader, store: OrderStore) -> None:
        super().__init__(bankroll)
        self._reader = reader
        self._store = store

    def prepare(self) -> None:
        """Log in to the exchange, as the book is read there."""
        self._reader.prepare()

    def close(self) -> None:
        """Close the connections to the exchange."""
        self._reader.close()

    def market_info(self, market_ids: Sequence[str]) -> list[MarketInfo]:
        """Return what the exchange knows of these markets."""
        return self._reader.market_info(market_ids)

    def market_facts(self, market_ids: Sequence[str]) -> list[Market]:
        """Return what the exchange says that these markets are."""
        return self._reader.market_facts(market_ids)

    def quotes(self, market_ids: Sequence[str]) -> dict[str, Quotes]:
        """Return the exchange's best prices."""
        return self._reader.quotes(market_ids)

    def keep_alive(self) -> bool:
        """Extend the session with which the book is read."""
        return self._reader.keep_alive()

    def reauthenticate(self, older_than_s: int) -> bool:
        """Renew the session with which the book is read."""
        return self._reader.reauthenticate(older_than_s)

    def allow_login(self) -> None:
        """Let a login be tried again that was refused for good."""
        self._reader.allow_login()

    def session_age_s(self) -> int | None:
        """Return the age of the session with which the book is read."""
        return self._reader.session_age_s()

    def place(
        self, market_id: str, instructions: Sequence[Instruction], customer_ref: str, permit: SendPermit
    ) -> list[LegReport]:
        """Read the book, and give each order what it offers; refused where the exchange would take no order."""
        if not instructions:
            raise ValueError("nothing to place")
        book = self._reader.books([market_id]).get(market_id)
        names = {each.order_id for each in instructions}
        taken = self._taken(market_id, without=names)
        permit.check()
        _log.info(
            "PAPER TRADING MODE - Signal logged but not executed",
            market_id=market_id,
            customer_ref=customer_ref,
            order_ids=sorted(names),
        )
        codes = {each.order_id: code for each in instructions if (code := _refusal(book, each))}
        if book is None or codes:  # Betfair: one that cannot be placed fails them all
            return [_refused(each.order_id, codes.get(each.order_id, "")) for each in instructions]
        reports = []
        for each in instructions:
            got = Fillable()
            if book.bet_delay == 0:
                used = taken.get((each.selection_id, each.side), ZERO)
                got = take(book.runners[each.selection_id], each.side, each.price, each.size, used)
                taken[each.selection_id, each.side] = used + got.size
            reports.append(
                LegReport(each.order_id, LegOutcome.PLACED, bet=paper_bet(market_id, each, got.size, got.price))
            )
        return reports

    def cancel(self, market_id: str, bet_ids: Sequence[str]) -> list[CancelReport]:
        """Report what each cancel takes back; the order's record has said since before that it is cancelled."""
        del market_id
        if not bet_ids:
            raise ValueError("nothing to cancel")
        left = {bet.bet_id: bet.size_cancelled for bet in self.find_bets(bet_ids)}
        return [CancelReport(bet_id, done=True, size_cancelled=left.get(bet_id, ZERO)) for bet_id in bet_ids]

    def executable_orders(self) -> Listing[BetState]:
        """Return what has become of every order that stands open."""
        return Listing(self._states(self._store.active_orders()))

    def current_orders(self) -> Listing[BetState]:
        """Return the same: what is over does not change any more."""
        return self.executable_orders()

    def find_current(self, order_ids: Sequence[str]) -> Listing[BetState]:
        """Return what has become of those of these orders that stand open."""
        return Listing(self._states(self._store.orders(order_ids))) if order_ids else Listing()

    def find_bets(self, bet_ids: Sequence[str]) -> Listing[BetState]:
        """Return what has become of those of these bets that stand open."""
        return self.find_current([bet_id.removeprefix(BET) for bet_id in bet_ids])

    def _states(self, orders: Iterable[Order]) -> list[BetState]:
        markets: dict[str, list[Order]] = {}
        for order in sorted(orders, key=lambda order: (order.placed_at, order.order_id)):
            if order.paper and order.status is OrderStatus.PENDING:
                markets.setdefault(order.market_id, []).append(order)
        books: Mapping[str, Book] = {}
        if any(not order.cancel_reason for own in markets.values() for order in own):
            try:
                books = self._reader.books(sorted(markets))
            except ExecutorError as error:  # what stands open stands open
                _log.warning("paper_books_not_read", markets=sorted(markets), error=str(error))
        found: list[BetState] = []
        for market_id, own in markets.items():
            taken = self._taken(market_id)
            found += [_state(order, books.get(market_id), taken) for order in own]
        return found

    def _taken(self, market_id: str, without: Iterable[str] = ()) -> Taken:
        """Return what our orders have taken, or may be taking now, of what is offered on each side of each runner."""
        taken: Taken = {}
        for order in self._store.view(market_id, leave_out_unreadable=True).orders.values():
            if order.order_id not in without:
                size = order.size if order.status is OrderStatus.SUBMITTED else order.size_matched
                key = (order.selection_id, order.side)
                taken[key] = taken.get(key, ZERO) + size
        return taken


def _state(order: Order, book: Book | None, taken: Taken) -> BetState:
    """Return what has become of an open order; what it gets is taken from those that come after it."""
    size, price = order.size_matched, order.average_price_matched
    if not order.cancel_reason and book is not None and book.status == OPEN and order.selection_id in book.runners:
        key = (order.selection_id, order.side)
        used = taken.get(key, ZERO)
        more = take(book.runners[order.selection_id], order.side, order.price, order.size_open, used).size
        if more:
            taken[key] = used + more
            price = averaged(size * price + more * order.price, size + more, order.side)
            size += more
    left = order.size - size
    cancelled = left if order.cancel_reason else ZERO
    return BetState(
        bet_id=order.bet_id or f"{BET}{order.order_id}",
        order_id=order.order_id,
        market_id=order.market_id,
        selection_id=order.selection_id,
        side=order.side,
        price=order.price,
        size=order.size,
        executable=left > ZERO and not cancelled,
        size_matched=size,
        average_price_matched=price,
        size_cancelled=cancelled,
    )


def _refusal(book: Book | None, each: Instruction) -> str:
    """Return the code with which the exchange would refuse this order, "" where it would take it."""
    if book is None:
        return "INVALID_MARKET_ID"
    if book.status != OPEN:
        return _NOT_OPEN.get(book.status, "MARKET_NOT_OPEN_FORBETTING")
    return "" if each.selection_id in book.runners else "INVALID_RUNNER"


def _refused(order_id: str, code: str) -> LegReport:
    if code:
        return LegReport(order_id, LegOutcome.REFUSED, code=code)
    return LegReport(order_id, LegOutcome.REFUSED, code="ERROR_IN_ORDER", causes=frozenset())
