"""cancel_unmatched, and every other cancel: ask, then look at what the exchange says became of the bet.

Invariants: a cancel is blocked by no control; an order ends only by the exchange's word, so that a cancel without an
answer, or one that came too late, changes nothing until the next look; the list of bets is never empty (an empty one
would cancel the whole market). A cancel that was refused, or changed nothing, waits twice as long before each further
try, over any restart; a person's does not wait. Markets are asked side by side, within the exchange's limit.
"""

import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final

import structlog

from executor.domain.order import CancelReason, Order, OrderStatus
from executor.engine.engine import Engine
from executor.engine.lookup import LOOKUP, look_up
from executor.engine.reports import Rewritten, rewrite
from executor.errors import ExecutorError, RecordUnreadable, Refused, StoreUnavailable

log = structlog.get_logger(__name__)

CANCELS: Final = 60  # bets per call; Betfair: cancelOrders
_MARKETS: Final = 10  # asked at a time: 500 markets at 100 ms a call take five seconds
_A_SECOND: Final = 900  # Betfair: 1,000 instructions a second over placing and cancelling; orders go first
STILL_LIVE: Final = "STILL_LIVE"  # the exchange said yes, and lists the bet as live all the same


@dataclass(slots=True)
class _Asked:
    """What was asked and refused so far, by all threads."""

    order_ids: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)  # bet id -> code
    failed: int = 0  # instructions that the exchange counts as failed transactions


class _Pace:
    """Lets so many instructions through in a second."""

    def __init__(self, engine: Engine) -> None:
        self._clock = engine.clock
        self._guard = threading.Lock()
        self._since, self._sent = self._clock.monotonic(), 0

    def wait(self, instructions: int) -> None:
        """Wait until these may be sent."""
        with self._guard:
            now = self._clock.monotonic()
            if now - self._since >= 1:
                self._since, self._sent = now, 0
            if self._sent + instructions > _A_SECOND:
                self._clock.sleep(max(self._since + 1 - now, 0.0))
                self._since, self._sent = self._clock.monotonic(), 0
            self._sent += instructions


def cancel_unmatched(engine: Engine) -> int:
    """Cancel what has been live for its time-out, and again what was not confirmed; returns how many were asked."""
    now = engine.store.now()
    live = [order for order in engine.store.active_orders() if order.status is OrderStatus.PENDING]
    waiting = _waiting(engine, live, now)
    free = [order for order in live if order.bet_id not in waiting]
    due = [order for order in free if order.cancel_reason or now - order.placed_at >= order.timeout_s * 1000]
    cancel_orders(engine, due, CancelReason.UNMATCHED_TIMEOUT)
    if not engine.policy.breaker_cancels or not engine.alerts.is_tripped():
        return len(due)
    # From the trip as it stands, at every tick: neither a crash nor an answer that comes late leaves an order behind.
    rest = [order for order in free if order not in due]
    cancel_orders(engine, rest, CancelReason.CIRCUIT_BREAKER)
    return len(free)


def _waiting(engine: Engine, live: Iterable[Order], now: int) -> set[str]:
    """Return the bets whose cancel was refused and is not tried again yet; forgets those that have ended since."""
    standing = engine.cancel_attempts.standing()
    bets = {order.bet_id for order in live} if standing else set()
    engine.cancel_attempts.forget([attempt.bet_id for attempt in standing if attempt.bet_id not in bets])
    return {attempt.bet_id for attempt in standing if now < attempt.next_at}


