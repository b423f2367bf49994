"""Redis, feed, ledger and a plain reckoning agree to the penny after any history; see `money_model`."""

import pytest
from money_model.history import History
from money_model.memory import MemoryBooks, MemoryRedis


@pytest.mark.parametrize("seed", range(100))
def test_four_books_agree_after_any_history(seed: int) -> None:
    history = History(seed, MemoryRedis(), MemoryBooks())
    history.run(60)
    history.check()


@pytest.mark.parametrize("seed", range(1000, 1020))
def test_four_books_agree_after_a_long_history(seed: int) -> None:
    history = History(seed, MemoryRedis(), MemoryBooks())
    history.run(200)
    history.check()
