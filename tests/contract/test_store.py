"""The store's promises, the same for the one in memory and the one on Redis."""

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from support.factories import LIMITS, make_order
from support.store_worlds import ALL_GATES, MARKET, World, ids, make_record, memory_world, record_one, redis_world

from executor.domain.ledger_entry import encode_entry
from executor.domain.money import Side
from executor.domain.order import OrderStatus, Trade, TradeKind
from executor.domain.signal_record import SignalStatus
from executor.ports import Change, Failure, Gate, Recorded


@pytest.fixture(params=["memory", "redis"])
def world(request: pytest.FixtureRequest) -> World:
    if request.param == "memory":
        return memory_world()
    return redis_world(request.getfixturevalue("redis_client"))


# --- record -----------------------------------------------------------------------------------------------------------


def test_a_signal_is_new_once_a_repeat_here_and_known_elsewhere(world: World) -> None:
    record = make_record(world.store.now())
    answers = [
        record_one(world.store, again, dedup_id="one", dedup_s=60, renew=False)
        for again in (record, replace(record, token="2"), replace(record, token="3", bridge="bridge-2"))
    ]
    assert [answer for answer, _ in answers] == [Recorded.NEW, Recorded.REPEAT, Recorded.ELSEWHERE]
    assert {known for _, known in answers} == {"signal-1"}
    assert world.store.signal("signal-1") == record


def test_the_same_call_again_is_the_same_answer(world: World) -> None:
    record = make_record(world.store.now())
    for _ in range(3):
        assert record_one(world.store, record, dedup_id="one", dedup_s=60, renew=True) == (Recorded.NEW, "signal-1")


def test_a_message_is_known_under_its_first_name(world: World) -> None:
    now = world.store.now()
    record_one(world.store, make_record(now, signal_id="sure-1"), dedup_id="content", dedup_s=60, renew=True)
    later = make_record(now, signal_id="sure-2", token="2")
    assert record_one(world.store, later, dedup_id="content", dedup_s=60, renew=True) == (Recorded.REPEAT, "sure-1")
    assert world.store.signal("sure-2") is None


def test_a_record_outlives_what_remembers_its_message(world: World) -> None:
    record_one(world.store, make_record(world.store.now()), dedup_id="one", dedup_s=60, renew=False)
    again = make_record(world.store.now(), token="2", payload="{2}")
    for bridge, known in (
        ("bridge-1", Recorded.REPEAT),
        ("bridge-1", Recorded.REPEAT),
        ("bridge-2", Recorded.ELSEWHERE),
    ):
        repeat = replace(again, bridge=bridge)
        assert record_one(world.store, repeat, dedup_id="forgotten", dedup_s=60, renew=False) == (known, "signal-1")
    found = world.store.signal("signal-1")
    assert found is not None
    assert found.payload == "{}"


def test_what_is_not_there_is_none(world: World) -> None:
    assert world.store.signal("nobody") is None
    view = world.store.view(MARKET, signal_ids=("nobody",), order_ids=("nothing",))
    assert (view.signals, view.orders, view.revision, view.reconciled, view.breaker) == ({}, {}, None, False, {})


# --- view and commit --------------------------------------------------------------------------------------------------


def test_a_view_shows_what_was_committed(world: World) -> None:
    world.ready()
    world.signal()
    order = make_order()
    assert world.accept(order)
    view = world.store.view(MARKET, signal_ids=("signal-1",))
    assert view.orders == {order.order_id: order}
    assert view.signals["signal-1"].status is SignalStatus.ACCEPTED
    assert (view.trading, view.identity, view.reconciled, view.limits) == ("true", "paper", True, LIMITS)


def test_the_second_of_two_commits_on_one_view_loses(world: World) -> None:
    world.ready()
    world.signal()
    view = world.store.view(MARKET)
    assert world.store.commit(view, Change(orders=(make_order(),)))
    assert not world.store.commit(view, Change(orders=(make_order(order_id="other"),)))
    assert world.store.orders(["other"]) == []


def test_another_market_does_not_matter(world: World) -> None:
    view = world.store.view(MARKET)
    assert world.save(make_order(order_id="other", market_id="1.9"), market_id="1.9")
    assert world.store.commit(view, Change(orders=(make_order(),)))


