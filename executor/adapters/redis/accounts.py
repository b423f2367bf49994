"""P&L, the accounting feed and the account's money in Redis.

Invariants: P&L is a sum over per-bet records each time it is written; an entry of the feed stays until the ledger has
acknowledged it. Amounts in account currency, times in milliseconds.
"""

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any, Final, cast

from redis import Redis
from redis.exceptions import ResponseError

from executor import keys
from executor.adapters.redis.client import guarded
from executor.domain.money import ZERO
from executor.domain.times import iso
from executor.errors import StoreUnavailable
from executor.ports import Funds

_DAILY_S: Final = 48 * 3600  # contract section 4
# A day is summed up from all its bets each time one of them changes, so they must outlive any outage and correction.
_SETTLEMENTS_S: Final = 100 * 24 * 3600
_KEEP_TRADES_MS: Final = 7 * 24 * 3600 * 1000  # contract section 4
_MOMENT: Final = re.compile("[0-9]{1,15}", re.ASCII)  # ms
_AHEAD_MS: Final = 60_000  # what the clocks of a Redis and its replacement may differ by
_CONSUMER: Final = "ledger"  # one name: entries that a killed writer had read are read again first


# KEYS: the feed. ARGV: group, consumer, count. First what was read before and never acknowledged, else what is new.
_READ: Final = """
local function read(start)
  return redis.pcall('XREADGROUP', 'GROUP', ARGV[1], ARGV[2], 'COUNT', ARGV[3], 'STREAMS', KEYS[1], start)
end
local found = read('0')
if found.err then
  if not string.find(found.err, '^NOGROUP') then return found end
  redis.call('XGROUP', 'CREATE', KEYS[1], ARGV[1], '0', 'MKSTREAM')
elseif #found[1][2] > 0 then
  return found[1][2]
end
found = read('>')
return found and (found.err and found or found[1][2]) or {}
"""


