"""A person names the bet of an order: only one that can be the order's, on no other one, and counted once for good."""

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal

import pytest
from support.engine_rig import MARKET, Rig, sends, unanswered

from executor.domain.money import Side
from executor.domain.order import BetState, Order, OrderStatus
from executor.domain.signal_record import SignalStatus
from executor.engine.manual_resolution import resolve_placed
from executor.engine.reconciliation import poll
from executor.errors import NotAllowed
from executor.ports import Instruction

S = OrderStatus


def nameless(rig: Rig, order: Order, matched: str = "0") -> BetState:
    """Let the exchange hold an order's bet that lost its reference."""
    instruction = Instruction(order.order_id, order.selection_id, order.side, order.price, order.size)
    [report] = rig.exchange.take(order.market_id, [instruction], matched)
    assert report.bet is not None
    bet = replace(report.bet, order_id="")
    rig.exchange.bets[bet.bet_id] = bet
    return bet


def full_polls(rig: Rig) -> None:
    for _ in range(3):
        rig.clock.tick(61)
        poll(rig.engine)


ODD: dict[str, tuple[dict[str, object], str]] = {
    "another's reference": ({"order_id": "0" * 28 + "-1"}, "carries the reference of order"),
    "another market": ({"market_id": "1.999"}, "is on market 1.999"),
    "another selection": ({"selection_id": 9}, "selection 9"),
    "another side": ({"side": Side.LAY}, "LAY"),
    "another price": ({"price": Decimal("3.05")}, "at 3.05"),
    "another size": ({"size": Decimal("9.98")}, "is 9.98"),
    "from before": ({"placed_at": 1}, "was placed before"),
}


@pytest.mark.parametrize("name", ODD)
def test_a_bet_that_is_not_the_orders_is_refused(rig: Rig, name: str) -> None:
    differs, said = ODD[name]
    order = unanswered(rig)
    bet = nameless(rig, order)
    rig.exchange.bets[bet.bet_id] = replace(bet, **differs)  # type: ignore[arg-type]
    with pytest.raises(NotAllowed, match=said):
        resolve_placed(rig.engine, order.order_id, bet.bet_id, "ann")
    assert (rig.order().status, rig.order().bet_id) == (S.SUBMITTED, "")


@pytest.mark.parametrize(("currency", "off"), [("GBP", "0.01"), ("", "0.01"), ("AUD", "0.05"), ("HUF", "4")])
def test_a_size_that_came_back_rounded_is_the_orders(rig: Rig, currency: str, off: str) -> None:
    rig.memory.currency = currency
    order = unanswered(rig)
    bet = nameless(rig, order)
    rig.exchange.bets[bet.bet_id] = replace(bet, size=order.size - Decimal(off) - Decimal("0.01"))
    with pytest.raises(NotAllowed):
        resolve_placed(rig.engine, order.order_id, bet.bet_id, "ann")
    rig.exchange.bets[bet.bet_id] = replace(bet, size=order.size - Decimal(off))
    assert resolve_placed(rig.engine, order.order_id, bet.bet_id, "ann").bet_id == bet.bet_id


def test_a_bet_is_on_one_order(rig: Rig) -> None:
    first, second = unanswered(rig), unanswered(rig, "signal-2")
    bet = nameless(rig, first)
    resolve_placed(rig.engine, first.order_id, bet.bet_id, "ann")
    with pytest.raises(NotAllowed, match=f"is order {first.order_id}'s"):
        resolve_placed(rig.engine, second.order_id, bet.bet_id, "ann")
    assert (rig.order("signal-2").status, rig.order("signal-2").bet_id) == (S.SUBMITTED, "")


def fills(rig: Rig) -> list[Decimal]:
    return [Decimal(entry["size"]) for entry in rig.trades() if entry["type"] == "fill"]


def exposure(rig: Rig) -> Decimal:
    return sum((order.size for order in rig.memory.orders.values() if order.counts), Decimal(0))


def not_yet(rig: Rig) -> None:
    """The poll has not seen the bet."""


def adopted(rig: Rig) -> None:
    rig.clock.tick(5)
    poll(rig.engine)


def concluded(rig: Rig) -> None:
    rig.clock.tick(20)
    poll(rig.engine)
    assert rig.order().reason == "NOT_PLACED"


@pytest.mark.parametrize("matched", ["0", "0.5", "1"])
@pytest.mark.parametrize("meanwhile", [not_yet, adopted, concluded])
def test_a_named_bet_is_counted_and_booked_once_for_good(
    rig: Rig, meanwhile: Callable[[Rig], None], matched: str
) -> None:
    order = unanswered(rig)
    bet = nameless(rig, order, matched)
    rig.memory.full_read_at = None  # the next poll reads what is matched as well
    meanwhile(rig)
    resolve_placed(rig.engine, order.order_id, bet.bet_id, "ann")
    for polled in (False, True):
        if polled:
            full_polls(rig)
        found = rig.order()
        assert (found.bet_id, found.size_matched) == (bet.bet_id, 10 * Decimal(matched))
        assert found.status is (S.MATCHED if matched == "1" else S.PENDING)
        assert [name for name, held in rig.memory.orders.items() if held.bet_id == bet.bet_id] == [order.order_id]
        assert exposure(rig) == 10
        assert rig.signal().status is SignalStatus.COMPLETED
    assert rig.telemetry.counts["placed BACK"] == 1
    assert rig.telemetry.counts["matched BACK"] == (matched == "1")
    assert fills(rig) == ([] if matched == "0" else [10 * Decimal(matched)])
    assert sum(count for name, count in rig.telemetry.counts.items() if name.startswith("cancelled")) == 0
    assert (sends(rig), rig.exchange.called("cancel")) == (1, [])


def test_what_is_matched_after_it_was_named_is_the_orders(rig: Rig) -> None:
    order = unanswered(rig)
    bet = nameless(rig, order, "0.5")
    adopted(rig)
    resolve_placed(rig.engine, order.order_id, bet.bet_id, "ann")
    rig.exchange.match(bet.bet_id, "10")
    full_polls(rig)
    assert rig.order().status is S.MATCHED
    assert fills(rig) == [5, 5]
    assert rig.memory.orders[f"bet-{bet.bet_id}"].status is S.VOIDED
    assert MARKET in {held.market_id for held in rig.memory.orders.values()}
