"""Money after accidents: voids of what is forgotten, a ledger that is away or has gone back, a Redis that was lost."""

import copy
from collections import Counter
from dataclasses import replace
from decimal import Decimal

import pytest
from support.engine_rig import MARKET, Rig
from support.factories import NOW
from unit.engine.test_settle import TODAY, lost, matched, pnl, verdict

from executor.domain.commission import MarketCharge, commission_due
from executor.domain.order import CancelReason, Order, OrderStatus
from executor.domain.times import day
from executor.engine.accounting import write_ledger
from executor.engine.cancellation import cancel_orders
from executor.engine.ledger_repair import find_differences, repair_ledger
from executor.engine.reconciliation import poll
from executor.engine.reports import merge_reports
from executor.engine.settlement import settle
from executor.errors import LedgerUnavailable
from executor.ports import ClearedKind

D = Decimal
S = OrderStatus
OTHER = "1.300000000"


def books(rig: Rig) -> tuple[dict[str, Decimal], dict[str, Decimal], dict[str, Decimal]]:
    """Return P&L in Redis, in the ledger, and what the ledger says is matched."""
    write_ledger(rig.engine)
    days = rig.ledger.profits("paper")
    booked = {day: sum(bets.values(), D(0)) for day, bets in days.items()}
    return dict(pnl(rig)), {day: net for day, net in booked.items() if net}, rig.ledger.all_matched("paper")


def look(rig: Rig) -> None:
    """Poll with a read of every order."""
    rig.memory.full_read_at = None
    poll(rig.engine)


def void_all(rig: Rig, order: Order) -> None:
    verdict(rig, order, "0", kind=ClearedKind.VOIDED, settled_at=rig.clock.now)


# --- voids ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("gone", ["record", "redis"])
def test_the_void_of_a_settled_bet_that_redis_has_forgotten_reaches_all_books(rig: Rig, gone: str) -> None:
    order = matched(rig, "s")
    verdict(rig, order, "20")
    settle(rig.engine)
    assert books(rig) == ({TODAY: D(19)}, {TODAY: D(19)}, {order.bet_id: D(10)})
    rig.clock.tick(10 * 86_400)
    rig.memory.orders.clear()
    rig = lost(rig) if gone == "redis" else rig
    void_all(rig, order)
    look(rig)
    settle(rig.engine)
    assert books(rig) == ({}, {}, {})
    rig.clock.tick(60)
    again = lost(rig)
    again.exchange.cleared = rig.exchange.cleared
    look(again)
    assert books(again) == ({}, {}, {})


def test_a_void_between_a_loss_of_redis_and_the_first_poll_reaches_the_ledger(rig: Rig) -> None:
    order = matched(rig, "s")
    write_ledger(rig.engine)
    rig.exchange.bets[order.bet_id] = replace(
        rig.exchange.bets[order.bet_id], size_matched=D(0), average_price_matched=D(0), size_voided=D(10)
    )
    again = lost(rig)
    look(again)
    assert books(again) == ({}, {}, {})
    assert [(trade["type"], trade["size"]) for trade in again.trades()] == [("fill", "10"), ("void", "10")]


def test_a_void_that_is_taken_back_in_an_open_market_is_a_fill_again(rig: Rig) -> None:
    order = matched(rig, "s")
    before = rig.exchange.bets[order.bet_id]
    rig.exchange.bets[order.bet_id] = replace(before, size_matched=D(0), average_price_matched=D(0), size_voided=D(10))
    look(rig)
    assert rig.order("s").status is S.VOIDED
    rig.exchange.bets[order.bet_id] = before
    rig.clock.tick(5)
    look(rig)
    after = rig.order("s")
    assert (after.status, after.size_matched, after.size_voided, after.counts) == (S.MATCHED, D(10), D(0), True)
    assert books(rig)[2] == {order.bet_id: D(10)}
    assert rig.telemetry.counts["matched BACK"] == 1


def test_an_answer_from_before_a_void_does_not_take_it_back(rig: Rig) -> None:
    order = matched(rig, "s")
    before, asked_at = rig.exchange.bets[order.bet_id], rig.clock.now
    void = replace(before, size_matched=D(0), average_price_matched=D(0), size_voided=D(10))
    rig.clock.tick(1)
    merge_reports(rig.engine, MARKET, [void], {order.order_id: order}, rig.clock.now)
    merge_reports(rig.engine, MARKET, [before], {order.order_id: order}, asked_at)
    assert rig.order("s").status is S.VOIDED


