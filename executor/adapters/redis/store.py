"""Signals and orders in Redis: the one truth, and how it changes.

Invariants: an order changes only through `commit`, which compares the market's revision and everything else the
decision depended on, and writes records, indexes, projections, accounting entries and messages in one atomic step;
exposure and positions are computed from all orders of the market each time, never added to.
"""

import json
import secrets
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import structlog
from redis import Redis
from redis.exceptions import RedisError, ResponseError

from executor import keys
from executor.adapters.redis.client import guarded, script
from executor.adapters.redis.commit import after, request_for
from executor.adapters.redis.records import decode_order, decode_signal, encode, signal_fields
from executor.domain.order import Order
from executor.domain.signal_record import TERMINAL, SignalRecord
from executor.domain.times import hour
from executor.errors import RecordUnreadable, StoreUnavailable
from executor.ports import Arrival, Change, MarketView, Recorded, SendState

log = structlog.get_logger(__name__)

T = TypeVar("T")


def _count(text: str | None) -> int:
    """Read a counter; one that cannot be read counts as full."""
    try:
        return int(text or 0)
    except ValueError:
        return sys.maxsize


def _pairs(flat: Sequence[str]) -> dict[str, str]:
    return dict(zip(flat[::2], flat[1::2], strict=True))


@dataclass(frozen=True, slots=True)
class Retention:
    """How long finished records are kept, in seconds."""

    signal_s: int
    order_s: int
    breaker_window_s: int


