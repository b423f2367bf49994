"""Settlement of many bets: read page by page, whole markets a few at a time, and booked as if it were all at once."""

import tracemalloc
import weakref
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields, replace
from decimal import Decimal
from typing import Any

import pytest
from support.engine_rig import Rig, make_cleared
from support.factories import NOW, make_order
from support.fakes import ScriptedExchange
from support.memory_redis import MemoryStore

from executor.domain.order import Order, OrderStatus
from executor.domain.times import day
from executor.engine.settlement import settle
from executor.errors import StoreUnavailable
from executor.ports import ClearedBet, ClearedKind, Listing

D = Decimal
DAY_MS = 86_400_000
TODAY, TOMORROW = day(NOW), day(NOW + DAY_MS)
PAGE = 10


class Row(ClearedBet):
    """A row that can be watched."""


class Record(Order):
    """A record that can be watched."""


class Alive:
    """Counts what is in memory."""

    def __init__(self) -> None:
        self.now = self.most = 0

    def copies(self, kind: type[Any], found: Iterable[Any]) -> list[Any]:
        """Copy things to be counted until nobody has them any more."""
        copies = [kind(**{field.name: getattr(each, field.name) for field in fields(each)}) for each in found]
        for copy in copies:
            weakref.finalize(copy, self._gone)
        self.now += len(copies)
        self.most = max(self.most, self.now)
        return copies

    def _gone(self) -> None:
        self.now -= 1


class WatchedExchange(ScriptedExchange):
    """Counts the rows that it gave and that are still held."""

    rows = Alive()

    def settled_since(self, since: int, kind: ClearedKind) -> Iterator[Listing[ClearedBet]]:
        return (Listing(self.rows.copies(Row, page)) for page in super().settled_since(since, kind))

    def settled_in(self, market_ids: Sequence[str], kind: ClearedKind) -> Listing[ClearedBet]:
        return Listing(self.rows.copies(Row, super().settled_in(market_ids, kind)))


class WatchedStore(MemoryStore):
    """Counts the records that it gave and that are still held."""

    records = Alive()

    def orders(self, order_ids: Iterable[str]) -> list[Order]:
        return self.records.copies(Record, super().orders(order_ids))


def bet(number: int, market: int = 0, profit: str = "1.00", **overrides: Any) -> ClearedBet:
    order = make_order(order_id=f"order-{number}", bet_id=f"b{number}", market_id=f"1.{market}")
    return make_cleared(order, overrides.pop("kind", ClearedKind.SETTLED), profit=D(profit), **overrides)


def watched(*, page: int = PAGE) -> tuple[Rig, Alive, Alive]:
    """Return a rig that counts rows and records."""
    rig = Rig()
    exchange, store = WatchedExchange(rig.clock, page=page), WatchedStore(rig.memory)
    exchange.rows, store.records = Alive(), Alive()
    rig.exchange, rig.store = exchange, store
    rig.engine = replace(rig.engine, exchange=exchange, store=store)
    return rig, exchange.rows, store.records


def pnl(rig: Rig) -> dict[str, Decimal]:
    return {day: D(net) for day, net in rig.memory.pnl.items() if D(net)}


def whole_reads(rig: Rig) -> int:
    """Count how often whole markets were asked for."""
    return rig.exchange.called("settled_in").count(ClearedKind.SETTLED)


# --- memory -----------------------------------------------------------------------------------------------------------


def test_of_what_is_booked_no_more_than_a_page_and_the_next_are_in_memory() -> None:
    rig, rows, records = watched()
    rig.exchange.cleared = [bet(number, market=number % 4) for number in range(8 * PAGE)]
    rig.exchange.cleared += [bet(number, kind=ClearedKind.VOIDED, profit="0") for number in range(800, 800 + 3 * PAGE)]
    assert settle(rig.engine) == 11 * PAGE
    rows.most = records.most = 0
    assert settle(rig.engine) == 0
    assert rig.exchange.called("settled_since").count(NOW - DAY_MS) == 2 * 11
    assert 0 < rows.most <= 2 * PAGE
    assert 0 < records.most <= PAGE
    assert (rows.now, records.now) == (0, 0)


def test_memory_does_not_grow_with_what_is_booked() -> None:
    peaks = []
    for number in (100, 1000):
        rig = Rig()
        rig.exchange.page = 50
        rig.exchange.cleared = [bet(seed, market=seed % 4) for seed in range(number)]
        assert settle(rig.engine) == number
        tracemalloc.start()
        assert settle(rig.engine) == 0
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 2 * peaks[0]


def test_markets_with_news_are_in_memory_a_few_at_a_time() -> None:
    rig, rows, records = watched(page=200)
    rig.exchange.cleared = [bet(number, market=number % 3) for number in range(1800)]
    assert settle(rig.engine) == 1800
    assert whole_reads(rig) == 3
    assert rows.most < 800
    assert {order.status for order in rig.memory.orders.values()} == {OrderStatus.SETTLED}
    assert pnl(rig) == {TODAY: D(1800) - 3 * 30}  # 5 % of 600, in each market
    assert settle(rig.engine) == 0
    assert whole_reads(rig) == 3
    assert (rows.now, records.now) == (0, 0)


# --- the same books, however they are read ----------------------------------------------------------------------------


