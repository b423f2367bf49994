"""Redis's data are a backup's: ledger or exchange know better, and trading is off before anything is placed."""

import pytest
from support.engine_rig import Rig
from support.factories import make_bet, make_order

from executor.domain.order import BetState
from executor.engine.accounting import write_ledger
from executor.engine.reconciliation import poll
from executor.engine.set_back import POLL

MINUTE_MS = 60_000


def lost(placed_at: int) -> BetState:
    return make_bet(make_order(order_id="lost"), placed_at=placed_at)


def polled(rig: Rig, ago_ms: int) -> int:
    """Say when these data's last poll was; nobody has read everything into them since they are back."""
    rig.memory.succeeded[POLL] = rig.clock.now - ago_ms
    rig.memory.full_read_at = None
    return rig.memory.succeeded[POLL]


def test_a_bet_from_after_the_last_poll_that_nobody_knows_halts_trading(rig: Rig) -> None:
    ended = polled(rig, 10 * MINUTE_MS)
    bet = lost(placed_at=ended + MINUTE_MS + 1)
    rig.exchange.bets[bet.bet_id] = bet
    poll(rig.engine)
    assert rig.memory.trading == "false"
    assert [m for m in rig.memory.messages if "backup" in m.get("reason", "")]
    assert rig.engine.store.orders(["lost"]), "it is adopted all the same"


@pytest.mark.parametrize("after_ms", [-1, MINUTE_MS])
def test_what_a_crash_or_a_failover_loses_does_not(rig: Rig, after_ms: int) -> None:
    ended = polled(rig, 10 * MINUTE_MS)
    bet = lost(placed_at=ended + after_ms)
    rig.exchange.bets[bet.bet_id] = bet
    poll(rig.engine)
    assert rig.memory.trading == "true"


def test_data_that_were_read_already_are_not_asked_about(rig: Rig) -> None:
    poll(rig.engine)
    rig.memory.succeeded[POLL] = rig.clock.now - 10 * MINUTE_MS
    bet = lost(placed_at=rig.clock.now)
    rig.exchange.bets[bet.bet_id] = bet
    poll(rig.engine)
    assert rig.memory.trading == "true"


@pytest.mark.parametrize(("ahead_ms", "switch"), [(MINUTE_MS, "true"), (MINUTE_MS + 1, "false")])
def test_a_ledger_that_has_more_than_the_feed_halts_trading(rig: Rig, ahead_ms: int, switch: str) -> None:
    feed = rig.engine.trade_feed
    rig.memory.enter({"type": "fill"})
    newest = int(feed.delivered_trades().partition("-")[0])
    rig.ledger.feeds[rig.engine.policy.identity, feed.generation()] = f"{newest + ahead_ms}-0"
    polled(rig, MINUTE_MS)
    poll(rig.engine)
    assert rig.memory.trading == switch


def test_a_ledger_that_is_away_halts_nothing_until_it_is_back(rig: Rig) -> None:
    feed = rig.engine.trade_feed
    rig.memory.enter({"type": "fill"})
    newest = int(feed.delivered_trades().partition("-")[0])
    rig.ledger.feeds[rig.engine.policy.identity, feed.generation()] = f"{newest + MINUTE_MS + 1}-0"
    polled(rig, MINUTE_MS)
    rig.ledger.away = True
    for _ in range(2):
        poll(rig.engine)
        write_ledger(rig.engine)
        assert (rig.memory.trading, rig.memory.reconciled_until > rig.clock.now) == ("true", True)
    rig.ledger.away = False
    poll(rig.engine)
    assert rig.memory.trading == "false"
    rig.memory.trading = "true"  # a person has looked
    poll(rig.engine)
    assert rig.memory.trading == "true", "it is asked until it answers, and no more"
