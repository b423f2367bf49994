"""Settlement on fakes: what the exchange says, on which day, after which accident; and what comes of it in P&L."""

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.engine_rig import MARKET, Rig, make_policy
from support.factories import NOW
from support.fakes import FrozenClock

from executor.domain.commission import share_commission
from executor.domain.order import Order, OrderStatus
from executor.domain.times import day
from executor.engine.accounting import write_ledger
from executor.engine.reconciliation import poll
from executor.engine.settlement import rebuild_pnl, settle
from executor.errors import LedgerUnavailable, StoreUnavailable
from executor.ports import ClearedBet, ClearedKind

D = Decimal
DAY_MS = 86_400_000
S = OrderStatus


def matched(rig: Rig, signal_id: str, **message: Any) -> Order:
    """Take a signal to the exchange and have it fully matched."""
    order = rig.placed(signal_id, **message)
    rig.exchange.match(order.bet_id, str(order.size))
    rig.memory.full_read_at = rig.clock.now - 61_000
    poll(rig.engine)
    found = rig.order(signal_id)
    assert found.status is S.MATCHED
    return found


def verdict(rig: Rig, order: Order, profit: str, **overrides: Any) -> ClearedBet:
    """Settle an order's bet at the exchange, anew if it is settled already."""
    row = ClearedBet(
        kind=ClearedKind.SETTLED,
        bet_id=order.bet_id,
        order_id=order.order_id,
        market_id=order.market_id,
        selection_id=order.selection_id,
        side=order.side,
        price_requested=order.price,
        price_matched=order.average_price_matched or order.price,
        size_settled=order.size,
        size_cancelled=D(0),
        profit=D(profit),
        settled_at=rig.clock.now,
        placed_at=order.placed_at,
    )
    row = replace(row, **overrides)
    rig.exchange.bets.pop(order.bet_id, None)
    rig.exchange.cleared = [row for row in rig.exchange.cleared if row.bet_id != order.bet_id] + [row]
    return row


def pnl(rig: Rig) -> Mapping[str, Decimal]:
    return {day: D(net) for day, net in rig.memory.pnl.items() if D(net)}


def booked(rig: Rig) -> Mapping[str, Decimal]:
    """Return what the ledger says, by day."""
    rig.ledger.write(rig.memory.entries)
    days = rig.ledger.profits("paper")
    return {day: sum(bets.values(), D(0)) for day, bets in days.items() if sum(bets.values())}


TODAY, TOMORROW = day(NOW), day(NOW + DAY_MS)


# --- the rule for commission ------------------------------------------------------------------------------------------


def test_commission_is_shared_by_profit() -> None:
    profits = {"c": D(10), "a": D(10), "b": D(10), "d": D(-5)}
    assert share_commission(profits, D("1.00")) == {"a": D("0.33"), "b": D("0.34"), "c": D("0.33"), "d": D(0)}


@given(
    st.dictionaries(st.text("abcdef", min_size=1, max_size=3), st.decimals(-100, 100, places=2), max_size=8),
    st.decimals(0, 50, places=2),
)
def test_shares_add_up_and_touch_no_loser(profits: dict[str, Decimal], commission: Decimal) -> None:
    shares = share_commission(profits, commission)
    winners = [name for name, profit in profits.items() if profit > 0]
    assert sum(shares.values()) == (commission if winners else 0)
    assert all(shares[name] >= 0 and (name in winners or shares[name] == 0) for name in profits)
    won = sum(profits[name] for name in winners)
    assert all(abs(shares[name] - commission * profits[name] / won) <= D("0.01") for name in winners)
    backwards = dict(reversed(list(profits.items())))
    assert share_commission(backwards, commission) == shares, "whatever order they were read in"


@pytest.mark.parametrize(("charged", "net"), [({}, "19.00"), ({MARKET: D("0.40")}, "19.60")])
def test_commission_is_the_exchanges_or_the_rate(rig: Rig, charged: dict[str, Decimal], net: str) -> None:
    verdict(rig, matched(rig, "s"), "20")
    rig.exchange.charged = charged
    assert settle(rig.engine) == 1
    assert rig.order("s").status is S.SETTLED
    assert pnl(rig) == booked(rig) == {TODAY: D(net)}


