"""Exposure against the enumeration of everything that can happen: never below the worst, exact for one selection."""

from collections.abc import Sequence
from dataclasses import replace
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal, localcontext
from itertools import combinations, product
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.factories import NOW, make_order

from executor.domain.exposure import (
    Position,
    SideTotal,
    exposures,
    held_range,
    market_exposure,
    positions,
    selection_exposure,
)
from executor.domain.money import LADDER, Side, liability
from executor.domain.order import Order, OrderStatus

D = Decimal
S = OrderStatus
PROPERTY: Final = settings(deadline=None, max_examples=300)
A, B, C = 11, 22, 33
LIVE: Final = (S.RESERVED, S.SUBMITTED, S.PENDING)


def bet(side: Side, size: object, price: object, selection: int = A, *, matched: bool = True) -> Order:
    size, price = D(str(size)), D(str(price))
    order = make_order(side=side, size=size, price=price, selection_id=selection, status=S.PENDING)
    if not matched:
        return order
    return replace(order, status=S.MATCHED, size_matched=size, average_price_matched=price, matched_at=NOW)


# Betfair rules, section "Exposure arithmetic": the worked examples; a market is the sum of its selections here.
WORKED: Final = {
    "a: a matched back is closed by a matched lay": (
        [bet(Side.BACK, 10, 3), bet(Side.LAY, 10, 2.5)],
        {A: D(0)},
    ),
    "b: two lays; Betfair holds 20 with one winner, the sum holds for any number": (
        [bet(Side.LAY, 10, 3), bet(Side.LAY, 10, 4, B)],
        {A: D(20), B: D(30)},
    ),
    "c: two backs": ([bet(Side.BACK, 10, 3), bet(Side.BACK, 10, 4, B)], {A: D(10), B: D(10)}),
    "d: both unmatched: the worse of the two": (
        [bet(Side.BACK, 10, 3, matched=False), bet(Side.LAY, 10, 2.5, matched=False)],
        {A: D(15)},
    ),
    "e: an unmatched lay never reduces a matched back's risk": (
        [bet(Side.BACK, 10, 3), bet(Side.LAY, 10, 2.5, matched=False)],
        {A: D(10)},
    ),
}


@pytest.mark.parametrize(("orders", "expected"), WORKED.values(), ids=list(WORKED))
def test_the_worked_examples(orders: list[Order], expected: dict[int, Decimal]) -> None:
    assert exposures(orders) == expected
    assert market_exposure(orders) == sum(expected.values())
    assert [selection_exposure(orders, selection) for selection in expected] == list(expected.values())
    assert selection_exposure(orders, C) == 0


def test_only_matched_bets_count_where_only_matched_bets_are_asked_for() -> None:
    orders = [bet(Side.BACK, 10, 3), bet(Side.LAY, 10, 2.5, matched=False), bet(Side.BACK, 5, 2, B, matched=False)]
    orders += [bet(Side.BACK, 10, 3, C), bet(Side.LAY, 10, 2.5, C)]
    assert exposures(orders, matched_only=True) == {A: D(10)}
    assert exposures(orders) == {A: D(10), B: D(5), C: D(0)}


def test_a_fraction_of_a_penny_counts_as_a_penny() -> None:
    assert exposures([bet(Side.LAY, "0.33", "2.02")]) == {A: D("0.34")}
    assert exposures([bet(Side.LAY, "0.33", "2.02", matched=False)]) == {A: D("0.34")}


@pytest.mark.parametrize("status", S)
def test_what_counts_in_each_status(status: OrderStatus) -> None:
    unmatched = bet(Side.BACK, 10, 3, matched=False)
    assert selection_exposure([replace(unmatched, status=status)], A) == (10 if status in LIVE else 0)
    partly = replace(unmatched, status=status, size_matched=D(4), average_price_matched=D(3))
    assert selection_exposure([partly], A) == (0 if status is S.SETTLED else 10 if status in LIVE else 4)


prices = st.sampled_from([D("1.01"), D("1.33"), D("2.02"), D(3), D("9.80"), D(1000)])
pennies = st.integers(1, 5000).map(lambda size: D(size) / 100)


