"""What is known of markets, in Redis."""

import json
import secrets
from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from itertools import zip_longest
from typing import Final, cast

from redis import Redis
from redis.exceptions import ResponseError

from executor import keys
from executor.adapters.redis.adapter import RedisAdapter
from executor.adapters.redis.client import guarded, hash_of, script
from executor.domain.market import Market, allows_as
from executor.domain.money import parse_number
from executor.ports import Counted

_MAX_TYPES: Final = 10_000
_FACTS_S: Final = 7 * 24 * 3600  # as long as orders are kept
_DECODED: Final = 256  # markets
_UNKNOWN_S: Final = 60  # then it is asked for again
_REVISION_S: Final = 7 * 24 * 3600  # as a commit's
_RUNNERS: Final = ("runners", "removed", "others")
_TEXTS: Final = ("market_type", "betting_type", "ladder", "status")


def encode_market(market: Market) -> str:
    """Write a market's facts as JSON: what the rules ask, and the exchange's own words."""
    names = ("market_id", *_TEXTS, "winners", *_RUNNERS, "complete", "read_at", "raw")
    facts = {name: getattr(market, name) for name in names}
    divisor = market.each_way_divisor
    return json.dumps(facts | {"each_way_divisor": None if divisor is None else f"{divisor:f}"})


@lru_cache(maxsize=_DECODED)  # each step on a market reads it, and it rarely changes
def decode_market(text: str | None) -> Market | None:
    """Read a market's facts; what is none counts as not known."""
    try:
        held = json.loads(text or "{}")
        divisor = held.get("each_way_divisor")
        texts = {name: str(held[name]) for name in _TEXTS}
        runners = {name: tuple(int(runner) for runner in held.get(name, ())) for name in _RUNNERS}
        return Market(
            market_id=str(held["market_id"]),
            market_type=texts["market_type"],
            betting_type=texts["betting_type"],
            ladder=texts["ladder"],
            status=texts["status"],
            each_way_divisor=None if divisor is None else parse_number(divisor),
            winners=int(held["winners"]),
            runners=runners["runners"],
            removed=runners["removed"],
            others=runners["others"],
            complete=held.get("complete") is True,  # what an earlier version wrote does not say
            read_at=int(held["read_at"]),
            raw=str(held["raw"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        return None


class RedisMarketFacts(RedisAdapter):
    """`MarketFacts` on one Redis db."""

    def __init__(self, client: "Redis") -> None:
        super().__init__(client)
        self._types: dict[str, str] = {}  # of markets; they do not change
        self._has_requested = False
        self._sum_held = client.register_script(script("sum_held", needs=["held_total"]))

    @guarded
    def request(self, market_id: str) -> None:
        """Ask for a market's facts."""
        self._redis.sadd(keys.MARKETS_WANTED, market_id)
        self._has_requested = True

    def has_requested(self) -> bool:
        """Tell whether this process has asked for facts since it took what was asked for."""
        return self._has_requested

    @guarded
    def take_requested(self, most: int) -> list[str]:
        """Take markets that were asked for; whoever takes them reads them."""
        self._has_requested = False
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
    def save_facts(self, markets: Sequence[Market], unknown: Sequence[str]) -> dict[str, Market | None]:
        """Remember markets' facts, and which ones the exchange does not know.

        Returns what was known of those that allow other results now. A step that has read the former facts of such a
        market finds its fence changed, and reads again.
        """
        before = self._facts([market.market_id for market in markets])
        changed = {
            market.market_id: before[market.market_id]
            for market in markets
            if not allows_as(before[market.market_id], market)
        }
        pipe = self._redis.pipeline(transaction=True)
        for market in markets:
            pipe.set(keys.market_facts(market.market_id), encode_market(market), ex=_FACTS_S)
        for market_id in changed:
            pipe.set(keys.market_revision(market_id), secrets.token_hex(8), ex=_REVISION_S)
        for market_id in unknown:
            pipe.set(keys.market_facts(market_id), "{}", ex=_UNKNOWN_S)
        pipe.execute()
        return changed

    def _facts(self, market_ids: Sequence[str]) -> dict[str, Market | None]:
        if not market_ids:
            return {}
        pipe = self._redis.pipeline(transaction=False)
        for market_id in market_ids:
            pipe.get(keys.market_facts(market_id))
        texts = pipe.execute(raise_on_error=False)
        return {
            market_id: decode_market(text if isinstance(text, str) else None)
            for market_id, text in zip(market_ids, texts, strict=True)
        }

    @guarded
    def counted(self, market_ids: Sequence[str]) -> dict[str, Counted]:
        """Return what is known of these markets, and what is written down as their exposure."""
        if not market_ids:
            return {}
        facts = self._facts(market_ids)
        pipe = self._redis.pipeline(transaction=False)
        for key in (keys.MARKET_EXPOSURE, keys.MARKET_HELD):
            pipe.hmget(key, list(market_ids))
        exposure, held = (reply if isinstance(reply, list) else () for reply in pipe.execute(raise_on_error=False))
        sums = zip_longest(market_ids, exposure, held)
        return {
            market_id: Counted(facts[market_id], of_rules or "", of_exchange or "")
            for market_id, of_rules, of_exchange in sums
        }

    @guarded
    def exposed_besides(self, known: Collection[str]) -> list[str]:
        """Return markets other than these that have an exposure written down."""
        pipe = self._redis.pipeline(transaction=False)
        pipe.hkeys(keys.MARKET_EXPOSURE)
        pipe.hkeys(keys.MARKET_HELD)
        written = (reply for reply in pipe.execute(raise_on_error=False) if isinstance(reply, list))
        return sorted({market_id for markets in written for market_id in markets} - set(known))

    @guarded
    def sum_up_held(self) -> tuple[str, str] | None:
        """Make what is kept as held over all markets their sum; returns what it was and is, where it was not."""
        found = cast("list[str]", self._sum_held(keys=[keys.MARKET_HELD, keys.HELD_TOTAL]))
        return (found[0], found[1]) if found else None

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
