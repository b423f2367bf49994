"""What is known of markets, in Redis."""

import json
from collections.abc import Mapping, Sequence
from typing import Final, cast

from redis import Redis
from redis.exceptions import ResponseError

from executor import keys
from executor.adapters.redis.adapter import RedisAdapter
from executor.adapters.redis.client import guarded, hash_of
from executor.domain.market import Market
from executor.domain.money import parse_number

_MAX_TYPES: Final = 10_000
_FACTS_S: Final = 7 * 24 * 3600  # as long as orders are kept
_UNKNOWN_S: Final = 60  # then it is asked for again
_TEXTS: Final = ("market_type", "betting_type", "ladder", "status")


def encode_market(market: Market) -> str:
    """Write a market's facts as JSON: what the rules ask, and the exchange's own words."""
    facts = {name: getattr(market, name) for name in ("market_id", *_TEXTS, "winners", "runners", "read_at", "raw")}
    divisor = market.each_way_divisor
    return json.dumps(facts | {"each_way_divisor": None if divisor is None else f"{divisor:f}"})


def decode_market(text: str | None) -> Market | None:
    """Read a market's facts; what is none counts as not known."""
    try:
        held = json.loads(text or "{}")
        divisor = held.get("each_way_divisor")
        return Market(
            market_id=str(held["market_id"]),
            each_way_divisor=None if divisor is None else parse_number(divisor),
            winners=int(held["winners"]),
            runners=tuple(int(runner) for runner in held["runners"]),
            read_at=int(held["read_at"]),
            raw=str(held["raw"]),
            **{name: str(held[name]) for name in _TEXTS},
        )
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        return None


class RedisMarketFacts(RedisAdapter):
    """`MarketFacts` on one Redis db."""

    def __init__(self, client: "Redis") -> None:
        super().__init__(client)
        self._types: dict[str, str] = {}  # of markets; they do not change

    @guarded
    def want(self, market_id: str) -> None:
        """Ask for a market's facts."""
        self._redis.sadd(keys.MARKETS_WANTED, market_id)

    @guarded
    def wanted(self, most: int) -> list[str]:
        """Take markets that were asked for; whoever takes them reads them."""
        try:
            found = cast("set[str]", self._redis.smembers(keys.MARKETS_WANTED))
        except ResponseError:  # somebody put something else there
            self._redis.delete(keys.MARKETS_WANTED)
            return []
        taken = sorted(found)[:most]
        if taken:
            self._redis.srem(keys.MARKETS_WANTED, *taken)
        return taken

    @guarded
    def save_facts(self, markets: Sequence[Market], unknown: Sequence[str]) -> None:
        """Remember markets' facts, and which ones the exchange does not know."""
        pipe = self._redis.pipeline(transaction=False)
        for market in markets:
            pipe.set(keys.market_facts(market.market_id), encode_market(market), ex=_FACTS_S)
        for market_id in unknown:
            pipe.set(keys.market_facts(market_id), "{}", ex=_UNKNOWN_S)
        pipe.execute()

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