@st.composite
def orders(draw: st.DrawFn, selections: Sequence[int] = (A,)) -> Order:
    side = draw(st.sampled_from(Side))
    price, size = draw(prices), draw(pennies)
    matched = (size * draw(st.sampled_from([D(0), D(0), D(1) / 3, D(1)]))).quantize(D("0.01"))
    improved = [rung for rung in (D("1.02"), D("2.5"), D(20)) if (rung > price) == (side is Side.BACK)]
    return make_order(
        side=side,
        price=price,
        size=size,
        selection_id=draw(st.sampled_from(selections)),
        status=draw(st.sampled_from([*LIVE, S.CANCELLED, S.LAPSED, S.SETTLED, S.FAILED])),
        size_matched=matched,
        average_price_matched=draw(st.sampled_from([price, *improved])) if matched else D(0),
        size_cancelled=min(draw(pennies), size - matched) if draw(st.booleans()) else D(0),
    )


def books(selections: Sequence[int] = (A,)) -> st.SearchStrategy[list[Order]]:
    return st.lists(orders(selections), max_size=4)


def outcome(order: Order, filled: Decimal, *, wins: bool) -> Decimal:
    """Return what one bet brings when `filled` more of it is matched at its limit."""
    bets = [(order.size_matched, order.average_price_matched), (filled, order.price)]
    back = sum((size * (price - 1) if wins else -size for size, price in bets), D(0))
    return back if order.side is Side.BACK else -back


def worst(book: Sequence[Order], winners: Sequence[frozenset[int]]) -> Decimal:
    """Enumerate every set of further fills and every set of winners."""
    live = [order for order in book if order.status is not S.SETTLED]
    fills = [[D(0), order.size_open] if order.size_open else [D(0)] for order in live]
    results = [
        sum(
            (outcome(order, more, wins=order.selection_id in won) for order, more in zip(live, fill, strict=True)), D(0)
        )
        for fill in product(*fills)
        for won in winners
    ]
    return max(D(0), -min(results, default=D(0)))


@PROPERTY
@given(books())
def test_one_selections_exposure_is_exactly_the_worst_that_can_happen(book: list[Order]) -> None:
    exact = worst(book, [frozenset(), frozenset({A})])
    assert selection_exposure(book, A) == exact.quantize(D("0.01"), rounding=ROUND_CEILING)


@PROPERTY
@given(books((A, B, C)))
def test_a_markets_exposure_is_never_below_the_worst_with_any_number_of_winners(book: list[Order]) -> None:
    every = [
        frozenset(selection for selection, won in zip((A, B, C), wins, strict=True) if won)
        for wins in product([False, True], repeat=3)
    ]
    assert market_exposure(book) >= worst(book, every)
    assert market_exposure(book) == sum((selection_exposure(book, selection) for selection in (A, B, C)), D(0))


@PROPERTY
@given(books((A, B)), orders((A, B)))
def test_one_more_reservation_never_lowers_any_exposure(book: list[Order], more: Order) -> None:
    reserved = replace(more, status=S.RESERVED, size_matched=D(0), average_price_matched=D(0), size_cancelled=D(0))
    for selection in (A, B):
        assert selection_exposure([*book, reserved], selection) >= selection_exposure(book, selection)
    assert market_exposure([*book, reserved]) >= market_exposure(book)
    risk = liability(more.side, more.price, more.size)
    assert market_exposure([*book, reserved]) <= market_exposure(book) + risk


@PROPERTY
@given(books((A, B)), orders((A, B)), st.sampled_from([D(0), D("0.01"), D(7)]), st.booleans())
def test_no_fill_at_our_price_or_better_and_no_cancel_raises_the_exposure(
    book: list[Order], order: Order, better: Decimal, cancel: bool
) -> None:
    live = replace(order, status=S.PENDING)
    if cancel:
        after = replace(live, status=S.CANCELLED)
    else:
        price = live.price + better if live.side is Side.BACK else max(live.price - better, D("1.01"))
        size = live.size_matched + live.size_open
        paid = live.size_matched * live.average_price_matched + live.size_open * price
        # An average without end is cut to our advantage: rounded the other way it is a price worse than ours.
        with localcontext(rounding=ROUND_CEILING if live.side is Side.BACK else ROUND_FLOOR):
            average = paid / size if size else D(0)
        after = replace(live, status=S.MATCHED, size_matched=size, average_price_matched=average)
    assert market_exposure([*book, after]) <= market_exposure([*book, live])


