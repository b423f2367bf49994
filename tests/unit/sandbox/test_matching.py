"""The order book: tables of what is matched with what, and properties that hold for every sequence of orders."""

from decimal import Decimal
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from betfair_sandbox.market.matching import Book, Fill, Order
from betfair_sandbox.market.money import LADDER, Side

D = Decimal
_ids = count(1)


def order(side: str, price: str, size: str, account: str = "a") -> Order:
    return Order(next(_ids), account, Side(side), D(price), D(size))


def rest(book: Book, *orders: Order) -> None:
    for resting in orders:
        assert book.submit(resting) == []


def seen(fills: list[Fill]) -> list[tuple[str, str]]:
    return [(str(fill.price), str(fill.size)) for fill in fills]


@pytest.mark.parametrize(
    ("resting", "taker", "fills", "remaining"),
    [
        pytest.param([("LAY", "3.00", "5")], ("BACK", "3.00", "5"), [("3.00", "5")], "0", id="equal prices"),
        pytest.param([("LAY", "3.10", "5")], ("BACK", "3.00", "5"), [("3.10", "5")], "0", id="back gets the better"),
        pytest.param([("BACK", "2.90", "5")], ("LAY", "3.00", "5"), [("2.90", "5")], "0", id="lay gets the better"),
        pytest.param([("LAY", "2.98", "5")], ("BACK", "3.00", "5"), [], "5", id="back never below its limit"),
        pytest.param([("BACK", "3.05", "5")], ("LAY", "3.00", "5"), [], "5", id="lay never above its limit"),
        pytest.param([("LAY", "3.00", "2")], ("BACK", "3.00", "5"), [("3.00", "2")], "3", id="partial"),
        pytest.param(
            [("LAY", "3.00", "2"), ("LAY", "3.10", "2"), ("LAY", "3.05", "2")],
            ("BACK", "3.00", "5"),
            [("3.10", "2"), ("3.05", "2"), ("3.00", "1")],
            "0",
            id="back takes the highest first",
        ),
        pytest.param(
            [("BACK", "3.00", "2"), ("BACK", "2.90", "2"), ("BACK", "2.96", "2")],
            ("LAY", "3.00", "5"),
            [("2.90", "2"), ("2.96", "2"), ("3.00", "1")],
            "0",
            id="lay takes the lowest first",
        ),
        pytest.param([("BACK", "3.00", "5")], ("BACK", "3.00", "5"), [], "5", id="one side only"),
    ],
)
def test_a_taker_is_matched_at_the_best_prices(
    resting: list[tuple[str, str, str]],
    taker: tuple[str, str, str],
    fills: list[tuple[str, str]],
    remaining: str,
) -> None:
    book = Book()
    rest(book, *(order(*terms, account="maker") for terms in resting))
    arriving = order(*taker)
    assert seen(book.submit(arriving)) == fills
    assert arriving.size_remaining == D(remaining)


def test_at_one_price_the_first_come_is_served_first() -> None:
    book = Book()
    first, second = order("LAY", "3", "2", "first"), order("LAY", "3.00", "2", "second")
    rest(book, first, second)
    book.submit(order("BACK", "3", "3"))
    assert (first.size_remaining, second.size_remaining) == (D(0), D(1))
    assert [resting.account for resting in book.resting(Side.LAY)] == ["second"]


def test_the_average_price_weighs_by_size() -> None:
    book = Book()
    rest(book, order("LAY", "4", "1"), order("LAY", "3", "3"))
    taker = order("BACK", "3", "4")
    book.submit(taker)
    assert taker.average_price_matched == D("3.25")


def test_a_partial_cancel_keeps_the_place_in_the_queue() -> None:
    book = Book()
    first, second = order("LAY", "3", "5"), order("LAY", "3", "5")
    rest(book, first, second)
    assert book.cancel(first, D(3)) == 3
    book.submit(order("BACK", "3", "4"))
    assert (first.size_matched, first.size_cancelled, second.size_matched) == (D(2), D(3), D(2))


def test_cancelling_more_than_remains_cancels_what_remains() -> None:
    book = Book()
    resting = order("LAY", "3", "5")
    rest(book, resting)
    book.submit(order("BACK", "3", "4"))
    assert book.cancel(resting, D(3)) == 1
    assert book.cancel(resting) == 0
    assert book.best(Side.LAY) is None


