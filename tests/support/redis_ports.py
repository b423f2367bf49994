"""The ports that one Redis serves beside the store, put together as `wiring` does, for tests with a client in hand."""

from dataclasses import dataclass

import redis

from executor.adapters.redis.accounts import RedisAccounts
from executor.adapters.redis.cancel_attempts import RedisCancelAttempts
from executor.adapters.redis.controls import RedisControls
from executor.adapters.redis.hedges import RedisHedges
from executor.adapters.redis.locks import RedisLocks
from executor.adapters.redis.market_facts import RedisMarketFacts
from executor.adapters.redis.set_aside import RedisSetAside
from executor.adapters.redis.trade_feed import RedisTradeFeed


@dataclass(frozen=True)
class RedisPorts:
    """Every port but the store and the alerts, on one client."""

    controls: RedisControls
    locks: RedisLocks
    accounts: RedisAccounts
    trade_feed: RedisTradeFeed
    market_facts: RedisMarketFacts
    set_aside: RedisSetAside
    cancel_attempts: RedisCancelAttempts
    hedges: RedisHedges

    @classmethod
    def on(cls, client: "redis.Redis", broker: "redis.Redis", identity: str, *, lock_s: int = 15) -> "RedisPorts":
        return cls(
            RedisControls(client, identity),
            RedisLocks(client, broker, lock_s=lock_s),
            RedisAccounts(client),
            RedisTradeFeed(client),
            RedisMarketFacts(client),
            RedisSetAside(client),
            RedisCancelAttempts(client),
            RedisHedges(client, identity),
        )