def test_dying_in_a_later_batch_books_the_rest_when_it_is_done_again() -> None:
    rig, _, _ = watched(page=500)
    rig.exchange.cleared = [bet(number, market=number % 2) for number in range(1200)]

    def die() -> None:
        raise StoreUnavailable("killed")

    rig.store.before_commit = [*[lambda: None] * 8, die]  # six commits a market
    with pytest.raises(StoreUnavailable):
        settle(rig.engine)
    assert settle(rig.engine) == 400
    assert pnl(rig) == {TODAY: D(1200) - 2 * 30}


@pytest.mark.parametrize("void_at", [NOW, NOW + DAY_MS])
def test_a_bet_void_in_part_is_no_news_again_though_its_parts_are_on_two_pages(rig: Rig, void_at: int) -> None:
    rig.clock.now = rig.memory.settled_at = void_at
    part = bet(1, profit="12.00", size_settled=D(6))
    rig.exchange.cleared = [part, *(bet(number) for number in range(2, 9))]
    void = replace(part, kind=ClearedKind.VOIDED, size_settled=D(4), profit=D(0), settled_at=void_at)
    rig.exchange.cleared.append(void)
    assert [settle(rig.engine) for _ in range(3)] == [8, 0, 0]
    assert whole_reads(rig) == 1
    after = rig.memory.orders["order-1"]
    assert (after.size_matched, after.size_voided, after.profit) == (D(6), D(4), D(12))
    # 5 % of 19 is 0.95, of which the 12.00 bear 0.60.
    assert pnl(rig) == {TODAY: D("18.05")}, "on the day of the profit, whenever a part was void"


def test_a_settled_part_that_is_gone_takes_its_profit_with_it(rig: Rig) -> None:
    part = bet(1, profit="12.00", size_settled=D(6))
    void = replace(part, kind=ClearedKind.VOIDED, size_settled=D(4), profit=D(0))
    rig.exchange.cleared = [part, void]
    assert settle(rig.engine) == 1
    rig.exchange.cleared = [void]  # as much void as is in the record, and nothing settled
    assert settle(rig.engine) == 1
    assert pnl(rig) == {}


def test_a_new_verdict_on_the_settled_part_is_news(rig: Rig) -> None:
    part = bet(1, profit="12.00", size_settled=D(6))
    void = replace(part, kind=ClearedKind.VOIDED, size_settled=D(4), profit=D(0))
    rig.exchange.cleared = [part, void]
    assert settle(rig.engine) == 1
    rig.exchange.cleared = [replace(part, profit=D(-6)), void]
    assert [settle(rig.engine), settle(rig.engine)] == [1, 0]
    assert pnl(rig) == {TODAY: D(-6)}


def test_a_commission_that_the_exchange_says_later_is_news(rig: Rig) -> None:
    rig.exchange.cleared = [bet(number) for number in range(5)]
    assert settle(rig.engine) == 5
    rig.exchange.charged = {"1.0": D("0.10")}
    assert [settle(rig.engine), settle(rig.engine)] == [5, 0]
    assert whole_reads(rig) == 2
    assert pnl(rig) == {TODAY: D("4.90")}


@pytest.mark.parametrize(("days_later", "unknown"), [(8, []), (0, [bet(3, market=3)])], ids=["old", "with-news"])
def test_a_day_that_redis_lost_is_not_summed_from_what_is_read_again(
    rig: Rig, days_later: int, unknown: list[ClearedBet]
) -> None:
    midnight = NOW - NOW % DAY_MS
    rig.memory.settled_at = midnight
    rig.exchange.cleared = [bet(1, market=1, settled_at=midnight - DAY_MS), bet(2, market=2, settled_at=midnight - 1)]
    assert settle(rig.engine) == 2
    rig.ledger.write(rig.memory.entries)
    yesterday = day(midnight - 1)
    assert pnl(rig) == {yesterday: D("1.90")}
    rig.memory.settlements.clear()
    rig.clock.tick(days_later * 86_400)
    rig.exchange.cleared += unknown
    settle(rig.engine)
    assert pnl(rig)[yesterday] == D("1.90"), "the first bet is not read again, the ledger knows it"


def test_a_bet_that_is_on_two_pages_is_booked_once(rig: Rig) -> None:
    part = bet(1, profit="12.00", size_settled=D(6))
    void = replace(part, kind=ClearedKind.VOIDED, size_settled=D(4), profit=D(0))
    rig.exchange.cleared = [part, void]
    settle(rig.engine)

    rig.exchange.cleared += [bet(number) for number in range(2, 6)]
    rig.exchange.moves = True
    assert [settle(rig.engine), settle(rig.engine)] == [4, 0]
    assert pnl(rig) == {TODAY: D("15.20")}


def test_profits_that_redis_lost_come_back_from_orders_that_are_settled(rig: Rig) -> None:
    rig.exchange.cleared = [bet(number, market=number) for number in range(5)]
    settle(rig.engine)
    assert pnl(rig) == {TODAY: D("4.75")}
    del rig.memory.settlements[TODAY]["b3"]
    rig.memory.settlements[TODAY]["b4"] = D("100.00")
    settle(rig.engine)
    assert pnl(rig) == {TODAY: D("4.75")}
    rig.memory.pnl[TODAY] = "7.00"
    settle(rig.engine)
    assert pnl(rig) == {TODAY: D("4.75")}
    assert whole_reads(rig) == 1
