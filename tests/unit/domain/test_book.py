"""What an order gets of a book: at its limit or better, the best first, never what others of ours have taken."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from executor.domain.book import Fillable, Level, Offers, take
from executor.domain.money import Side

D = Decimal
BOOK = Offers(
    to_back=(Level(D("2.9"), D(50)), Level(D(3), D(4)), Level(D("3.05"), D("2.5"))),
    to_lay=(Level(D("3.2"), D(50)), Level(D("3.1"), D(7))),
)


@pytest.mark.parametrize(
    ("side", "limit", "size", "taken", "got"),
    [
        (Side.BACK, "3", "10", "0", Fillable(D("6.5"), D("3.0192"))),  # (2.5 x 3.05 + 4 x 3) / 6.5, rounded down
        (Side.BACK, "3.1", "10", "0", Fillable()),
        (Side.BACK, "2.9", "2", "0", Fillable(D(2), D("3.0500"))),
        (Side.BACK, "3", "10", "3", Fillable(D("3.5"), D("3.0000"))),  # the best has gone to others
        (Side.BACK, "3", "10", "6.5", Fillable()),
        (Side.LAY, "3.1", "10", "0", Fillable(D(7), D("3.1000"))),
        (Side.LAY, "3.2", "10", "0", Fillable(D(10), D("3.1300"))),
        (Side.LAY, "3.2", "9", "0", Fillable(D(9), D("3.1223"))),  # (7 x 3.1 + 2 x 3.2) / 9 = 3.12222, rounded up
        (Side.LAY, "3", "10", "0", Fillable()),
    ],
)
def test_what_an_order_gets(side: Side, limit: str, size: str, taken: str, got: Fillable) -> None:
    assert take(BOOK, side, D(limit), D(size), D(taken)) == got


LEVELS = st.lists(st.builds(Level, st.decimals("1.01", "10", places=2), st.decimals("0", "100", places=4)), max_size=6)
SIZES = st.lists(st.decimals("0.01", "80", places=2), min_size=1, max_size=6)


@given(LEVELS, st.sampled_from(Side), st.decimals("1.01", "10", places=2), SIZES)
def test_orders_together_get_no_more_than_is_there_and_nothing_at_a_worse_price(
    levels: list[Level], side: Side, limit: Decimal, sizes: list[Decimal]
) -> None:
    offers = Offers(to_back=levels, to_lay=levels)
    there = sum((lv.size for lv in levels if (lv.price >= limit if side is Side.BACK else lv.price <= limit)), D(0))
    taken = D(0)
    for size in sizes:
        got = take(offers, side, limit, size, taken)
        assert 0 <= got.size <= size
        assert got.size == 0 or (got.price >= limit if side is Side.BACK else got.price <= limit)
        taken += got.size
    assert taken <= there