def cancel_orders(engine: Engine, orders: Sequence[Order], reason: CancelReason) -> None:
    """Ask the exchange to take back the unmatched part of live orders, whatever was refused before, then look at them.

    Raises:
        StoreUnavailable: Redis does not answer.
    """
    live = [order for order in orders if order.status is OrderStatus.PENDING and order.bet_id]
    if not live:
        return
    asked, pace = _Asked(), _Pace(engine)
    markets: dict[str, list[Order]] = {}
    for order in live:
        markets.setdefault(order.market_id, []).append(order)
    _side_by_side([partial(_cancel_market, engine, own, reason, asked, pace) for own in markets.values()])
    looked = True
    for at in range(0, len(asked.order_ids), LOOKUP):
        looked = _look(engine, asked.order_ids[at : at + LOOKUP]) and looked
    _remember(engine, live, asked, looked=looked)


def _side_by_side(work: Sequence[Callable[[], None]]) -> None:
    if len(work) == 1:
        work[0]()
        return
    with ThreadPoolExecutor(min(len(work), _MARKETS)) as pool:
        for done in [pool.submit(job) for job in work]:
            done.result()


def _cancel_market(engine: Engine, orders: Sequence[Order], reason: CancelReason, asked: _Asked, pace: _Pace) -> None:
    for at in range(0, len(orders), CANCELS):
        some = orders[at : at + CANCELS]
        pace.wait(len(some))
        _cancel(engine, some[0].market_id, some, reason, asked)


def _cancel(engine: Engine, market_id: str, orders: Sequence[Order], reason: CancelReason, asked: _Asked) -> None:
    """Ask; adds the orders of which the exchange has said something, and what it refused."""
    try:
        _mark(engine, market_id, orders, reason)
        for report in engine.exchange.cancel(market_id, [order.bet_id for order in orders]):
            if not report.done:
                log.warning("cancel_refused", market_id=market_id, bet_id=report.bet_id, code=report.code)
                asked.refused[report.bet_id] = report.code
                asked.failed += 1
    except StoreUnavailable:
        raise
    except Refused as error:
        log.warning("cancel_refused", market_id=market_id, orders=len(orders), code=error.code)
        asked.refused |= {order.bet_id: error.code for order in orders}
        return
    except ExecutorError as error:
        log.warning("cancel_unanswered", market_id=market_id, orders=len(orders), error=str(error))
        return
    asked.order_ids += [order.order_id for order in orders]


def _look(engine: Engine, order_ids: Sequence[str]) -> bool:
    try:
        look_up(engine, engine.store.orders(order_ids), engine.store.now())
    except StoreUnavailable:
        raise
    except ExecutorError as error:
        log.warning("cancel_unconfirmed", orders=len(order_ids), error=str(error), hint="the next poll looks again")
        return False
    return True


def _remember(engine: Engine, orders: Iterable[Order], asked: _Asked, *, looked: bool) -> None:
    """Let what is live after all that wait before it is asked again, and forget the refusals of what is not."""
    names = {order.order_id: order.bet_id for order in orders}
    live = {order.bet_id for order in engine.store.orders(names) if order.status is OrderStatus.PENDING}
    answered = {names[order_id] for order_id in asked.order_ids}
    codes = {bet_id: code for bet_id, code in asked.refused.items() if bet_id in live}
    if looked:
        codes |= dict.fromkeys((answered & live) - set(codes), STILL_LIVE)
    engine.cancel_attempts.forget(sorted(answered - live))
    if codes or asked.failed:
        for attempt in engine.cancel_attempts.refused(codes, failed=asked.failed):
            log.warning(
                "cancel_waits", bet_id=attempt.bet_id, code=attempt.code, times=attempt.times, until=attempt.next_at
            )


def _mark(engine: Engine, market_id: str, orders: Sequence[Order], reason: CancelReason) -> None:
    def mark(order: Order, _now: int) -> Rewritten:
        if order.cancel_reason or order.status is not OrderStatus.PENDING:
            return order, []
        return replace(order, cancel_reason=reason), []

    unmarked = [order.order_id for order in orders if not order.cancel_reason]
    if unmarked:
        with suppress(RecordUnreadable):  # its bets are cancelled all the same, the mark only says why
            rewrite(engine, market_id, unmarked, (), mark)
