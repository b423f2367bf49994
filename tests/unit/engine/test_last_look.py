"""What allowed a call is looked at again when its first byte is about to go; and what its times are taken from."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

import pytest
from support.engine_rig import Rig, make_policy, sends

from executor.domain.order import OrderStatus
from executor.domain.risk import Reason
from executor.domain.signal_record import SignalStatus
from executor.engine.sweeping import sweep
from executor.ports import Instruction, LegReport

S = OrderStatus
CONNECTING_S: Final = 2.7  # a cold connection over a slow line: name, TCP, TLS


def halt(rig: Rig) -> None:
    rig.memory.trading = "false"


def trip(rig: Rig) -> None:
    rig.memory.trading, rig.memory.breaker = "false", {"at": "now"}


def lose_the_mark(rig: Rig) -> None:
    rig.memory.reconciled_until = 0


def hold_the_market(rig: Rig) -> None:
    rig.memory.stopped_markets[rig.signal().market_id] = "an order's record cannot be read"


def pass_the_deadline(rig: Rig) -> None:
    rig.clock.tick((rig.signal().deadline - rig.clock.now) / 1000)


GONE: list[tuple[Callable[[Rig], None], S, Reason]] = [
    (halt, S.FAILED, Reason.TRADING_DISABLED),
    (trip, S.FAILED, Reason.CIRCUIT_BREAKER_OPEN),
    (lose_the_mark, S.FAILED, Reason.NOT_RECONCILED),
    (hold_the_market, S.FAILED, Reason.NOT_RECONCILED),
    (pass_the_deadline, S.EXPIRED, Reason.SIGNAL_EXPIRED),
]


@pytest.mark.parametrize(("happens", "status", "reason"), GONE)
def test_what_no_longer_holds_when_the_connection_stands_is_not_sent(
    rig: Rig, happens: Callable[[Rig], None], status: S, reason: Reason
) -> None:
    rig.accepted()
    rig.exchange.on_connect = lambda: happens(rig)
    rig.place()
    assert sends(rig) == 0
    order = rig.order()
    assert (order.status, order.reason, order.counts) == (status, reason, False)
    assert (rig.signal().status, rig.signal().reason) == (SignalStatus.FAILED, reason)
    assert rig.memory.failures == {}, "nothing that the exchange did"
    assert rig.telemetry.counts["latency"] == 0, "counted when something leaves"


def test_a_slow_connection_alone_forbids_nothing(rig: Rig) -> None:
    rig.accepted()
    rig.exchange.on_connect = lambda: rig.clock.tick(CONNECTING_S)
    rig.place()
    assert (sends(rig), rig.order().status, rig.telemetry.counts["latency"]) == (1, S.PENDING, 1)


def test_one_whom_somebody_else_has_decided_on_is_not_sent(rig: Rig) -> None:
    rig.accepted()

    def somebody() -> None:
        order = rig.order()
        rig.memory.orders[order.order_id] = replace(order, status=S.FAILED, reason="NOT_PLACED")
        rig.touch_market()

    rig.exchange.on_connect = somebody
    rig.place()
    assert sends(rig) == 0
    assert rig.order().reason == "NOT_PLACED"


def test_what_cannot_be_looked_at_is_not_sent_and_tried_again(rig: Rig) -> None:
    rig.accepted()
    tries: list[int] = []

    def away_once() -> None:
        tries.append(sends(rig))
        rig.memory.away = {"send_state"} if len(tries) == 1 else set()

    rig.exchange.on_connect = away_once
    rig.place()
    assert (tries, sends(rig), rig.order().status) == ([0, 0], 1, S.PENDING)


@pytest.mark.parametrize(
    ("validity_s", "api_timeout_s", "allowed_s"), [(4, 30, 4), (60, 30, 10), (60, 3, 3), (2, 3, 2)]
)
def test_sending_is_allowed_until_the_deadline_or_the_bound(
    validity_s: int, api_timeout_s: int, allowed_s: float
) -> None:
    rig = Rig(make_policy(api_timeout_s=api_timeout_s))
    rig.accepted(validityWindow=validity_s)
    rig.place()
    assert rig.exchange.permits[0].send_by == pytest.approx(rig.clock.monotonic() + allowed_s, rel=0, abs=0.01)


def go_back(rig: Rig) -> None:
    rig.clock.tick(-3600)


@pytest.mark.parametrize("when", ["recorded", "accepted", "connecting"])
def test_nothing_is_placed_after_redis_clock_went_back(rig: Rig, when: str) -> None:
    """How much of the validity was left cannot be told: an hour more, by the deadline in the record."""
    rig.received()
    if when == "recorded":
        go_back(rig)
    rig.validate()
    if when == "accepted":
        go_back(rig)
    elif when == "connecting":
        rig.exchange.on_connect = lambda: go_back(rig)
    rig.place()
    assert sends(rig) == 0
    assert rig.signal().status in {SignalStatus.EXPIRED, SignalStatus.FAILED}
    assert rig.signal().reason == Reason.SIGNAL_EXPIRED
    assert not any(order.counts for order in rig.orders())


def test_a_signal_that_stands_still_when_redis_clock_goes_back_is_closed(rig: Rig) -> None:
    rig.received("signal-1")
    rig.accepted("signal-2")
    dispatched: list[str] = []
    sweep(rig.engine, lambda record: dispatched.append(record.signal_id), "signals")
    assert [rig.signal(f"signal-{at}").status for at in (1, 2)] == [SignalStatus.RECEIVED, SignalStatus.ACCEPTED]
    go_back(rig)
    sweep(rig.engine, lambda record: dispatched.append(record.signal_id), "signals")
    assert [rig.signal(f"signal-{at}").status for at in (1, 2)] == [SignalStatus.EXPIRED, SignalStatus.FAILED]
    assert (dispatched, [order.counts for order in rig.orders("signal-2")]) == ([], [False])


# --- what times are taken from ----------------------------------------------------------------------------------------


def slowly(rig: Rig, seconds: float) -> Callable[[str, Sequence[Instruction]], list[LegReport]]:
    def take(market_id: str, instructions: Sequence[Instruction]) -> list[LegReport]:
        rig.clock.tick(seconds)
        return rig.exchange.take(market_id, instructions)

    return take


def test_a_success_is_dated_by_its_start_and_its_end_by_the_calls_duration(rig: Rig) -> None:
    started = rig.clock.now
    rig.accepted()
    rig.exchange.script = [slowly(rig, 7)]
    rig.place()
    assert rig.memory.since == started / 1000, "a failure that began during the call still counts"
    order = rig.order()
    assert (order.submitted_at, order.answered_at, order.placed_at) == (started, started + 7000, started + 7000)
