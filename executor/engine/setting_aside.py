"""What cannot be read costs nothing else: it is set aside, named once in the log, counted, alerted until it is gone.

Also one market at a time: what goes wrong in one is remembered for it, and the others go on.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import structlog

from executor.engine.engine import Engine
from executor.errors import Contended, RecordUnreadable
from executor.ports import Listing, OddRow

log = structlog.get_logger(__name__)

T = TypeVar("T")


def without_odd(engine: Engine, source: str, listing: Listing[T]) -> Sequence[T]:
    """Return the rows of a listing, having set aside the odd ones."""
    set_aside(engine, source, listing.odd)
    return listing.rows


def set_aside(engine: Engine, source: str, odd: Sequence[OddRow]) -> None:
    """Name odd rows in the log, count and alert them; each once for as long as it is met."""
    rows = {f"{source}: {row.name}": row for row in odd}
    for name in engine.set_aside.note({name: row.problem for name, row in rows.items()}):
        row = rows[name]
        engine.telemetry.row_set_aside(source)
        log.error(
            "row_set_aside",
            source=source,
            bet_id=row.bet_id,
            order_id=row.order_id,
            market_id=row.market_id,
            problem=row.problem,
            hint="the rest was read; executor orders shows what is kept of it",
        )


def each_market(engine: Engine, work: Mapping[str, Callable[[], int]], failed: dict[str, str] | None = None) -> int:
    """Do each market's work and sum up; a market that cannot be worked on is put into `failed` with why."""
    done = 0
    failed = {} if failed is None else failed
    for market_id, do in work.items():
        try:
            done += do()
        except RecordUnreadable as error:  # named once by the store
            failed[market_id] = str(error)
        except Contended as error:
            failed[market_id] = str(error)
            log.warning("market_postponed", market_id=market_id, error=str(error))
        except ValueError as error:  # what our rules say cannot be: of this market, and said with its place
            failed[market_id] = f"what is reported of it cannot be: {error}"
            if engine.set_aside.note({f"market {market_id}": str(error)}):
                log.exception("market_left_alone", market_id=market_id)
    return done
