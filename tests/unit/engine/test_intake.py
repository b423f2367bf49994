"""Intake: whatever arrives ends in exactly one record, and is counted once."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from support.engine_rig import Rig, make_policy, strategy_message
from support.factories import SUREBET

from executor.domain.signal import SignalKind
from executor.domain.signal_record import SignalRecord, SignalStatus
from executor.engine.intake import Door, Message, Receipt, receive, receive_all
from executor.errors import StoreUnavailable
from executor.ports import Opened, QueuedMessage, Recorded, Signatures


def test_a_signal_is_recorded_before_anything_else(rig: Rig) -> None:
    record = rig.receive(strategy_message(validityWindow=30))
    assert record is not None
    assert rig.signal() == record
    assert record.status is SignalStatus.RECEIVED
    assert record.deadline == rig.clock.now + 30_000
    assert json.loads(record.payload)["signalId"] == "signal-1"
    assert rig.telemetry.counts == {"received test": 1}


@pytest.mark.parametrize(
    ("message", "left_s"),
    [({}, 60), ({"validityWindow": 1}, 1), ({"validityWindow": 9000}, 300), ({"validityWindow": "0.25"}, 0.25)],
)
def test_a_deadline_is_as_the_contract_says(rig: Rig, message: dict[str, Any], left_s: float) -> None:
    assert rig.received(**message).deadline == rig.clock.now + left_s * 1000


def test_a_new_signal_is_started_before_it_is_counted(rig: Rig) -> None:
    started: list[tuple[str, int]] = []

    def start(record: SignalRecord) -> None:
        started.append((record.signal_id, rig.telemetry.counts.total()))

    texts = [strategy_message("new"), b"{", strategy_message("new"), strategy_message("late", validityWindow=0)]
    receive_all(
        rig.intake,
        [
            Message(SignalKind.STRATEGY, raw, rig.clock.now, rig.clock.now, "bridge-1", str(at))
            for at, raw in enumerate(texts)
        ],
        start,
    )
    assert started == [("new", 0)]
    assert rig.telemetry.counts["received test"] == 3


def test_a_repeat_is_counted_here_and_silent_elsewhere(rig: Rig) -> None:
    assert rig.receive() is not None
    assert rig.receive() is None
    assert rig.telemetry.counts == {"received test": 2, "rejected DUPLICATE_SIGNAL": 1}
    assert rig.receive(bridge="bridge-2") is None
    assert rig.telemetry.counts["received test"] == 2
    assert len(rig.memory.signals) == 1


def test_a_message_that_is_taken_again_after_an_outage_is_no_repeat(rig: Rig) -> None:
    """The record was written and its reply lost: the same message in hand is recorded again."""
    arguments = (rig.intake, SignalKind.STRATEGY, strategy_message(), rig.clock.now, "bridge-1")
    assert receive(*arguments, token="message-1") is not None
    assert receive(*arguments, token="message-1") is not None
    assert "rejected DUPLICATE_SIGNAL" not in rig.telemetry.counts
    assert receive(*arguments, token="message-2") is None
    assert rig.telemetry.counts["rejected DUPLICATE_SIGNAL"] == 1


def test_the_same_surebet_is_one_as_long_as_it_is_repeated(rig: Rig) -> None:
    raw = SUREBET.encode()
    first = rig.receive(raw, SignalKind.SUREBET)
    assert first is not None
    assert first.signal_id.endswith(f"-{rig.clock.now}")
    for _ in range(3):
        rig.clock.tick(40)
        assert rig.receive(raw, SignalKind.SUREBET) is None
    rig.clock.tick(61)
    again = rig.receive(raw, SignalKind.SUREBET)
    assert again is not None
    assert again.signal_id != first.signal_id


def test_a_strategys_id_is_remembered_for_a_day_and_not_renewed(rig: Rig) -> None:
    rig.receive()
    rig.clock.tick(86_000)
    assert rig.receive() is None
    rig.memory.signals.clear()  # as its time to live does
    rig.clock.tick(500)
    assert rig.receive() is not None


@pytest.mark.parametrize("raw", [b"", b"{", b"\xff\xfe", b"[1]", b"{}", b"x" * 70_000, strategy_message(stake="much")])
def test_what_is_no_signal_is_recorded_counted_and_dropped(rig: Rig, raw: bytes) -> None:
    assert rig.receive(raw) is None
    (record,) = rig.memory.signals.values()
    assert (record.status, record.reason) == (SignalStatus.REJECTED, "MALFORMED_SIGNAL")
    assert record.signal_id.startswith("malformed-") or (b"signal-1" in raw and record.signal_id == "signal-1")
    assert len(record.payload) <= 512
    assert rig.telemetry.counts == {"received malformed": 1, "rejected MALFORMED_SIGNAL": 1}


def test_a_malformed_message_is_found_under_its_id_and_gives_it_to_the_signal_that_is_well_formed(rig: Rig) -> None:
    assert rig.receive(strategy_message(stake="much")) is None
    assert rig.signal().reason == "MALFORMED_SIGNAL"
    assert rig.receive(strategy_message()) is not None
    assert rig.signal().status is SignalStatus.RECEIVED
    assert rig.receive(strategy_message(stake="many")) is None
    assert rig.signal().status is SignalStatus.RECEIVED, "a signal is not overwritten by nonsense under its id"
    ours = [record.signal_id for record in rig.memory.signals.values() if record.reason == "MALFORMED_SIGNAL"]
    assert [name.partition("-")[0] for name in ours] == ["malformed"]
    assert rig.telemetry.counts["rejected MALFORMED_SIGNAL"] == 2


def test_the_same_nonsense_has_one_record_and_every_arrival_is_counted(rig: Rig) -> None:
    for seconds in (0, 1, 3600):
        rig.clock.tick(seconds)
        rig.receive(b"nonsense")
    rig.receive(b"nonsense", bridge="bridge-2")
    assert len(rig.memory.signals) == 1
    assert rig.telemetry.counts["rejected MALFORMED_SIGNAL"] == 3


@pytest.mark.parametrize(
    ("message", "detail"),
    [
        ({"validityWindow": 0}, "validityWindow is not positive"),
        ({"validityWindow": -3}, "validityWindow is not positive"),
        ({"timestamp": "2020-01-01T00:00:00Z"}, "arrived after its deadline"),
        ({"timestamp": "2020-01-01T00:00:00", "validityWindow": 30}, "arrived after its deadline"),
    ],
)
def test_a_signal_that_arrives_too_late_ends_there(rig: Rig, message: dict[str, Any], detail: str) -> None:
    assert rig.receive(strategy_message(**message)) is None
    record = rig.signal()
    assert (record.status, record.reason) == (SignalStatus.EXPIRED, "SIGNAL_EXPIRED")
    assert detail in record.detail
    assert record.finished_at == rig.clock.now
    assert rig.telemetry.counts == {"received test": 1, "rejected SIGNAL_EXPIRED": 1}


@pytest.mark.parametrize(("sent", "told"), [("2023-11-14T22:13:19Z", False), ("2023-11-14T22:13:10Z", True)])
def test_a_clock_that_is_far_off_is_told(
    rig: Rig, capsys: pytest.CaptureFixture[str], sent: str, *, told: bool
) -> None:
    rig.receive(strategy_message(timestamp=sent, validityWindow="0.5"))
    assert rig.signal().status is SignalStatus.EXPIRED
    assert ("clock_skew" in capsys.readouterr().out) is told


def test_a_time_to_come_gives_no_longer_life(rig: Rig) -> None:
    assert rig.received(timestamp="2035-01-01T00:00:00Z").deadline == rig.clock.now + 60_000


def test_a_store_that_is_away_is_said_and_nothing_else(rig: Rig) -> None:
    rig.memory.away = {"record"}
    for raw in (strategy_message(), b"nonsense"):
        with pytest.raises(StoreUnavailable):
            rig.receive(raw)
    assert rig.telemetry.counts == {}


class SignedBy:
    """`Signatures` by which every message is signed by one key."""

    def __init__(self, key_id: str = "ed", strategies: frozenset[str] | None = None) -> None:
        self._opened = (key_id, strategies)

    def open(self, raw: bytes, now: int) -> Opened:
        del now
        return Opened(raw, *self._opened)


def take(
    rig: Rig, signatures: Signatures, raw: bytes, *, kind: str = "strategy", token: str = "1", **more: Any
) -> Receipt:
    message = Message(kind, raw, rig.clock.now, rig.clock.now, "bridge-1", token, **more)
    (receipt,) = receive_all(replace(rig.intake, signatures=signatures), [message])
    assert isinstance(receipt, Receipt)
    return receipt


def sent(rig: Rig, ago_s: float = 0) -> str:
    return datetime.fromtimestamp(rig.clock.now / 1000 - ago_s, UTC).isoformat()


def test_a_signed_signal_keeps_its_publisher(rig: Rig) -> None:
    assert take(rig, SignedBy(), strategy_message(timestamp=sent(rig))).to_start
    assert rig.signal().publisher == "ed"
    rig.receive(strategy_message("signal-2"))
    assert rig.memory.signals["signal-2"].publisher == ""


def test_a_door_that_knows_its_publisher_says_so(rig: Rig) -> None:
    take(rig, SignedBy(""), strategy_message(), door=Door.HTTP, publisher="token-1", sole=True)
    assert (rig.signal().publisher, rig.signal().door) == ("token-1", "http")


def test_a_key_signs_for_its_strategies_only(rig: Rig) -> None:
    receipt = take(rig, SignedBy(strategies=frozenset({"other"})), strategy_message(timestamp=sent(rig)))
    assert receipt.problem is not None
    assert receipt.problem.field == "signature"
    assert take(
        rig, SignedBy(strategies=frozenset({"test"})), strategy_message(timestamp=sent(rig)), token="2"
    ).to_start


@pytest.mark.parametrize(("ago_s", "field"), [(None, "timestamp"), (-301, "timestamp"), (-299, ""), (59, "")])
def test_a_signed_signal_says_when_it_was_sent(rig: Rig, ago_s: float | None, field: str) -> None:
    raw = strategy_message() if ago_s is None else strategy_message(timestamp=sent(rig, ago_s))
    receipt = take(rig, SignedBy(), raw)
    assert (receipt.problem.field if receipt.problem else "") == field


def test_a_signed_signal_older_than_the_longest_validity_has_expired(rig: Rig) -> None:
    patient = replace(rig.intake, policy=make_policy(max_age_s=86_400), signatures=SignedBy())
    for name, ago_s, status in (("old", 301, "EXPIRED"), ("young", 299, "RECEIVED")):
        raw = strategy_message(name, timestamp=sent(rig, ago_s))
        receive_all(patient, [Message("strategy", raw, rig.clock.now, rig.clock.now, "bridge-1", name)])
        assert rig.memory.signals[name].status == status
    assert rig.memory.signals["young"].deadline == rig.clock.now + 1000


@pytest.mark.parametrize("ahead_s", [0, 250])
def test_no_replay_of_a_signed_surebet_is_a_second_one(rig: Rig, ahead_s: int) -> None:
    """Its content is remembered for a minute; what was signed can be sent again for as long as it is valid."""
    raw = json.dumps({**json.loads(SUREBET), "timestamp": sent(rig, -ahead_s), "validityWindow": 300}).encode()
    assert take(rig, SignedBy(), raw, kind="surebet").to_start
    rig.clock.tick(295 + ahead_s)
    assert take(rig, SignedBy(), raw, kind="surebet", token="2").to_start is None
    rig.clock.tick(10)
    assert take(rig, SignedBy(), raw, kind="surebet", token="3").record.status is not SignalStatus.RECEIVED


@pytest.mark.parametrize(
    ("raw", "started"),
    [(strategy_message("fresh"), True), (strategy_message("late", validityWindow=0), False), (b"", False)],
)
def test_only_what_waits_for_a_decision_is_queued_as_it_is_recorded(rig: Rig, raw: bytes, *, started: bool) -> None:
    written: list[str] = []

    def first_message(record: SignalRecord) -> QueuedMessage:
        written.append(record.signal_id)
        return QueuedMessage(1, "signals", "x")

    begun: list[SignalRecord] = []
    message = Message(SignalKind.STRATEGY, raw, rig.clock.now, rig.clock.now, "bridge-1", "token")
    (receipt,) = receive_all(replace(rig.intake, first_message=first_message), [message], begun.append)
    assert isinstance(receipt, Receipt)
    assert (receipt.is_new, receipt.known is Recorded.STARTED, len(written), begun) == (True, started, int(started), [])


def test_what_was_not_queued_as_it_was_recorded_is_started_behind_that(rig: Rig) -> None:
    begun: list[SignalRecord] = []
    message = Message(SignalKind.STRATEGY, strategy_message(), rig.clock.now, rig.clock.now, "bridge-1", "token")
    receive_all(rig.intake, [message], begun.append)
    assert [record.signal_id for record in begun] == ["signal-1"]
