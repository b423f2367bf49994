"""Hedging on fakes: one at a time, by the one chain, waiting where it must; a short run of the model."""

import json
from dataclasses import replace
from decimal import Decimal

import pytest
from hedging.model import POLICY, SELECTION, HedgeModel
from support.engine_rig import MARKET, Rig, make_policy
from support.factories import make_order

from executor.domain.hedge import HEDGE, HedgePolicy, Quote, Quotes
from executor.domain.order import OrderStatus
from executor.domain.signal_record import SignalRecord
from executor.engine.hedging import hedge, standing
from executor.engine.watchdog import watch
from executor.errors import NotSent, StoreUnavailable

D = Decimal
ID = f"hedge-{MARKET}-{SELECTION}-LAY-1"


@pytest.fixture
def position() -> Rig:
    """Return a rig with a back of 190 that is due, and a market that can be hedged in."""
    rig = Rig(policy=make_policy(hedge=POLICY))
    own = make_order(
        status=OrderStatus.MATCHED, size=D(190), size_matched=D(190), average_price_matched=D(3), selection_id=SELECTION
    )
    rig.memory.orders[own.order_id] = own
    rig.exchange.prices[MARKET] = Quotes("OPEN", {SELECTION: Quote(D(3), D("3.05"), D(3))})
    return rig


def run(rig: Rig) -> list[SignalRecord]:
    sent: list[SignalRecord] = []
    hedge(rig.engine, sent.append)
    return sent


def with_policy(rig: Rig, policy: HedgePolicy) -> None:
    rig.engine = replace(rig.engine, policy=replace(rig.engine.policy, hedge=policy))


def test_a_hedge_goes_through_the_one_chain_and_is_explained(position: Rig, capsys: pytest.CaptureFixture[str]) -> None:
    rig = position
    (record,) = run(rig)
    assert (record.signal_id, record.strategy) == (ID, "hedge")
    assert run(rig) == []  # the first has not ended
    assert rig.validate(ID).verdict == "ACCEPTED"
    rig.place(ID)
    (order,) = rig.orders(ID)
    assert (order.side, order.price, order.size) == ("LAY", D("3.05"), D(90))
    assert run(rig) == []  # it is live
    said = "holds 190 of at most 200; lay 90 at 3.05"
    assert [act[:2] for act in rig.engine.hedges.explained] == [(ID.removeprefix("hedge-").removesuffix("-1"), ID)]  # type: ignore[attr-defined]
    assert said in rig.engine.hedges.explained[0][2]  # type: ignore[attr-defined]
    assert said in capsys.readouterr().out


def test_the_next_attempt_has_the_next_number(position: Rig) -> None:
    rig = position
    run(rig)
    rig.clock.tick(21)
    assert rig.validate(ID).verdict == "EXPIRED"
    (second,) = run(rig)
    assert second.signal_id == ID[:-1] + "2"


def test_alert_says_what_it_would_do_and_does_nothing(position: Rig) -> None:
    rig = position
    with_policy(rig, replace(POLICY, mode="alert"))
    assert run(rig) == []
    assert "it would hedge: " in standing(rig.engine)[0]
    assert "hedge_waiting" in watch(rig.engine)


@pytest.mark.parametrize(
    ("trouble", "why"),
    [
        (lambda rig: setattr(rig.memory, "trading", "false"), "trading is halted"),
        (lambda rig: rig.memory.__dict__.update(trading="false", breaker={"time": "x"}), "breaker is open"),
        (lambda rig: rig.exchange.prices.clear(), "prices are not known"),
        (lambda rig: setattr(rig.exchange, "reads_fail", NotSent("away")), "prices are not known"),
        (lambda rig: rig.exchange.prices.update({MARKET: Quotes("SUSPENDED")}), "SUSPENDED"),
    ],
)
def test_it_waits_and_alerts_and_goes_on(position: Rig, trouble: object, why: str) -> None:
    rig = position
    trouble(rig)  # type: ignore[operator]
    assert run(rig) == []
    assert why in standing(rig.engine)[0]
    rig.memory.trading, rig.memory.breaker, rig.exchange.reads_fail = "true", {}, None
    rig.exchange.prices[MARKET] = Quotes("OPEN", {SELECTION: Quote(D(3), D("3.05"), D(3))})
    assert len(run(rig)) == 1
    assert standing(rig.engine) == []


def test_a_process_that_dies_before_it_noted_the_attempt_makes_no_second_one(position: Rig) -> None:
    """It is explained all the same, also when the position is not due any more."""
    rig = position
    rig.memory.away = {"explain_hedge"}
    with pytest.raises(StoreUnavailable):
        run(rig)
    rig.memory.away = set()
    assert rig.signal(ID).status == "RECEIVED"
    rig.memory.limits["MaxExposurePerSelection"] = "300"
    assert run(rig) == []
    rig.memory.limits["MaxExposurePerSelection"] = "200"
    assert run(rig) == []
    assert sorted(rig.memory.signals) == [ID]
    assert [act[1:] for act in rig.engine.hedges.explained] == [  # type: ignore[attr-defined]
        (ID, "selection 123456 of market 1.200000000 holds 190 of at most 200; lay 90 at 3.05")
    ]


def test_a_process_that_dies_before_it_recorded_the_attempt_has_done_nothing(position: Rig) -> None:
    rig = position
    rig.memory.away = {"note_hedge"}
    with pytest.raises(StoreUnavailable):
        run(rig)
    assert rig.memory.signals == {}
    rig.memory.away = set()
    assert [record.signal_id for record in run(rig)] == [ID]


def test_notes_that_were_lost_make_no_second_hedge(position: Rig) -> None:
    rig = position
    run(rig)
    rig.memory.hedges.clear()
    assert run(rig) == []
    assert sorted(rig.memory.signals) == [ID]


def test_what_is_not_due_costs_no_call(position: Rig) -> None:
    rig = position
    rig.memory.limits["MaxExposurePerSelection"] = "300"
    assert run(rig) == []
    assert rig.exchange.called("quotes") == []


@pytest.mark.parametrize("seed", range(12))
def test_accidents_never_raise_an_exposure(seed: int) -> None:
    assert HedgeModel(1000 + seed).run().problems == []


def test_the_model_sees_a_hedge_that_is_a_penny_or_two_too_large() -> None:
    model = HedgeModel(1000).run()
    position = HedgeModel(1000)  # the same one, before anything was hedged
    first = next(json.loads(record.payload) for record in model.rig.memory.signals.values() if record.strategy == HEDGE)
    leg = first["primarySelection"]
    assert position.judge(leg) == ""
    assert "more than what brings" in position.judge({**leg, "stake": str(D(leg["stake"]) + D("0.02"))})
    assert "of a position" in position.judge({**leg, "betType": "Back" if leg["betType"] == "Lay" else "Lay"})
