"""A market that ends before a poll has seen what became of a bet: the record has all of its sizes all the same."""

from decimal import Decimal

from support.engine_rig import MARKET, Rig

from executor.domain.money import Side
from executor.domain.order import Order, OrderStatus
from executor.engine.settlement import settle
from executor.ports import ClearedBet, ClearedKind


def _row(order: Order, kind: ClearedKind, **sizes: Decimal) -> ClearedBet:
    return ClearedBet(
        kind=kind,
        bet_id=order.bet_id,
        order_id=order.order_id,
        market_id=MARKET,
        selection_id=order.selection_id,
        side=Side.BACK,
        price_requested=order.price,
        price_matched=order.price if kind is ClearedKind.SETTLED else Decimal(0),
        settled_at=order.placed_at + 1000,
        placed_at=order.placed_at,
        profit=Decimal(-4) if kind is ClearedKind.SETTLED else Decimal(0),
        size_settled=sizes.get("size_settled", Decimal(0)),
        size_cancelled=sizes.get("size_cancelled", Decimal(0)),
    )


def test_what_lapsed_with_the_result_is_in_the_record(rig: Rig) -> None:
    order = rig.placed()
    rig.exchange.bets.clear()
    rig.exchange.cleared = [
        _row(order, ClearedKind.SETTLED, size_settled=Decimal(4)),
        _row(order, ClearedKind.LAPSED, size_cancelled=Decimal(6)),
    ]
    settle(rig.engine)
    after = rig.order()
    assert (after.status, after.profit) == (OrderStatus.SETTLED, Decimal(-4))
    assert (after.size_matched, after.size_lapsed) == (Decimal(4), Decimal(6))
    asked = rig.exchange.called("find_cleared")
    settle(rig.engine)
    assert rig.exchange.called("find_cleared") == asked  # once is enough
