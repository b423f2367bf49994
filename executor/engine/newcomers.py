"""Bets that the order stream tells of for the first time, most often before the call that placed them is answered.

Whoever placed such a bet records the answer a moment later, which says the same and more; two who write the same cost
each other a read and a write. So a newcomer is looked at after a moment, many in one trip: where its record says the
same, nothing is left to do; while its call is not answered it waits, a bounded time; else it is passed on.
Invariant: a bet is dropped only when its record says what the stream said. Seconds.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Final

import structlog

from executor.domain.order import BetState, OrderStatus
from executor.engine.engine import Engine
from executor.engine.merging import is_recorded
from executor.engine.reports import reference
from executor.errors import StoreUnavailable

log = structlog.get_logger(__name__)

_LOOK_S: Final = 0.02  # an answer's way into the records
_LONGEST_S: Final = 0.06  # a fill is recorded within 0.1
_REMEMBERED: Final = 20_000  # bets; one that is forgotten is a newcomer again


class Newcomers:
    """Bets on their way to `pass_on`, which takes what no record says."""

    def __init__(self, engine: Engine, stopping: threading.Event, pass_on: Callable[[list[BetState]], None]) -> None:
        self._engine = engine
        self._stopping = stopping
        self._pass_on = pass_on
        self._lock = threading.Lock()
        self._any = threading.Event()
        self._waiting: dict[str, tuple[float, BetState]] = {}  # bet id -> since when, and its newest state
        self._known: OrderedDict[str, None] = OrderedDict()
        self._thread: threading.Thread | None = None

    def put(self, bets: Iterable[BetState]) -> list[BetState]:
        """Keep those heard of for the first time; returns the others."""
        others: list[BetState] = []
        now = self._engine.clock.monotonic()
        with self._lock:
            for bet in bets:
                if bet.bet_id in self._known:
                    self._known.move_to_end(bet.bet_id)
                    others.append(bet)
                else:
                    since, _ = self._waiting.get(bet.bet_id, (now, bet))
                    self._waiting[bet.bet_id] = (since, bet)
            if self._waiting and self._thread is None:
                self._thread = threading.Thread(target=self._run, name="newcomers", daemon=True)
                self._thread.start()
        if self._waiting:
            self._any.set()
        return others

    def close(self) -> None:
        """Look no more, once `stopping` is set; what waits is the poll's."""
        self._any.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._any.wait()
            self._any.clear()
            while self._waiting and not self._stopping.wait(_LOOK_S):
                self._look()

    def _look(self) -> None:
        with self._lock:
            waiting = dict(self._waiting)
        passed, recorded = self._sorted(waiting)
        with self._lock:
            for bet_id in (*passed, *recorded):
                _, newest = self._waiting.pop(bet_id)
                if bet_id in passed:
                    passed[bet_id] = newest
                elif newest != waiting[bet_id][1]:
                    passed[bet_id] = newest  # said while this looked
                self._known[bet_id] = None
            while len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
        if passed:
            self._pass_on(list(passed.values()))

    def _sorted(self, waiting: dict[str, tuple[float, BetState]]) -> tuple[dict[str, BetState], list[str]]:
        """Return which bets are passed on, and which are recorded; the others wait."""
        try:
            orders = self._engine.store.orders([reference(bet) for _, bet in waiting.values()])
        except StoreUnavailable:  # whoever takes them tries again
            return {bet_id: bet for bet_id, (_, bet) in waiting.items()}, []
        known = {order.order_id: order for order in orders}
        late = self._engine.clock.monotonic() - _LONGEST_S
        passed: dict[str, BetState] = {}
        recorded: list[str] = []
        for bet_id, (since, bet) in waiting.items():
            order = known.get(reference(bet))
            if order is not None and is_recorded(order, bet):
                recorded.append(bet_id)
            elif since <= late or order is None or order.status is not OrderStatus.SUBMITTED or order.answered_at:
                passed[bet_id] = bet
        return passed, recorded
