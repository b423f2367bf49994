"""Bets that the order stream tells of for the first time, most often before the call that placed them is answered.

Whoever placed such a bet records the answer a moment later, which says the same and more; two who write the same cost
each other a read and a write. So a newcomer is looked at after a moment, many in one trip: where its record says the
same, nothing is left to do; while its call is not answered it waits, a bounded time; else it is passed on.
Invariants: a bet is dropped only when its record says what the stream said; what is passed on of a bet is never older
than what was passed on before. Seconds.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
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

_Waiting = dict[str, tuple[float, BetState]]  # bet id -> since when, and its newest state


class Newcomers:
    """Bets on their way to `pass_on`, which takes what no record says."""

    def __init__(self, engine: Engine, stopping: threading.Event, pass_on: Callable[[list[BetState]], None]) -> None:
        self._engine = engine
        self._stopping = stopping
        self._pass_on = pass_on
        self._lock = threading.Lock()
        self._any = threading.Event()
        self._waiting: _Waiting = {}
        self._known: OrderedDict[str, None] = OrderedDict()
        self._thread: threading.Thread | None = None

    def put(self, bets: Sequence[BetState]) -> None:
        """Keep those heard of for the first time, pass the others on; returns at once."""
        if not bets:
            return
        now = self._engine.clock.monotonic()
        with self._lock:
            others: list[BetState] = []
            for bet in bets:
                if bet.bet_id in self._known:
                    self._known.move_to_end(bet.bet_id)
                    others.append(bet)
                else:
                    since, _ = self._waiting.get(bet.bet_id, (now, bet))
                    self._waiting[bet.bet_id] = (since, bet)
            if others:
                self._pass_on(others)  # with the lock: nothing older may be passed on behind it
            if self._waiting and self._thread is None:
                self._thread = threading.Thread(target=self._run, name="newcomers", daemon=True)
                self._thread.start()
            if self._waiting:
                self._any.set()

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
                with self._lock:
                    waiting = dict(self._waiting)
                self._release(waiting, *self._looked(waiting))

    def _looked(self, waiting: _Waiting) -> tuple[set[str], set[str]]:
        """Return the ids of those to be passed on, and of those that are recorded; the others wait."""
        try:
            return self._sorted(waiting)
        except StoreUnavailable as error:  # whoever takes them tries again
            log.debug("newcomers_not_looked_at", error=str(error))
        except Exception:  # whatever it is, none of them is kept for it
            log.exception("newcomers_not_looked_at")
        return set(waiting), set()

    def _release(self, looked_at: _Waiting, passed: set[str], recorded: set[str]) -> None:
        with self._lock:
            newest = {bet_id: self._waiting.pop(bet_id)[1] for bet_id in passed | recorded}
            self._known.update(dict.fromkeys(newest))
            while len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
            said = [bet for bet_id, bet in newest.items() if bet_id in passed or bet != looked_at[bet_id][1]]
            if said:
                self._pass_on(said)

    def _sorted(self, waiting: _Waiting) -> tuple[set[str], set[str]]:
        orders = self._engine.store.orders([reference(bet) for _, bet in waiting.values()])
        known = {order.order_id: order for order in orders}
        late = self._engine.clock.monotonic() - _LONGEST_S
        passed: set[str] = set()
        recorded: set[str] = set()
        for bet_id, (since, bet) in waiting.items():
            order = known.get(reference(bet))
            if order is not None and is_recorded(order, bet):
                recorded.add(bet_id)
            elif since <= late or order is None or order.status is not OrderStatus.SUBMITTED or order.answered_at:
                passed.add(bet_id)
        return passed, recorded
