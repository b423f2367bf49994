"""Lists of an answer, row by row: what cannot be read is set aside with what of it can, and costs no other row.

Invariants: every row of a list ends up in `rows` or in `odd`; a list that is none fails as a whole.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, TypeVar

import structlog

from executor.adapters.betfair.json_text import Row, WireError, as_row, sound
from executor.adapters.betfair.odd_rows import odd_row
from executor.adapters.betfair.wire import as_list, market_info
from executor.domain.order import BetState
from executor.ports import ClearedBet, Listing, MarketInfo, OddRow

_log = structlog.get_logger(__name__)
T = TypeVar("T")
Named = TypeVar("Named", BetState, ClearedBet)

MAX_REFS: Final = 250  # Betfair: listCurrentOrders, REQUEST_SIZE_EXCEEDS_LIMIT above
_MAX_PROBLEM: Final = 200


def read_rows(value: object, name: str, read: Callable[[Row], T]) -> Listing[T]:
    """Read a list's rows, each by itself.

    Raises:
        WireError: it is no list.
    """
    rows: list[T] = []
    odd: list[OddRow] = []
    for row in as_list(value, name):
        if not isinstance(row, dict):
            odd.append(OddRow(f"a row of {name} is no object"))
            continue
        try:
            sound(row, "it")
            rows.append(read(row))
        except (
            ValueError,
            ArithmeticError,
            TypeError,
            RecursionError,
        ) as error:  # a row that breaks our reading costs itself only
            odd.append(odd_row(row, str(error)[:_MAX_PROBLEM]))
    return Listing(rows, odd)


def page(result: object, name: str, read: Callable[[Row], T]) -> tuple[Listing[T], bool]:
    """Read one page of a list, and whether more follow.

    Raises:
        WireError: it is none.
    """
    row = as_row(result, "result")
    more = row.get("moreAvailable")
    if not isinstance(more, bool):
        raise WireError("moreAvailable is missing")
    return read_rows(row.get(name), name, read), more


def once(pages: Iterable[Listing[Named]]) -> Listing[Named]:
    """Join pages; a bet that is on two of them is as the later one says, and odd only where none could be read."""
    bets: dict[str, Named] = {}
    odd: dict[OddRow, None] = {}
    for page in pages:
        bets |= {bet.bet_id: bet for bet in page}
        odd |= dict.fromkeys(page.odd)
    return Listing(list(bets.values()), [row for row in odd if not row.bet_id or row.bet_id not in bets])


def joined(listings: Iterable[Listing[T]]) -> Listing[T]:
    """Join what several calls answered."""
    parts = list(listings)
    return Listing([row for part in parts for row in part], [row for part in parts for row in part.odd])


def names(ids: Sequence[str]) -> list[str]:
    """Return what one call may ask for by name."""
    if len(ids) > MAX_REFS:
        raise ValueError(f"one call asks for at most {MAX_REFS} references or bets")
    return list(ids)


def batches(items: Sequence[str], size: int) -> Iterator[list[str]]:
    """Cut a list into calls."""
    for start in range(0, len(items), size):
        yield list(items[start : start + size])


def market_infos(result: object) -> list[MarketInfo | None]:
    """Read listMarketCatalogue's markets; one that cannot be read is left out, with a line."""
    found = read_rows(result, "markets", market_info)
    for odd in found.odd:
        _log.warning("market_not_readable", market_id=odd.market_id, problem=odd.problem)
    return list(found)
