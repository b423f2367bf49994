"""The demo's script: what is published, what the exchange does meanwhile, and what must come of it. Data, no logic.

Every message has its expected end: `ACCEPTED`, or the reason for which it is rejected. Prices at the exchange are set
by the script, so that bets match at once, later, partly or never; some markets keep the prices that the sandbox moves
by itself. Sizes in account currency, pauses in seconds.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from executor import keys
from executor.domain.risk import Reason

ACCEPTED: Final = "ACCEPTED"
PACE_S: Final = 0.6  # between two messages: slow enough to read along, fast enough to stay


@dataclass(frozen=True, slots=True)
class Publish:
    """Send a message; `note` tells the onlooker why it is interesting."""

    note: str
    expected: str
    payload: bytes
    channel: str = keys.STRATEGY_SIGNALS


@dataclass(frozen=True, slots=True)
class Exchange:
    """Do something to the sandbox through its control API."""

    note: str
    path: str
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Switch:
    """Throw the kill switch as a person would: SET trading:enabled."""

    note: str
    value: str


Act = Publish | Exchange | Switch

# The two payloads of the reference and the one of its section on manual testing, word for word.
SUREBET: Final = b"""{
  "marketId": "1.200000000",
  "strategy": "surebet",
  "backSelectionId": "123456",
  "backOdds": 2.5,
  "stakeBack": 50.0,
  "laySelectionId": "654321",
  "layOdds": 2.6,
  "stakeLay": 48.0,
  "expectedROI": 1.5,
  "confidence": 0.9
}"""
STRATEGY: Final = b"""{
  "signalId": "abc-123",
  "marketId": "1.200000000",
  "strategy": "ScalpingStrategy",
  "signalType": "SCALP_LONG",
  "confidence": 0.75,
  "expectedROI": 2.3,
  "risk": "Medium",
  "primarySelection": {
    "selectionId": "123456",
    "selectionName": "Horse A",
    "recommendedOdds": 3.5,
    "stake": 50.0,
    "betType": "Back"
  },
  "validityWindow": 30
}"""
MANUAL: Final = b"""{
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

_RACE: Final = "1.210000001"  # the script sets its prices
_CUP: Final = "1.210000002"  # for the limits of a market
_SHUT: Final = "1.210000003"  # suspended
_OVER: Final = "1.210000005"  # closed
_LIVELY: Final = "1.210000004"  # the sandbox moves its prices by itself
REFERENCE_MARKET: Final = "1.200000000"
MANUAL_MARKET: Final = "1.999999"
_NOT_OPEN: Final = {_SHUT: "SUSPENDED", _OVER: "CLOSED"}
_FAILURES: Final = 5  # by default the circuit breaker opens at as many
# Market -> the selection that wins when everything is settled.
WINNERS: Final = {REFERENCE_MARKET: 123456, MANUAL_MARKET: 99999, _RACE: 11, _CUP: 3, _LIVELY: 71}


def _signal(signal_id: str, market: str, *selections: dict[str, Any], **more: Any) -> bytes:  # noqa: ANN401 - JSON
    body: dict[str, Any] = {"signalId": signal_id, "marketId": market, "strategy": "DemoStrategy", **more}
    body |= dict(zip(("primarySelection", "secondarySelection"), selections, strict=False))
    return json.dumps({"validityWindow": 30, **body}, ensure_ascii=False).encode()


def _bet(selection: object, odds: object, stake: object, side: str = "Back") -> dict[str, Any]:
    return {"selectionId": selection, "recommendedOdds": odds, "stake": stake, "betType": side}


def _runner(selection: int, back: float, lay: float, size: float = 1000) -> dict[str, Any]:
    """Describe what the exchange offers: best price to back, best price to lay."""
    return {"selectionId": selection, "availableToBack": [[back, size]], "availableToLay": [[lay, size]]}


def _pascal() -> bytes:
    bet = {"SelectionId": "12", "RecommendedOdds": 4.0, "Stake": 15.0, "BetType": "BACK"}
    body = {"SignalId": "pascal-case", "MarketId": _RACE, "Strategy": "DotNet", "PrimarySelection": bet}
    return json.dumps({**body, "ValidityWindow": 30}).encode()


def _surebet(**changes: object) -> bytes:
    body = {"marketId": _RACE, "backSelectionId": 13, "backOdds": "5.0", "stakeBack": "20", "laySelectionId": 14,
            "layOdds": "6.0", "stakeLay": "10", "strategy": "surebet"}  # fmt: skip
    return json.dumps({name: value for name, value in {**body, **changes}.items() if value is not None}).encode()


def _markets() -> list[Act]:
    """Open the markets before the first signal."""
    opened = {
        REFERENCE_MARKET: [
            _runner(123456, 2.5, 2.54),
            # Of the lay of 48 only 30 is matched; what is left is cancelled when its time is over.
            {"selectionId": 654321, "availableToBack": [[2.5, 100]], "availableToLay": [[2.6, 30]]},
        ],
        MANUAL_MARKET: [_runner(99999, 2.0, 2.02)],
        _RACE: [
            _runner(11, 3.5, 3.55),
            _runner(12, 4.0, 4.1),
            _runner(13, 5.0, 5.1),
            _runner(14, 5.8, 6.0),
            _runner(15, 5.0, 5.2),
        ],
        _CUP: [_runner(selection, 8.0, 8.2) for selection in range(1, 6)],
        _SHUT: [_runner(91, 2.0, 2.02)],
        _OVER: [_runner(92, 2.0, 2.02)],
    }
    acts: list[Act] = [
        Exchange("", "markets", {"marketId": market, "marketType": "WIN", "runners": runners})
        for market, runners in opened.items()
    ]
    acts += [Exchange("", "markets", {"marketId": market, "status": status}) for market, status in _NOT_OPEN.items()]
    return acts


def _reference() -> list[Act]:
    return [
        Publish("the reference's surebet: back matched, lay matched in part", ACCEPTED, SUREBET, keys.SUREBET_SIGNALS),
        Publish("the reference's strategy signal: waits for 3.5", ACCEPTED, STRATEGY),
        Publish("the reference's manual test signal", ACCEPTED, MANUAL),
        Publish("the same signal id again", Reason.DUPLICATE_SIGNAL, STRATEGY),
        Publish("the same surebet again, known by its content", Reason.DUPLICATE_SIGNAL, SUREBET, keys.SUREBET_SIGNALS),
        Publish("back far above the market: never matched", ACCEPTED, _signal("never", _RACE, _bet(15, 10, 20))),
        Publish(
            "cancelled sooner than the others: its own time-out of 3 s",
            ACCEPTED,
            _signal("patience-3s", _RACE, _bet(15, 12, 8), unmatchedTimeoutSeconds=3),
        ),
        Exchange("the market moves: 3.5 is there now", "prices", _prices(REFERENCE_MARKET, 123456, 3.5, 3.55)),
    ]


def _spellings() -> list[Act]:
    return [
        Publish("numbers as strings", ACCEPTED, _signal("strings", _RACE, _bet("11", "3.50", "12.5"))),
        Publish("names in PascalCase", ACCEPTED, _pascal()),
        Publish(
            "names in any script",
            ACCEPTED,
            _signal("Führung-⚽-先制", _RACE, {**_bet(13, 5, 10), "selectionName": "Żółw"}, strategy="Spätstart"),
        ),
        Publish("odds off the ladder move to 3.50", ACCEPTED, _signal("off-ladder", _RACE, _bet(11, 3.47, 10.009))),
        Publish("a surebet of numbers as strings", ACCEPTED, _surebet(), keys.SUREBET_SIGNALS),
        Publish("a lay", ACCEPTED, _signal("lay", _RACE, _bet(12, 4.1, 20, "Lay"))),
    ]


def _prices(market: str, selection: int, back: float, lay: float) -> dict[str, Any]:
    return {"marketId": market, **_runner(selection, back, lay)}


def _malformed() -> list[Act]:
    bad = Reason.MALFORMED_SIGNAL
    return [
        Publish("half a JSON object", bad, b'{"signalId": "broken-1", "marketId": "1.2'),
        Publish("binary noise", bad, bytes(range(128, 200))),
        Publish("no selection in it", bad, _signal("no-selection", _RACE)),
        Publish("a stake that is not a number", bad, _signal("nan", _RACE, _bet(11, 3.5, float("nan")))),
        Publish("a list instead of an object", bad, b"[1, 2, 3]"),
        Publish("a surebet without lay odds", bad, _surebet(layOdds=None), keys.SUREBET_SIGNALS),
        Publish("a name where an id belongs", bad, _signal("name", _RACE, _bet("Horse A", 3.5, 10))),
    ]


def _rules(now: datetime) -> list[Act]:
    old = (now - timedelta(minutes=2)).isoformat()
    return [
        Publish("sent two minutes ago", Reason.SIGNAL_EXPIRED, _signal("old", _RACE, _bet(11, 3.5, 10), timestamp=old)),
        Publish("valid for no time", Reason.SIGNAL_EXPIRED, _signal("zero", _RACE, _bet(11, 3.5, 9), validityWindow=0)),
        Publish("odds of 1500", Reason.ODDS_OUT_OF_RANGE, _signal("odds", _RACE, _bet(11, 1500, 10))),
        Publish("a stake of 1.50", Reason.STAKE_BELOW_MINIMUM, _signal("small", _RACE, _bet(11, 3.5, 1.5))),
        Publish("a stake of 200", Reason.MAX_STAKE_PER_ORDER, _signal("large", _RACE, _bet(11, 3.5, 200))),
        Publish("a lay that could lose 270", Reason.MAX_RISK_PER_TRADE, _signal("risk", _RACE, _bet(14, 4, 90, "Lay"))),
        Publish("two legs, 200 at risk", ACCEPTED, _signal("legs-1", _CUP, _bet(1, 8, 100), _bet(2, 8, 100))),
        Publish("100 more on its first leg", ACCEPTED, _signal("more", _CUP, _bet(1, 8, 100))),
        Publish(
            "and 10 more: above 200 a selection",
            Reason.MAX_EXPOSURE_PER_SELECTION,
            _signal("too-much", _CUP, _bet(1, 8, 10)),
        ),
        Publish(
            "two more legs: 500 on the market", ACCEPTED, _signal("legs-2", _CUP, _bet(3, 8, 100), _bet(4, 8, 100))
        ),
        Publish("2 more: above 500 a market", Reason.MAX_EXPOSURE_PER_MARKET, _signal("market", _CUP, _bet(5, 8, 2))),
        Publish("a suspended market: the exchange refuses", ACCEPTED, _signal("shut", _SHUT, _bet(91, 2, 10))),
    ]


def _kill_switch() -> list[Act]:
    return [
        Switch("kill switch: SET trading:enabled false", "false"),
        Publish("while trading is disabled", Reason.TRADING_DISABLED, _signal("off-1", _RACE, _bet(11, 3.5, 10))),
        Publish("and another", Reason.TRADING_DISABLED, _signal("off-2", _RACE, _bet(12, 4, 10))),
        Switch("SET trading:enabled true", "true"),
        Publish("trading again", ACCEPTED, _signal("on-again", _RACE, _bet(11, 3.5, 10))),
    ]


def _breaker() -> list[Act]:
    failures = [
        Publish(
            f"on a closed market: failure {number} of {_FAILURES}",
            ACCEPTED,
            _signal(f"closed-{number}", _OVER, _bet(92, 2, 5)),
        )
        for number in range(1, _FAILURES + 1)
    ]
    return [
        *failures,
        Publish("the breaker is open", Reason.CIRCUIT_BREAKER_OPEN, _signal("open-1", _RACE, _bet(11, 3.5, 10))),
        Switch("SET trading:enabled true, which also closes the breaker", "true"),
        Publish("trading again", ACCEPTED, _signal("closed-again", _RACE, _bet(12, 4, 10))),
    ]


def _lively() -> list[Act]:
    return [
        Publish(
            f"on a market that moves by itself ({number} of 4)", ACCEPTED, _signal(f"lively-{number}", _LIVELY, bet)
        )
        for number, bet in enumerate(
            (_bet(71, 3, 20), _bet(72, 4, 20), _bet(73, 6, 10), _bet(74, 2.5, 10, "Lay")), start=1
        )
    ]


def script(now: datetime | None = None) -> list[Act]:
    """Return everything that happens, in order."""
    now = now or datetime.now(UTC)
    return [
        *_markets(),
        *_reference(),
        *_lively(),
        *_spellings(),
        *_malformed(),
        *_rules(now),
        *_kill_switch(),
        *_breaker(),
    ]