def test_a_signal_changes_only_as_it_was_read(world: World) -> None:
    record = world.signal()
    view = world.store.view(MARKET, signal_ids=("signal-1",))
    changed = replace(record, status=SignalStatus.REJECTED, reason="ONE")
    assert world.store.commit(view, Change(signals=(changed,)))
    assert not world.store.commit(view, Change(signals=(replace(changed, reason="TWO"),)))
    found = world.store.signal("signal-1")
    assert found is not None
    assert found.reason == "ONE"


@pytest.mark.parametrize(
    ("gate", "what", "value"),
    [
        (Gate.TRADING, "trading", "false"),
        (Gate.TRADING, "trading", None),
        (Gate.RECONCILED, "reconciled", None),
        (Gate.RECONCILED, "identity", "somebody else"),
        (Gate.LIMITS, "limits", {**LIMITS, "MaxStakePerOrder": "99"}),
        (Gate.LIMITS, "limits", {}),
        (Gate.PNL, "pnl", "-1.00"),
        (Gate.BREAKER, "breaker", {"time": "now", "failures": "5"}),
    ],
)
@pytest.mark.parametrize("gated", [True, False])
def test_a_gate_shuts_when_what_was_read_has_changed(
    world: World, gate: Gate, what: str, value: Any, *, gated: bool
) -> None:
    world.ready()
    world.signal()
    view = world.store.view(MARKET, signal_ids=("signal-1",))
    world.put(what, value)
    order = make_order()
    change = Change(orders=(order,), gates=frozenset({gate}) if gated else frozenset())
    assert bool(world.store.commit(view, change)) is not gated
    assert bool(world.store.orders([order.order_id])) is not gated


def test_a_limit_that_nobody_counts_shuts_no_gate(world: World) -> None:
    world.ready()
    world.signal()
    view = world.store.view(MARKET, signal_ids=("signal-1",))
    world.put("limits", {**LIMITS, "Remark": "by hand"})
    assert world.store.commit(view, Change(orders=(make_order(),), gates=ALL_GATES))


@pytest.mark.parametrize(("left_ms", "in_time"), [(60_000, True), (0, False), (-1, False)])
def test_nothing_is_reserved_past_the_deadline(world: World, left_ms: int, *, in_time: bool) -> None:
    world.signal(deadline=world.store.now() + left_ms)
    view = world.store.view(MARKET, signal_ids=("signal-1",))
    assert bool(world.store.commit(view, Change(orders=(make_order(),), gates=frozenset({Gate.DEADLINE})))) is in_time


def test_a_commit_returns_what_the_next_view_finds(world: World) -> None:
    before = world.store.now()
    world.signal()
    view = world.store.view(MARKET, signal_ids=("signal-1",))
    record = replace(view.signals["signal-1"], status=SignalStatus.ACCEPTED)
    left = world.store.commit(view, Change(orders=(make_order(),), signals=(record,), transactions=2))
    assert left is not None
    assert before <= left.now <= world.store.now()
    found = world.store.view(MARKET, signal_ids=("signal-1",))
    assert replace(found, now=left.now) == left
    # And so the next change can be made from it, unless somebody else made one.
    assert world.save(make_order(order_id="other"))
    assert not world.store.commit(left, Change(orders=(make_order(size_matched=Decimal(1)),)))


@pytest.mark.parametrize(("most", "fits"), [(2, True), (1, False)])
def test_an_hour_takes_so_many_instructions(world: World, most: int, *, fits: bool) -> None:
    assert world.save(make_order(), transactions=1, transactions_max=10)
    assert world.store.view(MARKET).transactions == 1
    change: dict[str, Any] = {"transactions": 1, "transactions_max": most}
    assert bool(world.save(make_order(order_id="other"), **change)) is fits
    assert world.store.view(MARKET).transactions == 1 + fits


# --- what the indexes say ---------------------------------------------------------------------------------------------

_MATCHED = {"size_matched": Decimal("10.00"), "average_price_matched": Decimal("3.00")}


