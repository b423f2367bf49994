"""FLUSHALL while trading, step by step: placing stops, the exchange is asked, everything is back, a person resumes."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from support.engine_rig import MARKET
from support.recovery_rig import RecoveryRig

from executor import keys
from executor.domain.times import day
from executor.engine.accounting import write_ledger
from executor.engine.reconciliation import poll
from executor.engine.settlement import settle
from executor.engine.validation import validate
from executor.ports import ClearedBet, ClearedKind

D = Decimal


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[RecoveryRig]:
    with RecoveryRig.running(tmp_path) as rig:
        yield rig


def _booked(rig: RecoveryRig) -> dict[str, Decimal]:
    with closing(sqlite3.connect(rig.folder / "ledger.db")) as ledger:
        booked: dict[str, Decimal] = {}
        for bet_id, kind, size in ledger.execute("select bet_id, kind, size from trades"):
            booked[bet_id] = booked.get(bet_id, D(0)) + (D(size) if kind == "fill" else -D(size))
        return booked


def _settled(rig: RecoveryRig, bet_id: str, profit: str) -> None:
    """Let the exchange settle a matched bet."""
    bet = rig.exchange.bets.pop(bet_id)
    row = ClearedBet(
        kind=ClearedKind.SETTLED,
        bet_id=bet_id,
        order_id=bet.order_id,
        market_id=bet.market_id,
        selection_id=bet.selection_id,
        side=bet.side,
        price_requested=bet.price,
        price_matched=bet.price,
        size_settled=bet.size_matched,
        size_cancelled=D(0),
        profit=D(profit),
        settled_at=rig.worker().store.now(),
        placed_at=bet.placed_at,
    )
    rig.exchange.cleared.append(row)


def _pnl(rig: RecoveryRig) -> tuple[Decimal, Decimal]:
    """Return the day's and the total P&L."""
    today = keys.pnl_daily(day(rig.worker().store.now()))
    daily, total = (str(rig.client().get(key)) for key in (today, keys.PNL_TOTAL))
    return D(daily), D(total)


def _trade_four(rig: RecoveryRig) -> None:
    """Place four bets: one settled with a loss and one matched, both booked; one matched in part; one untouched."""
    for number, selection in enumerate(("101", "102", "103", "104"), start=1):
        rig.accepted(f"signal-{number}", primarySelection=_selection(selection))
        rig.place(f"signal-{number}")
    rig.exchange.match("bet1", "10")
    rig.exchange.match("bet2", "10")
    rig.poll()
    _settled(rig, "bet1", "-10")
    settle(rig.worker())
    write_ledger(rig.worker())
    rig.exchange.match("bet3", "4")
    rig.poll()  # in the feed, not in the ledger: a flush takes it


def _selection(selection_id: str) -> dict[str, object]:
    return {"selectionId": selection_id, "recommendedOdds": 3, "stake": 10, "betType": "Back"}


def test_flushall_while_trading(rig: RecoveryRig) -> None:
    _trade_four(rig)
    assert rig.exposure() == {"102": D(10), "103": D(10), "104": D(10)}
    assert _booked(rig) == {"bet1": D(10), "bet2": D(10)}
    rig.accepted("signal-5", primarySelection=_selection("105"))
    before = rig.calls()

    rig.flush()

    # 1. Placing stops by itself, in every step.
    assert rig.place("signal-5").verdict == "UNKNOWN_SIGNAL"
    rig.received("signal-6", primarySelection=_selection("106"))
    step = validate(rig.worker(), "signal-6", MARKET)
    assert step.reason in {"NOT_RECONCILED", "INVALID_LIMITS"}
    assert (rig.calls(), rig.client().get(keys.TRADING_ENABLED)) == (before, None)

    # 2. The poll adopts what the exchange holds, with its sizes and prices, and what it says later is taken in.
    report = poll(rig.worker())
    assert report.adopted == 3
    held = {order.bet_id: order for order in rig.orders()}
    sizes = {
        bet: f"{held[bet].status} {held[bet].size_matched:.2f} at {held[bet].price:.2f}"
        for bet in ("bet2", "bet3", "bet4")
    }
    assert sizes == {"bet2": "MATCHED 10.00 at 3.00", "bet3": "PENDING 4.00 at 3.00", "bet4": "PENDING 0.00 at 3.00"}
    assert all(order.strategy == "adopted" for order in held.values())

    # 3. Exposure and the day's P&L are rebuilt.
    assert rig.exposure() == {"102": D(10), "103": D(10), "104": D(10)}
    assert _pnl(rig) == (D(-10), D(-10))

    # 4. Nothing is booked twice in the ledger, and nothing is missing.
    write_ledger(rig.worker())
    settle(rig.worker())
    write_ledger(rig.worker())
    assert _booked(rig) == {"bet1": D(10), "bet2": D(10), "bet3": D(4)}
    assert _pnl(rig) == (D(-10), D(-10))

    # 5. Trading waits for a person, however often the poll runs, and a signal that was sent is not sent again.
    rig.poll()
    assert rig.client().get(keys.TRADING_ENABLED) is None
    rig.received("signal-7", primarySelection=_selection("107"))
    assert validate(rig.worker(), "signal-7", MARKET).reason == "TRADING_DISABLED"
    rig.worker_controls().set_trading(enabled=True, reason="resumed")
    rig.received("signal-2", primarySelection=_selection("102"))
    assert validate(rig.worker(), "signal-2", MARKET).verdict == "COMPLETED", "its bet is its own again"
    assert rig.calls() == before
    rig.accepted("signal-8", primarySelection=_selection("108"))
    rig.place("signal-8")
    assert rig.calls() == before + 1

    # 6. A fill and a void of what was adopted are booked as of any other order.
    rig.exchange.match("bet4", "10")
    bet = rig.exchange.bets["bet2"]
    rig.exchange.bets["bet2"] = replace(bet, size_matched=D(0), average_price_matched=D(0), size_voided=D(10))
    rig.client().delete(keys.FULL_READ)  # voids are seen by the complete read, once a minute
    rig.poll()
    write_ledger(rig.worker())
    assert _booked(rig) == {"bet1": D(10), "bet2": D(0), "bet3": D(4), "bet4": D(10)}
    assert rig.exposure() == {"103": D(10), "104": D(10), "108": D(10)}
