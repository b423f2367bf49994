"""poll_orders: a complete cycle compares, corrects and says so."""

from dataclasses import replace
from decimal import Decimal

import pytest
from support.engine_rig import Rig, make_cleared, make_policy
from support.factories import make_bet, make_order

from executor.domain.order import OrderStatus
from executor.engine.cancellation import cancel_unmatched
from executor.engine.reconciliation import poll
from executor.errors import IdentityMismatch, LedgerUnavailable, NotSent, OutcomeUnknown, StoreUnavailable
from executor.ports import ClearedKind

S = OrderStatus


# --- a cycle ----------------------------------------------------------------------------------------------------------


def test_a_complete_cycle_says_so_for_a_while(rig: Rig) -> None:
    rig.memory.reconciled_until = 0
    poll(rig.engine)
    assert rig.memory.reconciled_until == rig.clock.now + 20_000
    slow = Rig(policy=make_policy(poll_interval_s=10))
    poll(slow.engine)
    assert slow.memory.reconciled_until == slow.clock.now + 40_000


@pytest.mark.parametrize("error", [OutcomeUnknown("cut off"), NotSent("refused")])
def test_an_incomplete_cycle_does_not(rig: Rig, error: Exception) -> None:
    rig.memory.reconciled_until = 0
    rig.exchange.reads_fail = error
    with pytest.raises(type(error)):
        poll(rig.engine)
    assert rig.memory.reconciled_until == 0


def test_a_cycle_beside_a_full_disk_is_complete_and_nothing_is_placed(rig: Rig) -> None:
    rig.controls.report_storage("worker:a:1", "/data has 0 KB left", 30)
    poll(rig.engine)
    assert rig.memory.reconciled_until == 0
    rig.clock.tick(30)
    poll(rig.engine)
    assert rig.memory.reconciled_until == rig.clock.now + 20_000


@pytest.mark.parametrize("method", ["apply_limits", "active_orders", "confirm_reconciled", "claim_identity"])
def test_a_cycle_without_redis_does_not_either(rig: Rig, method: str) -> None:
    rig.memory.reconciled_until = 0
    rig.memory.away = {method}
    with pytest.raises(StoreUnavailable):
        poll(rig.engine)
    assert rig.memory.reconciled_until == 0


def test_a_db_that_became_somebody_elses_is_not_polled(rig: Rig) -> None:
    rig.memory.identity = "live other"
    with pytest.raises(IdentityMismatch, match="live other"):
        poll(rig.engine)
    assert rig.exchange.calls == []


def test_limits_that_were_lost_come_back_and_others_are_left_to_people(rig: Rig) -> None:
    rig.memory.applied["MaxStakePerOrder"] = "99"
    rig.memory.limits["MaxStakePerOrder"] = "7"
    del rig.memory.limits["Bankroll"]
    poll(rig.engine)
    assert (rig.memory.limits["MaxStakePerOrder"], rig.memory.limits["Bankroll"]) == ("7", "10000")


def test_a_market_with_a_record_that_cannot_be_read_stands_still_alone(rig: Rig) -> None:
    rig.memory.reconciled_until = 0
    for at, market_id in enumerate(["1.bad", "1.good"]):
        order = make_order(order_id=f"o{at}", market_id=market_id, status=S.PENDING, bet_id=f"b{at}", placed_at=1)
        rig.memory.orders[order.order_id] = order
        rig.exchange.bets[order.bet_id] = make_bet(order, bet_id=order.bet_id)
        rig.exchange.match(order.bet_id, "4")
    rig.memory.unreadable = "1.bad"
    poll(rig.engine)
    cancel_unmatched(rig.engine)
    assert [rig.memory.orders[order_id].size_matched for order_id in ("o0", "o1")] == [0, 4]
    assert rig.memory.orders["o1"].status is S.CANCELLED
    assert rig.exchange.called("cancel") == [("1.bad", ("b0",)), ("1.good", ("b1",))]
    assert rig.memory.reconciled_until > rig.clock.now


def test_every_order_is_read_once_a_minute_and_the_live_ones_in_between(rig: Rig) -> None:
    rig.memory.full_read_at = None
    for _ in range(4):
        poll(rig.engine)
        rig.clock.tick(21)
    reads = [name for name, _ in rig.exchange.calls if name.endswith("_orders")]
    assert reads == ["current_orders", "executable_orders", "executable_orders", "current_orders"]


def test_what_ended_and_is_read_twice_has_the_size_that_it_has(rig: Rig) -> None:
    gone = [make_order(order_id=f"gone-{number}") for number in range(5)]
    rig.exchange.cleared = [make_cleared(order, ClearedKind.LAPSED, bet_id=order.order_id) for order in gone]
    rig.exchange.moves = True
    rig.memory.full_read_at = None
    assert poll(rig.engine).adopted == 5
    assert {order.size_lapsed for order in rig.memory.orders.values()} == {order.size for order in gone}


def test_what_ended_unmatched_while_its_record_was_lost_is_adopted(rig: Rig) -> None:
    rig.memory.full_read_at = rig.clock.now - 61_000
    lapsed = make_cleared(make_order(order_id="gone"), ClearedKind.LAPSED, bet_id="b1")
    half = make_order(order_id="half")
    rest = make_cleared(half, ClearedKind.CANCELLED, bet_id="b2")
    rig.exchange.cleared += [lapsed, rest, make_cleared(half, ClearedKind.SETTLED, bet_id="b2")]
    for adopted in (1, 0):
        rig.memory.full_read_at = rig.clock.now - 61_000
        assert poll(rig.engine).adopted == adopted
    order = rig.memory.orders["gone"]
    assert (order.status, order.size_lapsed, order.size_matched, order.is_over) == (
        S.LAPSED,
        order.size,
        Decimal(0),
        True,
    )
    assert "half" not in rig.memory.orders, "its matched part is the settlement's"


