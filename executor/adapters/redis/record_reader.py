"""Reading records: orders, signals, foreign bets; what cannot be read is named once and holds up nothing else.

Invariant: no reading here fails for one record; `RecordUnreadable` comes from `store.view` only, as it fences a market.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, TypeVar, cast

import structlog
from redis import Redis

from executor import keys
from executor.adapters.redis.adapter import RedisAdapter
from executor.adapters.redis.client import guarded
from executor.adapters.redis.commit import FOREIGN
from executor.adapters.redis.records import decode_foreign, decode_order, decode_signal
from executor.adapters.redis.set_aside import RedisSetAside
from executor.domain.foreign import ForeignBet
from executor.domain.order import Order
from executor.domain.signal_record import SignalRecord
from executor.errors import RecordUnreadable

log = structlog.get_logger(__name__)

T = TypeVar("T")

_AT_ONCE: Final = 500  # records in one reply


def readable(text: str, decode: Callable[[str], T]) -> tuple[T | None, str]:
    """Read a record; one that cannot be read must not hold up the others. `view` is strict: it fences its market."""
    try:
        return decode(text), ""
    except RecordUnreadable as error:
        return None, str(error)


class Reader:
    """Reads records, strictly or leaving out what is none."""

    def __init__(self, *, strict: bool) -> None:
        self._strict = strict
        self.problems: list[str] = []

    def one(self, text: str, decode: Callable[[str], T]) -> T | None:
        """Read a record.

        Raises:
            RecordUnreadable: it is none, and this reader is strict.
        """
        if self._strict:
            return decode(text)
        found, why = readable(text, decode)
        if found is None:
            self.problems.append(why)
        return found

    def read(self, texts: Sequence[str | None], decode: Callable[[str], T]) -> list[T]:
        """Read records, those that exist."""
        found = [self.one(text, decode) for text in texts if text is not None]
        return [record for record in found if record is not None]


class RecordReader(RedisAdapter):
    """The part of the store that reads records."""

    def __init__(self, client: "Redis") -> None:
        super().__init__(client)
        self._aside = RedisSetAside(client)

    def note_unreadable(self, things: Mapping[str, str]) -> None:
        """Say what cannot be read once, however often it is met."""
        for name in self._aside.note(things):
            log.error("record_not_readable", key=name, error=things[name], hint="repair it, or delete its key")

    @guarded
    def owners(self, bet_ids: Iterable[str]) -> dict[str, str]:
        """Return bet id -> the id of its order, of those bets that have one."""
        return {bet_id: order_id for bet_id, order_id in self._owners(bet_ids).items() if order_id != FOREIGN}

    @guarded
    def ever_foreign(self, bet_ids: Iterable[str]) -> set[str]:
        """Return those of these bets that are, or were until their market was settled, kept as foreign."""
        return {bet_id for bet_id, order_id in self._owners(bet_ids).items() if order_id == FOREIGN}

    def _owners(self, bet_ids: Iterable[str]) -> dict[str, str]:
        wanted = list(dict.fromkeys(bet_ids))
        found: dict[str, str] = {}
        for at in range(0, len(wanted), _AT_ONCE):
            some = wanted[at : at + _AT_ONCE]
            texts = cast("list[str | None]", self._redis.mget([keys.bet(bet_id) for bet_id in some]))
            found |= {bet_id: text for bet_id, text in zip(some, texts, strict=True) if text is not None}
        return found

    @guarded
    def foreign_bets(self) -> list[ForeignBet]:
        """Return every bet that is kept as foreign, those of a market together."""
        reader = Reader(strict=False)
        found: list[ForeignBet] = []
        for market in sorted(cast("set[str]", self._redis.smembers(keys.FOREIGN_MARKETS))):
            held = cast("dict[str, str]", self._redis.hgetall(keys.foreign(market)))
            found += reader.read(list(held.values()), decode_foreign)
        return found

    @guarded
    def unreadable(self, order_ids: Iterable[str]) -> dict[str, str]:
        """Return which of these orders have a record that is none, and why."""
        return {order_id: why for order_id, (_, why) in self._orders(order_ids).items() if why}

    @guarded
    def orders(self, order_ids: Iterable[str]) -> list[Order]:
        """Return these orders' records, those that exist and can be read."""
        found = self._orders(order_ids)
        self.note_unreadable({keys.order(order_id): why for order_id, (_, why) in found.items() if why})
        return [order for order, _ in found.values() if order is not None]

    def _orders(self, order_ids: Iterable[str]) -> dict[str, tuple[Order | None, str]]:
        """Return id -> its order or, where the record is none, why; nothing of those that do not exist."""
        wanted = list(dict.fromkeys(order_ids))
        found: dict[str, tuple[Order | None, str]] = {}
        for at in range(0, len(wanted), _AT_ONCE):  # keeps one reply, and Redis's pause for it, small
            some = wanted[at : at + _AT_ONCE]
            texts = cast("list[str | None]", self._redis.mget([keys.order(order_id) for order_id in some]))
            gone = [order_id for order_id, text in zip(some, texts, strict=True) if text is None]
            other = self._of_another_type([keys.order(order_id) for order_id in gone])
            for order_id, text in zip(some, texts, strict=True):
                if text is not None:
                    found[order_id] = readable(text, decode_order)
                elif keys.order(order_id) in other:
                    found[order_id] = None, "of another type"
        return found

    def _of_another_type(self, names: Sequence[str]) -> set[str]:
        """Return those of these keys without a text that exist: MGET does not tell another type from nothing."""
        if not names:
            return set()
        pipe = self._redis.pipeline(transaction=False)
        for name in names:
            pipe.exists(name)
        return {name for name, exists in zip(names, pipe.execute(), strict=True) if exists}

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
    def unreadable_signals(self, moved_before: int) -> dict[str, int]:
        """Return the open signals that nothing moved since and whose record is none: id -> when it was moved last."""
        found = cast(
            "list[tuple[str, float]]",
            self._redis.zrangebyscore(keys.SIGNALS_OPEN, "-inf", moved_before, start=0, num=_AT_ONCE, withscores=True),
        )
        names = [keys.signal(signal_id) for signal_id, _ in found]
        texts = cast("list[str | None]", self._redis.mget(names)) if found else []
        other = self._of_another_type([name for name, text in zip(names, texts, strict=True) if text is None])
        return {
            signal_id: min(max(int(score), 0), moved_before)
            for (signal_id, score), name, text in zip(found, names, texts, strict=True)
            if name in other or (text is not None and readable(text, decode_signal)[0] is None)
        }

    @guarded
    def open_signals(self, moved_before: int, limit: int) -> list[SignalRecord]:
        """Return signals without a terminal state that nothing moved since `moved_before`, oldest first."""
        return self._open("-inf", moved_before, limit)

    @guarded
    def signals_ahead(self, now: int, limit: int) -> list[SignalRecord]:
        """Return signals without a terminal state that were moved after `now`: Redis's clock has gone back."""
        return self._open(f"({now}", "+inf", limit)

    def _open(self, least: str, most: int | str, limit: int) -> list[SignalRecord]:
        ids = cast("list[str]", self._redis.zrangebyscore(keys.SIGNALS_OPEN, least, most, start=0, num=limit))
        names = [keys.signal(signal_id) for signal_id in ids]
        texts = cast("list[str | None]", self._redis.mget(names)) if ids else []
        other = self._of_another_type([name for name, text in zip(names, texts, strict=True) if text is None])
        records: list[SignalRecord] = []
        problems = dict.fromkeys(other, "of another type")
        for signal_id, name, text in zip(ids, names, texts, strict=True):
            if text is None:
                if name not in other:  # its record is gone (a person's DEL): nothing is left to close
                    self._redis.zrem(keys.SIGNALS_OPEN, signal_id)
                continue
            record, why = readable(text, decode_signal)
            if record is None:
                problems[name] = why
            else:
                records.append(record)
        self.note_unreadable(problems)
        return records
