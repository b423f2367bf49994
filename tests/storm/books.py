"""What both sides have: the exchange's orders and journal, our records, indexes, hashes and the ledger.

Reads only. Amounts are Decimal; times are milliseconds since the epoch, the journal's seconds.
"""

import json
import shutil
import sqlite3
from contextlib import closing, suppress
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from executor import keys
from storm.accidents import ODD
from storm.arena import Arena
from storm.exchange import ODD_MARKET

Json = dict[str, Any]


@dataclass
class Books:
    """One look at everything."""

    bets: dict[str, list[Json]]  # customerOrderRef -> the exchange's orders
    calls: list[Json]  # the journal's placeOrders
    streams: int  # subscriptions to the order stream
    odd_rows: int  # told by the exchange
    faults: int
    orders: dict[str, Json]  # our order records
    signals: dict[str, Json]  # our signal records
    open_signals: list[str]
    active: list[str]
    unsettled: list[str]
    risk_exposure: dict[str, dict[str, Decimal]]
    exposure: dict[str, dict[str, Decimal]]
    queues: dict[str, int]
    ledger_lag: int
    fills: dict[str, Decimal]  # bet id -> fills less voids, as the ledger has it
    profits: dict[str, Decimal]  # bet id -> profit before commission, as the ledger has it
    net: Decimal  # of all settlements in the ledger
    pnl_total: Decimal
    balance: Decimal


def read(arena: Arena) -> Books:
    """Take a look."""
    rows: list[Json] = arena.sandbox.get("orders")
    bets: dict[str, list[Json]] = {}
    for row in rows:
        if row.get("customerOrderRef", "").startswith(ODD):
            continue  # somebody else's, and none that our records hold
        bets.setdefault(row.get("customerOrderRef", ""), []).append(row)
    journal = arena.sandbox.journal()
    accounts = arena.sandbox.get("accounts")["accounts"]
    with arena.client() as client, arena.client(1) as broker:
        orders, signals = (_records(client, kind) for kind in (keys.order("*"), keys.signal("*")))
        groups = client.xinfo_groups(keys.TRADES) if client.exists(keys.TRADES) else []
        fills, profits, net = _ledger(arena)
        return Books(
            bets=bets,
            calls=[call for call in journal if call["method"] == "placeOrders" and not _by_hand(call)],
            streams=sum(call["method"] == "orderSubscription" for call in journal),
            odd_rows=arena.sandbox.get("odd")["told"],
            faults=sum(bool(call["fault"]) for call in journal),
            orders={name: order for name, order in orders.items() if order["market_id"] != ODD_MARKET},
            signals=signals,
            open_signals=client.zrange(keys.SIGNALS_OPEN, 0, -1),
            active=client.zrange(keys.ORDERS_ACTIVE, 0, -1),
            unsettled=client.zrange(keys.ORDERS_UNSETTLED, 0, -1),
            risk_exposure=_hashes(client, keys.risk_exposure("")),
            exposure=_hashes(client, keys.matched_exposure("")),
            queues={name: int(broker.llen(name)) for name in ("signals", "orders", "trades")},
            ledger_lag=sum(int(group["pending"]) + int(group.get("lag") or 0) for group in groups),
            fills=fills,
            profits=profits,
            net=net,
            pnl_total=Decimal(client.get(keys.PNL_TOTAL) or 0),
            balance=next(Decimal(account["balance"]) for account in accounts if account["name"] == "sandbox"),
        )


def _by_hand(call: Json) -> bool:
    return bool(call["params"].get("marketId") == ODD_MARKET)


def _records(client: Any, pattern: str) -> dict[str, Json]:
    names = sorted(client.scan_iter(pattern, count=1000))
    found: dict[str, Json] = {}
    for at in range(0, len(names), 500):
        texts = client.mget(names[at : at + 500])
        found |= {
            name.partition(":")[2]: json.loads(text, parse_float=Decimal)
            for name, text in zip(names[at : at + 500], texts, strict=True)
            if text
        }
    return found


def _hashes(client: Any, prefix: str) -> dict[str, dict[str, Decimal]]:
    found = {}
    for name in client.scan_iter(f"{prefix}*", count=1000):
        values = client.hgetall(name)
        amounts = {selection: Decimal(text) for selection, text in values.items() if Decimal(text)}
        if amounts and name != f"{prefix}{ODD_MARKET}":
            found[name.removeprefix(prefix)] = amounts
    return found


def _ledger(arena: Arena) -> tuple[dict[str, Decimal], dict[str, Decimal], Decimal]:
    fills: dict[str, Decimal] = {}
    profits: dict[str, Decimal] = {}
    net = Decimal(0)
    path = arena.data_seen / "ledger.db"
    if not path.exists():
        return fills, profits, net
    copy = arena.folder / "ledger-copy.db"
    for end in ("", "-wal", "-journal"):  # SQLite would follow the way into the mount namespace to a file outside of it
        Path(f"{copy}{end}").unlink(missing_ok=True)
        with suppress(FileNotFoundError):
            shutil.copyfile(f"{path}{end}", f"{copy}{end}")
    # A file that was begun on a full disk has no tables yet; one in mid-change is read at the next look.
    with suppress(sqlite3.DatabaseError), closing(sqlite3.connect(copy, timeout=10)) as ledger:
        for bet_id, kind, size in ledger.execute(
            "select bet_id, kind, size from trades where market_id != ?", [ODD_MARKET]
        ):
            fills[bet_id] = fills.get(bet_id, Decimal(0)) + (Decimal(size) if kind == "fill" else -Decimal(size))
        for bet_id, profit, after in ledger.execute("select bet_id, profit, net_profit from settlements"):
            profits[bet_id] = Decimal(profit)
            net += Decimal(after)
    return fills, profits, net
