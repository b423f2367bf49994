"""A market's facts, from the sandbox over HTTPS into Redis and back into a decision's view."""

import json
from contextlib import closing
from dataclasses import replace
from decimal import Decimal

import pytest
import redis
from support.exchange_rig import Answer, Request, ScriptedServer, http, live
from support.factories import make_order
from support.sandbox_client import RunningSandbox
from support.store_worlds import IDENTITY, RETENTION

from executor import keys
from executor.adapters.betfair.exchange import BetfairExchange
from executor.adapters.redis.market_facts import RedisMarketFacts, decode_market, encode_market
from executor.adapters.redis.store import RedisStore, Sums
from executor.domain.market import Market, unsupported
from executor.domain.money import Side
from executor.domain.order import OrderStatus
from executor.ports import Change, Counted

pytest_plugins = ["support.sandbox_fixtures", "support.exchange_fixtures"]
ONE, TWO, THREE = "1.200000001", "1.200000002", "1.999999999"


def test_facts_travel_from_the_exchange_to_the_decision(sandbox: RunningSandbox, redis_client: "redis.Redis") -> None:
    sandbox.control("markets", marketId=ONE, marketType="WIN", runners=[{"selectionId": 1}, {"selectionId": 2}])
    sandbox.control("markets", marketId=TWO, marketType="EACH_WAY", eachWayDivisor=4, runners=[{"selectionId": 1}])
    facts = RedisMarketFacts(redis_client)
    store = RedisStore(redis_client, IDENTITY, RETENTION)
    assert not facts.has_requested()
    for market in (ONE, TWO, ONE):
        facts.request(market)
    assert facts.has_requested()
    assert not RedisMarketFacts(redis_client).has_requested(), "of another process"
    wanted = facts.take_requested(40)
    assert (wanted, facts.take_requested(40)) == ([ONE, TWO], [])
    assert not facts.has_requested()
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
    assert RedisMarketFacts(redis_client).take_requested(5) == []
    redis_client.delete(keys.market_facts(ONE))
    redis_client.hset(keys.market_facts(ONE), "a", junk)
    assert store.view(ONE).market is None


def test_other_facts_change_the_fence_and_what_is_written_as_exposure(redis_client: "redis.Redis") -> None:
    facts = RedisMarketFacts(redis_client)
    store = RedisStore(redis_client, IDENTITY, RETENTION, Sums(netting=True))
    first = Market(ONE, "WIN", "ODDS", "CLASSIC", winners=1, runners=(1, 2, 3), complete=True, read_at=1, raw="{}")
    assert facts.save_facts([first], []) == {ONE: None}
    view = store.view(ONE)
    assert view.market == first
    lays = [
        make_order(
            order_id=f"lay-{runner}", market_id=ONE, selection_id=runner, side=Side.LAY, status=OrderStatus.MATCHED,
            size=Decimal(40), size_matched=Decimal(40), average_price_matched=Decimal(4),
        )
        for runner in (1, 2)
    ]  # fmt: skip
    assert store.commit(view, Change(orders=lays)) is not None
    assert redis_client.hgetall(keys.MARKET_EXPOSURE) == redis_client.hgetall(keys.MARKET_HELD) == {ONE: "80.00"}
    assert facts.counted([ONE]) == {ONE: Counted(first, "80.00", "80.00")}
    view = store.view(ONE)
    assert facts.save_facts([replace(first, read_at=2)], []) == {}  # read again, and nothing has changed
    assert store.view(ONE).revision == view.revision
    removed = replace(first, runners=(1, 3), removed=(2,), read_at=3)
    assert facts.save_facts([removed], []) == {ONE: replace(first, read_at=2)}
    assert store.commit(view, Change(recount=True)) is None  # it was read with the former facts
    assert store.commit(store.view(ONE), Change(recount=True)) is not None
    assert redis_client.hgetall(keys.MARKET_EXPOSURE) == {ONE: "120.00"}
    gone = [replace(lay, status=OrderStatus.SETTLED) for lay in lays]
    assert store.commit(store.view(ONE), Change(orders=gone)) is not None
    assert redis_client.hgetall(keys.MARKET_EXPOSURE) == redis_client.hgetall(keys.MARKET_HELD) == {}


def test_an_earlier_version_s_facts_are_read_as_of_a_market_that_may_grow(redis_client: "redis.Redis") -> None:
    old = json.loads(encode_market(Market(ONE, "WIN", "ODDS", winners=1, runners=(1, 2), raw="{}")))
    for name in ("removed", "others", "complete"):
        del old[name]
    redis_client.set(keys.market_facts(ONE), json.dumps(old))
    market = RedisStore(redis_client, IDENTITY, RETENTION).view(ONE).market
    assert market is not None
    assert (market.runners, market.complete, market.removed) == ((1, 2), False, ())