def test_a_bet_that_is_void_and_then_settled_has_its_size_again(rig: Rig) -> None:
    order = matched(rig, "s")
    void_all(rig, order)
    settle(rig.engine)
    assert rig.order("s").size_matched == 0
    rig.clock.tick(60)
    verdict(rig, order, "20")
    settle(rig.engine)
    after = rig.order("s")
    assert (after.status, after.size_matched, after.size_voided) == (S.SETTLED, D(10), D(0))
    assert books(rig) == ({TODAY: D(19)}, {TODAY: D(19)}, {order.bet_id: D(10)})
    assert settle(rig.engine) == 0


def test_a_void_row_that_does_not_say_its_size_voids_what_was_matched(rig: Rig) -> None:
    order = matched(rig, "s")
    verdict(rig, order, "0", kind=ClearedKind.VOIDED, size_settled=D(0))
    settle(rig.engine)
    after = rig.order("s")
    assert (after.status, after.size_matched, after.size_voided, after.counts) == (S.VOIDED, D(0), D(10), False)
    assert books(rig) == ({}, {}, {})


def test_a_later_void_of_a_part_leaves_the_profit_on_its_day(rig: Rig) -> None:
    order = matched(rig, "s")
    verdict(rig, order, "20")
    settle(rig.engine)
    rig.clock.tick(3 * 86_400)
    rig.memory.settled_at = rig.clock.now
    row = verdict(rig, order, "12", size_settled=D(6), settled_at=NOW)
    void = replace(row, kind=ClearedKind.VOIDED, size_settled=D(4), profit=D(0), settled_at=rig.clock.now)
    rig.exchange.cleared.append(void)
    settle(rig.engine)
    assert books(rig) == ({TODAY: D("11.40")}, {TODAY: D("11.40")}, {order.bet_id: D(6)})
    assert settle(rig.engine) == 0


# --- the ledger away, or gone back ------------------------------------------------------------------------------------


def test_a_ledger_that_is_away_holds_up_no_settlement_though_a_record_is_gone(rig: Rig) -> None:
    known, forgotten = matched(rig, "known"), matched(rig, "forgotten", marketId=OTHER)
    write_ledger(rig.engine)
    del rig.memory.orders[forgotten.order_id]
    verdict(rig, known, "20")
    verdict(rig, forgotten, "-10")
    rig.ledger.away = True
    assert settle(rig.engine) == 2
    assert pnl(rig) == {TODAY: D(9)}
    rig.ledger.away = False
    assert books(rig)[1] == {TODAY: D(9)}


def test_a_ledger_that_is_away_holds_up_only_what_it_alone_knows(rig: Rig) -> None:
    old, fresh = matched(rig, "old"), matched(rig, "fresh", marketId=OTHER)
    verdict(rig, old, "20")
    settle(rig.engine)
    write_ledger(rig.engine)
    rig.clock.tick(86_400)
    tomorrow = day(rig.clock.now)
    del rig.memory.settlements[TODAY]  # which bets made that day's sum, only the ledger knows
    rig.ledger.away = True
    verdict(rig, old, "-10")  # settled again, today
    verdict(rig, fresh, "5")
    settle(rig.engine)
    assert rig.order("fresh").status is S.SETTLED
    assert pnl(rig) == {TODAY: D(19), tomorrow: D("-5.25")}, "days that are whole are booked, that one waits"
    assert rig.order("old").profit == 20
    rig.ledger.away = False
    for _ in range(2):
        settle(rig.engine)
    assert {day: net for day, net in pnl(rig).items() if net} == {tomorrow: D("-5.25")}
    assert books(rig)[1] == {tomorrow: D("-5.25")}


def test_what_the_ledger_has_not_got_when_redis_is_lost_is_read_from_the_exchange(rig: Rig) -> None:
    bets = {name: matched(rig, name, marketId=f"1.{at}") for at, name in enumerate(("first", "second", "third"))}
    verdict(rig, bets["first"], "20")
    settle(rig.engine)
    write_ledger(rig.engine)
    rig.ledger.away = True
    for name in ("second", "third"):
        rig.clock.tick(86_400)
        verdict(rig, bets[name], "-50")
        settle(rig.engine)
    rig.clock.tick(3 * 86_400)
    again = lost(rig)
    again.memory.full_read_of = None
    again.memory.reconciled_until = 0
    with pytest.raises(LedgerUnavailable):
        poll(again.engine)
    assert not again.view().reconciled, "nothing is placed while P&L is not whole"
    again.ledger.away = False
    poll(again.engine)
    assert again.view().reconciled
    assert sum(pnl(again).values()) == D(-81)
    redis, ledger, _ = books(again)
    assert redis == ledger


