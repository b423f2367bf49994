"""What a look at a market costs grows with its orders, and by no leap: no cache is read in a useless circle."""

import time
from collections.abc import Callable, Sequence
from typing import Final

import pytest
import redis
from support.factories import make_order
from support.store_worlds import IDENTITY, MARKET, RETENTION

from executor import keys
from executor.adapters.redis.records import decode_order, encode
from executor.adapters.redis.store import RedisStore
from executor.domain.order import OrderStatus

_LOOKS: Final = 5


def _texts(first: int, last: int) -> list[str]:
    return [encode(make_order(order_id=f"order-{number}", status=OrderStatus.PENDING)) for number in range(first, last)]


def _put(client: "redis.Redis", first: int, last: int) -> None:
    pipe = client.pipeline(transaction=False)
    for number, text in zip(range(first, last), _texts(first, last), strict=True):
        pipe.set(keys.order(f"order-{number}"), text)
        pipe.sadd(keys.market_orders(MARKET), f"order-{number}")
    pipe.execute()


def _fastest(work: Callable[[], object]) -> float:
    """Return the least that it takes once it has been done before: a busy machine only ever adds."""
    work()
    taken = []
    for _ in range(_LOOKS):
        start = time.perf_counter()
        work()
        taken.append(time.perf_counter() - start)
    return min(taken)


def test_a_view_of_a_market_grows_with_its_orders_and_by_no_leap(redis_client: "redis.Redis") -> None:
    store = RedisStore(redis_client, IDENTITY, RETENTION)
    costs: dict[int, float] = {}
    held = 0
    for size in (2000, 2100, 8000):
        _put(redis_client, held, size)
        held = size
        costs[size] = _fastest(lambda: store.view(MARKET))
        assert len(store.view(MARKET).orders) == size
    # It was 12 and 48 times; the rest is room for the processor's caches and for a machine that is busy.
    assert costs[2100] < 4 * costs[2000], costs
    assert costs[8000] < 20 * costs[2000], costs


@pytest.mark.parametrize("size", [pytest.param(17_000, marks=pytest.mark.slow), 20_000])
def test_more_records_than_are_remembered_cost_less_than_nothing_remembered(size: int) -> None:
    texts = _texts(0, size)

    def read(some: Sequence[str]) -> None:
        for text in some:
            decode_order(text)

    def first_time(turn: int) -> float:
        unseen = _texts(100_000 + 2000 * turn, 102_000 + 2000 * turn)
        start = time.perf_counter()
        read(unseen)
        return (time.perf_counter() - start) / 2000

    def share(turn: int) -> float:
        new = max(first_time(3 * turn + one) for one in range(3))  # a busy machine slows either: fair to both
        return _fastest(lambda: read(texts)) / size / new

    assert any(share(turn) < 0.8 for turn in range(4))  # it may be busy during one of the two only
