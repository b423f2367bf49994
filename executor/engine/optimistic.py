"""The one compare-and-set loop: read, decide, commit, and again while others were faster.

Who lost several races locks the market: for as long as that lasts the others' commits fail, so that a market
with thousands of orders and dozens of commits a second keeps nobody out. Invariant: bounded tries; losing a race is
never an answer, only giving up for now is. Seconds.
"""

from collections.abc import Callable
from typing import Final, TypeVar

from executor.engine.engine import Engine
from executor.errors import Contended

T = TypeVar("T")

TRIES: Final = 8  # before the caller steps back; eight workers racing need fewer
_FREE: Final = 3  # of them without the lock: most races are among two
_PAUSE_S: Final = 0.002  # longer after each lost race, so that racers part
_WAIT_S: Final = 0.01  # until the next try to lock the market
_WAITS: Final = 200  # tries to lock it in all, two seconds


def until_committed(engine: Engine, market_id: str, what: str, attempt: Callable[[str], T | None]) -> T:
    """Repeat `attempt` (read, decide, commit) until it returns something; None says that others were faster.

    It is given the lock token that its view must carry, "" where none is needed.

    Raises:
        Contended: others were faster each time; `what` names what they changed.
    """
    waits = _WAITS
    for number in range(TRIES):
        lock_token = ""
        while number >= _FREE and waits and not (lock_token := engine.store.lock_market(market_id)):
            waits -= 1
            engine.clock.sleep(_WAIT_S)
        try:
            result = attempt(lock_token)
        finally:
            if lock_token:
                engine.store.unlock_market(market_id, lock_token)
        if result is not None:
            return result
        engine.clock.sleep(_PAUSE_S * number)
    raise Contended(f"{what} kept changing")
