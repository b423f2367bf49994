"""The order stream's process and its reader, where the exchange says what it should not."""

import json
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import certifi
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


class Ticks:
    """A clock that moves on by so much with each look."""

    def __init__(self, step: float = 0.0) -> None:
        self.now, self.step = 0.0, step

    def __call__(self) -> float:
        self.now += self.step
        return self.now


def reader(*rows: object, tick: float = 0.0) -> BetfairOrderStream:
    """Return a reader to whom this has come already; a text is a line as it is."""
    clock = Ticks(tick)
    made = BetfairOrderStream(
        ("127.0.0.1", 1), cast("Any", None), app_key="key", strategy_ref="ours", ca_bundle="", monotonic=clock
    )
    lines = (row if isinstance(row, str) else json.dumps(row) for row in rows)
    made._buffer += b"".join(line.encode() + b"\r\n" for line in lines)
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


_GOOD = (
    '{"id":"2","p":3.0,"s":10.0,"side":"B","status":"E","pt":"L","ot":"L","pd":1700000000000,"sm":4.0,"sr":6.0,'
    '"sl":0.0,"sc":0.0,"sv":0.0,"rfo":"o-2","rfs":"ours"}'
)


@pytest.mark.parametrize(
    "change",
    [
        ('"sm":4.0', '"sm":1e9999999'),
        ('"p":3.0', '"p":1e-9999999'),
        ('"s":10.0', '"s":NaN'),
        ('"sm":4.0', '"sm":0.0,"sm":4.0'),
        ('"id":"2"', '"id":"2","id":"3"'),
        ('"pd":1700000000000', '"pd":99999999999999999999'),
        ('"rfs":"ours"', '"rfs":{"a":1,"a":2}'),
    ],
)
def test_a_bet_that_cannot_be_read_costs_no_other_of_its_message(change: tuple[str, str]) -> None:
    orders = ",".join([_GOOD.replace('"2"', '"1"'), _GOOD.replace(*change), _GOOD.replace('"2"', '"4"')])
    line = '{"op":"ocm","id":2,"pt":1,"oc":[{"id":"1.1","orc":[{"id":7,"uo":[%s]}]}]}'
    message = reader(line % orders).read()
    assert message is not None
    assert [bet.bet_id for bet in message.bets] == ["1", "4"]
    assert len(message.odd) == 1


@pytest.mark.parametrize(
    "twice", ['{"id":"1.1","id":"1.2","orc":[{"id":7,%s}]}', '{"id":"1.1","orc":[{"id":7,"id":8,%s}]}']
)
def test_whose_market_or_runner_is_said_twice_is_not_believed(twice: str) -> None:
    changes = f'[{twice % f""""uo":[{_GOOD}]"""},{{"id":"1.3","orc":[{{"id":7,"uo":[{_GOOD}]}}]}}]'
    message = reader(f'{{"op":"ocm","id":2,"pt":1,"oc":{changes}}}').read()
    assert message is not None
    assert ([bet.market_id for bet in message.bets], len(message.odd)) == (["1.3"], 1)


def test_who_hears_nothing_of_his_subscription_is_not_connected() -> None:
    """Late words of an earlier subscription, and answers, are no sign that ours is alive."""
    others = [{"op": "ocm", "id": 1, "ct": "HEARTBEAT"}, {"op": "status", "statusCode": "SUCCESS", "id": 9}] * 20
    made = reader(*others, {"op": "ocm", "id": 2}, tick=0.4)
    made._silence_s = 5.0
    with pytest.raises(NotSent, match="nothing of our subscription for 5 s"):
        list(iter(made.read, IMAGE))
    made = reader(*([*others[:6], {"op": "ocm", "id": 2}] * 10), tick=0.4)
    made._silence_s = 5.0
    heard = [made.read() for _ in range(70)]
    assert sum(message is not None for message in heard) == 10, "one that is heard now and then is well"


def test_who_talks_and_does_not_answer_does_not_keep_us_for_ever() -> None:
    made = reader(*[{"op": "ocm", "id": 1}] * 100, tick=0.4)
    with pytest.raises(NotSent, match="does not answer"):
        made._expect_success(2, "token")


@pytest.mark.parametrize("bundle", ["/nowhere/ca.pem", "garbage"])
def test_a_bundle_that_cannot_be_loaded_is_said_and_ends_nothing(tmp_path: Path, bundle: str) -> None:
    if bundle == "garbage":
        (tmp_path / bundle).write_bytes(b"\x00garbage")
    made = BetfairOrderStream(
        ("127.0.0.1", 1), cast("Any", None), app_key="key", strategy_ref="ours", ca_bundle=str(tmp_path / bundle)
    )
    with pytest.raises(NotSent, match="no connection"):
        made._open()


@pytest.mark.parametrize("host", ["a..b", "x" * 64 + ".com"])
def test_a_host_that_is_no_name_is_said_and_ends_nothing(host: str) -> None:
    bundle = certifi.where()
    made = BetfairOrderStream((host, 1), cast("Any", None), app_key="key", strategy_ref="ours", ca_bundle=bundle)
    with pytest.raises(NotSent, match="no connection"):
        made._open()
