"""What a refused message's sender is told, and what of a good one was rounded."""

import json
from typing import Any

import pytest
from support.engine_rig import strategy_message
from support.factories import SUREBET

from executor.domain.signal import MAX_ID, SignalKind, parse_signal
from executor.domain.signal_json import readable_id
from executor.errors import InvalidSignal


def refused(kind: SignalKind, raw: bytes) -> str:
    with pytest.raises(InvalidSignal) as caught:
        parse_signal(kind, raw)
    return str(caught.value)


@pytest.mark.parametrize(
    ("raw", "named"),
    [
        (b'{"signalId": "test-1", "marketId": 5}', "test-1"),
        (b'{"SIGNAL_ID": "test-1"}', "test-1"),
        (b'{"signalId": 17}', "17"),
        (b'{"signalId": "test-1", "marketId": }', "test-1"),  # not quite JSON
        (b'{"signalId": "test-1", "primarySelection": {', "test-1"),
        (b'{"signalId": "' + b"x" * (MAX_ID + 1) + b'"}', ""),
        (b'{"signalId": "a\\nb"}', ""),
        (b'{"signalId": true}', ""),
        (b'{"signalId": ["test-1"]}', ""),
        (b'["signalId"]', ""),
        (b"\xff\xfe", ""),
        (b"", ""),
    ],
)
def test_the_id_of_a_malformed_message(raw: bytes, named: str) -> None:
    assert readable_id(raw) == named


def test_a_signal_at_the_other_formats_door_is_told_so() -> None:
    told = refused(SignalKind.SUREBET, strategy_message())
    assert told == "message: is a strategy signal: it belongs on channel:strategy-signals (kind strategy)"
    told = refused(SignalKind.STRATEGY, SUREBET.encode())
    assert told == "message: is a surebet: it belongs on channel:trading-signals (kind surebet)"


@pytest.mark.parametrize("changes", [{"signalId": "x" * 129}, {"strategy": "x" * 129}, {"marketType": "x" * 200}])
def test_a_texts_length_is_told_in_characters(changes: dict[str, Any]) -> None:
    told = refused(SignalKind.STRATEGY, strategy_message(**changes))
    assert "128 characters" in told
    assert "item" not in told


@pytest.mark.parametrize(
    ("odds", "stake", "side", "moved"),
    [
        (2.03, 10, "Back", "Back 123456: odds 2.03 to 2.04"),
        (2.03, 10, "Lay", "Lay 123456: odds 2.03 to 2.02"),
        (2.02, 10.009, "Back", "Back 123456: stake 10.009 to 10.00"),
        (2.03, "2.999", "Back", "Back 123456: odds 2.03 to 2.04, stake 2.999 to 2.99"),
        (2.02, 1.9999999999999998, "Back", ""),  # float noise is nobody's intention
        (2, 10, "Back", ""),
        ("2.00", "10.00", "Lay", ""),
    ],
)
def test_what_was_rounded_is_told(odds: object, stake: object, side: str, moved: str) -> None:
    message = json.loads(strategy_message())
    message["primarySelection"] |= {"recommendedOdds": odds, "stake": stake, "betType": side, "selectionId": 123456}
    assert parse_signal(SignalKind.STRATEGY, json.dumps(message).encode()).moved == moved
