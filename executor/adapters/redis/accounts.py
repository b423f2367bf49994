"""P&L and the account's money in Redis.

Invariant: P&L is a sum over per-bet records each time it is written, and two writers never leave a sum that lacks what
one of them wrote. Amounts in account currency, times in ms.
"""

import json
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from decimal import Decimal, InvalidOperation
from typing import Final, cast

from redis.client import Pipeline
from redis.exceptions import WatchError

from executor import keys
from executor.adapters.redis.adapter import RedisAdapter
from executor.adapters.redis.client import guarded, hash_of
from executor.adapters.redis.key_repair import set_pnl_aside
from executor.domain.account import Account, parse_amount, rate_between
from executor.domain.money import PENNY, ZERO
from executor.domain.times import iso
from executor.errors import StoreUnavailable
from executor.ports import Funds, Reading

_DAILY_S: Final = 48 * 3600  # contract section 4
# A day is summed up from all its bets each time one of them changes, so they must outlive any outage and correction.
_SETTLEMENTS_S: Final = 100 * 24 * 3600
_MOMENT: Final = re.compile("[0-9]{1,15}", re.ASCII)  # ms
_TRIES: Final = 20  # at a sum, while others book into it; settlement runs in one or two processes
_AHEAD_MS: Final = 60_000  # what the clocks of a Redis and its replacement may differ by


# Of the account's hash, as a decision reads them.
ACCOUNT_FIELDS: Final = (
    "currency", "available", "exposure", "exposure_limit", "others", "lost", "lost_before", "read_at",
    "rate_from", "rate", "rates_at",
)  # fmt: skip


def account_in(held: Mapping[str, str]) -> Account:
    """Read the account's record as a look at the whole system has it: as a decision reads it."""
    return account_of([held.get(name) for name in ACCOUNT_FIELDS])


def account_of(values: Sequence[str | None]) -> Account:
    """Read the account's fields; what is none counts as not known."""
    held = dict(zip(ACCOUNT_FIELDS, values, strict=False))
    amounts = {name: parse_amount(held.get(name)) for name in ACCOUNT_FIELDS}
    lost = ((amounts["lost"] or ZERO) - (amounts["lost_before"] or ZERO)) * PENNY
    return Account(
        currency=held.get("currency") or "",
        available=amounts["available"],
        exposure=amounts["exposure"],
        exposure_limit=amounts["exposure_limit"],
        others=amounts["others"] or ZERO,
        lost=max(lost, ZERO),
        read_at=int(amounts["read_at"] or 0),
        rate_from=held.get("rate_from") or "",
        rate=amounts["rate"],
        rates_at=int(amounts["rates_at"] or 0),
    )


