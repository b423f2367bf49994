"""The same on real things: a Redis whose days pass when the model says so, and a ledger in any database.

Redis's own clock cannot be set: its TIME is shifted on the way, in Python and inside every script, and what has a
lifetime loses as much of it as is skipped.
"""

import random
from collections.abc import Callable, Mapping
from contextlib import suppress
from decimal import Decimal
from typing import Any, Final, TypeVar

import redis
from sqlalchemy import Connection, delete, insert, select
from support.factories import LIMITS
from support.fakes import CountingTelemetry, FrozenClock
from support.redis_ports import RedisPorts
from support.store_worlds import RETENTION, WINDOW_S

from executor import keys
from executor.adapters.redis.alerts import RedisAlerts
from executor.adapters.redis.snapshot import RedisSnapshot
from executor.adapters.redis.store import RedisStore
from executor.adapters.sql.ledger import SqlLedger
from executor.adapters.sql.tables import metadata
from executor.engine.engine import Engine
from executor.errors import LedgerUnavailable
from executor.ports import Ledger
from money_model.exchange import ModelExchange
from money_model.memory import IDENTITY, MODEL_POLICY

T = TypeVar("T")
D = Decimal
_OFFSET: Final = "model:offset"
# In every script: TIME is shifted, and an entry of a stream is named by the shifted time.
_SHIFT: Final = """
local plain = redis
local offset = tonumber(plain.call('GET', 'model:offset') or '0')
local function shifted()
  local time = plain.call('TIME')
  return {string.format('%d', time[1] + offset), time[2]}
end
local redis = setmetatable({
  call = function(command, ...)
    local args = {...}
    if command == 'TIME' then
      return shifted()
    elseif command == 'XADD' and args[2] == '*' then
      args[2] = shifted()[1] .. '000-' .. plain.call('INCR', 'model:entries') -- `ms-*` is Redis 7's
    end
    return plain.call(command, unpack(args))
  end
}, {__index = plain})
"""


class ShiftedRedis(redis.Redis):
    """A client of a Redis whose clock is ahead."""

    offset_s = 0

    def time(self, **options: Any) -> Any:
        seconds, micros = super().time(**options)
        return seconds + self.offset_s, micros

    def register_script(self, script: Any) -> Any:
        return super().register_script(_SHIFT + str(script))

    def eval(self, script: str, numkeys: int, *keys_and_args: Any) -> Any:
        return super().eval(_SHIFT + script, numkeys, *keys_and_args)

    def skip(self, seconds: int) -> None:
        """Let time pass."""
        self.offset_s += seconds
        for key in self.scan_iter(count=1000):
            left = self.pttl(key)
            if left > seconds * 1000:
                self.pexpire(key, left - seconds * 1000)
            elif left >= 0:
                self.delete(key)
        self.set(_OFFSET, self.offset_s)


