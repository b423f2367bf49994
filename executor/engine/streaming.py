"""Applying what the order stream says: the same reports, the same merge and the same one write as the poll's.

Invariants: what is newest of a bet is applied, in any order of markets; a market that is contended, or a Redis that is
away, is tried again and holds up no other market; nothing is concluded from what the stream does not say. Seconds.
"""

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import structlog

from executor.domain.order import BetState
from executor.engine.engine import Engine
from executor.engine.merging import merge_bets
from executor.engine.newcomers import Newcomers
from executor.errors import Contended, StoreUnavailable

log = structlog.get_logger(__name__)

_WORKERS: Final = 4  # markets at a time: each waits for Redis most of its time
_RETRY_S: Final = (0.02, 0.1, 0.5, *[2.0] * 30)  # a minute; what cannot be applied by then is the poll's
_MOST: Final = 20_000  # bets that wait; more would be a Redis away for long, and the poll reads them all afterwards


class StreamApplier:
    """Bets on their way from the stream into the records: the newest of each, market by market."""

    def __init__(self, engine: Engine, stopping: threading.Event, applied: Callable[[int], None]) -> None:
        self._engine = engine
        self._stopping = stopping
        self._applied = applied  # told how many orders changed
        self._lock = threading.Lock()
        self._waiting: dict[str, dict[str, BetState]] = {}  # market -> bet id -> its newest state
        self._running: set[str] = set()
        self._pool = ThreadPoolExecutor(_WORKERS, thread_name_prefix="stream")
        self._newcomers = Newcomers(engine, stopping, self._apply)

    def put(self, bets: Iterable[BetState]) -> None:
        """Take bets over; returns at once."""
        self._newcomers.put(list(bets))

    def _apply(self, bets: Iterable[BetState]) -> None:
        with self._lock:
            for bet in bets:
                self._waiting.setdefault(bet.market_id, {})[bet.bet_id] = bet
            if sum(map(len, self._waiting.values())) > _MOST:
                log.error("stream_changes_dropped", hint="Redis was away for long; the next poll reads them all")
                self._waiting.clear()
            idle = [market for market in self._waiting if market not in self._running]
            self._running.update(idle)
        for market in idle:
            self._pool.submit(self._drain, market)

    def close(self) -> None:
        """Finish what is being applied, once `stopping` is set; what is not is the poll's."""
        self._newcomers.close()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _drain(self, market: str) -> None:
        tries = 0
        while not self._stopping.is_set():
            with self._lock:
                bets = self._waiting.pop(market, None)
                if bets is None:
                    self._running.discard(market)
                    return
            try:
                self._applied(merge_bets(self._engine, list(bets.values())))
                tries = 0
            except (Contended, StoreUnavailable) as error:
                if tries == len(_RETRY_S):
                    log.error("stream_change_not_applied", market_id=market, error=str(error))  # noqa: TRY400
                    tries = 0
                    continue
                self._again(market, bets)
                self._stopping.wait(_RETRY_S[tries])
                tries += 1
            except Exception:  # whatever it is, the other markets go on and the poll reads these again
                log.exception("stream_change_not_applied", market_id=market)

    def _again(self, market: str, bets: dict[str, BetState]) -> None:
        with self._lock:
            self._waiting[market] = {**bets, **self._waiting.get(market, {})}  # what came meanwhile is newer
