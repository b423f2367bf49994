"""Settled profit and loss from the ledger, by day, strategy and market.

Invariant: every sum is over the same settlements, so all ways to group them have one total. Profit is before
commission, net after; amounts in account currency, days UTC.
"""

import csv
import io
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final

from executor.domain.account import rate_between
from executor.domain.money import ONE, ZERO, parse_number, to_money
from executor.errors import ExecutorError
from executor.operations.access import Access
from executor.operations.unbooked import unbooked, with_settlements

AMOUNTS: Final = ("profit", "commission", "net_profit")
_FORMULA: Final = ("=", "+", "-", "@", "\t")  # how a spreadsheet tells that a cell is one

Row = Mapping[str, Any]


class RatesUnknown(ExecutorError):
    """Amounts cannot be converted; the text says between which currencies."""


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
    """Return the settlements of this identity from a day (yyyy-mm-dd) on, oldest first, booked or about to be.

    Raises:
        LedgerUnavailable: the database does not answer.
    """
    waiting = unbooked(access)
    ledger, identity = access.ledger, access.settings.identity
    booked = ledger.settled(identity) if ledger.exists() else []
    rows = with_settlements(booked, waiting, identity)
    return [row for row in rows if row["at"] >= since]


def converted(rows: Iterable[Row], account: Mapping[str, str], into: str) -> list[dict[str, Any]]:
    """Return settlements in another currency, by the exchange's newest rates; each rounded to the penny.

    `account` is the account's record. Rows of before carry no currency: they are in the account's.

    Raises:
        RatesUnknown: there is no rate between two of the currencies.
    """
    try:
        held = json.loads(account.get("rates") or "{}")
        rates = {str(code): parse_number(str(text)) for code, text in held.items()}
    except (ValueError, AttributeError, RecursionError):
        rates = {}
    found: list[dict[str, Any]] = []
    for row in rows:
        own = row.get("currency") or account.get("currency", "")
        rate = ONE if own == into else rate_between(rates, own, into)
        if rate is None:
            raise RatesUnknown(
                f"there is no rate from {own or 'the currency of the account, which is not known,'} to {into}"
            )
        found.append({**row, **{name: to_money(row[name] * rate) for name in AMOUNTS}, "currency": into})
    return found


def currency_of(rows: Sequence[Row], account: Mapping[str, str]) -> str:
    """Return the one currency of all rows, "" where that is not known."""
    found = {row.get("currency") or account.get("currency", "") for row in rows} or {account.get("currency", "")}
    return found.pop() if len(found) == 1 else ""


def pnl_json(identity: str, rows: Sequence[Row], currency: str = "") -> dict[str, Any]:
    """Return the total and every grouping."""
    return {
        "identity": identity,
        "currency": currency or None,
        "total": totals(rows),
        **{f"by_{by}": grouped(rows, by) for by in By},
    }


def pnl_csv(rows: Sequence[Row], by: By) -> str:
    """Write one grouping as CSV."""
    text = io.StringIO()
    writer = csv.DictWriter(text, [str(by), "bets", *AMOUNTS], lineterminator="\n")
    writer.writeheader()
    for row in grouped(rows, by):
        writer.writerow({name: _cell(value) for name, value in row.items()})
    return text.getvalue()


def _cell(value: object) -> object:
    """Return what a spreadsheet shows as it is: a strategy's name comes from outside, and is no formula."""
    if isinstance(value, Decimal):
        return f"{value:f}"
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