class RedisStore:
    """`OrderStore` on one Redis db."""

    def __init__(self, client: "Redis", identity: str, retention: Retention) -> None:
        self._redis = client
        self._identity = identity
        self._keep = retention
        self._view = client.register_script(script("view", needs=["failures_from"]))
        self._commit = client.register_script(script("commit"))
        self._record = client.register_script(script("record"))
        self._send_state = client.register_script(script("send_state"))
        self._close = client.register_script(script("close"))

    @guarded
    def now(self) -> int:
        """Return Redis TIME in ms."""
        seconds, micros = self._redis.time()
        return seconds * 1000 + micros // 1000

    @guarded
    def record(self, arrivals: Sequence[Arrival]) -> list[tuple[Recorded, str] | StoreUnavailable]:
        """Write each signal's record unless its message is known; returns the ids under which they are known."""
        if len(arrivals) == 1:  # a pipeline asks for its scripts first: one more trip
            try:
                return [_known(arrivals[0].record, self._record_one(arrivals[0], self._redis))]
            except ResponseError as error:
                return [StoreUnavailable(f"Redis: {error}")]
        pipe = self._redis.pipeline(transaction=False)
        for arrival in arrivals:
            self._record_one(arrival, pipe)
        answers = pipe.execute(raise_on_error=False)
        return [
            StoreUnavailable(f"Redis: {answer}") if isinstance(answer, RedisError) else _known(arrival.record, answer)
            for arrival, answer in zip(arrivals, answers, strict=True)
        ]

    def _record_one(self, arrival: Arrival, client: "Redis") -> object:
        record = arrival.record
        terminal = record.status in TERMINAL
        entry = signal_fields(record, self._identity) if terminal else {}
        return self._record(
            keys=[
                keys.seen(arrival.dedup_id),
                keys.signal(record.signal_id),
                keys.SIGNALS_OPEN,
                keys.TRADES,
                keys.SIGNALS_RECORDED,
            ],
            args=[
                f"{record.bridge} {record.token} {record.signal_id}",
                encode(record),
                arrival.dedup_s,
                int(arrival.renew),
                self._keep.signal_s if terminal else 0,
                "" if terminal else record.updated_at,
                f"{record.bridge} - {record.signal_id}",
                *[text for pair in entry.items() for text in pair],
            ],
            client=client,
        )

    @guarded
    def close(self, ends: Sequence[tuple[SignalRecord, SignalRecord]]) -> list[bool]:
        """Give signals their terminal records where they are still as they were read; tells which."""
        pipe = self._redis.pipeline(transaction=False)
        for open_, closed in ends:
            entry = signal_fields(closed, self._identity)
            self._close(
                keys=[keys.signal(open_.signal_id), keys.SIGNALS_OPEN, keys.TRADES],
                args=[
                    encode(open_),
                    encode(closed),
                    self._keep.signal_s,
                    open_.signal_id,
                    *[text for pair in entry.items() for text in pair],
                ],
                client=pipe,
            )
        return [bool(written) for written in pipe.execute()] if ends else []

    @guarded
    def signal(self, signal_id: str) -> SignalRecord | None:
        """Return a signal's record."""
        raw = cast("str | None", self._redis.get(keys.signal(signal_id)))
        return None if raw is None else decode_signal(raw)

    @guarded
    def view(self, market_id: str, *, signal_ids: Sequence[str] = (), order_ids: Sequence[str] = ()) -> MarketView:
        """Read all that a step on this market may depend on, at one moment."""
        now = hour(int(time.time() * 1000))
        view = self._read(market_id, signal_ids, order_ids, now)
        if hour(view.now) != now:  # the hour has just ended, or this machine's clock is not Redis's
            view = self._read(market_id, signal_ids, order_ids, hour(view.now))
        return view

    def _read(self, market_id: str, signal_ids: Sequence[str], order_ids: Sequence[str], now: str) -> MarketView:
        pnl_key, transactions_key = keys.pnl_daily(now[:10]), keys.transactions(now)
        answer = self._view(
            keys=[
                keys.IDENTITY,
                keys.TRADING_ENABLED,
                keys.RECONCILED,
                keys.LIMITS,
                pnl_key,
                keys.BREAKER,
                keys.BREAKER_SINCE,
                keys.FAILED_ORDERS,
                keys.market_revision(market_id),
                keys.market_orders(market_id),
                transactions_key,
                *map(keys.signal, signal_ids),
                *map(keys.order, order_ids),
            ],
            args=[keys.order(""), self._keep.breaker_window_s, len(signal_ids)],
        )
        raw: list[Any] = cast("list[Any]", answer)
        orders = [decode_order(text) for text in raw[12] if text is not None]
        signals = {one: text for one, text in zip(signal_ids, raw[11], strict=False) if text is not None}
        return MarketView(
            market_id=market_id,
            revision=raw[10],
            now=int(raw[0]) * 1000 + int(raw[1]) // 1000,
            identity=raw[2],
            trading=raw[3],
            reconciled=bool(raw[4]),
            limits=_pairs(raw[5]),
            pnl_key=pnl_key,
            daily_pnl=raw[6],
            transactions=_count(raw[13]),
            transactions_key=transactions_key,
            breaker=_pairs(raw[7]),
            failures=int(raw[9]),
            failures_since=raw[8],
            orders={order.order_id: order for order in orders},
            signals={one: decode_signal(text) for one, text in signals.items()},
            signals_raw=signals,
        )

    @guarded
    def send_state(self, order_ids: Sequence[str]) -> SendState:
        """Read, at one moment, what sending these orders rests on."""
        answer = self._send_state(keys=[keys.TRADING_ENABLED, keys.RECONCILED, *map(keys.order, order_ids)])
        raw: list[Any] = cast("list[Any]", answer)
        orders = [decode_order(text) for text in raw[4] if text is not None]
        return SendState(
            now=int(raw[0]) * 1000 + int(raw[1]) // 1000,
            trading=raw[2],
            reconciled=bool(raw[3]),
            orders={order.order_id: order for order in orders},
        )

    @guarded
    def commit(self, view: MarketView, change: Change) -> MarketView | None:
        """Write a change if nothing that it depends on has changed since `view`; returns the view after it, or None."""
        token = secrets.token_hex(8)
        request = request_for(view, change, self._identity, token, self._keep.signal_s, self._keep.order_s)
        answer = self._commit(keys=[request.key], args=[request.value, json.dumps(request.as_json())])
        now = int(cast("int", answer))
        return after(view, change, request, now, token) if now else None

    @guarded
    def orders(self, order_ids: Iterable[str]) -> list[Order]:
        """Return these orders' records, those that exist."""
        wanted = [keys.order(order_id) for order_id in order_ids]
        found: list[Order | None] = []
        for at in range(0, len(wanted), 500):  # keeps one reply, and Redis's pause for it, small
            some = wanted[at : at + 500]
            texts = cast("list[str | None]", self._redis.mget(some))
            found += [_readable(key, text, decode_order) for key, text in zip(some, texts, strict=True)]
        return [order for order in found if order is not None]

    def _of(self, index: str) -> list[Order]:
        return self.orders(cast("list[str]", self._redis.zrange(index, 0, -1)))

    @guarded
    def active_orders(self) -> list[Order]:
        """Return the SUBMITTED and PENDING orders, oldest first."""
        return self._of(keys.ORDERS_ACTIVE)

    @guarded
    def unsettled_orders(self) -> list[Order]:
        """Return every order that is not over."""
        return self._of(keys.ORDERS_UNSETTLED)

    @guarded
    def recent_orders(self, limit: int) -> list[Order]:
        """Return the newest orders, newest first."""
        return self.orders(cast("list[str]", self._redis.zrevrange(keys.ORDERS_RECENT, 0, limit - 1)))

    @guarded
    def open_signals(self, moved_before: int, limit: int) -> list[SignalRecord]:
        """Return signals without a terminal state that nothing moved since `moved_before`, oldest first."""
        ids = cast("list[str]", self._redis.zrangebyscore(keys.SIGNALS_OPEN, "-inf", moved_before, start=0, num=limit))
        names = [keys.signal(one) for one in ids]
        texts = cast("list[str | None]", self._redis.mget(names)) if ids else []
        for signal_id, text in zip(ids, texts, strict=True):
            if text is None:  # its record is gone (a person's DEL): nothing is left to close
                self._redis.zrem(keys.SIGNALS_OPEN, signal_id)
        found = [_readable(key, text, decode_signal) for key, text in zip(names, texts, strict=True)]
        return [record for record in found if record is not None]


def _known(record: SignalRecord, answer: object) -> tuple[Recorded, str]:
    """Read what `record.lua` says: nothing, or what is remembered of the message (bridge, token, signal id)."""
    if answer is None:
        return Recorded.NEW, record.signal_id
    bridge, _, rest = str(answer).partition(" ")
    token, _, known_as = rest.partition(" ")
    if bridge == record.bridge:
        return Recorded.REPEAT, known_as
    return (Recorded.TAKEN_OVER if token == record.token else Recorded.ELSEWHERE), known_as


def _readable(key: str, text: str | None, decode: Callable[[str], T]) -> T | None:
    """Read a record; one that cannot be read must not hold up the others. `view` is strict: it fences its market."""
    try:
        return None if text is None else decode(text)
    except RecordUnreadable as error:
        log.error("record_not_readable", key=key, error=str(error), hint="delete its key, or repair it")  # noqa: TRY400
        return None
