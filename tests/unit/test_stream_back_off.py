"""The order stream's process and its reader, where the exchange says what it should not."""

import json
import threading
from types import SimpleNamespace
from typing import Any, cast

import pytest

from executor import stream as module
from executor.adapters.betfair.order_stream import BetfairOrderStream
from executor.errors import NotSent
from executor.ports import StreamMessage
from executor.stream import StreamProcess

IMAGE = StreamMessage(published_at=1, bets=(), image=True, behind=False, odd=())


class Waits(threading.Event):
    """Ends the process after so many waits, which it remembers."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[float | None] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.waits.append(timeout)
        if len(self.waits) == 7:
            self.set()
        return self.is_set()


class Dropping:
    """An exchange that lets in, sends an image and hangs up after `lasting` seconds."""

    def __init__(self, lasting: float) -> None:
        self.now, self.lasting, self.told = 0.0, lasting, False

    def connect(self) -> str:
        self.told = False
        return "001"

    def read(self) -> StreamMessage:
        if self.told:
            self.now += self.lasting
            raise NotSent("order stream: closed by the exchange")
        self.told = True
        return IMAGE

    def close(self) -> None:
        """Nothing is open."""


@pytest.mark.parametrize(("lasting", "waits"), [(0.1, [0.5, 1, 2, 5, 10, 30, 30]), (60.0, [0.5] * 7)])
def test_who_is_shown_out_at_once_waits_longer_each_time(
    monkeypatch: pytest.MonkeyPatch, lasting: float, waits: list[float]
) -> None:
    exchange, stopping = Dropping(lasting), Waits()
    status = SimpleNamespace(connected=lambda *_, **__: None, disconnected=lambda: None)
    monkeypatch.setattr(module, "monotonic", lambda: exchange.now)
    process = StreamProcess(cast("Any", None), exchange, cast("Any", status), stopping)
    process._lead(cast("Any", SimpleNamespace(lost=False)))
    assert stopping.waits == waits


def reader(*rows: object) -> BetfairOrderStream:
    """Return a reader to whom this has come already."""
    made = BetfairOrderStream(
        ("127.0.0.1", 1), cast("Any", None), app_key="key", strategy_ref="ours", ca_bundle="", monotonic=lambda: 0.0
    )
    made._buffer += b"".join(json.dumps(row).encode() + b"\r\n" for row in rows)
    return made


def test_a_message_of_other_types_costs_itself_at_most() -> None:
    order = {"id": [1], "side": {}, "status": [], "ot": [], "sm": "x", "md": "soon", "rfo": 5, "more": 1}
    rows = [
        {"op": "ocm", "id": 2, "status": [503], "segmentType": {}, "ct": "SUB_IMAGE"},
        {"op": "ocm", "id": 2, "ct": ["SUB_IMAGE"], "clk": {}, "pt": "now"},
        {"op": ["ocm"], "id": {"a": 1}},
        {"op": "ocm", "id": 2, "oc": [{"id": ["1.1"], "orc": [{"id": {}, "uo": [order, 5]}, None]}, 7]},
        {"op": "ocm", "id": 2, "oc": {"id": "1.1"}},
    ]
    made = reader(*rows)
    first, second, third, fourth, fifth = (made.read() for _ in rows)
    assert first is not None
    assert first.behind, "whatever that status is, it is not well"
    assert second is not None
    assert (second.image, second.published_at, third) == (False, 0, None)
    assert fourth is not None
    assert (fourth.bets, len(fourth.odd)) == ((), 1)
    assert fifth is not None
    assert fifth.bets == ()


def test_a_heartbeat_that_the_exchange_would_never_send_does_not_end_the_watch() -> None:
    made = reader({"op": "ocm", "id": 2, "heartbeatMs": 10**15})
    made.read()
    assert made._silence_s == 61