def test_voiding_moves_what_was_matched() -> None:
    book = Book()
    maker, taker = order("LAY", "3", "5"), order("BACK", "3", "3")
    rest(book, maker)
    book.submit(taker)
    assert maker.void() == 3
    assert (maker.size_matched, maker.size_voided, maker.size_remaining) == (D(0), D(3), D(2))
    assert maker.average_price_matched == 0


@pytest.mark.parametrize(
    ("size", "min_fill", "matched"),
    [
        pytest.param("4", "4", "4", id="whole"),
        # 2 at 3.20 leave room for 2 x 0.20 / 0.10 = 4 at 2.90: the average stays at 3.00.
        pytest.param("6", "6", "6", id="the average may include worse prices"),
        pytest.param("7", "7", "0", id="killed when the average would be worse"),
        pytest.param("7", "6", "6", id="minimum"),
    ],
)
def test_fill_or_kill(size: str, min_fill: str, matched: str) -> None:
    book = Book()
    rest(book, order("LAY", "3.2", "2"), order("LAY", "2.9", "10"))
    taker = order("BACK", "3", size)
    book.fill_or_kill(taker, D(min_fill))
    assert (taker.size_matched, taker.size_remaining) == (D(matched), D(0))
    assert taker.size_lapsed == D(size) - D(matched)
    assert matched == "0" or taker.average_price_matched >= 3


_actions = st.lists(
    st.one_of(
        st.tuples(
            st.just("submit"),
            st.sampled_from(Side),
            st.sampled_from(LADDER[150:158]),
            st.decimals("0.01", "50", places=2),
        ),
        st.tuples(st.sampled_from(["cancel", "lapse", "void", "kill"]), st.integers(0, 50), st.just(0), st.just(D(1))),
    ),
    max_size=40,
)


def _run(actions: list[tuple[object, ...]]) -> tuple[Book, list[Order], list[Fill]]:
    book, orders, fills = Book(), list[Order](), list[Fill]()
    for kind, which, price, size in actions:
        if kind == "submit":
            assert isinstance(which, Side)
            assert isinstance(price, Decimal)
            assert isinstance(size, Decimal)
            arriving = Order(next(_ids), str(len(orders) % 3), which, price, size)
            orders.append(arriving)
            fills += book.submit(arriving)
        elif orders:
            assert isinstance(which, int)
            chosen = orders[which % len(orders)]
            if kind == "cancel":
                book.cancel(chosen, D("0.5") if which % 2 else None)
            elif kind == "lapse":
                book.lapse(chosen)
            elif kind == "void":
                chosen.void()
            else:
                killer = Order(next(_ids), "k", chosen.side, chosen.price, chosen.size)
                orders.append(killer)
                fills += book.fill_or_kill(killer, chosen.size / 2)
    return book, orders, fills


@given(_actions)
def test_a_size_is_always_the_sum_of_its_parts(actions: list[tuple[object, ...]]) -> None:
    _, orders, _ = _run(actions)
    for order in orders:
        parts = order.size_matched, order.size_remaining, order.size_lapsed, order.size_cancelled, order.size_voided
        assert sum(parts) == order.size
        assert min(parts) >= 0


@given(_actions)
def test_the_book_is_never_crossed(actions: list[tuple[object, ...]]) -> None:
    book, orders, _ = _run(actions)
    back, lay = book.best(Side.BACK), book.best(Side.LAY)
    assert back is None or lay is None or back.price > lay.price
    assert {o.bet_id for side in Side for o in book.resting(side)} == {o.bet_id for o in orders if o.size_remaining}


@given(_actions)
def test_volume_and_money_are_conserved(actions: list[tuple[object, ...]]) -> None:
    _, orders, fills = _run([action for action in actions if action[0] != "void"])
    for side, mine in ((Side.BACK, "BACK"), (Side.LAY, "LAY")):
        matched = [o for o in orders if o.side is side]
        volume = sum(f.size for f in fills for o in (f.maker, f.taker) if o.side == mine)
        assert sum(o.size_matched for o in matched) == volume == sum(f.size for f in fills)
        assert sum(o.matched_value for o in matched) == sum(f.size * f.price for f in fills)


@given(_actions)
def test_nobody_is_matched_at_a_worse_price(actions: list[tuple[object, ...]]) -> None:
    _, orders, fills = _run(actions)
    for fill in fills:
        assert fill.price == fill.maker.price
        assert fill.maker.side is not fill.taker.side
    for order in orders:
        if order.size_matched:
            better = order.average_price_matched - order.price
            assert (better if order.side is Side.BACK else -better) >= 0
