"""The money model on a real Redis and a real ledger: the same histories, the same four books."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from money_model.history import History
from money_model.real import RealRedis, SqlBooks

from executor.devstack.redis_server import PrivateRedis


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.apt)])
def books(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SqlBooks]:
    sqlite = f"sqlite:///{tmp_path}/ledger.db"
    with closing(SqlBooks(sqlite if request.param == "sqlite" else request.getfixturevalue("postgres").url)) as ledger:
        yield ledger


@pytest.fixture
def real_redis(private_redis: PrivateRedis) -> Iterator[RealRedis]:
    with closing(RealRedis(private_redis.url(0))) as real:
        yield real


@pytest.mark.parametrize("seed", range(2000, 2006))
def test_four_books_agree_on_real_redis_and_ledger(seed: int, real_redis: RealRedis, books: SqlBooks) -> None:
    history = History(seed, real_redis, books)
    history.run(60)
    history.check()


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_four_books_agree_on_real_redis_and_ledger_after_many_histories(real_redis: RealRedis, books: SqlBooks) -> None:
    for seed in range(2100, 2150):
        real_redis.reset()
        books.reset()
        history = History(seed, real_redis, books)
        history.run(60)
        history.check()
