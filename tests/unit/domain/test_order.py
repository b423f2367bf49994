"""The life of an order: the transition table, late and repeated answers, settlement, names fit for Betfair."""

import re
from dataclasses import replace
from decimal import Decimal
from itertools import product
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.factories import NOW, make_bet, make_order

from executor.domain.money import Side
from executor.domain.order import (
    CancelReason,
    OrderStatus,
    Trade,
    TradeKind,
    customer_ref,
    merge,
    move,
    order_ids,
    settle,
)

D = Decimal
S = OrderStatus
PROPERTY: Final = settings(deadline=None, max_examples=500)
SIZE: Final = D("10.00")
# Contract section 5, written down a second time.
ALLOWED: Final = {
    S.RESERVED: "SUBMITTED FAILED EXPIRED PENDING MATCHED CANCELLED LAPSED VOIDED",
    S.SUBMITTED: "RESERVED FAILED EXPIRED PENDING MATCHED CANCELLED LAPSED VOIDED",
    S.PENDING: "PENDING MATCHED CANCELLED LAPSED VOIDED SETTLED",
    S.MATCHED: "MATCHED VOIDED SETTLED",
    S.CANCELLED: "CANCELLED VOIDED SETTLED",
    S.LAPSED: "LAPSED VOIDED SETTLED",
    S.VOIDED: "VOIDED SETTLED MATCHED CANCELLED LAPSED",
    S.SETTLED: "SETTLED VOIDED",
    S.FAILED: "RESERVED PENDING MATCHED CANCELLED LAPSED VOIDED",
    S.EXPIRED: "RESERVED PENDING MATCHED CANCELLED LAPSED VOIDED",
}
AT_EXCHANGE: Final = [S.PENDING, S.MATCHED, S.CANCELLED, S.LAPSED, S.VOIDED]


@pytest.mark.parametrize(("before", "after"), list(product(S, S)))
def test_the_transition_table(before: OrderStatus, after: OrderStatus) -> None:
    order = make_order(status=before)
    if after in ALLOWED[before].split():
        moved = move(order, after, "why", "in words")
        assert moved == replace(order, status=after, reason="why", detail="in words")
    else:
        with pytest.raises(ValueError, match=f"{order.order_id}: no transition {before} -> {after}"):
            move(order, after)


@pytest.mark.parametrize("before", S)
def test_only_what_was_at_the_exchange_is_settled(before: OrderStatus) -> None:
    order = make_order(status=before)
    if before in {S.RESERVED, S.SUBMITTED, S.FAILED, S.EXPIRED}:
        with pytest.raises(ValueError, match=f"no transition {before} -> SETTLED"):
            settle(order, D(5), D(0), NOW)
    else:
        assert settle(order, D(5), D(0), NOW)[0].status is S.SETTLED


@pytest.mark.parametrize(
    ("sizes", "status"),
    [
        ({"executable": True}, S.PENDING),
        ({"executable": True, "size_matched": D(4)}, S.PENDING),
        ({"size_matched": D(10)}, S.MATCHED),
        ({"size_matched": D(7), "size_voided": D(3)}, S.MATCHED),
        ({"size_matched": D(4), "size_cancelled": D(6)}, S.CANCELLED),
        ({"size_matched": D(4), "size_lapsed": D(6)}, S.LAPSED),
        ({"size_cancelled": D(10)}, S.CANCELLED),
        ({"size_lapsed": D(10)}, S.LAPSED),
        ({"size_voided": D(10)}, S.VOIDED),
        ({"size_voided": D(4), "size_cancelled": D(6)}, S.VOIDED),
        ({}, S.LAPSED),
    ],
)
@pytest.mark.parametrize("before", [S.RESERVED, S.SUBMITTED, S.PENDING, S.FAILED, S.EXPIRED])
def test_what_the_exchange_says_becomes_a_status(
    before: OrderStatus, sizes: dict[str, Any], status: OrderStatus
) -> None:
    order = make_order(status=before, reason="TIMEOUT", detail="no answer", finished_at=7 if before in "FAILED" else 0)
    bet = make_bet(order, **{"executable": False, "average_price_matched": D(3), **sizes})
    merged, trades = merge(order, bet, NOW + 5)
    assert (merged.status, merged.bet_id, merged.placed_at) == (status, bet.bet_id, NOW + 5)
    assert merged.finished_at == (0 if status is S.PENDING else NOW + 5)
    assert merged.cancel_reason == (CancelReason.EXCHANGE if status is S.CANCELLED else "")
    assert (merged.reason == "") == (before in {S.FAILED, S.EXPIRED} or status is S.PENDING)
    assert len(trades) == (2 if bet.size_voided else bet.size_matched > 0)  # what is void was matched
    assert merge(merged, bet, NOW + 9) == (merged, ())


