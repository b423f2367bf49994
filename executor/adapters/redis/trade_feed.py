"""The accounting feed in Redis, and beside it that of what was done by hand.

Invariant: an entry stays until the ledger has acknowledged it. Times in milliseconds.
"""

import secrets
from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

from redis import Redis
from redis.exceptions import ResponseError

from executor import keys
from executor.adapters.redis.adapter import RedisAdapter
from executor.adapters.redis.client import guarded, hash_of, script
from executor.domain.ledger_entry import LedgerEntry, decode_entry, encode_entry, of_trade
from executor.domain.order import Trade

_KEEP_TRADES_MS: Final = 7 * 24 * 3600 * 1000  # contract section 4
_CONSUMER: Final = "ledger"  # one name: entries that a killed writer had read are read again first


class RedisTradeFeed(RedisAdapter):
    """`TradeFeed` on one Redis db."""

    def __init__(self, client: "Redis") -> None:
        super().__init__(client)
        self._read = client.register_script(script("read_trades"))
        self._rewind = client.register_script(script("rewind"))

    @guarded
    def generation(self) -> str:
        """Name this filling of the db: after a loss the feed begins anew, under another name."""
        self._redis.set(keys.DATA_GENERATION, secrets.token_hex(8), nx=True)
        return self._get(keys.DATA_GENERATION) or ""

    def read_trades(self, count: int) -> list[tuple[str, LedgerEntry]]:
        """Return entries of the feed that the ledger has not acknowledged, oldest first."""
        return self._unbooked(keys.TRADES, count)

    def acknowledge_trades(self, ids: Sequence[str]) -> None:
        """Say that the ledger has them."""
        self._acknowledge(keys.TRADES, ids)

    def rewind_trades(self, reached: str) -> bool:
        """Have everything after this entry read again, if more than that was acknowledged; tells whether it was."""
        return self._back_to(keys.TRADES, reached)

    def read_acts(self, count: int) -> list[tuple[str, LedgerEntry]]:
        """Return what was done by hand and the ledger has not acknowledged, oldest first."""
        return self._unbooked(keys.AUDIT, count)

    def acknowledge_acts(self, ids: Sequence[str]) -> None:
        """Say that the ledger has them."""
        self._acknowledge(keys.AUDIT, ids)

    def rewind_acts(self, reached: str) -> bool:
        """Have every act after this one read again, if more than that was acknowledged; tells whether it was."""
        return self._back_to(keys.AUDIT, reached)

    @guarded
    def _unbooked(self, feed: str, count: int) -> list[tuple[str, LedgerEntry]]:
        while answer := cast("list[Any]", self._read(keys=[feed], args=[keys.TRADES_GROUP, _CONSUMER, count])):
            found = _entries(answer)
            if gone := [entry for entry, fields in found if not fields]:  # deleted by hand since it was read
                self._redis.xack(feed, keys.TRADES_GROUP, *gone)
            if entries := [(entry, decode_entry(fields)) for entry, fields in found if fields]:
                return entries
        return []

    @guarded
    def _acknowledge(self, feed: str, ids: Sequence[str]) -> None:
        self._redis.xack(feed, keys.TRADES_GROUP, *ids)

    @guarded
    def _back_to(self, feed: str, reached: str) -> bool:
        return bool(self._rewind(keys=[feed], args=[keys.TRADES_GROUP, reached or "0-0"]))

    def delivered_trades(self) -> str:
        """Return the id of the newest entry that was ever read for the ledger, "" where none was."""
        return self._delivered(keys.TRADES)

    def delivered_acts(self) -> str:
        """Return that of what was done by hand."""
        return self._delivered(keys.AUDIT)

    @guarded
    def _delivered(self, feed: str) -> str:
        try:
            groups = self._redis.xinfo_groups(feed)
        except ResponseError:  # no feed, or no stream
            return ""
        return next((str(each["last-delivered-id"]) for each in groups if each["name"] == keys.TRADES_GROUP), "")

    @guarded
    def append(self, trades: Sequence[Trade], identity: str) -> None:
        """Tell entries once more, of changes that are in the orders' records already."""
        pipe = self._redis.pipeline(transaction=True)
        for trade in trades:
            pipe.xadd(keys.TRADES, hash_of(encode_entry(of_trade(trade, identity))))
        pipe.execute()

    @guarded
    def trim_trades(self) -> None:
        """Drop what the ledger acknowledged a week ago, of both feeds."""
        for feed in (keys.TRADES, keys.AUDIT):
            self._trim(feed)

    def _trim(self, feed: str) -> None:
        try:
            groups = self._redis.xinfo_groups(feed)
        except ResponseError:  # no feed yet
            return
        for group in groups:
            if group["name"] == keys.TRADES_GROUP:
                pending = self._redis.xpending(feed, keys.TRADES_GROUP)
                oldest = int(str(pending.get("min") or group["last-delivered-id"]).partition("-")[0])
                old = self._now() - _KEEP_TRADES_MS
                self._redis.xtrim(feed, minid=min(old, oldest), approximate=True)


def _entries(answer: Sequence[Any]) -> list[tuple[str, Mapping[str, str]]]:
    return [(entry, dict(zip((flat or ())[::2], (flat or ())[1::2], strict=True))) for entry, flat in answer]
