"""Taking orders back by hand: ask, look, and ask again, until the exchange says that nothing is left or time is up.

Invariants: bets are cancelled by id only, those of our strategy ref that we have no live order for included, foreign
ones left out; one market that cannot be cancelled keeps no other from it; nothing counts as gone before the exchange
says so. Seconds.
"""

import itertools
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import structlog

from executor.domain.order import BetState, CancelReason, Order, OrderStatus
from executor.engine.cancellation import CANCELS, cancel_orders
from executor.engine.engine import Engine
from executor.engine.lookup import LOOKUP, look_up
from executor.errors import ExecutorError, StoreUnavailable

log = structlog.get_logger(__name__)

_PAUSE_S: Final = 1.0  # between rounds; the exchange limits nobody to fewer calls


@dataclass(frozen=True, slots=True)
class Outstanding:
    """What may still be matched: live orders, orders without an answer yet, live bets that we have no order for.

    `behind` are orders whose record still calls them live and whose bet the exchange does not list any more; `listed`
    is False when it did not say which bets are live; `problems` are what went wrong since the last look, a line each.
    """

    pending: Sequence[Order] = ()
    submitted: Sequence[Order] = ()
    external: Sequence[BetState] = ()
    behind: Sequence[Order] = ()
    listed: bool = True
    problems: Sequence[str] = field(default=(), compare=False)

    def __bool__(self) -> bool:
        return bool(self.pending or self.submitted or self.external or not self.listed)

    def lines(self) -> list[str]:
        """Name every one of them."""
        found = [
            f"{order.order_id}: still live at the exchange as bet {order.bet_id}, {order.size_open} unmatched"
            for order in self.pending
        ]
        found += [
            f"{order.order_id}: SUBMITTED, the exchange has not said what became of it" for order in self.submitted
        ]
        found += [f"bet {bet.bet_id} in market {bet.market_id}: live, and no order of ours" for bet in self.external]
        return found if self.listed else [*found, "the exchange did not say which bets are live"]

    def summary(self) -> str:
        """Count them, in one line that names the unanswered."""
        text = f"{len(self.pending)} live, {len(self.submitted)} without an answer"
        if self.submitted:
            text += f" ({', '.join(order.order_id for order in self.submitted)})"
        return f"{text}, {len(self.external)} bets without an order" if self.external else text


def cancel_until_clear(
    engine: Engine,
    reason: CancelReason,
    *,
    who: str,
    patience_s: float,
    only: Collection[str] | None = None,
    progress: Callable[[Outstanding], None] = lambda _outstanding: None,
) -> Outstanding:
    """Cancel live orders (all of ours, or `only` these) until none is left, or `patience_s` is over; returns the rest.

    `who` asked for it, for the log; `progress` is told at each look.

    Raises:
        StoreUnavailable: Redis is away.
    """
    log.info("cancel_by_hand", reason=reason, order_ids="all" if only is None else sorted(only), by=who)
    ends = engine.clock.monotonic() + patience_s
    problems: list[str] = []
    for number in itertools.count():
        outstanding = _look(engine, only, problems)
        progress(outstanding)
        if (not outstanding and (number or not outstanding.behind)) or engine.clock.monotonic() >= ends:
            break
        if number:
            engine.clock.sleep(_PAUSE_S)
        problems = _act(engine, outstanding, reason)
    return outstanding


def _look(engine: Engine, only: Collection[str] | None, problems: Sequence[str]) -> Outstanding:
    known = engine.store.active_orders()  # leaves out a record that cannot be read; its bet is then external
    wanted = [order for order in known if only is None or order.order_id in only]
    pending = [order for order in wanted if order.status is OrderStatus.PENDING]
    submitted = [order for order in wanted if order.status is OrderStatus.SUBMITTED]
    if only is not None:
        return Outstanding(pending, submitted, problems=problems)
    try:
        live = engine.exchange.executable_orders()
    except ExecutorError as error:
        return Outstanding(pending, submitted, listed=False, problems=[*problems, f"the list of live bets: {error}"])
    ours = {order.bet_id for order in pending}
    awaited = {order.order_id for order in submitted}
    listed = {bet.bet_id for bet in live}
    foreign = engine.store.ever_foreign(listed)  # theirs to end who placed them
    return Outstanding(
        pending=[order for order in pending if order.bet_id in listed],
        submitted=submitted,
        external=[bet for bet in live if bet.bet_id not in ours | foreign and bet.order_id not in awaited],
        behind=[order for order in pending if order.bet_id not in listed],
        problems=problems,
    )


def _act(engine: Engine, outstanding: Outstanding, reason: CancelReason) -> list[str]:
    """Do what may help; returns what went wrong."""
    problems: list[str] = []
    for market_id in _markets(outstanding.pending):
        own = [order for order in outstanding.pending if order.market_id == market_id]
        if not _attempt(f"market {market_id}", partial(cancel_orders, engine, own, reason), problems):
            # Something is wrong with Redis: the bets must not stay for that.
            _cancel_bets(engine, market_id, [order.bet_id for order in own], problems)
    unclear = [*outstanding.submitted, *outstanding.behind]
    for at in range(0, len(unclear), LOOKUP):
        work = partial(look_up, engine, unclear[at : at + LOOKUP], engine.store.now())
        _attempt("orders by reference", work, problems)
    for market_id in _markets(outstanding.external):
        bets = [bet.bet_id for bet in outstanding.external if bet.market_id == market_id]
        _cancel_bets(engine, market_id, bets, problems)
    return problems


def _cancel_bets(engine: Engine, market_id: str, bets: Sequence[str], problems: list[str]) -> None:
    for at in range(0, len(bets), CANCELS):
        work = partial(_cancel_some, engine, market_id, bets[at : at + CANCELS])
        _attempt(f"market {market_id}", work, problems)


def _cancel_some(engine: Engine, market_id: str, bets: Sequence[str]) -> None:
    refused = [report for report in engine.exchange.cancel(market_id, bets) if not report.done]
    for report in refused:
        log.warning("cancel_refused", market_id=market_id, bet_id=report.bet_id, code=report.code)
    if refused:  # Betfair counts failed ones among the hour's transactions
        with suppress(StoreUnavailable):
            engine.cancel_attempts.refused({}, failed=len(refused))


def _attempt(what: str, work: Callable[[], object], problems: list[str]) -> bool:
    try:
        work()
    except ExecutorError as error:  # the next round tries again; the other markets must not wait for it
        problems.append(f"{what}: {error}")
        return False
    return True


def _markets(things: Iterable[Order] | Iterable[BetState]) -> list[str]:
    return list(dict.fromkeys(thing.market_id for thing in things))