def test_our_own_reason_for_a_cancel_is_kept() -> None:
    order = make_order(status=S.PENDING, cancel_reason=CancelReason.UNMATCHED_TIMEOUT)
    merged, _ = merge(order, make_bet(order, executable=False, size_cancelled=SIZE), NOW)
    assert (merged.status, merged.cancel_reason) == (S.CANCELLED, CancelReason.UNMATCHED_TIMEOUT)


def test_a_second_bet_with_the_same_reference_never_mixes_into_the_first() -> None:
    order = make_order()
    order, _ = merge(order, make_bet(order, size_matched=D(4), average_price_matched=D(3)), NOW)
    other = make_bet(order, bet_id="300000000002", size_matched=SIZE, average_price_matched=D(3), executable=False)
    assert merge(order, other, NOW) == (order, ())


def test_a_price_correction_is_a_fill_of_nothing_at_the_new_average() -> None:
    order = make_order()
    order, _ = merge(order, make_bet(order, executable=False, size_matched=SIZE, average_price_matched=D(3)), NOW)
    reduced = make_bet(order, executable=False, size_matched=SIZE, average_price_matched=D("2.7"))
    corrected, trades = merge(order, reduced, NOW + 1)
    assert trades == (Trade(TradeKind.FILL, corrected, 2, D(0), D("2.7"), NOW + 1),)
    assert corrected.average_price_matched == D("2.7")
    assert corrected.matched_at == order.matched_at
    assert merge(corrected, reduced, NOW + 2) == (corrected, ())


@pytest.mark.parametrize(
    ("first", "then", "price"),
    [
        (("5", "3", "0"), ("10", "3.1", "0"), "3.2000"),  # 5 at 3 and 5 at 3.2
        (("9", "3", "0"), ("10", "2.5", "0"), "2.5"),  # repriced and filled: the increment alone would be below 1.01
        (("9.99", "3", "0"), ("10", "6", "0"), "6"),  # ... or above 1000
    ],
)
def test_the_price_of_a_second_fill(first: tuple[str, str, str], then: tuple[str, str, str], price: str) -> None:
    order = make_order(status=S.PENDING)
    names = ("size_matched", "average_price_matched", "size_voided")
    order, _ = merge(order, make_bet(order, **dict(zip(names, map(D, first), strict=True))), NOW)
    _, (trade,) = merge(order, make_bet(order, **dict(zip(names, map(D, then), strict=True))), NOW)
    assert (trade.kind, trade.price, trade.size) == (TradeKind.FILL, D(price), D(then[0]) - D(first[0]))


def test_a_void_takes_back_at_the_average_it_was_booked_at() -> None:
    order = make_order()
    order, _ = merge(order, make_bet(order, size_matched=D(6), average_price_matched=D(3)), NOW)
    voided, trades = merge(order, make_bet(order, executable=False, size_voided=D(6), size_lapsed=D(4)), NOW)
    assert trades == (Trade(TradeKind.VOID, voided, 2, D(6), D(3), NOW),)
    assert (voided.status, voided.average_price_matched, voided.counts) == (S.VOIDED, D(0), False)


def test_a_void_and_a_fill_in_one_answer_are_two_entries_the_void_first() -> None:
    order = make_order(status=S.PENDING)
    order, _ = merge(order, make_bet(order, size_matched=D(5), average_price_matched=D(3)), NOW)
    both = make_bet(order, size_matched=D(6), average_price_matched=D("3.2"), size_voided=D(3))
    merged, (void, fill) = merge(order, both, NOW + 1)
    assert (void.kind, void.number, void.size, void.price) == (TradeKind.VOID, 2, D(3), D(3))
    assert (void.order.size_matched, void.order.size_voided) == (D(2), D(3))
    # The fragments' own prices are not told: only the new average is known.
    assert fill == Trade(TradeKind.FILL, merged, 3, D(4), D("3.2"), NOW + 1)
    assert (merged.size_matched, merged.size_voided, merged.trade_count) == (D(6), D(3), 3)


@pytest.mark.parametrize("before", [S.MATCHED, S.CANCELLED, S.SETTLED])
def test_a_void_told_by_the_cleared_lists_takes_back_the_match_though_they_leave_out_the_cancel(
    before: OrderStatus,
) -> None:
    cancelled = D(0) if before is S.MATCHED else D(4)
    order = make_order(
        status=before, bet_id="b1", size_matched=D(6), average_price_matched=D(3), size_cancelled=cancelled
    )
    merged, (void,) = merge(order, make_bet(order, bet_id="b1", executable=False, size_voided=D(6)), NOW)
    assert (void.kind, void.size) == (TradeKind.VOID, D(6))
    assert (merged.size_matched, merged.size_voided, merged.size_cancelled) == (D(0), D(6), cancelled)
    assert merged.status is {S.MATCHED: S.VOIDED, S.CANCELLED: S.VOIDED, S.SETTLED: S.SETTLED}[before]
    assert merged.is_over


