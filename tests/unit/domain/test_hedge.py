"""What a hedge would be: opposite, at the best price, no larger than what reduces, one piece within the limits."""

from dataclasses import replace
from decimal import Decimal
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.factories import LIMITS, make_order

from executor.domain.exposure import exposures
from executor.domain.hedge import HedgePolicy, Quote, Quotes, due, plan
from executor.domain.limits import Limits, parse_limits
from executor.domain.money import LADDER, Side, liability
from executor.domain.order import Order, OrderStatus

D = Decimal
S: Final = 7
POLICY: Final = HedgePolicy("trade", D(90), D(50), 3)
ROOMY: Final = replace(parse_limits(LIMITS), max_stake_per_order=D(9999), max_risk_per_trade_percent=D(1))


def matched(side: Side, size: str, price: str, **more: Any) -> Order:
    fields = {"status": OrderStatus.MATCHED, "size_matched": D(size), "average_price_matched": D(price)}
    return make_order(selection_id=S, side=side, size=D(size), price=D(price), **(fields | more))


def quotes(back: str = "3", lay: str = "3.05", last: str = "3", status: str = "OPEN") -> Quotes:
    return Quotes(status, {S: Quote(D(back) if back else None, D(lay) if lay else None, D(last) if last else None)})


def made(orders: list[Order], at: Quotes | None = None, limits: Limits = ROOMY, **policy: Any) -> tuple[Any, ...]:
    found = plan("1.1", S, orders, at or quotes(), limits, replace(POLICY, **policy), D(2))
    return found.side, found.price, found.size, found.problem


def test_a_selection_is_due_above_the_share_of_its_limit() -> None:
    assert due([matched(Side.BACK, "180", "3")], D(200), POLICY) == {}
    assert due([matched(Side.BACK, "180.01", "3")], D(200), POLICY) == {S: D("180.01")}
    assert due([matched(Side.BACK, "500", "3", status=OrderStatus.SETTLED)], D(200), POLICY) == {}
    unmatched = make_order(selection_id=S, size=D(500), status=OrderStatus.PENDING)
    assert due([unmatched], D(200), POLICY) == {}


def test_a_back_is_laid_and_a_lay_is_backed_down_to_the_target() -> None:
    assert made([matched(Side.BACK, "190", "3")]) == (Side.LAY, D("3.05"), D(90), "")
    assert made([matched(Side.LAY, "95", "3")]) == (Side.BACK, D(3), D(45), "")  # 190 at risk, 45 x 2 off


@pytest.mark.parametrize(
    ("at", "says"),
    [
        (None, "not known"),
        (quotes(status="SUSPENDED"), "the market is SUSPENDED"),
        (quotes(status=""), "not known"),
        (Quotes("OPEN", {}), "nobody offers"),
        (quotes(lay=""), "nobody offers"),
        (quotes(last=""), "nothing has been traded"),
        (quotes(lay="3.2"), "4 ticks worse than the last 3, 3 at most"),
    ],
)
def test_without_a_price_to_take_it_waits(at: Quotes | None, says: str) -> None:
    found = plan("1.1", S, [matched(Side.BACK, "190", "3")], at, ROOMY, POLICY, D(2))
    assert says in found.problem
    assert "it waits" in str(found)
    assert found.size == 0


def test_a_price_is_taken_up_to_so_many_ticks_worse_and_any_that_is_better() -> None:
    back = [matched(Side.BACK, "190", "3")]
    assert made(back, quotes(lay="3.15"))[1] == D("3.15")
    assert made(back, quotes(lay="2.5"))[1] == D("2.5")
    assert "ticks worse" in made(back, quotes(lay="3.05"), max_ticks=0)[3]
    lay = [matched(Side.LAY, "95", "3")]
    assert made(lay, quotes(back="2.94"))[1] == D("2.94")
    assert "4 ticks worse" in made(lay, quotes(back="2.92"))[3]


def test_a_piece_stays_within_the_limits_per_order() -> None:
    back = [matched(Side.BACK, "190", "3")]
    assert made(back, limits=replace(ROOMY, max_stake_per_order=D(40)))[2] == 40
    risk = replace(ROOMY, bankroll=D(1000), max_risk_per_trade_percent=D("0.05"))
    size = made(back, limits=risk)[2]
    assert liability(Side.LAY, D("3.05"), size) <= 50 < liability(Side.LAY, D("3.05"), size + D("0.02"))
    assert "below the minimum" in made(back, limits=replace(ROOMY, max_stake_per_order=D("1.99")))[3]


def test_it_never_risks_more_on_the_other_result_than_is_held() -> None:
    """A back at short odds: laying it away at long ones would only move the risk."""
    side, price, size, problem = made([matched(Side.BACK, "190", "1.5")], quotes("9.8", "10", "10"))
    assert (side, price, problem) == (Side.LAY, D(10), "")
    assert size == D("21.66")  # 95 to win, and 100 may be at risk: (95 + 100) / 9


ORDERS: Final = st.lists(
    st.builds(
        matched,
        st.sampled_from(Side),
        st.decimals("0.01", "300", places=2).map(str),
        st.sampled_from(LADDER[:250]).map(str),
    ),
    min_size=1,
    max_size=5,
)


@given(ORDERS, st.sampled_from(LADDER[:250]), st.decimals("1", "400", places=2), st.booleans())
@settings(deadline=None, max_examples=300)
def test_no_hedge_raises_an_exposure_matched_or_not(
    orders: list[Order], price: Decimal, stake: Decimal, also_open: bool
) -> None:
    if also_open:
        orders = [*orders, make_order(selection_id=S, side=Side.LAY, size=D(5), price=D(4), status=OrderStatus.PENDING)]
    before, held = exposures(orders, matched_only=True).get(S, D(0)), exposures(orders)[S]
    if not before:
        return
    at = Quotes("OPEN", {S: Quote(price, price, price)})
    limits = replace(ROOMY, max_stake_per_order=stake, max_exposure_per_selection=before / 2)
    found = plan("1.1", S, orders, at, limits, POLICY, D("0.01"))
    if found.problem:
        return
    live = make_order(selection_id=S, side=found.side, size=found.size, price=found.price, status=OrderStatus.PENDING)
    assert exposures([*orders, live])[S] <= held
    done = matched(found.side, str(found.size), str(found.price))
    assert exposures([*orders, done], matched_only=True).get(S, D(0)) <= before
    assert found.size <= stake