def test_commission_counts_every_bet_of_the_market_that_is_settled_so_far(rig: Rig) -> None:
    won, lost = matched(rig, "won"), matched(rig, "lost")
    verdict(rig, won, "20")
    settle(rig.engine)
    assert rig.order("won").commission == D("1.00")
    rig.clock.tick(2 * 86_400)  # the first one is outside the window that is read now
    rig.memory.settled_at = rig.clock.now
    verdict(rig, lost, "-10")
    assert settle(rig.engine) == 2
    assert (rig.order("won").commission, rig.order("lost").commission) == (D("0.50"), D(0))
    later = day(rig.clock.now)
    assert pnl(rig) == booked(rig) == {TODAY: D("19.50"), later: D(-10)}


# --- again, differently, on another day -------------------------------------------------------------------------------


def test_reading_a_settlement_again_changes_nothing(rig: Rig) -> None:
    verdict(rig, matched(rig, "s"), "20")
    assert [settle(rig.engine) for _ in range(3)] == [1, 0, 0]
    assert [entry["type"] for entry in rig.memory.trades] == ["fill", "settlement"]
    assert rig.exchange.called("settled_in").count(ClearedKind.SETTLED) == 1  # whole markets, where there is news
    assert pnl(rig) == {TODAY: D(19)}


@pytest.mark.parametrize("later_s", [60, 86_400])
@pytest.mark.parametrize("profit", ["-10", "20"])
def test_a_new_verdict_replaces_the_old_one_on_its_own_day(rig: Rig, later_s: int, profit: str) -> None:
    order = matched(rig, "s")
    verdict(rig, order, "20")
    settle(rig.engine)
    rig.clock.tick(later_s)
    verdict(rig, order, profit)
    settle(rig.engine)
    settle(rig.engine)
    net = D(19) if profit == "20" else D(-10)
    assert pnl(rig) == booked(rig) == {day(rig.clock.now): net}


def test_a_void_after_the_settlement_takes_back_match_and_profit(rig: Rig) -> None:
    order = matched(rig, "s")
    verdict(rig, order, "20")
    settle(rig.engine)
    verdict(rig, order, "0", kind=ClearedKind.VOIDED)
    settle(rig.engine)
    after = rig.order("s")
    assert (after.size_matched, after.size_voided, after.net_profit) == (D(0), order.size, D(0))
    assert [entry["type"] for entry in rig.memory.trades] == ["fill", "settlement", "void", "settlement"]
    assert pnl(rig) == booked(rig) == {}
    assert sum(rig.ledger.sizes) == order.size + order.size  # a fill and its void
    assert settle(rig.engine) == 0


def test_a_void_instead_of_a_settlement_releases_the_exposure(rig: Rig) -> None:
    order = rig.placed("s")
    rig.exchange.match(order.bet_id, "6")
    poll(rig.engine)
    rig.exchange.cancel(order.market_id, [order.bet_id])
    poll(rig.engine)
    order = rig.order("s")
    assert (order.status, order.size_matched) == (S.CANCELLED, D(6))
    verdict(rig, order, "0", kind=ClearedKind.VOIDED, size_settled=D(6))
    settle(rig.engine)
    after = rig.order("s")
    assert (after.status, after.size_matched, after.counts) == (S.VOIDED, D(0), False)
    assert pnl(rig) == {}


def test_a_part_voided_and_a_part_settled_is_one_bet(rig: Rig) -> None:
    order = matched(rig, "s")
    row = verdict(rig, order, "12", size_settled=D(6))
    rig.exchange.cleared.append(replace(row, kind=ClearedKind.VOIDED, size_settled=D(4), profit=D(0)))
    settle(rig.engine)
    after = rig.order("s")
    assert (after.status, after.size_matched, after.size_voided) == (S.SETTLED, D(6), D(4))
    assert pnl(rig) == booked(rig) == {TODAY: D("11.40")}


