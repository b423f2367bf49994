"""A line to the exchange that is really cut in mid-call: nothing that was given up arrives, whenever it is back.

For each signal: no placeOrders reaches the exchange later than 5 s after the deadline, and what was concluded to be not
placed is not placed. The same with the worker killed or standing still when its request had just left.
"""

import random
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import pytest
from support.cut_line import CutEngine, cut_line, why_not
from support.cut_line_engine import Plan
from support.sandbox_client import wait_for

pytestmark = pytest.mark.skipif(bool(why_not()), reason=why_not() or "a line can be cut here")
_GO_S: Final = 0.3  # after the order to go: when the line is cut
_ARRIVES_MS: Final = 5000  # after the deadline: when the last byte may arrive
_CLOCK_MS: Final = 250  # reading clocks, on a busy machine


def plan(number: int, **overrides: Any) -> Plan:
    fields: dict[str, Any] = {
        "signal_id": f"signal-{number}",
        "market_id": f"1.77{number:05}",
        "delay_s": _GO_S + 0.15,
        "validity_s": 5,
        "api_timeout_s": 30,
        "warm": True,
        "fate": "lives",
        "stopped_s": 0.0,
    }
    return Plan(**{**fields, **overrides})


def arrivals(engine: CutEngine) -> dict[str, float]:
    """Return customerOrderRef -> when the exchange received it, ms; one call each."""
    found: dict[str, float] = {}
    for call in engine.tell(do="bets"):
        if call["method"].endswith("placeOrders"):
            for instruction in call["params"]["instructions"]:
                assert instruction["customerOrderRef"] not in found, "two calls for one order"
                found[instruction["customerOrderRef"]] = float(call["received_at"]) * 1000
    return found


@dataclass(frozen=True)
class Outcome:
    """Signal -> where its order stands; and those of which a call arrived."""

    ends: dict[str, str]
    arrived: set[str]


def run(folder: Path, plans: Sequence[Plan], cut_s: float, after_s: float, *ways: str) -> Outcome:
    """Cut the line for so long, look for so long after that, and hold each order to the promises."""
    signals = [each.signal_id for each in plans]
    with cut_line(folder) as engine:
        engine.tell(do="prepare", plans=[asdict(each) for each in plans])
        engine.tell(do="go")
        time.sleep(_GO_S)
        engine.line.cut(*ways)
        time.sleep(cut_s)
        engine.line.heal()
        until = time.monotonic() + after_s
        concluded: dict[str, str] = {}
        while time.monotonic() < until:
            state = engine.tell(do="poll", signals=signals)
            concluded |= {order[0]: name for name, order in state["orders"].items() if order[1] == "FAILED"}
            time.sleep(0.5)
        received = arrivals(engine)
        wrong = [
            f"{concluded[ref]} was concluded to be not placed, and arrived" for ref in received if ref in concluded
        ]
        for name, (ref, *_) in state["orders"].items():
            late = received.get(ref, 0) - state["deadlines"][name] - _ARRIVES_MS
            if late > _CLOCK_MS:
                wrong.append(f"{name} arrived {late:.0f} ms after it could be relied on that it would not")
        assert not wrong, wrong
        orders = state["orders"]
        arrived = {name for name, order in orders.items() if order[0] in received}
        return Outcome({name: order[1] for name, order in orders.items()}, arrived)


def test_what_was_given_up_is_gone_at_once(tmp_path: Path) -> None:
    """A cut of 2.2 s: without an abortive close the kernel's next attempt comes at 3.0 s."""
    outcome = run(tmp_path, [plan(1, api_timeout_s=1), plan(2, fate="killed"), plan(3, delay_s=0.0)], 2.2, 4.0)
    assert outcome.arrived == {"signal-3"}