@pytest.mark.parametrize(
    ("status", "fields", "active", "unsettled", "counted"),
    [
        (OrderStatus.RESERVED, {}, False, True, True),
        (OrderStatus.SUBMITTED, {}, True, True, True),
        (OrderStatus.PENDING, {}, True, True, True),
        (OrderStatus.MATCHED, _MATCHED, False, True, True),
        (OrderStatus.CANCELLED, {}, False, False, False),
        (OrderStatus.CANCELLED, _MATCHED, False, True, True),
        (OrderStatus.SETTLED, _MATCHED, False, False, False),
        (OrderStatus.FAILED, {}, False, False, False),
    ],
)
def test_an_order_is_in_the_lists_that_its_state_says(
    world: World, status: OrderStatus, fields: dict[str, Any], *, active: bool, unsettled: bool, counted: bool
) -> None:
    world.save(make_order())
    order = make_order(status=status, **fields)
    assert world.save(order)
    assert world.store.active_orders() == [order] * active
    assert world.store.unsettled_orders() == [order] * unsettled
    assert list(world.store.view(MARKET).orders.values()) == [order] * counted
    assert world.store.recent_orders(5) == [order]
    assert list(world.store.view(MARKET, order_ids=[order.order_id]).orders) == [order.order_id]


def test_lists_are_in_the_order_of_creation(world: World) -> None:
    orders = [make_order(order_id=f"o{at}", created_at=at, status=OrderStatus.PENDING) for at in (3, 1, 2)]
    world.save(*orders)
    assert [order.order_id for order in world.store.active_orders()] == ["o1", "o2", "o3"]
    assert [order.order_id for order in world.store.recent_orders(2)] == ["o3", "o2"]
    assert [order.order_id for order in world.store.orders(["o2", "gone", "o1"])] == ["o2", "o1"]


def test_open_signals_are_those_that_stand_still(world: World) -> None:
    now = world.store.now()
    for at, name in enumerate(["a", "b", "c"]):
        world.signal(name, updated_at=now - 1000 * at)
    world.signal("over", updated_at=now - 9000, status=SignalStatus.REJECTED)
    assert [record.signal_id for record in world.store.open_signals(now - 1000, 10)] == ["c", "b"]
    assert [record.signal_id for record in world.store.open_signals(now, 1)] == ["c"]
    assert [record.signal_id for record in world.store.signals_ahead(now - 1000, 10)] == ["a"]
    assert world.store.signals_ahead(now, 10) == []
    view = world.store.view(MARKET, signal_ids=("c",))
    world.store.commit(view, Change(signals=(replace(view.signals["c"], status=SignalStatus.EXPIRED),)))
    assert [record.signal_id for record in world.store.open_signals(now, 10)] == ["b", "a"]


# --- the accounting feed ----------------------------------------------------------------------------------------------


def test_trades_are_read_until_they_are_acknowledged(world: World) -> None:
    order = make_order(status=OrderStatus.MATCHED, bet_id="b", trade_count=1, matched_at=1_700_000_000_000, **_MATCHED)
    for number in (1, 2, 3):
        trade = Trade(TradeKind.FILL, order, number, Decimal("10.00"), Decimal("3.00"), 1_700_000_000_000)
        world.save(order, trades=(trade,))
    first = world.trade_feed.read_trades(2)
    assert [encode_entry(entry)["trade_id"][-1] for _, entry in first] == ["1", "2"]
    assert world.trade_feed.read_trades(2) == first
    world.trade_feed.acknowledge_trades([first[0][0]])
    assert [encode_entry(entry)["trade_id"][-1] for _, entry in world.trade_feed.read_trades(1)] == ["2"]
    world.trade_feed.acknowledge_trades([first[1][0]])
    rest = world.trade_feed.read_trades(5)
    assert [encode_entry(entry)["trade_id"][-1] for _, entry in rest] == ["3"]
    world.trade_feed.acknowledge_trades([entry_id for entry_id, _ in rest])
    assert world.trade_feed.read_trades(5) == []


# --- the breaker ------------------------------------------------------------------------------------------------------