@pytest.mark.parametrize(("told", "fill"), [(D(7), D(3)), (D(4), None), (D(3), None)])
def test_a_match_unknown_until_after_the_settlement_is_booked_and_nothing_else_is(told: Decimal, fill: Any) -> None:
    # What was settled has been reckoned by the settled list: an average or a cancel that differs is no news any more.
    order = make_order(
        status=S.SETTLED, bet_id="b1", size_matched=D(4), average_price_matched=D(3), trade_count=2, finished_at=NOW
    )
    bet = make_bet(
        order, bet_id="b1", executable=False, size_matched=told, average_price_matched=D(2), size_cancelled=D(1)
    )
    merged, trades = merge(order, bet, NOW + 9)
    assert merged.status is S.SETTLED
    if fill is None:
        assert (merged, trades) == (order, ())
    else:
        assert sum((t.size for t in trades if t.kind is TradeKind.FILL), D(0)) >= fill
        assert (merged.size_matched, merged.average_price_matched) == (told, D(2))


def test_a_match_without_an_average_counts_at_its_limit() -> None:
    order = make_order(side=Side.LAY)
    merged, (trade,) = merge(order, make_bet(order, size_matched=D(4)), NOW)
    assert merged.average_price_matched == order.price
    assert trade.price == order.price


def test_a_settlement_is_booked_once_and_a_new_verdict_replaces_it() -> None:
    order = make_order(status=S.MATCHED, size_matched=SIZE, average_price_matched=D(3), trade_count=1, finished_at=NOW)
    settled, trade = settle(order, D(20), D(1), NOW + 60)
    assert trade == Trade(TradeKind.SETTLEMENT, settled, 2, SIZE, D(3), NOW + 60)
    assert (settled.finished_at, settled.settled_at, settled.net_profit) == (NOW, NOW + 60, D(19))
    assert settle(settled, D(20), D(1), NOW + 99) == (settled, None)
    again, trade = settle(settled, D(-10), D(0), NOW + 99)
    assert trade == Trade(TradeKind.SETTLEMENT, again, 3, SIZE, D(3), NOW + 99)
    assert (again.profit, again.commission, again.settled_at) == (D(-10), D(0), NOW + 99)


@pytest.mark.parametrize("status", S)
@pytest.mark.parametrize("matched", [D(0), D(4)])
def test_what_an_order_still_means(status: OrderStatus, matched: Decimal) -> None:
    order = make_order(status=status, size_matched=matched, size_cancelled=D(1), size_lapsed=D(2), size_voided=D("0.5"))
    live = status in {S.RESERVED, S.SUBMITTED, S.PENDING}
    assert order.size_open == (SIZE - matched - D("3.5") if live else 0)
    assert order.counts == (status is not S.SETTLED and (live or matched > 0))
    assert order.is_over == (status is S.SETTLED or (not live and matched == 0))
    assert make_order(status=status, size_matched=SIZE, size_voided=D(1)).size_open == 0


@PROPERTY
@given(st.text(min_size=1, max_size=128), st.integers(1, 999))
def test_names_fit_betfairs_references(signal_id: str, attempt: int) -> None:
    names = [*order_ids(signal_id, 2), customer_ref(signal_id, attempt)]
    assert len(set(names)) == 3
    assert all(re.fullmatch(r"[A-Za-z0-9._+*:;~-]{1,32}", name) for name in names)
    assert order_ids(signal_id, 1) == order_ids(signal_id, 2)[:1]
    assert customer_ref(signal_id, attempt) != customer_ref(signal_id, attempt + 1)
    assert not set(order_ids(signal_id + "x", 2)) & set(names)


def test_names_are_of_as_many_digits_as_fit_so_that_no_two_signals_share_one() -> None:
    """With four hex digits, a few hundred signals would: one exchange reference for two bets."""
    signals = [f"signal-{number}" for number in range(20_000)]
    assert len({name for signal_id in signals for name in order_ids(signal_id, 2)}) == 2 * len(signals)
    assert len({customer_ref(signal_id, 1) for signal_id in signals}) == len(signals)
    digest = order_ids("signal-1", 1)[0].removesuffix("-1")
    assert re.fullmatch("[0-9a-f]{28}", digest)
    assert customer_ref("signal-1", 7) == f"{digest}.7"