def held_elsewhere(total: str, own: str) -> Decimal:
    """Return what is held beside one market's: the sum is in pennies."""
    return (parse_amount(total) or ZERO) * PENNY - (parse_amount(own) or ZERO)


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
            self._sum_day(day)
        self._sum_total()
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
    def booked(self) -> dict[str, dict[str, Decimal]]:
        """Return UTC day -> bet id -> net profit, of the days whose bets are kept."""
        found: dict[str, dict[str, Decimal]] = {}
        for day in self._days(""):
            bets = cast("dict[str, str]", self._redis.hgetall(keys.settlements(day)))
            if bets:
                if not _are_amounts(list(bets.values())):
                    raise StoreUnavailable(f"{keys.settlements(day)} in Redis holds what is no amount")
                found[day] = {bet: Decimal(net) for bet, net in bets.items()}
        return found

    @guarded
    def booked_days(self, bets: Collection[str], since: str) -> dict[str, set[str]]:
        """Return UTC day -> those of these bets that are booked on it with a profit or loss, from a day on."""
        wanted, days = list(bets), self._days(since)
        if not wanted or not days:
            return {}
        pipe = self._redis.pipeline(transaction=False)
        for day in days:
            pipe.hmget(keys.settlements(day), wanted)
        found: dict[str, set[str]] = {}
        for day, texts in zip(days, pipe.execute(), strict=True):
            if own := {bet for bet, text in zip(wanted, texts, strict=True) if text is not None and not _is_zero(text)}:
                found[day] = own
        return found

    @guarded
    def lost_days(self, since: str) -> set[str]:
        """Return the UTC days, from one on, that have a sum and whose bets are lost, or were too old to be kept."""
        days = self._days(since)
        pipe = self._redis.pipeline(transaction=False)
        for day in days:
            pipe.exists(keys.settlements(day))
        return {day for day, there in zip(days, pipe.execute(), strict=True) if not there}

    @guarded
    def restore_pnl(self, days: Mapping[str, Mapping[str, Decimal]]) -> None:
        """Put back what the ledger knows of days that Redis has lost; never overwrites."""
        summed = set(self._days(""))
        kept = set() if summed else self._kept_days()
        for day, bets in days.items():
            if bets and not self._redis.exists(keys.settlements(day)):
                self._put_bets(day, bets)
                self._sum_day(day)
        for day in kept:
            self._sum_day(day)
        self._sum_total()

    def _kept_days(self) -> set[str]:
        """Return the UTC days whose bets are kept, whatever was summed up of them."""
        prefix = keys.settlements("")
        return {name.removeprefix(prefix) for name in self._redis.scan_iter(keys.settlements("*"), count=1000)}

    @guarded
    def save_currency(self, currency: str) -> None:
        """Remember the account's currency; "" leaves what is known."""
        if currency:
            self._redis.hset(keys.ACCOUNT, "currency", currency)

    @guarded
    def currency(self) -> str:
        """Return the account's currency as it was last asked for; "" where it is not known."""
        return cast("str | None", self._redis.hget(keys.ACCOUNT, "currency")) or ""

    @guarded
    def before_reading(self) -> Reading:
        """Say how things stand before the account's money is read."""
        return self._reading()

    def _reading(self) -> Reading:
        pipe = self._redis.pipeline(transaction=True)
        pipe.get(keys.HELD_TOTAL)
        pipe.hget(keys.ACCOUNT, "lost")
        held, lost = (reply if isinstance(reply, str) else "0" for reply in pipe.execute(raise_on_error=False))
        pennies = parse_amount(held) or ZERO
        return Reading(self._now(), pennies * PENNY, int(parse_amount(lost) or 0))

    @guarded
    def account(self) -> Account:
        """Return what is known of the account."""
        return account_of(cast("list[str | None]", self._redis.hmget(keys.ACCOUNT, ACCOUNT_FIELDS)))

    @guarded
    def save_rates(self, rates: Mapping[str, Decimal], currency: str) -> None:
        """Remember the exchange's rates, and what one unit of this currency (the limits') is in the account's."""
        own = cast("str | None", self._redis.hget(keys.ACCOUNT, "currency")) or ""
        rate = rate_between(rates, currency, own)
        fields = {"rates": json.dumps({code: f"{found:f}" for code, found in sorted(rates.items())})}
        fields |= {"rates_at": str(self._now()), "rate_from": currency, "rate": "" if rate is None else f"{rate:f}"}
        self._redis.hset(keys.ACCOUNT, mapping=hash_of(fields))

    @guarded
    def save_account(self, funds: Funds, difference: Decimal, reading: Reading | None = None) -> None:
        """Remember the account's money, how far its exposure is off ours, and since when it is."""
        after = self._reading()
        before = reading or after
        limit = funds.exposure_limit
        marks = {
            "exposure_limit": "" if limit is None else f"{limit:f}",
            "others": f"{max(ZERO, funds.exposure - max(before.held, after.held)):f}",
            "lost_before": str(before.lost),
            "read_at": str(before.at),
        }
        balance = funds.available + funds.exposure
        amounts = {"available": funds.available, "exposure": funds.exposure, "balance": balance}
        fields = {name: f"{amount:f}" for name, amount in {**amounts, "difference": difference}.items()}
        now = self._now()
        self._redis.hset(keys.ACCOUNT, mapping=hash_of({**fields, **marks, "at": iso(now)}))
        if difference:
            self._redis.hsetnx(keys.ACCOUNT, "difference_since", str(now))
        else:
            self._redis.hdel(keys.ACCOUNT, "difference_since")

    def _put_bets(self, day: str, bets: Mapping[str, Decimal]) -> None:
        self._redis.hset(keys.settlements(day), mapping=hash_of({bet: f"{net:f}" for bet, net in bets.items()}))
        self._redis.expire(keys.settlements(day), _SETTLEMENTS_S)

    def _days(self, since: str) -> list[str]:
        return sorted(day for day in cast("list[str]", self._redis.hkeys(keys.PNL_DAYS)) if day >= since)

    def _sum_day(self, day: str) -> None:
        bets = keys.settlements(day)

        def write(pipe: "Pipeline", held: list[str]) -> None:
            net = f"{_total(held):f}"
            pipe.hset(keys.PNL_DAYS, day, net)
            pipe.set(keys.pnl_daily(day), net, ex=_DAILY_S)

        self._sum_up(bets, write)

    def _sum_total(self) -> None:
        def write(pipe: "Pipeline", held: list[str]) -> None:
            pipe.set(keys.PNL_TOTAL, f"{_total(held):f}")

        self._sum_up(keys.PNL_DAYS, write)

    def _sum_up(self, key: str, write: Callable[["Pipeline", list[str]], None]) -> None:
        """Write what follows from a hash's values, again while somebody else changes them."""
        with self._redis.pipeline(transaction=True) as pipe:
            for _ in range(_TRIES):
                with suppress(WatchError):
                    pipe.watch(key)  # type: ignore[no-untyped-call]
                    held = cast("list[str]", pipe.hvals(key))
                    if not _are_amounts(held):
                        set_pnl_aside(self._redis, key)
                        raise StoreUnavailable(f"{key} in Redis held what is no amount: P&L is read anew")
                    pipe.multi()
                    write(pipe, held)
                    pipe.execute()
                    return
        raise StoreUnavailable(f"{key} kept changing")


def _is_zero(text: str) -> bool:
    try:
        return Decimal(text) == ZERO
    except InvalidOperation:  # whoever sums it up says so
        return False


def _total(amounts: Sequence[str]) -> Decimal:
    return sum(map(Decimal, amounts), ZERO)


def _are_amounts(texts: Sequence[str]) -> bool:
    try:
        return _total(texts).is_finite()
    except InvalidOperation:
        return False
