"""The ledger's writer."""

import pytest
from support.engine_rig import Rig
from support.factories import NOW

from executor.engine.accounting import log_trades, write_ledger
from executor.errors import StoreUnavailable


def with_a_fill(rig: Rig) -> None:
    rig.accepted()
    rig.exchange.script = [lambda market, legs: rig.exchange.take(market, legs, "1")]
    rig.place()


def test_the_feed_goes_into_the_ledger_once(rig: Rig) -> None:
    with_a_fill(rig)
    entries = len(rig.memory.feed)
    assert write_ledger(rig.engine) == entries
    assert write_ledger(rig.engine) == 0
    assert len(rig.ledger.trades) == 1


def test_a_burst_of_trades_is_written_a_few_times_a_second(rig: Rig) -> None:
    with_a_fill(rig)
    assert log_trades(rig.engine) == len(rig.memory.feed)
    (fill,) = rig.trades()
    for at in range(35):
        rig.memory.feed[f"{NOW + 1000 + at}-9"] = {**fill, "bet_id": f"b{at}"}
        rig.clock.tick(0.02)
        log_trades(rig.engine)
    assert rig.ledger.writes == 2
    assert write_ledger(rig.engine) > 0, "beat takes what the last ones left"
    assert len(rig.ledger.trades) == 36


def test_a_ledger_that_is_away_keeps_the_entries_and_fails_nothing(rig: Rig) -> None:
    with_a_fill(rig)
    rig.ledger.away = True
    assert write_ledger(rig.engine) == 0
    assert len(rig.trade_feed.read_trades(10)) == len(rig.memory.feed)
    rig.ledger.away = False
    assert write_ledger(rig.engine) == len(rig.memory.feed)


def test_entries_whose_receipt_is_lost_are_written_again_and_booked_once(rig: Rig) -> None:
    with_a_fill(rig)
    rig.memory.away = {"acknowledge_trades"}
    with pytest.raises(StoreUnavailable):
        write_ledger(rig.engine)
    rig.memory.away = set()
    write_ledger(rig.engine)
    assert len(rig.ledger.trades) == 1


def test_one_writes_at_a_time(rig: Rig) -> None:
    with_a_fill(rig)
    with rig.locks.single_flight("ledger"):
        assert write_ledger(rig.engine) == 0
    assert rig.ledger.trades == []


def test_a_long_feed_is_written_in_batches(rig: Rig) -> None:
    with_a_fill(rig)
    (fill,) = rig.trades()
    rig.memory.feed.update({f"{NOW + at}-9": {**fill, "bet_id": f"b{at}"} for at in range(1100)})
    assert write_ledger(rig.engine) == len(rig.memory.feed)
    assert len(rig.ledger.trades) == 1101
