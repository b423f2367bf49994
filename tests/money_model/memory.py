"""What a history is run against: a Redis and a ledger that accidents can happen to; here both in memory."""

import copy
import random
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any, Final, Protocol

from support.engine_rig import make_policy
from support.factories import LIMITS
from support.fakes import CountingTelemetry, FrozenClock
from support.memory_ledger import MemoryLedger
from support.memory_redis import (
    Memory,
    MemoryAccounts,
    MemoryAlerts,
    MemoryCancelAttempts,
    MemoryControls,
    MemoryHedges,
    MemoryLocks,
    MemoryMarketFacts,
    MemorySetAside,
    MemoryStore,
    MemoryTradeFeed,
)

from executor.domain.risk import Rules
from executor.engine.engine import Engine
from executor.ports import Ledger
from money_model.exchange import ModelExchange

D = Decimal
IDENTITY: Final = "live model"
_KEPT_MS: Final = 7 * 86_400 * 1000  # of records that are over


class LedgerUnderTest(Protocol):
    """A ledger that can be away, backed up and restored, and looked into."""

    def port(self) -> Ledger: ...
    def set_away(self, *, away: bool) -> None: ...
    def backup(self) -> object: ...
    def restore(self, backup: Any) -> None: ...
    def matched(self) -> dict[str, Decimal]: ...
    def gross(self) -> dict[str, Decimal]: ...
    def known(self, bets: Mapping[str, str]) -> set[str]: ...


class RedisUnderTest(Protocol):
    """The ports that Redis serves, and what may happen to it."""

    def engine(self, exchange: ModelExchange, ledger: Ledger, telemetry: CountingTelemetry) -> Engine: ...
    def now(self) -> int: ...
    def pass_time(self, seconds: int) -> None: ...
    def lose(self) -> None: ...
    def backup(self) -> object: ...
    def restore(self, backup: Any) -> None: ...
    def resume(self) -> None: ...
    def forget_acknowledged(self) -> None: ...
    def days(self) -> dict[str, Decimal]: ...
    def total(self) -> Decimal: ...
    def feed(self) -> list[Mapping[str, str]]: ...
    def damage_sums(self, dice: random.Random) -> None: ...
    def held_total(self) -> Decimal: ...


def unlimited() -> Rules:
    rules = make_policy().rules
    return Rules(False, rules.breaker_enabled, rules.min_odds, rules.max_odds, rules.min_stake)


MODEL_POLICY: Final = make_policy(identity=IDENTITY, rules=unlimited(), max_transactions_per_hour=10**6)


class MemoryRedis:
    """Redis in memory, on a clock of its own."""

    def __init__(self) -> None:
        self.clock = FrozenClock()
        self.memory = Memory(clock=self.clock)

    def engine(self, exchange: ModelExchange, ledger: Ledger, telemetry: CountingTelemetry) -> Engine:
        memory = self.memory
        return Engine(
            MemoryStore(memory, identity=IDENTITY),
            MemoryControls(memory, identity=IDENTITY),
            MemoryLocks(memory),
            MemoryAccounts(memory),
            MemoryTradeFeed(memory),
            MemoryMarketFacts(memory),
            exchange,
            ledger,
            self.clock,
            telemetry,
            MODEL_POLICY,
            MemoryAlerts(memory),
            MemorySetAside(memory),
            MemoryHedges(memory),
            MemoryCancelAttempts(memory),
        )

    def now(self) -> int:
        return self.clock.now

    def pass_time(self, seconds: int) -> None:
        self.clock.tick(seconds)
        kept = self.clock.now - _KEPT_MS
        orders, written = self.memory.orders, self.memory.written
        for name in [order_id for order_id, order in orders.items() if order.is_over and written[order_id] < kept]:
            del orders[name]

    def lose(self) -> None:
        self.memory = Memory(clock=self.clock, generation=f"{self.clock.now}", full_read_of=None)

    def backup(self) -> object:
        return copy.deepcopy(replace(self.memory, clock=FrozenClock()))

    def restore(self, backup: Memory) -> None:
        self.memory = copy.deepcopy(backup)
        self.memory.clock = self.clock
        self.memory.run += 1
        self.pass_time(0)

    def resume(self) -> None:
        self.memory.trading = "true"
        self.memory.limits = dict(LIMITS)

    def forget_acknowledged(self) -> None:
        self.memory.acknowledged = set(list(self.memory.feed)[:-3]) & self.memory.acknowledged

    def days(self) -> dict[str, Decimal]:
        return {day: D(net) for day, net in self.memory.pnl.items() if D(net)}

    def total(self) -> Decimal:
        return sum(self.days().values(), D(0))

    def feed(self) -> list[Mapping[str, str]]:
        return self.memory.trades

    def damage_sums(self, dice: random.Random) -> None:
        """Do nothing: what is derived here is derived at each look."""

    def held_total(self) -> Decimal:
        return self.memory.held_total()


class MemoryBooks:
    """The ledger in memory."""

    def __init__(self) -> None:
        self.ledger = MemoryLedger()

    def port(self) -> Ledger:
        return self.ledger

    def set_away(self, *, away: bool) -> None:
        self.ledger.away = away

    def backup(self) -> object:
        return copy.deepcopy(self.ledger)

    def restore(self, backup: Any) -> None:
        self.ledger = copy.deepcopy(backup)
        self.ledger.away = False

    def matched(self) -> dict[str, Decimal]:
        return self.ledger.all_matched(IDENTITY)

    def gross(self) -> dict[str, Decimal]:
        return self.ledger.gross(IDENTITY)

    def known(self, bets: Mapping[str, str]) -> set[str]:
        return set() if self.ledger.away else self.ledger.knows(IDENTITY, bets, 0)
