"""Keys of another type than ours: set aside, and indexes made anew from the records.

Somebody who overwrites a key with another type has lost what it held; what stood on it must not stand still for that.
Invariants: what was there is not deleted, the key gets another name; an index is what the records say; a record of
another type stays where it is, as its market must stand still until a person has looked (`RecordUnreadable`); P&L comes
back from the ledger and the exchange as after a loss of Redis, before the next poll counts.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final, cast

from redis import Redis

from executor import keys
from executor.adapters.redis.adapter import redis_time
from executor.adapters.redis.records import decode_order, decode_signal
from executor.domain.order import ACTIVE, Order
from executor.domain.signal_record import TERMINAL
from executor.errors import RecordUnreadable

# Those that would stop a poll, a commit or a look. Not the controls that people write: of another type, they let
# nothing through and say so; nor records.
_TYPES: Final = {
    keys.LIMITS: "hash",
    keys.LIMITS_APPLIED: "hash",
    keys.DATA_GENERATION: "string",
    keys.FULL_READ: "string",
    keys.RECONCILED: "string",
    keys.SIGNALS_OPEN: "zset",
    keys.ORDERS_ACTIVE: "zset",
    keys.ORDERS_UNSETTLED: "zset",
    keys.ORDERS_RECENT: "zset",
    keys.MARKETS: "set",
    keys.MARKETS_STOPPED: "hash",
    keys.MARKET_EXPOSURE: "hash",
    keys.MARKET_HELD: "hash",
    keys.FOREIGN_MARKETS: "set",
    keys.SET_ASIDE: "hash",
    keys.CANCELS_REFUSED: "hash",
    keys.FAILED_ORDERS: "zset",
    keys.BREAKER_SINCE: "string",
    keys.HALTED: "hash",
    keys.TRADES: "stream",
    keys.AUDIT: "stream",
    keys.ACCOUNT: "hash",
    keys.ALERTS: "hash",
    keys.MARKET_TYPES: "hash",
    keys.LAST_SUCCESS: "hash",
    keys.FAILED_TASKS: "hash",
    keys.FAILED_SIGNALS: "zset",
    keys.NOTICES: "stream",
    keys.NOTIFY_POSITION: "string",
    keys.NOTIFY_MAILBOXES: "hash",
    keys.NOTIFY_ADDRESSES: "hash",
    keys.NOTIFY_PROCESSES: "string",
    keys.STREAM_SILENT: "string",
    keys.SIGNALS_FACTS: "hash",
    keys.SIGNALS_RECORDED: "string",
    keys.HEDGES: "hash",
    keys.HELD_TOTAL: "string",
    keys.MARKETS_WANTED: "set",
    keys.SWITCH_FIRED: "hash",
    keys.ORDER_STREAM: "hash",
    keys.CONSOLE_TOKENS: "hash",
}
_COOLDOWNS: Final = ("log_trade", "day_summary", "overdue_settlements")  # tasks that are done once in a while
_ABSENT: Final = "none"
_ENDLESS: Final = -1  # Redis: PTTL


def repair_keys(client: "Redis", identity: str, markets: Iterable[str]) -> list[str]:
    """Set aside keys of another type; returns their names. `markets` are looked at beside those with orders."""
    fixed = _wrong(client, _TYPES | _session_types(identity))
    aside = [_set_aside(client, key) for key in fixed]
    known = {*markets, *cast("set[str]", client.smembers(keys.MARKETS))}
    expected: dict[str, str] = {}
    for market in known:
        expected |= {keys.market_orders(market): "set", keys.foreign(market): "hash"}
        expected |= {keys.market_revision(market): "string", keys.market_lock(market): "string"}
    wrong = _wrong(client, expected)
    aside += [_set_aside(client, key) for key in wrong]
    _remove_endless(
        client, [*map(keys.market_lock, known), keys.login_lock(identity), *map(keys.task_cooldown, _COOLDOWNS)]
    )
    if fixed or wrong:
        _index_orders(client)
        _index_signals(client)
    return aside + _mend_pnl(client)


def _session_types(identity: str) -> dict[str, str]:
    """Return the keys without which the exchange can be asked nothing: no login, no list of orders."""
    return {
        keys.session(identity): "string",
        keys.login_ban(identity): "string",
        keys.login_refusals(identity): "hash",
        keys.order_reads(identity): "zset",
    }


def _remove_endless(client: "Redis", locks: Sequence[str]) -> None:
    """Remove locks and cool-downs that have no end: nobody of ours took them."""
    pipe = client.pipeline(transaction=False)
    for lock in locks:
        pipe.pttl(lock)
    endless = [lock for lock, left_ms in zip(locks, pipe.execute(), strict=True) if left_ms == _ENDLESS]
    if endless:
        client.delete(*endless)


def _mend_pnl(client: "Redis") -> list[str]:
    wrong = _wrong(client, {keys.PNL_DAYS: "hash", keys.SETTLED_AT: "string"})
    days = [] if keys.PNL_DAYS in wrong else cast("list[str]", client.hkeys(keys.PNL_DAYS))
    wrong += _wrong(client, dict.fromkeys(map(keys.settlements, days), "hash"))
    for key in wrong:
        set_pnl_aside(client, key)
    return wrong


def set_pnl_aside(client: "Redis", key: str) -> None:
    """Set aside what of P&L is none, and have all of it read anew: nothing is placed before that is done."""
    pipe = client.pipeline(transaction=True)
    pipe.rename(key, keys.aside(key, redis_time(client)))
    pipe.delete(keys.SETTLED_AT, keys.FULL_READ)
    pipe.execute()


def _wrong(client: "Redis", expected: dict[str, str]) -> list[str]:
    pipe = client.pipeline(transaction=False)
    for key in expected:
        pipe.type(key)
    found = pipe.execute()
    return [key for key, kind in zip(expected, found, strict=True) if kind not in {_ABSENT, expected[key]}]


def _set_aside(client: "Redis", key: str) -> str:
    client.rename(key, keys.aside(key, redis_time(client)))
    return key


def _records(client: "Redis", pattern: str) -> Iterable[str]:
    names = list(client.scan_iter(pattern, count=1000))
    for at in range(0, len(names), 500):
        yield from filter(None, cast("list[str | None]", client.mget(names[at : at + 500])))


def _index_orders(client: "Redis") -> None:
    """Put every order into the indexes that it belongs to; what is in one and does not belong is left by its commit."""
    for text in _records(client, keys.order("*")):
        try:
            order = decode_order(text)
        except RecordUnreadable:
            continue
        pipe = client.pipeline(transaction=True)
        _index_order(pipe, order)
        pipe.execute()


def _index_order(pipe: Any, order: Order) -> None:  # noqa: ANN401 - redis-py's pipeline
    score = {order.order_id: order.created_at}
    pipe.zadd(keys.ORDERS_RECENT, score)
    if order.status in ACTIVE:
        pipe.zadd(keys.ORDERS_ACTIVE, score)
    if not order.is_over:
        pipe.zadd(keys.ORDERS_UNSETTLED, score)
    if order.counts:
        pipe.sadd(keys.market_orders(order.market_id), order.order_id)
        pipe.sadd(keys.MARKETS, order.market_id)


def _index_signals(client: "Redis") -> None:
    for text in _records(client, keys.signal("*")):
        try:
            record = decode_signal(text)
        except RecordUnreadable:
            continue
        if record.status not in TERMINAL:
            client.zadd(keys.SIGNALS_OPEN, {record.signal_id: record.updated_at})