def test_a_position_is_what_is_matched_by_side() -> None:
    book = [
        bet(Side.BACK, 10, 3),
        replace(bet(Side.BACK, 30, 4), matched_at=NOW + 9),
        replace(bet(Side.LAY, 5, 2), status=S.CANCELLED, size_cancelled=D(5)),
        bet(Side.BACK, 99, 9, matched=False),
        replace(bet(Side.BACK, 77, 7), status=S.SETTLED),
        bet(Side.LAY, 8, 2, B, matched=False),
        bet(Side.LAY, 3, "1.5", C),
    ]
    assert positions(book) == {
        A: Position(A, SideTotal(D(40), D("3.75")), SideTotal(D(5), D(2)), D(35), NOW + 9),
        C: Position(C, SideTotal(D(0), D(0)), SideTotal(D(3), D("1.5")), D("1.50"), NOW),
    }


def test_an_average_price_has_four_decimals() -> None:
    book = [bet(Side.BACK, 1, 2), bet(Side.BACK, 2, 3)]
    assert positions(book)[A].back == SideTotal(D(3), D("2.6667"))


@PROPERTY
@given(st.lists(st.tuples(st.sampled_from(LADDER), pennies), min_size=1, max_size=4))
def test_the_sum_of_many_lays_is_never_understated(lays: list[tuple[Decimal, Decimal]]) -> None:
    book = [bet(Side.LAY, size, price, matched=False) for price, size in lays]
    exact = sum((size * (price - 1) for price, size in lays), D(0))
    assert D(0) <= market_exposure(book) - exact < D("0.01")


# --- what the exchange may hold ---------------------------------------------------------------------------------------

HELD: Final = {
    "two lays: the dearer one with one winner, both with more": (
        [bet(Side.LAY, 10, 3), bet(Side.LAY, 10, 4, B)],
        (D(20), D(50)),
    ),
    "two backs of all runners: one of them wins": ([bet(Side.BACK, 10, 3), bet(Side.BACK, 10, 2, B)], (D(0), D(20))),
    "one back": ([bet(Side.BACK, 10, 3)], (D(10), D(10))),
    "one unmatched lay": ([bet(Side.LAY, 10, 3, matched=False)], (D(20), D(20))),
    "two markets": ([bet(Side.BACK, 10, 3), replace(bet(Side.BACK, 5, 3), market_id="1.9")], (D(15), D(15))),
    "submitted: there or not": ([replace(bet(Side.BACK, 10, 3, matched=False), status=S.SUBMITTED)], (D(0), D(10))),
    "reserved: certainly not": ([replace(bet(Side.BACK, 10, 3, matched=False), status=S.RESERVED)], (D(0), D(0))),
    "nothing": ([], (D(0), D(0))),
}


@pytest.mark.parametrize("case", HELD)
def test_what_the_exchange_may_hold(case: str) -> None:
    orders, expected = HELD[case]
    assert held_range(orders) == expected


@PROPERTY
@given(
    st.lists(
        st.builds(
            bet,
            st.sampled_from(Side),
            st.integers(2, 50),
            st.sampled_from(["1.5", "2", "3.45", "8"]),
            st.sampled_from([A, B, C]),
            matched=st.booleans(),
        ),
        max_size=6,
    ),
    st.integers(1, 2),
)
def test_the_range_holds_betfairs_own_figure_whatever_the_number_of_winners(orders: list[Order], winners: int) -> None:
    least, most = held_range(orders)
    worst = D(0)
    for won in combinations([A, B, C], winners):
        result = sum((worst_outcome(order, won=order.selection_id in won) for order in orders), D(0))
        worst = min(worst, result)
    assert least <= -worst <= most + D("0.01") * len(orders)


def worst_outcome(order: Order, *, won: bool) -> Decimal:
    """Return what a bet brings at worst: an unmatched one may stay unmatched."""
    size, price = order.size, order.average_price_matched or order.price
    backer = size * (price - 1) if won else -size
    result = backer if order.side is Side.BACK else -backer
    return result if order.size_matched else min(result, D(0))