@pytest.mark.parametrize(("currency", "over", "taken"), [("GBP", "0.02", True), ("GBP", "0.03", False),
                                                         ("AUD", "0.10", True), ("AUD", "0.11", False)])  # fmt: skip
def test_what_rounding_in_pounds_explains_is_settled_and_what_is_more_waits(
    rig: Rig, currency: str, over: str, *, taken: bool
) -> None:
    rig.memory.currency = currency
    order = matched(rig, "s")
    row = verdict(rig, order, "12", size_settled=D(6))
    rig.exchange.cleared.append(replace(row, kind=ClearedKind.VOIDED, size_settled=4 + D(over), profit=D(0)))
    settle(rig.engine)
    assert (rig.order("s").status is S.SETTLED) == taken


def test_a_second_bet_under_a_reference_is_settled_as_a_bet_of_its_own(rig: Rig) -> None:
    order = rig.placed("s")
    rig.exchange.bets["other"] = replace(rig.exchange.bets[order.bet_id], bet_id="other")
    poll(rig.engine)
    assert rig.memory.orders["bet-other"].counts
    verdict(rig, order, "20")
    verdict(rig, replace(order, bet_id="other"), "-10")
    settle(rig.engine)
    assert {order.order_id: order.profit for order in rig.memory.orders.values()} == {
        order.order_id: 20,
        "bet-other": -10,
    }
    assert pnl(rig) == booked(rig) == {TODAY: D("9.50")}


def test_a_bet_never_seen_before_its_settlement_is_adopted_and_counted(rig: Rig) -> None:
    order = replace(rig.placed("s"), bet_id="unseen", order_id="unseen")
    verdict(rig, order, "20")
    settle(rig.engine)
    adopted = rig.memory.orders["unseen"]
    assert (adopted.status, adopted.strategy) == (S.SETTLED, "adopted")
    assert pnl(rig) == booked(rig) == {TODAY: D(19)}


def test_what_was_matched_and_settled_between_two_looks_is_counted_once(rig: Rig) -> None:
    full, part = rig.placed("full"), rig.placed("part")
    verdict(rig, full, "20")
    verdict(rig, part, "8", size_settled=D(4))
    settle(rig.engine)
    settle(rig.engine)
    assert rig.telemetry.counts["matched BACK"] == 1
    assert rig.telemetry.counts["cancelled LAPSED"] == 1


# --- accidents --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dies", ["commit", "book_profits"])
def test_dying_half_way_books_everything_once_when_it_is_done_again(rig: Rig, dies: str) -> None:
    first, second = matched(rig, "a"), matched(rig, "b", marketId="1.300000000")
    verdict(rig, first, "20")
    verdict(rig, second, "-10")
    settle(rig.engine)
    rig.clock.tick(86_400)
    verdict(rig, first, "-10")  # settled again, on the next day
    rig.memory.away = {dies}
    with pytest.raises(StoreUnavailable):
        settle(rig.engine)
    rig.memory.away = set()
    settle(rig.engine)
    assert pnl(rig) == booked(rig) == {TODAY: D(-10), TOMORROW: D(-10)}


def test_a_market_that_others_keep_changing_waits_and_holds_up_no_other(rig: Rig) -> None:
    first, second = matched(rig, "a"), matched(rig, "b", marketId="1.300000000")
    verdict(rig, first, "20")
    verdict(rig, second, "-10")
    read_at = rig.memory.settled_at
    rig.clock.tick(60)
    rig.store.before_commit = [rig.touch_market] * 8
    assert settle(rig.engine) == 1
    assert rig.memory.settled_at == read_at, "the window is read again"
    assert settle(rig.engine) == 1
    assert rig.memory.settled_at == rig.clock.now
    assert pnl(rig) == booked(rig) == {TODAY: D(9)}


def test_what_waits_is_still_counted_as_exposure(rig: Rig) -> None:
    order = matched(rig, "a")
    verdict(rig, order, "20")
    rig.store.before_commit = [rig.touch_market] * 8
    assert settle(rig.engine) == 0
    assert rig.order("a").status is S.MATCHED