def test_a_failed_full_read_is_repeated(rig: Rig) -> None:
    rig.memory.full_read_at = None
    rig.exchange.reads_fail = NotSent("refused")
    with pytest.raises(NotSent):
        poll(rig.engine)
    rig.exchange.reads_fail = None
    poll(rig.engine)
    assert rig.exchange.called("current_orders") == [None, None]


# --- the first start --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ours", ["nothing", "a bet", "an order", "the ledger"])
def test_trading_is_enabled_where_there_is_nothing_of_ours(rig: Rig, ours: str) -> None:
    if ours == "an order":
        rig.memory.orders["o"] = make_order(order_id="o", status=S.FAILED)
    elif ours == "a bet":
        rig.exchange.bets["b"] = make_bet(make_order(order_id="x"))
    elif ours == "the ledger":
        rig.placed(stake=10)
        rig.exchange.match("bet1", "10")
        poll(rig.engine)
        rig.ledger.write(rig.memory.entries)
        rig.memory.orders.clear()
        rig.exchange.bets.clear()
    rig.memory.started, rig.memory.trading = False, None
    poll(rig.engine)
    assert rig.memory.started
    assert rig.memory.trading == ("true" if ours == "nothing" else None)


def test_a_first_start_waits_for_the_ledger(rig: Rig) -> None:
    rig.memory.started, rig.memory.trading, rig.memory.reconciled_until = False, None, 0
    rig.ledger.away = True
    with pytest.raises(LedgerUnavailable):
        poll(rig.engine)
    assert (rig.memory.trading, rig.memory.started, rig.memory.reconciled_until) == (None, False, 0)


# --- what became of our orders ----------------------------------------------------------------------------------------


def test_a_fill_is_taken_in_once(rig: Rig) -> None:
    rig.placed()
    rig.exchange.match("bet1", "4", "3.1")
    for _ in range(3):
        poll(rig.engine)
    order = rig.order()
    assert (order.status, order.size_matched, order.average_price_matched) == (S.PENDING, Decimal(4), Decimal("3.1"))
    rig.exchange.match("bet1", "10", "3.05")
    for _ in range(3):
        poll(rig.engine)
    assert rig.order().status is S.MATCHED
    assert [entry["size"] for entry in rig.memory.trades] == ["4.00", "6"]
    assert rig.telemetry.counts["matched BACK"] == 1


def test_two_observers_of_one_fill_book_it_once(rig: Rig) -> None:
    rig.placed()
    rig.exchange.match("bet1", "10")
    rig.store.before_commit = [lambda: poll(rig.engine)]
    poll(rig.engine)
    assert len(rig.memory.trades) == 1
    assert rig.telemetry.counts["matched BACK"] == 1


def test_nothing_new_writes_nothing(rig: Rig) -> None:
    rig.placed()
    commits = len(rig.store.commits)
    poll(rig.engine)
    assert len(rig.store.commits) == commits


def test_an_order_that_dropped_out_is_asked_for_never_assumed_matched(rig: Rig) -> None:
    rig.placed()
    rig.exchange.bets["bet1"] = replace(
        rig.exchange.bets["bet1"], executable=False, size_matched=Decimal(4), size_lapsed=Decimal(6),
        average_price_matched=Decimal(3),
    )  # fmt: skip
    poll(rig.engine)
    assert rig.exchange.called("find_bets") == [("bet1",)]
    assert (rig.order().status, rig.order().size_matched) == (S.LAPSED, Decimal(4))


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        (ClearedKind.SETTLED, S.MATCHED),
        (ClearedKind.LAPSED, S.LAPSED),
        (ClearedKind.CANCELLED, S.CANCELLED),
        (ClearedKind.VOIDED, S.VOIDED),
    ],
)
def test_an_order_that_left_the_list_is_found_in_the_cleared_ones(rig: Rig, kind: ClearedKind, status: S) -> None:
    order = rig.placed()
    rig.exchange.bets.clear()
    rig.exchange.cleared = [make_cleared(order, kind)]
    poll(rig.engine)
    assert rig.order().status is status


def test_a_bet_in_several_cleared_lists_is_put_together(rig: Rig) -> None:
    order = rig.placed()
    rig.exchange.bets.clear()
    rig.exchange.cleared = [
        make_cleared(order, ClearedKind.SETTLED, size_settled=Decimal(4)),
        make_cleared(order, ClearedKind.CANCELLED, size_cancelled=Decimal(6)),
    ]
    poll(rig.engine)
    order = rig.order()
    assert (order.status, order.size_matched, order.size_cancelled) == (S.CANCELLED, Decimal(4), Decimal(6))


def test_a_live_order_that_is_nowhere_is_reported_and_held(rig: Rig, capsys: pytest.CaptureFixture[str]) -> None:
    rig.placed()
    rig.exchange.bets.clear()
    rig.clock.tick(3600)
    rig.memory.full_read_at = rig.clock.now
    poll(rig.engine)
    assert (rig.order().status, rig.order().counts) == (S.PENDING, True)
    assert "order_not_found" in capsys.readouterr().out
