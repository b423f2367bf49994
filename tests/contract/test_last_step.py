"""The last step of a chain, as Celery's task runs it: it also learns what the market is."""

from dataclasses import replace

import pytest
from support.engine_rig import MARKET, Rig

from executor import tasks
from executor.domain.market import Market


def test_it_reads_what_the_market_is_so_that_the_second_signal_knows(rig: Rig) -> None:
    rig.exchange.markets[MARKET] = replace(Market(MARKET, "EACH_WAY", "ODDS"), read_at=rig.clock.now)
    rig.accepted("first")
    rig.place("first")
    tasks._log(rig.engine, "first", MARKET)
    rig.received("second")
    assert rig.validate("second").reason == "UNSUPPORTED_MARKET"


@pytest.fixture
def rig() -> Rig:
    return Rig()
