"""Netting: the worst of all results that a market allows, never below the truth, equal to it where facts are known."""

from dataclasses import replace
from decimal import Decimal
from typing import Any, Final

import pytest
from netting.markets import brute_force, disagreement
from support.factories import make_leg, make_limits, make_order, make_risk_inputs, make_rules, make_signal, reserving

from executor.domain.exposure import results, with_order
from executor.domain.market import Market
from executor.domain.money import Side
from executor.domain.netting import can_net, counted_exposure
from executor.domain.order import Order, OrderStatus
from executor.domain.risk import Reason, decide

D = Decimal
WIN: Final = Market("1.1", "WIN", "ODDS", "CLASSIC", winners=1, runners=(1, 2, 3), complete=True)


def bet(selection: int, side: Side, size: str, price: str, **more: Any) -> Order:
    matched = {"status": OrderStatus.MATCHED, "size_matched": D(size), "average_price_matched": D(price)}
    return make_order(selection_id=selection, side=side, size=D(size), price=D(price), **(matched | more))


def unmatched(selection: int, side: Side, size: str, price: str) -> Order:
    return make_order(selection_id=selection, side=side, size=D(size), price=D(price), status=OrderStatus.PENDING)


def net(orders: list[Order], market: Market | None = WIN) -> Decimal:
    return counted_exposure(orders, {}, market, netting=True)


def test_two_lays_in_a_market_with_one_winner_risk_one_of_them_less_the_other() -> None:
    lays = [bet(runner, Side.LAY, "40", "4.0") for runner in (1, 2)]
    assert net(lays) == 80
    assert counted_exposure(lays, {}, WIN, netting=False) == 240
    assert net(lays, replace(WIN, winners=2)) == 240


@pytest.mark.parametrize(
    ("change", "counted"),
    [
        ({"winners": 3}, 240),  # all win
        ({"winners": 9}, 240),
        ({"runners": (1, 3), "removed": (2,)}, 120),  # the second lay is void
        ({"runners": (1, 2)}, 80),
        ({"complete": False}, 80),
        ({"runners": (1, 3)}, 240),  # it is not said what became of the second
        ({"others": (9,)}, 240),  # decided already: how many winners are left is not known
        ({"winners": 0}, 240),
        ({"runners": ()}, 240),
        ({"betting_type": ""}, 240),
        ({"betting_type": "LINE"}, 240),
        ({"betting_type": "ASIAN_HANDICAP_DOUBLE_LINE"}, 240),
        ({"market_type": "EACH_WAY"}, 240),
        ({"each_way_divisor": D(4)}, 240),
    ],
)
def test_what_the_facts_do_not_say_is_the_sum(change: dict[str, Any], counted: int) -> None:
    lays = [bet(runner, Side.LAY, "40", "4.0") for runner in (1, 2)]
    assert net(lays, replace(WIN, **change)) == counted


def test_a_market_that_is_not_known_is_the_sum() -> None:
    assert not can_net(None)
    assert net([bet(runner, Side.BACK, "10", "3") for runner in (1, 2)], None) == 20


def test_a_market_that_is_not_complete_may_be_won_by_none_that_it_shows() -> None:
    backs = [bet(runner, Side.BACK, "10", "5") for runner in (1, 2, 3)]
    assert net(backs) == 0  # one of them wins 40, the others lose 20
    assert net(backs, replace(WIN, complete=False)) == 30


def test_what_is_unmatched_covers_nothing() -> None:
    lay, back = bet(1, Side.LAY, "10", "3"), bet(2, Side.LAY, "20", "2")
    assert net([lay, back]) == 10  # the second pays for the first
    assert net([lay, unmatched(2, Side.LAY, "20", "2")]) == 20


def test_foreign_bets_net_with_nothing() -> None:
    lays = [bet(runner, Side.LAY, "40", "4.0") for runner in (1, 2)]
    assert counted_exposure(lays, {2: D(7), 0: D(1)}, WIN, netting=True) == 88


def test_the_worst_result_is_rounded_up_once() -> None:
    lays = [bet(runner, Side.LAY, "0.01", "1.011") for runner in (1, 2, 3)]
    assert net(lays, replace(WIN, winners=3)) == D("0.01")
    assert net(lays, None) == D("0.03")


@pytest.mark.parametrize("seed", range(0, 4000, 200))
def test_it_is_the_worst_of_all_results(seed: int) -> None:
    problems = [disagreement(number, 9, 3) for number in range(seed, seed + 20)]
    assert "".join(problems) == ""


def test_it_is_the_worst_of_all_results_of_a_large_market() -> None:
    assert "".join(disagreement(seed, 18, 5) for seed in range(12)) == ""


def test_brute_force_sees_a_market_that_nets_too_much() -> None:
    lays = [bet(runner, Side.LAY, "40", "4.0") for runner in (1, 2)]
    assert brute_force(WIN, lays) == 80
    assert brute_force(replace(WIN, winners=2), lays) == 240


@pytest.mark.parametrize("side", Side)
def test_one_more_order_is_as_if_all_were_read_again(side: Side) -> None:
    orders = [bet(1, Side.LAY, "40", "4"), unmatched(1, side, "7", "3"), unmatched(2, side, "9", "2.5")]
    for at, order in enumerate(orders):
        assert with_order(results(orders[:at]), order) == results(orders[: at + 1])
    assert with_order(results(orders), make_order(selection_id=1, status=OrderStatus.FAILED)) == results(orders)


def test_rule_four_counts_the_netted_market() -> None:
    orders = [bet(1, Side.LAY, "40", "4.0")]
    signal = make_signal(make_leg(selection_id=2, side=Side.LAY, price=D(4), size=D(40)))

    def verdict(market: Market | None, limit: str = "150", **rules: bool) -> tuple[Reason | None, str]:
        inputs = make_risk_inputs(orders=orders, limits=make_limits(MaxExposurePerMarket=limit), market=market)
        found = decide(signal, inputs, make_rules(**rules), reserving(signal))[0]
        return found.reason, found.detail

    refused = (Reason.MAX_EXPOSURE_PER_MARKET, "Market exposure 240 exceeds max per market 150")
    assert verdict(WIN, netting=True) == (None, "")  # 120 whichever of the two wins
    assert verdict(WIN) == verdict(None, netting=True) == verdict(replace(WIN, winners=2), netting=True) == refused
    assert verdict(WIN, "100", netting=True) == (None, "")  # it was at 120 before, and nothing is added


def test_thirty_runners_and_five_winners_take_no_enumeration() -> None:
    market = replace(WIN, winners=5, runners=tuple(range(1, 31)))
    lays = [bet(runner, Side.LAY, str(runner), "3") for runner in range(1, 31)]
    # The five with the largest liability win (2 x size), all others pay their size.
    assert net(lays, market) == 0
    assert net(lays[:8], market) == 2 * (8 + 7 + 6 + 5 + 4) - (3 + 2 + 1)