class RedisAccounts:
    """The part of `Desk` that is about money."""

    def __init__(self, client: "Redis") -> None:
        self._redis = client
        self._read = client.register_script(_READ)

    def _get(self, key: str) -> str | None:
        return cast("str | None", self._redis.get(key))

    def _now(self) -> int:
        seconds, micros = self._redis.time()
        return int(seconds) * 1000 + int(micros) // 1000

    @guarded
    def settled_at(self) -> int | None:
        """Return when settlements were last read completely, or None when that is not known."""
        text = self._get(keys.SETTLED_AT) or ""
        # A time to come would let every settlement until then go unread.
        return int(text) if _MOMENT.fullmatch(text) and int(text) <= self._now() + _AHEAD_MS else None

    @guarded
    def book_profits(self, days: Mapping[str, Mapping[str, Decimal]], *, settled_at: int | None = None) -> None:
        """Put each day's bet id -> net profit; recompute the days' and the total P&L from all of them."""
        for day, bets in days.items():
            if bets:
                self._put_bets(day, bets)
            held = cast("list[str]", self._redis.hvals(keys.settlements(day)))
            self._put_day(day, _total(keys.settlements(day), held))
        self._put_total()
        if settled_at is not None:
            self._redis.set(keys.SETTLED_AT, settled_at)

    def _put_bets(self, day: str, bets: Mapping[str, Decimal]) -> None:
        self._redis.hset(keys.settlements(day), mapping=hash_of({bet: f"{net:f}" for bet, net in bets.items()}))
        self._redis.expire(keys.settlements(day), _SETTLEMENTS_S)

    def _put_day(self, day: str, net: Decimal) -> None:
        pipe = self._redis.pipeline(transaction=True)
        pipe.hset(keys.PNL_DAYS, day, f"{net:f}")
        pipe.set(keys.pnl_daily(day), f"{net:f}", ex=_DAILY_S)
        pipe.execute()

    def _put_total(self) -> None:
        days = cast("list[str]", self._redis.hvals(keys.PNL_DAYS))
        self._redis.set(keys.PNL_TOTAL, f"{_total(keys.PNL_DAYS, days):f}")

    @guarded
    def unbooked(self, days: Mapping[str, Mapping[str, Decimal]]) -> dict[str, dict[str, Decimal]]:
        """Return those of each day's profits that are not held, or not so; days without any are left out."""
        found: dict[str, dict[str, Decimal]] = {}
        for day, bets in days.items():
            if not bets:
                continue
            held = cast("list[str | None]", self._redis.hmget(keys.settlements(day), list(bets)))
            for (bet, net), text in zip(bets.items(), held, strict=True):
                if text != f"{net:f}":
                    found.setdefault(day, {})[bet] = net
        return found

    @guarded
    def restore_pnl(self, days: Mapping[str, Mapping[str, Decimal]]) -> None:
        """Put back what the ledger knows of days that Redis has lost; never overwrites."""
        for day, bets in days.items():
            if bets and not self._redis.exists(keys.settlements(day)):
                self._put_bets(day, bets)
                self._put_day(day, sum(bets.values(), ZERO))
        self._put_total()

    @guarded
    def read_trades(self, count: int) -> list[tuple[str, Mapping[str, str]]]:
        """Return entries of the feed that the ledger has not acknowledged, oldest first."""
        while answer := cast("list[Any]", self._read(keys=[keys.TRADES], args=[keys.TRADES_GROUP, _CONSUMER, count])):
            found = _entries(answer)
            if gone := [entry for entry, fields in found if not fields]:  # deleted by hand since it was read
                self._redis.xack(keys.TRADES, keys.TRADES_GROUP, *gone)
            if entries := [entry for entry in found if entry[1]]:
                return entries
        return []

    @guarded
    def acknowledge_trades(self, ids: Sequence[str]) -> None:
        """Say that the ledger has them."""
        self._redis.xack(keys.TRADES, keys.TRADES_GROUP, *ids)

    @guarded
    def trim_trades(self) -> None:
        """Drop what the ledger acknowledged a week ago."""
        try:
            groups = self._redis.xinfo_groups(keys.TRADES)
        except ResponseError:  # no feed yet
            return
        for group in groups:
            if group["name"] == keys.TRADES_GROUP:
                pending = self._redis.xpending(keys.TRADES, keys.TRADES_GROUP)
                oldest = int(str(pending.get("min") or group["last-delivered-id"]).partition("-")[0])
                old = self._now() - _KEEP_TRADES_MS
                self._redis.xtrim(keys.TRADES, minid=min(old, oldest), approximate=True)

    @guarded
    def save_account(self, funds: Funds, difference: Decimal) -> None:
        """Remember the account's money, how far its exposure is off ours, and since when it is."""
        balance = funds.available + funds.exposure
        amounts = {"available": funds.available, "exposure": funds.exposure, "balance": balance}
        fields = {name: f"{amount:f}" for name, amount in {**amounts, "difference": difference}.items()}
        now = self._now()
        self._redis.hset(keys.ACCOUNT, mapping=hash_of({**fields, "at": iso(now)}))
        if difference:
            self._redis.hsetnx(keys.ACCOUNT, "difference_since", str(now))
        else:
            self._redis.hdel(keys.ACCOUNT, "difference_since")


def hash_of(values: Mapping[str, str]) -> dict[Any, Any]:
    """Widen the type: redis-py's own is invariant."""
    return dict(values)


def _total(key: str, amounts: Sequence[str]) -> Decimal:
    try:
        total = sum(map(Decimal, amounts), ZERO)
    except InvalidOperation:
        total = Decimal("NaN")
    if not total.is_finite():
        raise StoreUnavailable(f"{key} in Redis holds what is no amount")
    return total


def _entries(answer: Sequence[Any]) -> list[tuple[str, Mapping[str, str]]]:
    return [(entry, dict(zip((flat or ())[::2], (flat or ())[1::2], strict=True))) for entry, flat in answer]