@pytest.mark.slow
def test_nothing_that_was_given_up_arrives_when_the_line_is_back(tmp_path: Path) -> None:
    """A cut of 7 s: without protection the kernel's next attempt comes at 12.6 s."""
    plans = [
        plan(1, api_timeout_s=2),
        plan(2, api_timeout_s=30),  # would wait: the kernel gives up at 5 s
        plan(3, fate="killed"),
        plan(4, fate="stopped", stopped_s=9.0),
        plan(5, warm=False),
        plan(6, delay_s=0.0),  # before the cut
    ]
    outcome = run(tmp_path, plans, 7.0, 8.0)
    assert outcome.arrived == {"signal-6"}
    assert set(outcome.ends) == {each.signal_id for each in plans}


@pytest.mark.slow
def test_a_request_whose_answer_is_lost_is_found(tmp_path: Path) -> None:
    outcome = run(tmp_path, [plan(1, api_timeout_s=2), plan(2)], 6.0, 3.0, "back")
    assert outcome.arrived == set(outcome.ends) == {"signal-1", "signal-2"}
    assert set(outcome.ends.values()) <= {"PENDING", "MATCHED"}


@pytest.mark.slow
@pytest.mark.parametrize("halted", [False, True])
def test_what_is_over_when_a_slow_connection_stands_is_not_sent(tmp_path: Path, halted: bool) -> None:
    """Cold connections whose first packet is lost: they stand after the kernel's next attempt, at 1 s and more."""
    plans = [plan(1, warm=False, delay_s=0.0, validity_s=1), plan(2, warm=False, delay_s=0.0, validity_s=20)]
    signals = [each.signal_id for each in plans]
    with cut_line(tmp_path) as engine:
        engine.tell(do="prepare", plans=[asdict(each) for each in plans])
        engine.line.cut()
        engine.tell(do="go")
        time.sleep(0.3)
        if halted:
            engine.tell(do="halt")
        engine.line.heal()

        def ended() -> bool:
            orders = engine.tell(do="poll", signals=signals)["orders"].values()
            return len(orders) == len(plans) and not {"RESERVED", "SUBMITTED"} & {order[1] for order in orders}

        wait_for(ended, 20)
        orders = engine.tell(do="poll", signals=signals)["orders"]
        received = arrivals(engine)
        assert orders["signal-1"][0] not in received, "its deadline came first"
        assert orders["signal-1"][2] in ({"SIGNAL_EXPIRED", "TRADING_DISABLED"} if halted else {"SIGNAL_EXPIRED"})
        assert (orders["signal-2"][0] in received) is not halted
        if halted:
            assert orders["signal-2"][1:] == ["FAILED", "TRADING_DISABLED"]


def seeded(seed: int) -> Plan:
    chance = random.Random(seed)  # noqa: S311 - a plan, not a secret
    return plan(
        seed,
        delay_s=_GO_S + chance.uniform(-0.25, 0.6),
        validity_s=chance.randint(2, 10),
        api_timeout_s=chance.choice((2, 5, 30)),
        warm=chance.random() < 0.8,
        fate=chance.choices(("lives", "killed", "stopped"), (8, 1, 1))[0],
        stopped_s=chance.uniform(2, 50),
    )


SEEDS: Final = 50
# Cut, and how long to look after it: until past the kernel's next attempt without protection (25.6 s, 51.2 s).
LENGTHS: Final = ((20.0, 22.0), (33.0, 24.0), (45.0, 22.0))


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_cuts_of_three_lengths_over_fifty_seeds(tmp_path: Path) -> None:
    """Three lines at a time; each has all seeds."""

    def cut(number: int) -> Outcome:
        cut_s, after_s = LENGTHS[number]
        plans = [seeded(1000 * number + seed) for seed in range(SEEDS)]
        return run(tmp_path / str(number), plans, cut_s, after_s)

    with ThreadPoolExecutor(len(LENGTHS)) as pool:
        for outcome in pool.map(cut, range(len(LENGTHS))):
            assert len(outcome.ends) == SEEDS
            assert len(outcome.arrived) < SEEDS, "some met the cut"
