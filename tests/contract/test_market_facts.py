"""A market's facts, from the sandbox over HTTPS into Redis and back into a decision's view."""

import json
from contextlib import closing
from decimal import Decimal

import pytest
import redis
from support.exchange_rig import live
from support.sandbox_client import RunningSandbox
from support.store_worlds import IDENTITY, RETENTION

from executor import keys
from executor.adapters.redis.market_facts import RedisMarketFacts
from executor.adapters.redis.store import RedisStore
from executor.domain.market import unsupported

pytest_plugins = ["support.sandbox_fixtures"]
ONE, TWO, THREE = "1.200000001", "1.200000002", "1.999999999"


def test_facts_travel_from_the_exchange_to_the_decision(sandbox: RunningSandbox, redis_client: "redis.Redis") -> None:
    sandbox.control("markets", marketId=ONE, marketType="WIN", runners=[{"selectionId": 1}, {"selectionId": 2}])
    sandbox.control("markets", marketId=TWO, marketType="EACH_WAY", eachWayDivisor=4, runners=[{"selectionId": 1}])
    facts = RedisMarketFacts(redis_client)
    store = RedisStore(redis_client, IDENTITY, RETENTION)
    for market in (ONE, TWO, ONE):
        facts.want(market)
    wanted = facts.wanted(40)
    assert (wanted, facts.wanted(40)) == ([ONE, TWO], [])
    with closing(live(sandbox)) as exchange:
        found = exchange.market_facts(wanted)
        assert exchange.currency() == "GBP"
    facts.save_facts(found, [THREE])
    plain, each_way, unknown = (store.view(market) for market in (ONE, TWO, THREE))
    assert plain.market is not None
    assert (plain.market.market_type, plain.market.betting_type, plain.market.ladder) == ("WIN", "ODDS", "CLASSIC")
    assert (plain.market.winners, set(plain.market.runners), plain.market.status) == (1, {1, 2}, "OPEN")
    said = json.loads(plain.market.raw)
    assert said["catalogue"]["description"]["bettingType"] == "ODDS"
    assert {runner["selectionId"] for runner in said["book"]["runners"]} == {1, 2}
    assert unsupported(plain.market, "EACH_WAY") == ""
    assert each_way.market is not None
    assert each_way.market.each_way_divisor == Decimal(4)
    assert "each way" in unsupported(each_way.market, "")
    assert (unknown.market, unknown.market_asked) == (None, True)
    assert (store.view("1.5").market, store.view("1.5").market_asked) == (None, False)


@pytest.mark.parametrize("junk", ["no json", "[]", '{"market_id": 1}', '{"runners": [{}]}', "9" * 99])
def test_facts_and_currency_that_are_none_are_not_known(redis_client: "redis.Redis", junk: str) -> None:
    store = RedisStore(redis_client, IDENTITY, RETENTION)
    redis_client.set(keys.market_facts(ONE), junk)
    redis_client.set(keys.ACCOUNT, junk)
    redis_client.set(keys.MARKETS_WANTED, junk)
    view = store.view(ONE)
    assert (view.market, view.market_asked) == (None, True)
    assert RedisMarketFacts(redis_client).wanted(5) == []
    redis_client.delete(keys.market_facts(ONE))
    redis_client.hset(keys.market_facts(ONE), "a", junk)
    assert store.view(ONE).market is None
