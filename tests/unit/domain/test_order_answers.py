"""Answers that arrive late, twice or in any order: the record ends in the truth, no trade is told twice."""

from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final

from hypothesis import given, settings
from hypothesis import strategies as st
from support.factories import NOW, make_bet, make_order

from executor.domain.money import Side
from executor.domain.order import TRANSITIONS, BetState, Order, OrderStatus, Trade, TradeKind, merge, settle

D = Decimal
S = OrderStatus
PROPERTY: Final = settings(deadline=None, max_examples=200)
SIZE: Final = D("10.00")


@dataclass(frozen=True)
class History:
    """What truly happened to one bet, state by state, and how it ended."""

    order: Order
    states: tuple[BetState, ...]
    status: OrderStatus


class Life:
    """A bet at the exchange: what is done to it, and what the exchange says of it after each step."""

    def __init__(self, side: Side) -> None:
        self.order = make_order(side=side, price=D("3.00"), size=SIZE, status=S.SUBMITTED)
        self.fragments: list[tuple[int, Decimal]] = []  # pennies, price
        self.gone = {"size_cancelled": 0, "size_lapsed": 0, "size_voided": 0}
        self.executable = True
        self.states: list[BetState] = []
        self.tell()

    @property
    def remaining(self) -> int:
        return 1000 - sum(pennies for pennies, _ in self.fragments) - sum(self.gone.values())

    def tell(self) -> None:
        size = sum(pennies for pennies, _ in self.fragments)
        paid = sum((pennies * price for pennies, price in self.fragments), D(0))
        state = make_bet(
            self.order,
            executable=self.executable,
            size_matched=D(size) / 100,
            average_price_matched=(paid / size).quantize(D("0.0000001")) if size else D(0),
            **{name: D(pennies) / 100 for name, pennies in self.gone.items()},
        )
        self.states.append(state)

    def fill(self, pennies: int, price: Decimal) -> None:
        self.fragments.append((pennies, price))
        self.executable = self.remaining > 0
        self.tell()

    def close(self, how: str, pennies: int) -> None:
        self.gone[how] += pennies
        self.executable = self.remaining > 0
        self.tell()

    def void(self, part: int) -> None:
        pennies, price = self.fragments.pop()
        self.fragments += [(pennies - part, price)] if part < pennies else []
        self.gone["size_voided"] += part
        self.tell()

    @property
    def status(self) -> OrderStatus:
        if self.executable:
            return S.PENDING
        if self.gone["size_voided"] and not self.fragments:
            return S.VOIDED
        if self.gone["size_cancelled"]:
            return S.CANCELLED
        return S.LAPSED if self.gone["size_lapsed"] else S.MATCHED


@st.composite
def histories(draw: st.DrawFn, *, voids: bool = True) -> History:
    """Generate a bet's life: fills at our price or better, partial cancels, voids of matched size, perhaps an end."""
    life = Life(draw(st.sampled_from(Side)))
    better = ["3.00", "3.05", "4.10"] if life.order.side is Side.BACK else ["3.00", "2.98", "1.50"]
    for kind in draw(st.lists(st.sampled_from(["fill", "fill", "cancel", *(["void"] if voids else [])]), max_size=6)):
        if kind == "void" and life.fragments:
            life.void(draw(st.integers(1, life.fragments[-1][0])))
        elif kind == "fill" and life.remaining:
            life.fill(draw(st.integers(1, life.remaining)), D(draw(st.sampled_from(better))))
        elif kind == "cancel" and life.remaining:
            life.close("size_cancelled", draw(st.integers(1, life.remaining)))
    end = draw(st.sampled_from(["", "size_cancelled", "size_lapsed"]))
    if end and life.remaining:
        life.close(end, life.remaining)
    while voids and life.fragments and draw(st.booleans()):  # after the end too, as for a removed runner
        life.void(life.fragments[-1][0])
    return History(life.order, tuple(life.states), life.status)


@st.composite
def deliveries(draw: st.DrawFn, *, voids: bool = True) -> tuple[History, list[int]]:
    """Pair a history with the order of its answers: any of them, any number of times, the last one among them."""
    history = draw(histories(voids=voids))
    last = len(history.states) - 1
    early, late = (draw(st.lists(st.integers(0, last), max_size=8)) for _ in range(2))
    return history, [*early, last, *late]


