"""P&L and the account's money in Redis.

Invariant: P&L is a sum over per-bet records each time it is written. Amounts in account currency, times in ms.
"""

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Final, cast

from executor import keys
from executor.adapters.redis.adapter import RedisAdapter
from executor.adapters.redis.client import guarded, hash_of
from executor.domain.money import ZERO
from executor.domain.times import iso
from executor.errors import StoreUnavailable
from executor.ports import Funds

_DAILY_S: Final = 48 * 3600  # contract section 4
# A day is summed up from all its bets each time one of them changes, so they must outlive any outage and correction.
_SETTLEMENTS_S: Final = 100 * 24 * 3600
_MOMENT: Final = re.compile("[0-9]{1,15}", re.ASCII)  # ms
_AHEAD_MS: Final = 60_000  # what the clocks of a Redis and its replacement may differ by


class RedisAccounts(RedisAdapter):
    """`Accounts` on one Redis db."""

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


def _total(key: str, amounts: Sequence[str]) -> Decimal:
    try:
        total = sum(map(Decimal, amounts), ZERO)
    except InvalidOperation:
        total = Decimal("NaN")
    if not total.is_finite():
        raise StoreUnavailable(f"{key} in Redis holds what is no amount")
    return total
