"""Taking orders back by hand: ask, look, and ask again, until the exchange says that nothing is left or time is up.

Invariants: bets are cancelled by id only, those of our strategy ref that we have no live order for included; one market
that cannot be cancelled keeps no other from it; nothing counts as gone before the exchange says so. Seconds.
"""

import itertools
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from executor.adapters.redis.snapshot import RedisState
from executor.cli.output import warn
from executor.domain.order import BetState, CancelReason, Order, OrderStatus
from executor.engine.cancellation import CANCELS, cancel_orders
from executor.engine.context import Engine
from executor.engine.reconciliation import LOOKUP, look_up
from executor.errors import ExecutorError

_PAUSE_S: Final = 1.0  # between rounds; the exchange limits nobody to fewer calls


@dataclass(frozen=True, slots=True)
class Left:
    """What may still be matched: live orders, orders without an answer yet, live bets that we have no order for.

    `behind` are orders whose record still calls them live and whose bet the exchange does not list any more; `listed`
    is False when it did not say which bets are live.
    """

    pending: Sequence[Order] = ()
    submitted: Sequence[Order] = ()
    strangers: Sequence[BetState] = ()
    behind: Sequence[Order] = ()
    listed: bool = True

    def __bool__(self) -> bool:
        return bool(self.pending or self.submitted or self.strangers or not self.listed)

    def lines(self) -> list[str]:
        """Name every one of them."""
        found = [
            f"{order.order_id}: still live at the exchange as bet {order.bet_id}, {order.size_open} unmatched"
            for order in self.pending
        ]
        found += [
            f"{order.order_id}: SUBMITTED, the exchange has not said what became of it" for order in self.submitted
        ]
        found += [f"bet {bet.bet_id} in market {bet.market_id}: live, and no order of ours" for bet in self.strangers]
        return found if self.listed else [*found, "the exchange did not say which bets are live"]

    def summary(self) -> str:
        """Count them, in one line that names the unanswered."""
        text = f"{len(self.pending)} live, {len(self.submitted)} without an answer"
        if self.submitted:
            text += f" ({', '.join(order.order_id for order in self.submitted)})"
        return f"{text}, {len(self.strangers)} bets without an order" if self.strangers else text


def take_back(
    engine: Engine,
    state: RedisState,
    reason: CancelReason,
    *,
    patience_s: float,
    only: Collection[str] | None = None,
    tell: Callable[[Left], None] = lambda _left: None,
) -> Left:
    """Cancel live orders (all of ours, or `only` these) until none is left, or `patience_s` is over; returns the rest.

    Raises:
        StoreUnavailable: Redis is away.
    """
    ends = engine.clock.monotonic() + patience_s
    for number in itertools.count():
        left = _look(engine, state, only)
        tell(left)
        if (not left and (number or not left.behind)) or engine.clock.monotonic() >= ends:
            break
        if number:
            engine.clock.sleep(_PAUSE_S)
        _act(engine, left, reason)
    return left


def _look(engine: Engine, state: RedisState, only: Collection[str] | None) -> Left:
    known = state.read().orders  # leaves out a record that cannot be read; its bet is then a stranger
    wanted = [order for order in known if only is None or order.order_id in only]
    pending = [order for order in wanted if order.status is OrderStatus.PENDING]
    submitted = [order for order in wanted if order.status is OrderStatus.SUBMITTED]
    if only is not None:
        return Left(pending, submitted)
    try:
        live = engine.exchange.executable_orders()
    except ExecutorError as error:
        warn(f"the list of live bets: {error}")
        return Left(pending, submitted, listed=False)
    ours = {order.bet_id for order in pending}
    awaited = {order.order_id for order in submitted}
    listed = {bet.bet_id for bet in live}
    return Left(
        pending=[order for order in pending if order.bet_id in listed],
        submitted=submitted,
        strangers=[bet for bet in live if bet.bet_id not in ours and bet.order_id not in awaited],
        behind=[order for order in pending if order.bet_id not in listed],
    )


def _act(engine: Engine, left: Left, reason: CancelReason) -> None:
    for market_id in _markets(left.pending):
        own = [order for order in left.pending if order.market_id == market_id]
        if not _attempt(f"market {market_id}", partial(cancel_orders, engine, own, reason)):
            # Something is wrong with Redis: the bets must not stay for that.
            _cancel_bets(engine, market_id, [order.bet_id for order in own])
    unclear = [*left.submitted, *left.behind]
    for at in range(0, len(unclear), LOOKUP):
        _attempt("orders by reference", partial(look_up, engine, unclear[at : at + LOOKUP], engine.store.now()))
    for market_id in _markets(left.strangers):
        _cancel_bets(engine, market_id, [bet.bet_id for bet in left.strangers if bet.market_id == market_id])


def _cancel_bets(engine: Engine, market_id: str, bets: Sequence[str]) -> None:
    for at in range(0, len(bets), CANCELS):
        _attempt(f"market {market_id}", partial(engine.exchange.cancel, market_id, bets[at : at + CANCELS]))


def _attempt(what: str, work: Callable[[], object]) -> bool:
    try:
        work()
    except ExecutorError as error:  # the next round tries again; the other markets must not wait for it
        warn(f"{what}: {error}")
        return False
    return True


def _markets(things: Iterable[Order] | Iterable[BetState]) -> list[str]:
    return list(dict.fromkeys(thing.market_id for thing in things))
