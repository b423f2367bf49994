"""Signals and orders in Redis: the one truth, and how it changes.

Invariants: an order changes only through `commit`, which compares the market's revision and everything else the
decision depended on, and writes records, indexes, projections, accounting entries and messages in one atomic step;
exposure and positions are computed from all orders of the market each time, never added to.
"""

import json
import secrets
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import structlog
from redis import Redis
from redis.exceptions import RedisError, ResponseError

from executor import keys
from executor.adapters.redis.accounts import ACCOUNT_FIELDS, account_of, held_elsewhere
from executor.adapters.redis.adapter import redis_time
from executor.adapters.redis.client import guarded, hash_of, script
from executor.adapters.redis.commit import after, request_for
from executor.adapters.redis.key_repair import repair_keys
from executor.adapters.redis.market_facts import decode_market
from executor.adapters.redis.record_reader import Reader, RecordReader, readable
from executor.adapters.redis.recorded import known_as, not_recorded, record_arguments
from executor.adapters.redis.records import decode_foreign, decode_order, decode_signal, encode
from executor.adapters.redis.topology import has_replicas, run_durably
from executor.domain.ledger_entry import encode_entry, of_signal
from executor.domain.signal_record import SignalRecord
from executor.domain.times import hour
from executor.errors import RecordUnreadable, StoreUnavailable
from executor.ports import Arrival, Change, MarketView, Recorded, SendState

log = structlog.get_logger(__name__)

_REPLICA_MS = 300  # a replica is a round trip away; one that needs longer may not be there
_TAKEN = "taken"  # record.lua: the id is another message's
_MARKET_LOCK_MS = 3000  # a view of a market with thousands of orders takes a fraction of it


def _count(text: str | None) -> int:
    """Read a counter; one that cannot be read counts as full."""
    try:
        return int(text or 0)
    except ValueError:
        return sys.maxsize


def _names(market_id: str, pnl_key: str, transactions_key: str) -> tuple[str, ...]:
    """Return what `view.lua` reads of all and of a market, in its order."""
    revision, orders = keys.market_revision(market_id), keys.market_orders(market_id)
    foreign, facts = keys.foreign(market_id), keys.market_facts(market_id)
    return (
        *(keys.IDENTITY, keys.TRADING_ENABLED, keys.RECONCILED, keys.LIMITS, pnl_key, keys.BREAKER, keys.BREAKER_SINCE),
        *(keys.FAILED_ORDERS, revision, orders, transactions_key, foreign, keys.MARKETS_STOPPED, facts),
        *(keys.ACCOUNT, keys.MARKET_HELD, keys.HELD_TOTAL),
    )


def _pairs(flat: Sequence[str]) -> dict[str, str]:
    return dict(zip(flat[::2], flat[1::2], strict=True))


@dataclass(frozen=True, slots=True)
class Retention:
    """How long finished records are kept, in seconds."""

    signal_s: int
    order_s: int
    breaker_window_s: int


@dataclass(frozen=True, slots=True)
class Sums:
    """How what is derived from the orders is summed up."""

    netting: bool = False  # of a market, for rule 4


