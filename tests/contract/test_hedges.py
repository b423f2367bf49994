"""What is remembered of hedges, the same in memory and on Redis; and the prices they are made of, from the sandbox."""

from contextlib import closing
from decimal import Decimal
from typing import Any

import betfairlightweight
import pytest
import redis
from betfairlightweight import filters
from support.exchange_rig import live
from support.memory_redis import MemoryHedges
from support.redis_ports import RedisPorts
from support.sandbox_client import RunningSandbox, limit
from support.store_worlds import IDENTITY, World, memory_world, redis_world

from executor import keys
from executor.adapters.redis.hedges import RedisHedges
from executor.domain.hedge import Quote
from executor.ports import HedgeNote

pytest_plugins = ["support.sandbox_fixtures"]

D = Decimal
POSITION, OTHER = "1.200000000-123456-LAY", "1.200000000-123456-BACK"
MARKETS = [f"1.{700_000_000 + number}" for number in range(41)]  # one more than a call may name


@pytest.fixture(params=["memory", "redis"])
def world(request: pytest.FixtureRequest) -> World:
    if request.param == "memory":
        return memory_world()
    return redis_world(request.getfixturevalue("redis_client"))


def explained(world: World) -> list[tuple[str, str, str]]:
    if isinstance(world.hedges, MemoryHedges):
        return world.hedges.explained
    assert isinstance(world.hedges, RedisHedges)
    entries: Any = world.hedges._redis.xrange(keys.AUDIT)
    assert all((entry["who"], entry["action"], entry["via"]) == ("hedge", "hedge", "beat") for _, entry in entries)
    return [(entry["target"], entry["after"], entry["outcome"]) for _, entry in entries]


def test_the_last_look_at_a_position_is_what_is_remembered(world: World) -> None:
    hedges = world.hedges
    assert hedges.notes() == {}
    first = HedgeNote(1, "lay 90 at 3.05", waits=False, at=5)
    second = HedgeNote(3, "it waits: \u20ac", waits=True, at=9, done="lay 2 at 3")
    hedges.note(POSITION, first)
    hedges.note(OTHER, first)
    hedges.note(POSITION, second)
    assert hedges.notes() == {POSITION: second, OTHER: first}
    hedges.forget(OTHER)
    hedges.forget("of a position that nobody knows")
    assert hedges.notes() == {POSITION: second}


def test_each_explanation_is_on_its_way_to_the_ledger(world: World) -> None:
    world.hedges.explain(POSITION, "hedge-1", "holds 190 of at most 200; lay 90 at 3.05")
    world.hedges.explain(OTHER, "hedge-2", "holds 185 of at most 200; back 45 at 3")
    assert explained(world) == [
        (POSITION, "hedge-1", "holds 190 of at most 200; lay 90 at 3.05"),
        (OTHER, "hedge-2", "holds 185 of at most 200; back 45 at 3"),
    ]


@pytest.mark.parametrize(
    "junk",
    [
        "",
        "{",
        "[]",
        "{}",
        '{"attempt": "x"}',
        '{"attempt": 1e999}',
        '{"attempt": 1, "said": "", "waits": true, "at": 1000000000000000000000}',
        '{"attempt": -1, "said": "", "waits": true, "at": 1}',
        "[" * 100_000,
    ],
)
def test_a_note_that_is_none_hides_no_other(redis_client: "redis.Redis", junk: str) -> None:
    hedges = RedisPorts.on(redis_client, redis_client, IDENTITY).hedges
    hedges.note(POSITION, HedgeNote(2, "said", waits=True, at=1))
    redis_client.hset(keys.HEDGES, OTHER, junk)
    assert hedges.notes() == {POSITION: HedgeNote(2, "said", waits=True, at=1)}
    redis_client.delete(keys.HEDGES)
    redis_client.set(keys.HEDGES, junk)
    assert hedges.notes() == {}
    hedges.note(OTHER, HedgeNote(1))
    assert hedges.notes() == {OTHER: HedgeNote(1)}


# --- prices, over HTTPS ---


def test_prices_are_those_that_another_client_reads(
    sandbox: RunningSandbox, betfair: betfairlightweight.APIClient
) -> None:
    """Markets of the catalogue with prices of their own making; betfairlightweight is the witness."""
    ids = MARKETS[:5]
    for market_id in ids:  # they and their runners appear on first use; some of it is matched
        sandbox.place(market_id, *(limit(selection, "BACK", "1.01", 5) for selection in (11, 12, 13)))
    listed = [row["marketId"] for row in sandbox.call("listMarketCatalogue", filter={}, maxResults=100)]
    assert set(ids) <= set(listed)
    with closing(live(sandbox)) as exchange:
        found = exchange.quotes(ids)
        projection = filters.price_projection(price_data=["EX_BEST_OFFERS"])
        books = betfair.betting.list_market_book(ids, projection)
        again = exchange.quotes(ids)
    assert set(found) == set(ids)
    seen = 0
    for book in books:
        assert found[book.market_id].status == book.status == "OPEN"
        for runner in book.runners:
            offered = (runner.ex.available_to_back, runner.ex.available_to_lay)
            back, lay = (D(str(offers[0].price)) if offers else None for offers in offered)
            before, after = (looks[book.market_id].runners[runner.selection_id] for looks in (found, again))
            seen += before == after == Quote(back, lay, before.last)  # prices may move meanwhile
            assert before.back is None or before.lay is None or before.back < before.lay
    assert seen > 5
    assert any(quote.last is not None for quotes in found.values() for quote in quotes.runners.values())


def test_the_best_offers_and_the_last_trade(sandbox: RunningSandbox) -> None:
    one, two = MARKETS[:2]
    sandbox.market(one, to_back=[[2.9, 50], [3, 4]], to_lay=[[3.1, 50], [3.05, 7]])
    sandbox.market(two)
    with closing(live(sandbox)) as exchange:
        assert exchange.quotes([one])[one].runners[1] == Quote(D(3), D("3.05"), None)
        sandbox.place_one(one, limit(1, "BACK", 3, 4))
        quotes = exchange.quotes([one, two])
        assert quotes[one].runners == {1: Quote(D("2.9"), D("3.05"), D(3)), 2: Quote()}
        assert quotes[two].runners[1] == Quote()
        sandbox.control("remove", marketId=one, selectionId=2)
        sandbox.control("markets", marketId=one, status="SUSPENDED")
        assert exchange.quotes([one])[one].status == "SUSPENDED"
        assert set(exchange.quotes([one])[one].runners) == {1}


def test_more_markets_than_a_call_may_name_are_read_in_several(sandbox: RunningSandbox) -> None:
    for market_id in MARKETS:
        sandbox.market(market_id, to_back=[[3, 5]])
    with closing(live(sandbox)) as exchange:
        quotes = exchange.quotes(MARKETS)
    assert {market_id: quotes[market_id].runners[1].back for market_id in MARKETS} == dict.fromkeys(MARKETS, D(3))
    assert [len(call["params"]["marketIds"]) for call in sandbox.journal("listMarketBook")] == [40, 1]