class RealRedis:
    """One db of a real server."""

    def __init__(self, url: str) -> None:
        client: Any = ShiftedRedis.from_url(url, decode_responses=True)  # typed as its base class
        self._client: Any = client
        self._raw = redis.Redis.from_url(url)
        self.reset()

    def reset(self) -> None:
        """Begin anew, now."""
        self._client.offset_s = 0
        self.lose()

    def close(self) -> None:
        self._client.close()
        self._raw.close()

    def engine(self, exchange: ModelExchange, ledger: Ledger, telemetry: CountingTelemetry) -> Engine:
        client = self._client
        return Engine(
            store=RedisStore(client, IDENTITY, RETENTION),
            **vars(RedisPorts.on(client, client, IDENTITY)),
            exchange=exchange,
            ledger=ledger,
            clock=FrozenClock(),
            telemetry=telemetry,
            policy=MODEL_POLICY,
            alerts=RedisAlerts(client, RedisSnapshot(client, client, breaker_window_s=WINDOW_S), IDENTITY),
        )

    def now(self) -> int:
        seconds, micros = self._client.time()
        return int(seconds) * 1000 + int(micros) // 1000

    def pass_time(self, seconds: int) -> None:
        if seconds:
            self._client.skip(seconds)

    def lose(self) -> None:
        self._client.flushdb()
        self._client.skip(0)

    def backup(self) -> object:
        return {key: (self._raw.dump(key), self._raw.pttl(key)) for key in self._raw.scan_iter(count=1000)}

    def restore(self, backup: Any) -> None:
        self._raw.flushdb()
        for key, (held, left) in backup.items():
            self._raw.restore(key, max(left, 0), held)
        # Another run of the server: its marks say nothing.
        self._raw.delete(keys.FULL_READ, keys.RECONCILED)
        self._client.skip(0)

    def resume(self) -> None:
        self._client.set(keys.TRADING_ENABLED, "true")
        self._client.hset(keys.LIMITS, mapping=dict(LIMITS))

    def forget_acknowledged(self) -> None:
        entries: Any = self._client.xrevrange(keys.TRADES, count=4)
        if len(entries) > 3 and self._client.xinfo_groups(keys.TRADES):
            self._client.xgroup_setid(keys.TRADES, keys.TRADES_GROUP, entries[-1][0])

    def days(self) -> dict[str, Decimal]:
        found: Any = self._client.hgetall(keys.PNL_DAYS)
        return {day: D(net) for day, net in found.items() if D(net)}

    def total(self) -> Decimal:
        return D(str(self._client.get(keys.PNL_TOTAL)))

    def damage_sums(self, dice: random.Random) -> None:
        """Do to what is derived of the exposure what a slip of somebody's hand does."""
        client, total, markets = self._client, keys.HELD_TOTAL, (keys.MARKET_HELD, keys.MARKET_EXPOSURE)
        slips: list[Callable[[], object]] = [
            lambda: client.delete(total),
            lambda: client.set(total, dice.choice(["", "junk", "nan", "-5", "123456", "9" * 40, "1.5"])),
            lambda: client.incrby(total, dice.choice([-1, 1000])),
            lambda: client.delete(dice.choice(markets)),
            lambda: [client.hset(dice.choice(markets), f"1.{100 + dice.randrange(8)}", "77.00") for _ in range(2)],
            lambda: client.hdel(dice.choice(markets), f"1.{100 + dice.randrange(6)}"),
            lambda: client.hset(keys.MARKET_HELD, "1.103", "junk"),
            lambda: [client.delete(total), client.lpush(total, "of another type")],
        ]
        with suppress(redis.ResponseError):  # INCRBY of what is no number
            dice.choices(slips, [2, 3, 5, 2, 2, 2, 1, 1])[0]()

    def held_total(self) -> Decimal:
        held: Any = self._client.hgetall(keys.MARKET_HELD)
        assert set(held) == set(self._client.hgetall(keys.MARKET_EXPOSURE))
        total = D(str(self._client.get(keys.HELD_TOTAL) or 0)) / 100
        assert total == sum(map(D, held.values()), D(0)), (total, held)
        return total

    def feed(self) -> list[Mapping[str, str]]:
        entries: Any = self._client.xrange(keys.TRADES)
        return [fields for _, fields in entries if fields["type"] in {"fill", "void", "settlement"}]


class _Ledger(SqlLedger):
    """A ledger that can be away."""

    away = False

    def run(self, work: Callable[[Connection], T]) -> T:
        if self.away:
            raise LedgerUnavailable("ledger: away")
        return super().run(work)


class SqlBooks:
    """A ledger in a database; a backup is all that its tables hold."""

    def __init__(self, url: str) -> None:
        self._ledger = _Ledger(url)
        self.reset()

    def reset(self) -> None:
        """Begin anew, empty."""
        self.restore({table: [] for table in metadata.sorted_tables})

    def close(self) -> None:
        self._ledger.close()

    def port(self) -> Ledger:
        return self._ledger

    def set_away(self, *, away: bool) -> None:
        self._ledger.away = away

    def backup(self) -> object:
        was, self._ledger.away = self._ledger.away, False
        held = self._ledger.run(
            lambda connection: {
                table: [dict(row) for row in connection.execute(select(table)).mappings()]
                for table in metadata.sorted_tables
            }
        )
        self._ledger.away = was
        return held

    def restore(self, backup: Any) -> None:
        self._ledger.away = False

        def write(connection: Connection) -> None:
            for table in metadata.sorted_tables:
                connection.execute(delete(table))
                if backup[table]:
                    connection.execute(insert(table), backup[table])

        self._ledger.run(write)

    def matched(self) -> dict[str, Decimal]:
        sizes: dict[str, Decimal] = {}
        for row in self._ledger.entries(100_000):
            sizes[row["bet_id"]] = sizes.get(row["bet_id"], D(0)) + (
                row["size"] if row["kind"] == "fill" else -row["size"]
            )
        return {bet: size for bet, size in sizes.items() if size}

    def gross(self) -> dict[str, Decimal]:
        days: dict[str, Decimal] = {}
        for row in self._ledger.settled(IDENTITY):
            days[row["at"][:10]] = days.get(row["at"][:10], D(0)) + row["profit"]
        return {day: amount for day, amount in days.items() if amount}

    def known(self, bets: Mapping[str, str]) -> set[str]:
        return set() if self._ledger.away else self._ledger.knows(IDENTITY, bets, 0)
