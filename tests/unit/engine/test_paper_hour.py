"""An hour of paper trading on fakes, on a clock that tests move: limits stay open, exposure comes back to zero."""

from collections import Counter
from dataclasses import replace
from decimal import Decimal

import pytest
from support.engine_rig import Rig, make_policy

from executor.adapters.paper import PaperExchange
from executor.domain.order import OrderStatus
from executor.domain.risk import Reason
from executor.domain.signal_record import SignalStatus
from executor.engine.accounting import write_ledger
from executor.engine.cancellation import cancel_unmatched
from executor.engine.reconciliation import poll
from executor.engine.settlement import end_paper_positions, settle

MARKETS = 12
SIGNALS = 600  # one every six seconds
HELD_S = 600  # how long a person lets a position stand


@pytest.fixture
def rig() -> Rig:
    rig = Rig(policy=make_policy(paper=True))
    rig.engine = replace(rig.engine, exchange=PaperExchange(Decimal(10_000)))
    return rig


def trade(rig: Rig, signals: int, markets: int, *, ending: bool) -> Counter[str]:
    """Back 5 every six seconds, a market at a time; beat polls, cancels, writes and settles in between."""
    verdicts: Counter[str] = Counter()
    for at in range(signals):
        poll(rig.engine)
        cancel_unmatched(rig.engine)
        if at % 10 == 0:
            settle(rig.engine)
            write_ledger(rig.engine)
            if ending:
                end_paper_positions(rig.engine, older_than_ms=HELD_S * 1000)
        name, market = f"signal-{at}", f"1.{600_000_000 + at % markets}"
        rig.received(name, marketId=market, stake="5")
        step = rig.validate(name, market)
        step = rig.place(name, market) if step.verdict == SignalStatus.ACCEPTED else step
        verdicts[step.reason or step.verdict] += 1
        rig.clock.tick(6)
    return verdicts


@pytest.mark.slow
def test_an_hour_of_paper_signals_rejects_nothing_for_positions_that_ended(rig: Rig) -> None:
    assert trade(rig, SIGNALS, MARKETS, ending=True) == {SignalStatus.COMPLETED: SIGNALS}
    held = rig.alerts.snapshot().exposure
    assert 0 < held <= 5 * (HELD_S / 6 + 10), "what is younger than ten minutes, looked at every minute"
    rig.clock.tick(86_400)  # nobody ends the rest: a day does
    settle(rig.engine)
    assert rig.alerts.snapshot().exposure == 0
    assert {order.status for order in rig.memory.orders.values()} == {OrderStatus.SETTLED}
    write_ledger(rig.engine)
    assert len(rig.ledger.trades) == len(rig.ledger.settlements) == len(rig.ledger.signals) == SIGNALS
    assert all(Decimal(net) == 0 for net in rig.memory.pnl.values())


def test_positions_that_stand_fill_the_limits(rig: Rig) -> None:
    verdicts = trade(rig, 200, 4, ending=False)
    full = 200 // 5 * 4
    assert verdicts == {SignalStatus.COMPLETED: full, Reason.MAX_EXPOSURE_PER_SELECTION: 200 - full}