class RedisStore(RecordReader):
    """`OrderStore` on one Redis db."""

    def __init__(self, client: "Redis", identity: str, retention: Retention, sums: Sums = Sums()) -> None:
        super().__init__(client)
        self._identity = identity
        self._sums = sums
        self._keep = retention
        self._view = client.register_script(script("view", needs=["failures_from", "held_total"]))
        self._commit = client.register_script(script("commit", needs=["held_total"]))
        self._has_replicas = has_replicas(client)
        self._record = client.register_script(script("record"))
        self._send_state = client.register_script(script("send_state"))
        self._close = client.register_script(script("close"))
        self._unlock = client.register_script(script("unlock"))

    @guarded
    def now(self) -> int:
        """Return Redis TIME in ms."""
        return redis_time(self._redis)

    @guarded
    def record(self, arrivals: Sequence[Arrival]) -> list[tuple[Recorded, str] | StoreUnavailable]:
        """Write each signal's record unless its message is known; returns the ids under which they are known."""
        if len(arrivals) == 1:  # a pipeline asks for its scripts first: one more trip
            try:
                return [self._known(arrivals[0], self._record_one(arrivals[0], self._redis))]
            except ResponseError as error:
                return [not_recorded(error)]
        pipe = self._redis.pipeline(transaction=False)
        for arrival in arrivals:
            self._record_one(arrival, pipe)
        answers = pipe.execute(raise_on_error=False)
        return [self._told(arrival, answer) for arrival, answer in zip(arrivals, answers, strict=True)]

    def _told(self, arrival: Arrival, answer: object) -> tuple[Recorded, str] | StoreUnavailable:
        try:
            return not_recorded(answer) if isinstance(answer, RedisError) else self._known(arrival, answer)
        except ResponseError as error:
            return not_recorded(error)

    def _known(self, arrival: Arrival, answer: object) -> tuple[Recorded, str]:
        if answer == _TAKEN and arrival.otherwise is not None:
            arrival = replace(arrival, record=arrival.otherwise, otherwise=None)
            answer = self._record_one(arrival, self._redis)
        return known_as(arrival.record, answer)

    def _record_one(self, arrival: Arrival, client: "Redis") -> object:
        names, args = record_arguments(arrival, self._identity, self._keep.signal_s)
        return self._record(keys=names, args=args, client=client)

    @guarded
    def close(self, ends: Sequence[tuple[SignalRecord, SignalRecord]]) -> list[bool]:
        """Give signals their terminal records where they are still as they were read; tells which."""
        pipe = self._redis.pipeline(transaction=False)
        for open_, closed in ends:
            entry = encode_entry(of_signal(closed, self._identity))
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
    def view(
        self,
        market_id: str,
        *,
        signal_ids: Sequence[str] = (),
        order_ids: Sequence[str] = (),
        leave_out_unreadable: bool = False,
    ) -> MarketView:
        """Read all that a step on this market may depend on, at one moment."""
        now = hour(int(time.time() * 1000))
        strict = not leave_out_unreadable
        try:
            view = self._read(market_id, signal_ids, order_ids, now, strict=strict)
            if hour(view.now) != now:  # the hour has just ended, or this machine's clock is not Redis's
                view = self._read(market_id, signal_ids, order_ids, hour(view.now), strict=strict)
        except RecordUnreadable as error:
            self.note_unreadable(self._culprits(market_id, order_ids) or {f"market {market_id}": str(error)})
            raise
        return view

    def _read(
        self, market_id: str, signal_ids: Sequence[str], order_ids: Sequence[str], now: str, *, strict: bool
    ) -> MarketView:
        pnl_key, transactions_key = keys.pnl_daily(now[:10]), keys.transactions(now)
        names = _names(market_id, pnl_key, transactions_key)
        answer = self._view(
            keys=[*names, *map(keys.signal, signal_ids), *map(keys.order, order_ids)],
            args=[keys.order(""), self._keep.breaker_window_s, len(signal_ids), market_id, *ACCOUNT_FIELDS],
        )
        raw: list[Any] = cast("list[Any]", answer)
        reader = Reader(strict=strict)
        orders = reader.read(raw[12], decode_order)
        texts = {signal_id: text for signal_id, text in zip(signal_ids, raw[11], strict=False) if text is not None}
        signals = self._readable_signals(texts)  # a signal's record counts for no exposure: it fences nothing
        lenient = Reader(strict=False)
        foreign = lenient.read(list(_pairs(raw[14]).values()), decode_foreign)
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
            signals=signals,
            signals_raw=texts,
            stop_reason=raw[15] or ("the record of a foreign bet cannot be read" if lenient.problems else ""),
            foreign={bet.bet_id: bet for bet in foreign},
            unreadable=reader.problems,
            market=decode_market(raw[16]),
            market_asked=bool(raw[16]),
            account=account_of(raw[17]),
            held_elsewhere=held_elsewhere(raw[19], raw[18]),
            netting=self._sums.netting,
        )

    def _readable_signals(self, texts: Mapping[str, str]) -> dict[str, SignalRecord]:
        read = {signal_id: readable(text, decode_signal) for signal_id, text in texts.items()}
        self.note_unreadable({keys.signal(signal_id): why for signal_id, (_, why) in read.items() if why})
        return {signal_id: record for signal_id, (record, _) in read.items() if record is not None}

    def _culprits(self, market_id: str, order_ids: Sequence[str]) -> dict[str, str]:
        """Name the records of a market that are none."""
        try:
            members = cast("set[str]", self._redis.smembers(keys.market_orders(market_id)))
        except ResponseError:
            self._repair_keys([market_id])  # by the next try
            return {keys.market_orders(market_id): "of another type"}
        return {keys.order(order_id): why for order_id, why in self.unreadable({*members, *order_ids}).items()}

    @guarded
    def send_state(self, market_id: str, order_ids: Sequence[str]) -> SendState:
        """Read, at one moment, what sending these orders of a market rests on."""
        names = [keys.TRADING_ENABLED, keys.RECONCILED, keys.MARKETS_STOPPED, *map(keys.order, order_ids)]
        answer = self._send_state(keys=names, args=[market_id])
        raw: list[Any] = cast("list[Any]", answer)
        orders = [decode_order(text) for text in raw[5] if text is not None]
        return SendState(
            now=int(raw[0]) * 1000 + int(raw[1]) // 1000,
            trading=raw[2],
            reconciled=bool(raw[3]),
            stop_reason=str(raw[4]),
            orders={order.order_id: order for order in orders},
        )

    @guarded
    def commit(self, view: MarketView, change: Change) -> MarketView | None:
        """Write a change if nothing that it depends on has changed since `view`; returns the view after it, or None."""
        token = secrets.token_hex(8)
        request = request_for(view, change, self._identity, token, self._keep.signal_s, self._keep.order_s)
        arguments = [request.value, json.dumps(request.as_json())]
        replicated = True
        if self._has_replicas and (change.durable or change.trip):
            answer, replicated = run_durably(self._redis, self._commit, [request.key], arguments, _REPLICA_MS)
        else:
            answer = self._commit(keys=[request.key], args=arguments)
        now = int(cast("int", answer))
        return replace(after(view, change, request, now, token), replicated=replicated) if now else None

    @guarded
    def lock_market(self, market_id: str) -> str:
        """Become the only one who may change the market's orders, for some seconds; "" while somebody else is."""
        token = secrets.token_hex(8)
        return token if self._redis.set(keys.market_lock(market_id), token, nx=True, px=_MARKET_LOCK_MS) else ""

    @guarded
    def unlock_market(self, market_id: str, lock_token: str) -> None:
        """Let others change the market's orders again."""
        self._unlock(keys=[keys.market_lock(market_id)], args=[lock_token])

    @guarded
    def replace_unreadable(self, record: SignalRecord) -> None:
        """Set aside what is no record of a signal, and put this terminal one in its place."""
        key = keys.signal(record.signal_id)
        entry = encode_entry(of_signal(record, self._identity))
        pipe = self._redis.pipeline(transaction=True)
        pipe.rename(key, keys.aside(key, self.now()))
        pipe.zrem(keys.SIGNALS_OPEN, record.signal_id)
        pipe.set(key, encode(record), ex=self._keep.signal_s)
        pipe.xadd(keys.TRADES, hash_of(entry))
        pipe.execute()

    @guarded
    def repair_keys(self) -> list[str]:
        """Set aside keys of another type than ours, make indexes anew from the records; returns what was done."""
        return self._repair_keys(())

    def _repair_keys(self, markets: Iterable[str]) -> list[str]:
        found = repair_keys(self._redis, self._identity, markets)
        self.note_unreadable(dict.fromkeys(found, "it was of another type, and is set aside"))
        return found
