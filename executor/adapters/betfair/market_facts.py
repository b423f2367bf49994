"""What Betfair says that a market is: its catalogue's description and its book's runners, read leniently.

Invariant: nothing here fails for an odd field; what cannot be read is not known. Both answers are kept as they came.
Times in milliseconds.
"""

from collections.abc import Collection, Mapping, Sequence
from decimal import Decimal, InvalidOperation

from executor.adapters.betfair.json_text import Row, encode
from executor.domain.hedge import Quote, Quotes
from executor.domain.market import Market

_DESCRIBED = ("description", "runners")  # of the catalogue
_BOOK = ("status", "numberOfWinners", "numberOfActiveRunners", "numberOfRunners", "inplay", "betDelay", "complete",
         "crossMatching", "runnersVoidable", "bspReconciled", "version", "runners")  # fmt: skip

_REMOVED = frozenset({"REMOVED", "REMOVED_VACANT"})  # Betfair: RunnerStatus; bets on them are void


def by_market(result: object) -> dict[str, Row]:
    """Return market id -> its row, for those rows that name one."""
    rows = result if isinstance(result, list) else []
    return {row["marketId"]: row for row in rows if isinstance(row, dict) and isinstance(row.get("marketId"), str)}


def catalogue_of(market_ids: Sequence[str]) -> dict[str, object]:
    """Write what is asked of the catalogue."""
    asked = ["MARKET_DESCRIPTION", "RUNNER_DESCRIPTION"]
    return {"filter": {"marketIds": list(market_ids)}, "marketProjection": asked, "maxResults": len(market_ids)}


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
        betting_type=_text(description, "bettingType"),
        ladder=_text(ladder if isinstance(ladder, dict) else {}, "type"),
        each_way_divisor=_divisor(description.get("eachWayDivisor")),
        winners=winners if isinstance(winners, int) and not isinstance(winners, bool) and winners > 0 else 0,
        runners=_with_status(book, {"ACTIVE"}),
        removed=_with_status(book, _REMOVED),
        others=tuple(sorted({*_with_status(book, None)} - {*_with_status(book, {"ACTIVE", *_REMOVED})})),
        complete=book.get("complete") is True,
        status=_text(book, "status"),
        read_at=now,
        raw=encode(said),
    )


def _text(row: Mapping[str, object], name: str) -> str:
    value = row.get(name)
    return value if isinstance(value, str) else ""


def _divisor(value: object) -> Decimal | None:
    try:
        divisor = None if value is None or isinstance(value, bool) else Decimal(str(value))
    except InvalidOperation:
        return Decimal(1)  # it has one, whatever it is
    return divisor or None


def _with_status(book: Mapping[str, object], statuses: Collection[str] | None) -> tuple[int, ...]:
    """Return the runners with one of these statuses; None: all."""
    runners = book.get("runners")
    rows = [row for row in runners if isinstance(row, dict)] if isinstance(runners, list) else []
    ids = (row.get("selectionId") for row in rows if statuses is None or row.get("status") in statuses)
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


def _best(offers: object) -> Decimal | None:
    first = offers[0] if isinstance(offers, list) and offers else None
    return _price(first.get("price")) if isinstance(first, dict) else None


def _price(value: object) -> Decimal | None:
    return Decimal(value) if isinstance(value, int | Decimal) and not isinstance(value, bool) else None
