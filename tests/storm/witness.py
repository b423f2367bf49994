"""An independent witness: betfairlightweight reads the exchange, and its typed orders are held against our records.

A script of its own: `python -m storm.witness SANDBOX_DIRECTORY REDIS_URL`, exit 1 where it disagrees.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import betfairlightweight
import redis
from support.sandbox_client import RunningSandbox

from executor import keys
from executor.adapters.redis.client import connect
from storm.exchange import ODD_MARKET

_PAGE: Final = 1000
_SIZES: Final = {
    "size_matched": "size_matched",
    "size_cancelled": "size_cancelled",
    "size_lapsed": "size_lapsed",
    "size_voided": "size_voided",
}


def disagreements(directory: Path, redis_url: str, host: str = "localhost") -> tuple[int, list[str]]:
    """Return how many orders the witness saw, and where our records say something else."""
    sandbox = RunningSandbox.at(directory, host=host)
    client = sandbox.betfair()
    try:
        with connect(redis_url) as ours:
            current = [order for order in _current(client) if order.market_id != ODD_MARKET]
            wrong = [line for order in current for line in _current_order(ours, order)]
            cleared = list(_cleared(client))
            wrong += [line for order in cleared for line in _cleared_order(ours, order)]
    finally:
        client.session.close()
        sandbox.session.close()
    return len(current) + len({order.bet_id for order in cleared}), wrong


def _current(client: betfairlightweight.APIClient) -> Iterator[Any]:
    at = 0
    while True:
        page = client.betting.list_current_orders(from_record=at, record_count=_PAGE)
        yield from page.orders
        at += len(page.orders)
        if not page.more_available:
            return


def _cleared(client: betfairlightweight.APIClient) -> Iterator[Any]:
    at = 0
    while True:
        page = client.betting.list_cleared_orders(bet_status="SETTLED", from_record=at, record_count=_PAGE)
        yield from page.orders
        at += len(page.orders)
        if not page.more_available:
            return


def _record(ours: "redis.Redis", ref: str) -> dict[str, Any] | None:
    text = ours.get(keys.order(ref))
    record: dict[str, Any] | None = json.loads(str(text)) if text else None
    return record


def _current_order(ours: "redis.Redis", order: Any) -> Iterator[str]:
    record = _record(ours, order.customer_order_ref)
    if record is None:
        yield f"bet {order.bet_id}: no record of order {order.customer_order_ref}"
        return
    for mine, theirs in _SIZES.items():
        if round(float(record.get(mine, 0)), 2) != round(getattr(order, theirs) or 0.0, 2):
            yield f"bet {order.bet_id}: {mine} {record.get(mine, 0)}, the witness reads {getattr(order, theirs)}"


def _cleared_order(ours: "redis.Redis", order: Any) -> Iterator[str]:
    record = _record(ours, order.customer_order_ref)
    if record is None:
        yield f"settled bet {order.bet_id}: no record of order {order.customer_order_ref}"
        return
    matched, profit = float(record.get("size_matched", 0)), float(record.get("profit", 0))
    if round(matched, 2) != round(order.size_settled, 2):
        yield f"settled bet {order.bet_id}: matched {matched}, the witness reads {order.size_settled}"
    if round(profit, 2) != round(order.profit, 2):
        yield f"settled bet {order.bet_id}: profit {profit}, the witness reads {order.profit}"


if __name__ == "__main__":
    seen, found = disagreements(Path(sys.argv[1]), sys.argv[2])
    sys.stdout.write("".join(f"{line}\n" for line in [*found, f"{seen} orders read, {len(found)} disagreements"]))
    sys.exit(bool(found))
