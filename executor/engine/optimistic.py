"""The one compare-and-set loop: read, decide, commit, and again while others were faster.

Invariant: bounded tries; losing a race is never an answer, only giving up for now is. Seconds.
"""

from collections.abc import Callable
from typing import Final, TypeVar

from executor.engine.context import Engine
from executor.errors import Contended

T = TypeVar("T")

TRIES: Final = 8  # optimistic commits before the caller steps back; eight workers racing need fewer
_PAUSE_S: Final = 0.002  # longer after each lost race, so that racers part


def until_committed(engine: Engine, what: str, attempt: Callable[[], T | None]) -> T:
    """Repeat `attempt` (read, decide, commit) until it returns something; None says that others were faster.

    Raises:
        Contended: others were faster each time; `what` names what they changed.
    """
    for number in range(TRIES):
        result = attempt()
        if result is not None:
            return result
        engine.clock.sleep(_PAUSE_S * number)
    raise Contended(f"{what} kept changing")