def test_a_ledger_restored_from_a_backup_catches_up_by_itself(rig: Rig) -> None:
    order = matched(rig, "s")
    write_ledger(rig.engine)
    backup = copy.deepcopy(rig.ledger)
    verdict(rig, order, "20")
    settle(rig.engine)
    assert books(rig)[1] == {TODAY: D(19)}
    rig.engine = replace(rig.engine, ledger=backup)
    assert find_differences("paper", rig.store, rig.accounts, backup)
    write_ledger(rig.engine)
    assert backup.profits("paper") == {TODAY: {order.bet_id: D(19)}}
    assert not find_differences("paper", rig.store, rig.accounts, backup)
    assert write_ledger(rig.engine) == 0


def test_what_the_feed_has_no_more_is_told_again_by_command(rig: Rig) -> None:
    order, other = matched(rig, "s"), matched(rig, "other", marketId=OTHER)
    backup = copy.deepcopy(rig.ledger)
    verdict(rig, order, "20")
    settle(rig.engine)
    write_ledger(rig.engine)
    rig.clock.tick(8 * 86_400)
    write_ledger(rig.engine)
    assert not rig.memory.feed, "a week old and acknowledged"
    del rig.memory.orders[order.order_id]  # its record has expired, too
    rig.ledger = backup
    rig.engine = replace(rig.engine, ledger=backup)
    write_ledger(rig.engine)
    assert {difference.what for difference in find_differences("paper", rig.store, rig.accounts, backup)} == {
        TODAY,
        f"bet {other.bet_id}",
    }
    repair_ledger(rig.engine)
    assert books(rig)[1:] == ({TODAY: D(19)}, {order.bet_id: D(10), other.bet_id: D(10)})
    assert repair_ledger(rig.engine) == 0


# --- counters ---------------------------------------------------------------------------------------------------------


def counted(rig: Rig) -> Counter[str]:
    found = Counter[str]()
    for name, number in rig.telemetry.counts.items():
        found[name.split()[0]] += number
    return found


def test_after_a_loss_of_redis_nothing_counts_again(rig: Rig) -> None:
    full, live = matched(rig, "full"), rig.placed("live")
    rig.clock.tick(20)  # the call that placed them may still be under way, for all that anybody knows
    write_ledger(rig.engine)
    again = lost(rig)
    look(again)
    assert {order.bet_id for order in again.memory.orders.values()} == {full.bet_id, live.bet_id}
    assert not counted(again)["placed"] + counted(again)["matched"]
    again.exchange.match(live.bet_id, "10")
    look(again)
    assert (counted(again)["placed"], counted(again)["matched"]) == (0, 1)


def test_a_bet_of_somebody_else_is_counted_when_it_is_adopted(rig: Rig) -> None:
    order = rig.placed("s")
    rig.exchange.bets["other"] = replace(rig.exchange.bets[order.bet_id], bet_id="other", order_id="by-hand")
    look(rig)
    assert counted(rig)["placed"] == 2


def test_an_order_partly_matched_cancelled_and_void_is_one_cancellation(rig: Rig) -> None:
    order = rig.placed("s")
    rig.exchange.match(order.bet_id, "4")
    poll(rig.engine)
    cancel_orders(rig.engine, [rig.order("s")], CancelReason.MANUAL)
    assert rig.order("s").status is S.CANCELLED
    verdict(rig, order, "0", kind=ClearedKind.VOIDED, size_settled=D(4))
    settle(rig.engine)
    assert rig.order("s").status is S.VOIDED
    assert counted(rig)["cancelled"] == 1


# --- commission beside other bets of the account ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("net", "charge", "ours"),
    [
        ("20", None, "1.00"),
        ("-20", None, "0"),
        ("20", MarketCharge(D("1.60"), D(20)), "1.60"),  # only ours, at a higher rate than the setting's
        ("20", MarketCharge(D("51.00"), D(1020)), "1.00"),  # others won, too
        ("20", MarketCharge(D("0.25"), D(5)), "0.25"),  # others lost: the account pays less
        ("20", MarketCharge(D(0), D(-80)), "0"),
        ("-20", MarketCharge(D("4.00"), D(80)), "0"),  # others won what is charged
    ],
)
def test_our_commission_is_our_bets_part_of_what_the_account_pays(
    net: str, charge: MarketCharge | None, ours: str
) -> None:
    assert commission_due(D(net), charge, D("0.05")) == D(ours)


def test_a_market_in_which_others_won_costs_our_bets_no_more_than_their_own(rig: Rig) -> None:
    order = matched(rig, "s")
    verdict(rig, order, "20")
    rig.exchange.charged, rig.exchange.others_won = {MARKET: D("51.00")}, {MARKET: D(1000)}
    assert [settle(rig.engine), settle(rig.engine)] == [1, 0]
    assert books(rig) == ({TODAY: D(19)}, {TODAY: D(19)}, {order.bet_id: D(10)})
