"""Settled profit and loss from the ledger, by day, strategy and market.

Invariant: every sum is over the same settlements, so all ways to group them have one total. Profit is before
commission, net after; amounts in account currency, days UTC.
"""

import csv
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final

from executor.domain.money import ZERO
from executor.operations.access import Access

AMOUNTS: Final = ("profit", "commission", "net_profit")

Row = Mapping[str, Any]


class By(StrEnum):
    """How settlements are grouped."""

    DAY = "day"
    STRATEGY = "strategy"
    MARKET = "market"


_GROUP: Final[dict[By, Callable[[Row], str]]] = {
    By.DAY: lambda row: row["at"][:10],
    By.STRATEGY: lambda row: row["strategy"],
    By.MARKET: lambda row: row["market_id"],
}


def grouped(rows: Iterable[Row], by: By) -> list[dict[str, Any]]:
    """Sum settlements by group, in the order of the groups' names."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(_GROUP[by](row), []).append(row)
    return [{str(by): name, **totals(groups[name])} for name in sorted(groups)]


def totals(rows: Sequence[Row]) -> dict[str, Any]:
    """Sum settlements."""
    return {"bets": len(rows), **{name: sum((row[name] for row in rows), ZERO) for name in AMOUNTS}}


def settled(access: Access, since: str = "") -> list[dict[str, Any]]:
    """Return the settlements of this identity from a day (yyyy-mm-dd) on, oldest first.

    Raises:
        LedgerUnavailable: the database does not answer.
    """
    ledger = access.ledger
    rows: list[dict[str, Any]] = ledger.settled(access.settings.identity) if ledger.exists() else []
    return [row for row in rows if row["at"] >= since]


def pnl_json(identity: str, rows: Sequence[Row]) -> dict[str, Any]:
    """Return the total and every grouping."""
    return {"identity": identity, "total": totals(rows), **{f"by_{by}": grouped(rows, by) for by in By}}


def pnl_csv(rows: Sequence[Row], by: By) -> str:
    """Write one grouping as CSV."""
    text = io.StringIO()
    writer = csv.DictWriter(text, [str(by), "bets", *AMOUNTS], lineterminator="\n")
    writer.writeheader()
    for row in grouped(rows, by):
        writer.writerow({name: _cell(value) for name, value in row.items()})
    return text.getvalue()


def _cell(value: object) -> object:
    return f"{value:f}" if isinstance(value, Decimal) else value
