"""Numbers that are none, or hardly: a stated outcome each, as a stake, as odds, as a limit and as a setting."""

from pathlib import Path
from typing import Any

import pytest
from support.engine_rig import Rig, strategy_message

from executor.domain.risk import InvalidLimits, parse_limit
from executor.settings.load import SettingsError, load_settings

_ACCEPTED, _MALFORMED, _ODDS, _STAKE = "ACCEPTED", "MALFORMED_SIGNAL", "ODDS_OUT_OF_RANGE", "STAKE_BELOW_MINIMUM"

# JSON as it is sent -> (outcome as a stake, outcome as odds)
OUTCOMES = {
    "1e400": (_MALFORMED, _MALFORMED),
    "1e-400": (_STAKE, _ODDS),
    "NaN": (_MALFORMED, _MALFORMED),
    "-Infinity": (_MALFORMED, _MALFORMED),
    '"NaN"': (_MALFORMED, _MALFORMED),
    "-0": (_STAKE, _ODDS),
    '"-0"': (_STAKE, _ODDS),
    "-5": (_STAKE, _ODDS),
    '"\u0663"': (_MALFORMED, _MALFORMED),
    '"\uff15"': (_MALFORMED, _MALFORMED),
    '"5_0"': (_MALFORMED, _MALFORMED),
    '"0x5"': (_MALFORMED, _MALFORMED),
    "true": (_MALFORMED, _MALFORMED),
    '""': (_MALFORMED, _MALFORMED),
    "5.123456789012": (
        _ACCEPTED,
        _ACCEPTED,
    ),  # rounded: the stake down once noise is gone, the odds to the next rung no worse for us
    "5.999999999999": (_ACCEPTED, _ACCEPTED),
    '"5.5"': (_ACCEPTED, _ACCEPTED),
    '" 5e0 "': (_ACCEPTED, _ACCEPTED),
}


def _outcome(rig: Rig, name: str, text: str) -> str:
    changed: dict[str, Any] = {name: "@@"}
    raw = strategy_message("odd", **changed).decode().replace('"@@"', text).encode()
    record = rig.receive(raw)
    if record is not None:
        rig.validate("odd")
    (signal,) = rig.memory.signals.values()
    return str(signal.reason or signal.status)


@pytest.mark.parametrize("text", OUTCOMES)
def test_as_a_stake(rig: Rig, text: str) -> None:
    assert _outcome(rig, "stake", text) == OUTCOMES[text][0]
    assert all(f"{order.size:f}" in {"5.12", "6.00", "5.50", "5.00"} for order in rig.memory.orders.values())


@pytest.mark.parametrize("text", OUTCOMES)
def test_as_odds(rig: Rig, text: str) -> None:
    assert _outcome(rig, "recommendedOdds", text) == OUTCOMES[text][1]
    assert all(f"{order.price:f}" in {"5.20", "6.00", "5.50", "5.00"} for order in rig.memory.orders.values())


@pytest.mark.parametrize("text", ["1e400", "NaN", "Infinity", "-1", "\u0663", "1_0", "", "abc", "0x5", "5,5", "1e10"])
def test_as_a_limit_it_rejects_every_signal(rig: Rig, text: str) -> None:
    with pytest.raises(InvalidLimits):
        parse_limit("MaxStakePerOrder", text)
    rig.memory.limits["MaxStakePerOrder"] = text
    assert _outcome(rig, "stake", "5") == "INVALID_LIMITS"


@pytest.mark.parametrize(
    ("text", "value"), [("-0", 0), ("10.123456789012", "10.123456789012"), (" 5 ", 5), ("1e3", 1000)]
)
def test_as_a_limit_it_holds(text: str, value: object) -> None:
    assert f"{parse_limit('MaxStakePerOrder', text).normalize():f}".lstrip("-") == str(value)


@pytest.mark.parametrize("text", ["1e400", "NaN", "Infinity", "-1", "abc", "0x5", "5,5", "10.123456789012", "1e10"])
def test_as_a_setting_it_stops_the_start(tmp_path: Path, text: str) -> None:
    with pytest.raises(SettingsError, match=r"^EXECUTOR_RISK__BANKROLL: "):
        load_settings({"EXECUTOR_RISK__BANKROLL": text}, tmp_path)


@pytest.mark.parametrize(("text", "value"), [("-0", 0), ("\u0663", 3), ("1_000", 1000), (" 5 ", 5), ("1e3", 1000)])
def test_as_a_setting_it_is_read_as_a_person_means_it(tmp_path: Path, text: str, value: int) -> None:
    assert load_settings({"EXECUTOR_RISK__BANKROLL": text}, tmp_path).risk.bankroll == value
