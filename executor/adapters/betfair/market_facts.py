"""What Betfair says that a market is: its catalogue's description and its book's runners, read leniently.

Invariant: nothing here fails for an odd field; what cannot be read is not known, and where it decides whether our rules
hold for the market, they do not. Both answers are kept as they came, without what is no JSON. Times in milliseconds.
"""

from collections.abc import Collection, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Final

import structlog

from executor.adapters.betfair.json_text import NoNumber, Repeated, Row, encode
from executor.adapters.betfair.wire import is_text
from executor.domain.book import Book, Level, Offers
from executor.domain.hedge import Quote, Quotes
from executor.domain.market import Market
from executor.domain.money import ZERO

_DESCRIBED = ("description", "runners")  # of the catalogue
_BOOK = ("status", "numberOfWinners", "numberOfActiveRunners", "numberOfRunners", "inplay", "betDelay", "complete",
         "crossMatching", "runnersVoidable", "bspReconciled", "version", "runners")  # fmt: skip

_UNREADABLE: Final = "UNREADABLE"  # as a betting type or ladder: none that our rules hold for
_MAX_DIGITS: Final = 30  # of a number that is kept as it came; written out, 1E+999999 is a megabyte
_log = structlog.get_logger(__name__)

_LOWEST, _HIGHEST = Decimal("1.01"), Decimal(1000)  # Betfair: the ladder's ends
_MOST = Decimal(10) ** 9  # no market has as much
_REMOVED = frozenset({"REMOVED", "REMOVED_VACANT"})  # Betfair: RunnerStatus; bets on them are void


def by_market(result: object) -> dict[str, Row]:
    """Return market id -> its row, for those rows that name one."""
    rows = result if isinstance(result, list) else []
    return {row["marketId"]: row for row in rows if isinstance(row, dict) and isinstance(row.get("marketId"), str)}


def catalogue_of(market_ids: Sequence[str]) -> dict[str, object]:
    """Write what is asked of the catalogue."""
    asked = ["MARKET_DESCRIPTION", "RUNNER_DESCRIPTION"]
    return {"filter": {"marketIds": list(market_ids)}, "marketProjection": asked, "maxResults": len(market_ids)}


def combine_all(
    market_ids: Sequence[str], described: Mapping[str, Row], books: Mapping[str, Row], now: int
) -> list[Market]:
    """Make a record of each market that is known; one that cannot be read costs no other."""
    found: list[Market] = []
    for market_id in market_ids:
        if market_id in described or market_id in books:
            try:
                found.append(combine(market_id, described, books, now))
            except (ValueError, TypeError, ArithmeticError, RecursionError) as error:
                _log.warning("market_not_readable", market_id=market_id, problem=str(error)[:200])
    return found


def combine(market_id: str, described: Mapping[str, Row], books: Mapping[str, Row], now: int) -> Market:
    """Make one record of what both answers say of a market."""
    catalogue, book = described.get(market_id, {}), books.get(market_id, {})
    found = catalogue.get("description")
    description: Row = found if isinstance(found, dict) else {}
    ladder = description.get("priceLadderDescription")
    raw = {name: catalogue[name] for name in _DESCRIBED if name in catalogue}
    said = {"catalogue": raw, "book": {name: book[name] for name in _BOOK if name in book}}
    winners = book.get("numberOfWinners")
    return Market(
        market_id=market_id,
        market_type=_text(description, "marketType"),
        betting_type=_text(description, "bettingType", _UNREADABLE),
        ladder=_text(ladder if isinstance(ladder, dict) else {}, "type", _UNREADABLE),
        each_way_divisor=_divisor(description.get("eachWayDivisor")),
        winners=winners if isinstance(winners, int) and not isinstance(winners, bool) and winners > 0 else 0,
        runners=_with_status(book, {"ACTIVE"}),
        removed=_with_status(book, _REMOVED),
        others=tuple(sorted({*_with_status(book, None)} - {*_with_status(book, {"ACTIVE", *_REMOVED})})),
        complete=book.get("complete") is True,
        status=_text(book, "status"),
        read_at=now,
        raw=encode(_plain(said)),
    )


