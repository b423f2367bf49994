"""What is known of markets, in Redis."""

from collections.abc import Mapping
from typing import Final, cast

from redis import Redis

from executor import keys
from executor.adapters.redis.adapter import RedisAdapter
from executor.adapters.redis.client import guarded, hash_of

_MAX_TYPES: Final = 10_000


class RedisMarketFacts(RedisAdapter):
    """`MarketFacts` on one Redis db."""

    def __init__(self, client: "Redis") -> None:
        super().__init__(client)
        self._types: dict[str, str] = {}  # of markets; they do not change

    @guarded
    def unknown_markets(self) -> list[str]:
        """Return markets with orders whose type is not known yet."""
        markets = sorted(cast("set[str]", self._redis.smembers(keys.MARKETS)))
        if not markets:
            return []
        types = cast("list[str | None]", self._redis.hmget(keys.MARKET_TYPES, markets))
        return [market for market, known in zip(markets, types, strict=True) if known is None]

    @guarded
    def save_market_types(self, types: Mapping[str, str]) -> None:
        """Remember markets' types for metric labels."""
        if types:
            self._redis.hset(keys.MARKET_TYPES, mapping=hash_of(types))

    @guarded
    def market_type(self, market_id: str) -> str:
        """Return a market's type, `unknown` until it has been looked up."""
        known = self._types.get(market_id)
        if known is None:
            known = cast("str | None", self._redis.hget(keys.MARKET_TYPES, market_id))
            if known is not None and len(self._types) < _MAX_TYPES:
                self._types[market_id] = known
        return known or "unknown"
