"""Redis, feed, ledger and a plain reckoning agree to the penny after any history; see `support.money_model`."""

import copy
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import pytest
from support.memory_ledger import MemoryLedger
from support.money_model import IDENTITY, History, MemoryRedis

from executor.ports import Ledger

D = Decimal


class MemoryBooks:
    """The ledger in memory."""

    def __init__(self) -> None:
        self.ledger = MemoryLedger()

    def port(self) -> Ledger:
        return self.ledger

    def set_away(self, *, away: bool) -> None:
        self.ledger.away = away

    def backup(self) -> object:
        return copy.deepcopy(self.ledger)

    def restore(self, backup: Any) -> None:
        self.ledger = copy.deepcopy(backup)

    def matched(self) -> dict[str, Decimal]:
        return self.ledger.matched(IDENTITY)

    def known(self, bets: Mapping[str, str]) -> set[str]:
        return set() if self.ledger.away else self.ledger.knows(IDENTITY, bets, 0)

    def gross(self) -> dict[str, Decimal]:
        return self.ledger.gross(IDENTITY)


@pytest.mark.parametrize("seed", range(60))
def test_four_books_agree_after_any_history(seed: int) -> None:
    history = History(seed, MemoryRedis(), MemoryBooks())
    history.run(60)
    history.check()