def _plain(value: object) -> object:
    """Return what of a value is JSON; null in the place of the rest."""
    if isinstance(value, Repeated | NoNumber) or (isinstance(value, Decimal) and abs(value.adjusted()) > _MAX_DIGITS):
        return None
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list) else value


def _text(row: Mapping[str, object], name: str, otherwise: str = "") -> str:
    value = row.get(name)
    if value is None or value == "":
        return ""
    return value if isinstance(value, str) and is_text(value) else otherwise


def _divisor(value: object) -> Decimal | None:
    try:
        divisor = None if value is None or isinstance(value, bool) else Decimal(str(value))
    except InvalidOperation:
        return Decimal(1)  # it has one, whatever it is
    if divisor is not None and (not divisor.is_finite() or abs(divisor.adjusted()) > _MAX_DIGITS):
        return Decimal(1)
    return divisor or None


def _with_status(book: Mapping[str, object], statuses: Collection[str] | None) -> tuple[int, ...]:
    """Return the runners with one of these statuses; None: all."""
    runners = book.get("runners")
    rows = [row for row in runners if isinstance(row, dict)] if isinstance(runners, list) else []
    ids = (row.get("selectionId") for row in rows if statuses is None or _text(row, "status") in statuses)
    return tuple(number for number in ids if isinstance(number, int) and not isinstance(number, bool))


def quotes_of(book: Row) -> Quotes:
    """Read a market book's best prices; what cannot be read is no price."""
    rows = book.get("runners")
    runners: dict[int, Quote] = {}
    for row in rows if isinstance(rows, list) else []:
        selection_id = row.get("selectionId") if isinstance(row, dict) else None
        if not isinstance(selection_id, int) or isinstance(selection_id, bool) or row.get("status") != "ACTIVE":
            continue
        offers = row.get("ex")
        offers = offers if isinstance(offers, dict) else {}
        back, lay = (_best(offers.get(name)) for name in ("availableToBack", "availableToLay"))
        runners[selection_id] = Quote(back, lay, _price(row.get("lastPriceTraded")))
    return Quotes(_text(book, "status"), runners)


def offers_of(book: Row) -> Book:
    """Read all that a market book offers; a level that cannot be read is none."""
    rows, delay = book.get("runners"), book.get("betDelay")
    runners: dict[int, Offers] = {}
    for row in rows if isinstance(rows, list) else []:
        selection_id = row.get("selectionId") if isinstance(row, dict) else None
        if not isinstance(selection_id, int) or isinstance(selection_id, bool) or row.get("status") != "ACTIVE":
            continue
        given = row.get("ex")
        offers = given if isinstance(given, dict) else {}
        runners[selection_id] = Offers(*(_levels(offers.get(name)) for name in ("availableToBack", "availableToLay")))
    # What says nothing of its delay may be in play: then nothing is matched at once.
    known = isinstance(delay, int) and not isinstance(delay, bool)
    return Book(_text(book, "status"), delay if known and isinstance(delay, int) else 1, runners)


def _levels(offers: object) -> tuple[Level, ...]:
    rows = [row for row in offers if isinstance(row, dict)] if isinstance(offers, list) else []
    pairs = ((_price(row.get("price")), _price(row.get("size"))) for row in rows)
    return tuple(
        Level(price, size)
        for price, size in pairs
        if price is not None and size is not None and _LOWEST <= price <= _HIGHEST and ZERO < size < _MOST
    )


def _best(offers: object) -> Decimal | None:
    first = offers[0] if isinstance(offers, list) and offers else None
    return _price(first.get("price")) if isinstance(first, dict) else None


def _price(value: object) -> Decimal | None:
    return Decimal(value) if isinstance(value, int | Decimal) and not isinstance(value, bool) else None