def test_the_exchange_says_who_has_left_and_whether_more_may_come(sandbox: RunningSandbox) -> None:
    sandbox.control(
        "markets", marketId=ONE, marketType="WIN", runners=[{"selectionId": runner} for runner in (1, 2, 3)]
    )
    sandbox.control("remove", marketId=ONE, selectionId=3)
    with closing(live(sandbox)) as exchange:
        market = exchange.market_facts([ONE])[0]
    assert (set(market.runners), market.removed, market.others, market.complete) == ({1, 2}, (3,), (), True)


@pytest.mark.parametrize("junk", [None, "", "junk", "nan", "inf", "1.5", "9" * 40])
def test_a_total_that_is_missing_or_none_is_the_sum_of_all_markets(
    redis_client: "redis.Redis", junk: str | None
) -> None:
    facts, store = RedisMarketFacts(redis_client), RedisStore(redis_client, IDENTITY, RETENTION)
    back = make_order(market_id=ONE, selection_id=1, size=Decimal("12.34"), status=OrderStatus.PENDING)
    other = replace(back, order_id="other", market_id=TWO, size=Decimal("5.01"))
    for order in (back, other):
        assert store.commit(store.view(order.market_id), Change(orders=(order,))) is not None
    assert redis_client.get(keys.HELD_TOTAL) == "1735"

    def damage() -> None:
        redis_client.delete(keys.HELD_TOTAL)
        if junk is not None:
            redis_client.set(keys.HELD_TOTAL, junk)

    damage()
    assert [store.view(market).held_elsewhere for market in (ONE, TWO, THREE)] == [
        Decimal("5.01"), Decimal("12.34"), Decimal("17.35"),
    ]  # fmt: skip
    more = replace(back, order_id="more", market_id=TWO, size=Decimal(1))
    assert store.commit(store.view(TWO), Change(orders=(more,), held_elsewhere_max=Decimal("12.33"))) is None
    assert store.commit(store.view(TWO), Change(orders=(more,), held_elsewhere_max=Decimal("12.34"))) is not None
    assert redis_client.get(keys.HELD_TOTAL) == "1835"
    damage()
    assert facts.sum_up_held() == (junk or "", "1835")
    assert facts.sum_up_held() is None
    redis_client.incrby(keys.HELD_TOTAL, -500)
    assert facts.sum_up_held() == ("1335", "1835")


def test_sums_of_markets_where_nothing_is_are_strays(redis_client: "redis.Redis") -> None:
    facts = RedisMarketFacts(redis_client)
    assert (facts.exposed_besides([]), facts.sum_up_held()) == ([], None)
    redis_client.hset(keys.MARKET_EXPOSURE, ONE, "5.00")
    redis_client.hset(keys.MARKET_HELD, mapping={TWO: "5.00", THREE: "1.00"})
    assert facts.exposed_besides([THREE]) == [ONE, TWO]
    redis_client.delete(keys.MARKET_HELD)
    redis_client.set(keys.MARKET_HELD, "of another type")
    assert facts.exposed_besides([]) == [ONE]
    assert facts.sum_up_held() is None


_ODD = ("NaN", "Infinity", "1e999999", "1" * 200, '{"a": 1, "a": 2}', '"\\ud800"', "[[]]", "{}", "true", '"x"')
_CATALOGUE = ("marketType", "bettingType", "eachWayDivisor", "priceLadderDescription")
_BOOK = ("numberOfWinners", "status", "version", "inplay", "selectionId", "lastPriceTraded", "runners")


@pytest.mark.parametrize("value", _ODD)
@pytest.mark.parametrize("field", [*_CATALOGUE, *_BOOK])
def test_one_odd_field_of_a_market_costs_no_other_market(
    server: ScriptedServer, exchange: BetfairExchange, field: str, value: str
) -> None:
    described = {"marketType": '"WIN"', "bettingType": '"ODDS"', **({field: value} if field in _CATALOGUE else {})}
    runner = {"selectionId": "1", "status": '"ACTIVE"', "lastPriceTraded": "2.0"}
    odd = {field: value} if field in _BOOK else {}
    book = {"marketId": f'"{ONE}"', "status": '"OPEN"', "numberOfWinners": "1", "runners": f"[{_json(runner | odd)}]"}
    books = f'[{_json(book | odd)}, {{"marketId": "{TWO}", "numberOfWinners": 1}}]'
    catalogue = f'[{{"marketId": "{ONE}", "description": {_json(described)}}}]'

    def script(request: Request) -> Answer:
        result = catalogue if "Catalogue" in request.call["method"] else books
        return http(f'{{"jsonrpc": "2.0", "id": {request.call["id"]}, "result": {result}}}'.encode())

    server.script = script
    found = {market.market_id: market for market in exchange.market_facts([ONE, TWO])}
    assert found[TWO].winners == 1
    assert len(encode_market(found[ONE])) < 2000
    assert decode_market(encode_market(found[ONE])) is not None
    assert TWO in exchange.quotes([ONE, TWO])
    if field == "bettingType" and value != '"x"':
        assert unsupported(found[ONE], ""), "what cannot be read is none that the rules hold for"


def _json(fields: dict[str, str]) -> str:
    return "{" + ", ".join(f'"{name}": {value}' for name, value in fields.items()) + "}"