def lost(rig: Rig) -> Rig:
    """Return a rig whose Redis is new, with the same exchange and ledger."""
    fresh = Rig(policy=rig.policy, clock=rig.clock)
    fresh.exchange.bets, fresh.exchange.cleared = rig.exchange.bets, rig.exchange.cleared
    fresh.memory.settled_at = None
    fresh.memory.full_read_at = fresh.memory.full_read_of = None
    fresh.memory.generation = f"{rig.memory.generation} anew"
    fresh.ledger = rig.ledger
    fresh.engine = replace(fresh.engine, ledger=rig.ledger)
    return fresh


@pytest.mark.parametrize("restart", [rebuild_pnl, settle])
def test_after_a_loss_of_redis_pnl_comes_back_whoever_is_first(rig: Rig, restart: Any) -> None:
    old, missed = matched(rig, "old"), matched(rig, "missed")
    verdict(rig, old, "20")
    settle(rig.engine)
    assert booked(rig) == {TODAY: D(19)}
    rig.clock.tick(3 * 86_400)
    verdict(rig, missed, "-10", settled_at=rig.clock.now - 2 * DAY_MS)  # settled while everything was down
    rig.clock.tick(60)
    again = lost(rig)
    restart(again.engine)
    settle(again.engine)
    # The market's net is 10 now: half of the commission comes back.
    assert pnl(again) == {TODAY: D("19.50"), TOMORROW: D(-10)}
    assert booked(again) == pnl(again)


def test_what_waits_in_redis_alone_is_asked_for_however_old_it_is(rig: Rig) -> None:
    """P&L is lost, orders are not; one was matched and settled while nobody looked, so that no ledger knows it."""
    old = rig.placed("old")
    rig.clock.tick(3 * 86_400)
    rig.memory.reconciled_until = rig.clock.now + 1
    verdict(rig, matched(rig, "new", marketId="1.300000000"), "20")
    settle(rig.engine)
    write_ledger(rig.engine)
    assert rig.ledger.oldest_unsettled(rig.policy.identity) is None
    assert rig.ledger.newest_settlement(rig.policy.identity) is not None
    verdict(rig, old, "-10", settled_at=old.created_at + DAY_MS)
    rig.memory.settled_at = None
    rig.exchange.calls.clear()
    settle(rig.engine)
    assert set(rig.exchange.called("settled_since")) == {old.created_at}
    assert rig.order("old").status is S.SETTLED


def test_without_the_ledger_a_lost_pnl_is_not_rebuilt_in_part(rig: Rig) -> None:
    verdict(rig, matched(rig, "s"), "20")
    again = lost(rig)
    again.ledger.away = True
    with pytest.raises(LedgerUnavailable):
        settle(again.engine)
    assert again.memory.settled_at is None


def test_a_new_verdict_after_redis_has_forgotten_the_bet_and_its_day_moves_the_profit(rig: Rig) -> None:
    order, other = matched(rig, "s"), matched(rig, "other", marketId="1.300000000")
    verdict(rig, order, "20")
    verdict(rig, other, "40")
    settle(rig.engine)
    assert booked(rig) == {TODAY: D(57)}
    rig.clock.tick(10 * 86_400)
    rig.memory.orders.clear()
    rig.memory.settlements.clear()  # their days last a week; the days' sums stay
    rig.memory.settled_at = rig.clock.now
    verdict(rig, order, "-10")
    settle(rig.engine)
    assert pnl(rig) == booked(rig) == {TODAY: D(38), day(rig.clock.now): D(-10)}


# --- paper ------------------------------------------------------------------------------------------------------------


def test_a_paper_position_ends_a_day_after_its_fill() -> None:
    rig = Rig(policy=make_policy(paper=True), clock=FrozenClock())
    order = rig.placed("s")
    state = replace(order, status=S.MATCHED, size_matched=order.size, average_price_matched=order.price, paper=True)
    rig.memory.orders[order.order_id] = replace(state, matched_at=rig.clock.now)
    rig.clock.tick(86_399)
    assert settle(rig.engine) == 0
    rig.clock.tick(1)
    assert settle(rig.engine) == 1
    assert (rig.order("s").status, rig.order("s").profit) == (S.SETTLED, D(0))
