"""No sequence of accepted signals takes exposure above a limit, whatever the exchange does in between."""

from dataclasses import replace
from decimal import Decimal
from typing import Final

from hypothesis import given, settings
from hypothesis import strategies as st
from support.factories import make_leg, make_limits, make_risk_inputs, make_rules, make_signal, reserving

from executor.domain.exposure import exposures, market_exposure
from executor.domain.money import LADDER, Side, liability
from executor.domain.order import Order, OrderStatus
from executor.domain.risk import decide, parse_limits
from executor.domain.signal import Leg

D = Decimal
S = OrderStatus
PROPERTY: Final = settings(deadline=None, max_examples=300)
SELECTIONS: Final = (11, 22, 33)
LIMITS: Final = make_limits(MaxExposurePerSelection="150", MaxExposurePerMarket="260", MaxStakePerOrder="90")

legs = st.builds(
    make_leg,
    selection_id=st.sampled_from(SELECTIONS),
    side=st.sampled_from(Side),
    price=st.sampled_from([LADDER[0], D("1.50"), D("2.02"), D("3.00"), D("8.80")]),
    size=st.integers(200, 9500).map(lambda size: D(size) / 100),
)
signals = st.lists(legs, min_size=1, max_size=2)
fates = st.tuples(
    st.integers(0, 30), st.sampled_from(["submit", "fill", "better", "cancel", "fail"]), st.integers(1, 9500)
)


def suffer(order: Order, fate: str, pennies: int) -> Order:
    """Do to an order what the exchange, or its absence, may do; a settlement and a void are not the rules' doing."""
    if fate == "submit" and order.status is S.RESERVED:
        return replace(order, status=S.SUBMITTED)
    if fate == "fail" and order.status in {S.RESERVED, S.SUBMITTED}:
        return replace(order, status=S.FAILED)
    if not order.size_open:
        return order
    if fate == "cancel":
        return replace(order, status=S.CANCELLED, size_cancelled=order.size_open)
    if fate in {"fill", "better"}:
        more = min(D(pennies) / 100, order.size_open)
        best = D(1000) if order.side is Side.BACK else D("1.01")
        price = best if fate == "better" else order.price
        size = order.size_matched + more
        paid = order.size_matched * order.average_price_matched + more * price
        status = S.MATCHED if size == order.size else S.PENDING
        return replace(order, status=status, size_matched=size, average_price_matched=paid / size)
    return order


def check(orders: list[Order]) -> None:
    limits = parse_limits(LIMITS)
    assert market_exposure(orders) <= limits.max_exposure_per_market
    assert max(exposures(orders).values(), default=D(0)) <= limits.max_exposure_per_selection
    for order in orders:
        assert order.size <= limits.max_stake_per_order
        allowed = limits.bankroll * limits.max_risk_per_trade_percent
        assert liability(order.side, order.price, order.size) <= allowed


@PROPERTY
@given(st.lists(signals | fates, min_size=1, max_size=25))
def test_no_sequence_of_accepted_signals_exceeds_a_limit(steps: list[list[Leg] | tuple[int, str, int]]) -> None:
    orders: list[Order] = []
    for at, step in enumerate(steps):
        if isinstance(step, list):
            signal = make_signal(*step, signal_id=f"signal-{at}")
            inputs = make_risk_inputs(orders=tuple(order for order in orders if order.counts), limits=LIMITS)
            _, reserved = decide(signal, inputs, make_rules(), reserving(signal))
            orders += reserved
        elif orders:
            which, fate, pennies = step
            orders[which % len(orders)] = suffer(orders[which % len(orders)], fate, pennies)
        check(orders)


@PROPERTY
@given(st.lists(legs, min_size=1, max_size=8))
def test_the_rules_leave_no_room_unused(wanted: list[Leg]) -> None:
    orders: tuple[Order, ...] = ()
    limits = parse_limits(LIMITS)
    for at, leg in enumerate(wanted):
        signal = make_signal(leg, signal_id=f"signal-{at}")
        verdict, reserved = decide(
            signal, make_risk_inputs(orders=orders, limits=LIMITS), make_rules(), reserving(signal)
        )
        with_it = [*orders, reserving(signal)(leg, 1)]
        fits = (
            leg.size <= limits.max_stake_per_order
            and liability(leg.side, leg.price, leg.size) <= limits.bankroll * limits.max_risk_per_trade_percent
            and max(exposures(with_it).values()) <= limits.max_exposure_per_selection
            and market_exposure(with_it) <= limits.max_exposure_per_market
        )
        assert verdict.accepted == fits
        orders += reserved