def deliver(order: Order, history: History, indices: list[int]) -> tuple[Order, list[Trade]]:
    trades: list[Trade] = []
    newest = -1
    for at, index in enumerate(indices):
        merged, entries = merge(order, history.states[index], NOW + at)
        same = history.states[index] in history.states[: newest + 1]
        if same:
            assert (merged, entries) == (order, ())  # old news, or news already booked
        assert merged.status is order.status or merged.status in TRANSITIONS[order.status]
        assert merged.size_open <= (order.size_open or SIZE)
        assert merged.size_matched + merged.size_voided >= order.size_matched + order.size_voided
        trades += entries
        order, newest = merged, max(newest, index)
    return order, trades


STARTS: Final = st.sampled_from([S.RESERVED, S.SUBMITTED, S.PENDING, S.FAILED, S.EXPIRED])


@settings(PROPERTY, max_examples=300)
@given(deliveries(), STARTS)
def test_late_repeated_and_reordered_answers_end_in_the_truth(
    delivery: tuple[History, list[int]], start: OrderStatus
) -> None:
    history, indices = delivery
    order, trades = deliver(replace(history.order, status=start), history, indices)
    truth = history.states[-1]
    assert order.status is history.status
    for name in ("size_matched", "average_price_matched", "size_cancelled", "size_lapsed", "size_voided", "bet_id"):
        assert getattr(order, name) == getattr(truth, name)
    open_size = SIZE - truth.size_matched - truth.size_cancelled - truth.size_lapsed - truth.size_voided
    assert order.size_open == (open_size if truth.executable else 0)
    signed = [-trade.size if trade.kind is TradeKind.VOID else trade.size for trade in trades]
    assert sum(signed, D(0)) == truth.size_matched
    assert [trade.number for trade in trades] == list(range(1, order.trade_count + 1))
    assert all(trade.order.size_matched == sum(signed[: trade.number], D(0)) for trade in trades)
    assert all(D("1.01") <= trade.price <= D(1000) for trade in trades)


@PROPERTY
@given(deliveries(voids=False))
def test_without_voids_the_fills_prices_add_up_to_the_average(delivery: tuple[History, list[int]]) -> None:
    order, trades = deliver(delivery[0].order, *delivery)
    paid = sum((trade.size * trade.price for trade in trades), D(0))
    assert abs(paid - order.size_matched * order.average_price_matched) < D("0.005")
    assert all(trade.kind is TradeKind.FILL for trade in trades)


@PROPERTY
@given(deliveries(), st.decimals(-10, 20, places=2))
def test_nothing_moves_a_settled_order(delivery: tuple[History, list[int]], profit: Decimal) -> None:
    history, indices = delivery
    order, _ = settle(deliver(history.order, history, indices)[0], profit, D("0.10"), NOW)
    assert deliver(order, history, indices) == (order, [])
    assert order.net_profit == profit - D("0.10")
    assert (order.is_over, order.size_open, order.counts) == (True, D(0), False)


def test_a_void_answered_late_is_not_undone_by_an_answer_from_before_it() -> None:
    order = make_order(status=S.PENDING)
    fills = [make_bet(order, size_matched=D(5), average_price_matched=D(3)), make_bet(order, size_matched=D(2))]
    before, voided = fills[0], replace(fills[1], size_voided=D(3), average_price_matched=D(3))
    order, _ = merge(merge(order, before, NOW)[0], voided, NOW)
    assert merge(order, before, NOW) == (order, ())


def test_the_cleared_lists_end_an_order_though_they_leave_out_an_earlier_partial_cancel() -> None:
    order = make_order()
    live = make_bet(order, size_cancelled=D(3), size_matched=D(2), average_price_matched=D(3))
    order, _ = merge(order, live, NOW)
    cleared = make_bet(order, executable=False, size_matched=D(2), average_price_matched=D(3))
    over, trades = merge(order, cleared, NOW)
    assert (over.size_open, over.finished_at, trades) == (D(0), NOW, ())
    assert merge(over, replace(live, size_cancelled=D(0)), NOW) == (over, ())  # what is over is never live again
    cancelled, _ = merge(order, replace(cleared, size_cancelled=D(8)), NOW)
    assert merge(cancelled, cleared, NOW) == (cancelled, ())  # less detail about the same end changes nothing
