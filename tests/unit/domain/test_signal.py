"""Messages as real senders write them become signals; their content's name and their deadline."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.factories import EXAMPLE, STRATEGY, SUREBET, changed, make_signal, read

from executor.domain.money import Side
from executor.domain.signal import Leg, Signal, SignalKind, content_id, deadline, parse_signal

D = Decimal
PROPERTY: Final = settings(deadline=None, max_examples=300)
ARRIVED: Final = datetime(2026, 5, 1, 12, 0, 0, tzinfo=UTC)
MANUAL: Final = """{
  "signalId": "test-123",
  "marketId": "1.999999",
  "strategy": "TestStrategy",
  "signalType": "TEST",
  "confidence": 0.8,
  "expectedROI": 1.0,
  "risk": "Low",
  "primarySelection": {
    "selectionId": "99999",
    "selectionName": "Test Selection",
    "recommendedOdds": 2.0,
    "stake": 10.0,
    "betType": "Back"
  },
  "validityWindow": 60
}"""


def test_the_references_surebet() -> None:
    signal = parse_signal(SignalKind.SUREBET, SUREBET.encode())
    legs = (Leg(123456, Side.BACK, D("2.50"), D("50.00")), Leg(654321, Side.LAY, D("2.60"), D("48.00")))
    named = Signal(content_id(signal), SignalKind.SUREBET, "1.200000000", "surebet", legs)
    assert signal == named
    assert 1 <= len(signal.signal_id) <= 128 - len("-1700000000000")  # room for the first arrival


@pytest.mark.parametrize(
    ("raw", "texts", "leg", "window"),
    [
        (STRATEGY, ("abc-123", "1.200000000", "ScalpingStrategy"), Leg(123456, Side.BACK, D("3.5"), D(50)), 30),
        (MANUAL, ("test-123", "1.999999", "TestStrategy"), Leg(99999, Side.BACK, D("2.0"), D(10)), 60),
    ],
)
def test_the_references_strategy_signals(raw: str, texts: tuple[str, str, str], leg: Leg, window: int) -> None:
    signal_id, market_id, strategy = texts
    expected = Signal(signal_id, SignalKind.STRATEGY, market_id, strategy, (leg,), validity_s=D(window))
    assert parse_signal(SignalKind.STRATEGY, raw.encode()) == expected


def spelt(value: object, spell: Callable[[str], str]) -> object:
    if isinstance(value, dict):
        return {spell(name): spelt(inner, spell) for name, inner in value.items()}
    return value


def snake(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)


SPELLINGS: Final[list[Callable[[str], str]]] = [
    str.upper,
    str.lower,
    snake,
    lambda name: snake(name).upper(),
    lambda name: name[0].upper() + name[1:],
]


@pytest.mark.parametrize("spell", SPELLINGS)
@pytest.mark.parametrize("kind", SignalKind)
def test_names_are_read_in_any_case(kind: SignalKind, spell: Callable[[str], str]) -> None:
    assert read(kind, spelt(json.loads(EXAMPLE[kind]), spell)) == parse_signal(kind, EXAMPLE[kind].encode())


@pytest.mark.parametrize("kind", SignalKind)
def test_a_byte_order_mark_and_white_space_around_are_harmless(kind: SignalKind) -> None:
    raw = b"\xef\xbb\xbf \r\n" + EXAMPLE[kind].encode() + b"\n"
    assert parse_signal(kind, raw) == parse_signal(kind, EXAMPLE[kind].encode())


LEG: Final = "primarySelection."
SAME: Final = [  # (path, value) that leave the reference's strategy signal what it is
    (LEG + "selectionId", 123456),
    (LEG + "selectionId", " 123456 "),
    (LEG + "selectionId", 123456.0),
    (LEG + "recommendedOdds", "3.5"),
    (LEG + "recommendedOdds", "3.50000"),
    (LEG + "recommendedOdds", 3.49),  # off the ladder: a back moves up
    (LEG + "stake", "50"),
    (LEG + "stake", 50),
    (LEG + "stake", "5e1"),
    (LEG + "stake", "50.0099"),
    (LEG + "betType", "BACK"),
    (LEG + "betType", " back "),
    (LEG + "handicap", 0),
    (LEG + "handicap", "0.0"),
    (LEG + "handicap", None),
    ("handicap", 0),
    ("secondarySelection", None),
    ("validityWindow", "30"),
    ("validityWindow", 30.0),
    ("timestamp", None),
    ("timestamp", ""),
    ("unmatchedTimeoutSeconds", None),
    ("somethingElse", {"deep": [[{"x": None}]], "big": 10**400}),
    ("selectionId", "of nobody"),
    ("confidence", "very"),
]


@pytest.mark.parametrize(("path", "value"), SAME)
def test_harmless_variations_of_a_strategy_signal(path: str, value: object) -> None:
    assert read(SignalKind.STRATEGY, changed(SignalKind.STRATEGY, path, value)) == parse_signal(
        SignalKind.STRATEGY, STRATEGY.encode()
    )


@pytest.mark.parametrize(
    ("path", "value", "attribute", "expected"),
    [
        ("signalId", "é" * 128, "signal_id", "é" * 128),
        ("signalId", 17, "signal_id", "17"),
        ("strategy", "Ünï-戦略 🐎", "strategy", "Ünï-戦略 🐎"),
        ("strategy", None, "strategy", "unnamed"),
        ("validityWindow", None, "validity_s", None),
        ("validityWindow", -1, "validity_s", D(-1)),
        ("validityWindow", 1e300, "validity_s", D(10**9)),
        ("validityWindow", "-1e300", "validity_s", D(-(10**9))),
        ("validityWindow", "0.5", "validity_s", D("0.5")),
        ("unmatchedTimeoutSeconds", "45", "unmatched_timeout_s", 45),
        ("timestamp", "2026-05-01T12:00:00", "sent_at", ARRIVED),
        ("timestamp", "2026-05-01T12:00:00Z", "sent_at", ARRIVED),
        ("timestamp", "2026-05-01T14:00:00+02:00", "sent_at", ARRIVED),
        ("timestamp", "2026-05-01T12:00:00.1234567Z", "sent_at", ARRIVED.replace(microsecond=123456)),  # .NET
    ],
)
def test_what_is_read_from_a_field(path: str, value: object, attribute: str, expected: object) -> None:
    assert getattr(read(SignalKind.STRATEGY, changed(SignalKind.STRATEGY, path, value)), attribute) == expected


def test_a_secondary_selection_is_the_second_leg_and_a_lay_moves_down() -> None:
    second = {"selectionId": 2**63 - 1, "recommendedOdds": "2.619", "stake": "10.019", "betType": "lay"}
    signal = read(SignalKind.STRATEGY, changed(SignalKind.STRATEGY, "secondarySelection", second))
    assert signal.legs[1:] == (Leg(2**63 - 1, Side.LAY, D("2.60"), D("10.01")),)


@PROPERTY
@given(st.permutations(list(json.loads(SUREBET).items())), st.sampled_from(SPELLINGS), st.data())
def test_a_surebets_name_is_its_content_however_it_is_written(
    items: list[tuple[str, Any]], spell: Callable[[str], str], data: st.DataObject
) -> None:
    zeros = data.draw(st.integers(0, 4))
    message = {
        spell(name): f"{value:.1f}" + "0" * zeros if isinstance(value, float) and zeros else value
        for name, value in items
    }
    message["timestamp"] = data.draw(st.sampled_from(["", "2026-05-01T12:00:00Z", "2026-05-01T12:00:07Z"]))
    message["confidence"] = data.draw(st.floats(0, 1))
    assert read(SignalKind.SUREBET, message).signal_id == parse_signal(SignalKind.SUREBET, SUREBET.encode()).signal_id


@pytest.mark.parametrize(("one", "other"), [("0.5", "0.50"), ("1500", "1.5e3"), (1500, "1500.0")])
def test_a_price_beyond_the_ladder_has_one_name_too(one: object, other: object) -> None:
    ids = {read(SignalKind.SUREBET, changed(SignalKind.SUREBET, "backOdds", odds)).signal_id for odds in (one, other)}
    assert len(ids) == 1


OTHER: Final = {
    "marketId": "1.200000001",
    "strategy": "surebet2",
    "backSelectionId": 123457,
    "backOdds": 2.52,
    "stakeBack": 50.01,
    "laySelectionId": 654322,
    "layOdds": 2.58,
    "stakeLay": 48.01,
}


def test_another_surebet_has_another_name() -> None:
    ids = {
        read(SignalKind.SUREBET, changed(SignalKind.SUREBET, path, value)).signal_id for path, value in OTHER.items()
    }
    ids.add(parse_signal(SignalKind.SUREBET, SUREBET.encode()).signal_id)
    assert len(ids) == len(OTHER) + 1


@pytest.mark.parametrize(
    ("sent_s", "window", "expected_s"),  # seconds after the arrival
    [
        (None, None, 60),  # no window: MAX_AGE_SECONDS
        (None, 30, 30),
        (None, 299, 299),
        (None, 300, 300),
        (None, 10**9, 300),  # never beyond MAX_VALIDITY_SECONDS
        (None, "0.5", 0.5),
        (None, "0.0001", 0),
        (None, 0, -0.001),
        (None, -30, -0.001),
        (None, -(10**9), -0.001),
        (-10, 30, 20),
        (-10, None, 50),
        (-40, 30, -10),
        (-40, 0, -40),
        (10, 30, 30),  # a sender's clock ahead gains nothing
        (10**6, None, 60),
    ],
)
def test_the_deadline(sent_s: float | None, window: object, expected_s: float) -> None:
    signal = make_signal(
        validity_s=None if window is None else D(str(window)),
        sent_at=None if sent_s is None else ARRIVED + timedelta(seconds=sent_s),
    )
    assert deadline(signal, ARRIVED, max_age_s=60, max_validity_s=300) == ARRIVED + timedelta(seconds=expected_s)


def test_the_oldest_timestamp_there_is_has_expired() -> None:
    signal = replace(make_signal(), sent_at=datetime.min.replace(tzinfo=UTC))
    for window in (None, D(0), D(-5), D(10)):
        assert deadline(replace(signal, validity_s=window), ARRIVED, max_age_s=60, max_validity_s=300) < ARRIVED