def test_failures_are_counted_since_the_last_success_within_the_window(world: World) -> None:
    now = world.store.now()
    for name, at in {"old": now - 601_000, "a": now - 5000, "b": now - 4000, "c": now - 3000}.items():
        assert world.fail(name, at)
    assert world.store.view(MARKET).failures == 3
    assert world.save(make_order(), success_at=now - 4000)
    assert world.store.view(MARKET).failures == 1
    assert world.save(make_order(), success_at=now - 8000)
    assert world.store.view(MARKET).failures == 1, "an older success must not bring failures back"


def test_a_trip_disables_trading_and_starts_the_count_anew(world: World) -> None:
    world.ready()
    assert world.fail("a", world.store.now() - 1000, trip="five failures")
    assert world.trading() == "false"
    assert world.fails()["reason"] == "five failures"
    assert (world.fails()["failures"], world.store.view(MARKET).failures) == ("1", 0)


def test_a_reset_closes_the_breaker_and_forgets_the_failures(world: World) -> None:
    world.ready()
    world.fail("a", world.store.now() - 1000, trip="five failures")
    world.put("trading", "true")
    world.signal()
    assert world.save(make_order(), reset_breaker=True)
    assert world.fails() == {}
    assert world.store.view(MARKET).failures == 0


@pytest.mark.parametrize("change", [{"reset_breaker": True}, {"trip": "again"}])
def test_a_trip_or_reset_that_somebody_else_made_is_not_made_again(world: World, change: dict[str, Any]) -> None:
    world.ready()
    trips: Callable[[], object] = lambda: world.put("breaker", {"time": "now"})  # noqa: E731 - named for what it does
    view = world.store.view(MARKET)
    trips()
    assert not world.store.commit(view, Change(orders=(make_order(),), **change))


def test_two_last_failures_at_once_trip_together_or_not_at_all(world: World) -> None:
    world.ready()
    view = world.store.view(MARKET)
    assert world.save(make_order(market_id="1.9"), market_id="1.9", failure=Failure("x", "CODE", world.store.now()))
    failure = Failure("y", "CODE", world.store.now())
    assert not world.store.commit(view, Change(orders=(make_order(),), failure=failure))


def test_a_failure_at_the_edge_of_the_window_counts_and_one_at_the_last_success_does_not(world: World) -> None:
    now = world.store.now()
    for name, at in {"in": now - 590_000, "at": now - 4000, "after": now - 3999}.items():
        assert world.fail(name, at)
    assert world.store.view(MARKET).failures == 3
    assert world.save(make_order(), success_at=now - 4000)
    assert world.store.view(MARKET).failures == 1


@pytest.mark.parametrize(("threshold", "tripped"), [(2, True), (3, False)])
def test_the_watchdog_trips_what_nobody_tripped(world: World, threshold: int, *, tripped: bool) -> None:
    world.ready()
    for name in ("a", "b"):
        world.fail(name, world.store.now() - 1000)
    assert bool(world.controls.trip_breaker(threshold, 600)) is tripped
    assert bool(world.fails()) is tripped
    assert world.trading() == ("false" if tripped else "true")
    assert not world.controls.trip_breaker(threshold, 600), "it is open already, or there is nothing to trip for"


def test_legs_are_reserved_together(world: World) -> None:
    world.ready()
    world.signal()
    legs = (make_order(), make_order(order_id="second", leg=2, side=Side.LAY))
    assert world.accept(*legs)
    assert {order.order_id for order in world.store.unsettled_orders()} == set(ids(legs))


# --- the last look ----------------------------------------------------------------------------------------------------


def test_the_last_look_before_sending_sees_switch_mark_held_market_and_records(world: World) -> None:
    world.ready()
    world.signal()
    order = make_order()
    assert world.accept(order)
    state = world.store.send_state(MARKET, [order.order_id, "nothing"])
    assert (state.trading, state.reconciled, state.stop_reason, list(state.orders)) == (
        "true",
        True,
        "",
        [order.order_id],
    )
    world.controls.confirm_reconciled(60, world.controls.data_generation(), {MARKET: "an odd record"})
    world.put("trading", "false")
    state = world.store.send_state(MARKET, [order.order_id])
    assert (state.trading, state.stop_reason) == ("false", "an odd record")
    assert world.store.send_state("1.1", []).stop_reason == "", "the others are not stopped"
