"""The facts of a market as the control API takes them: names, type, dates, in Betfair's words.

Owns: reading them and their bounds. Pure. Units: dates are epoch milliseconds, rates per cent.
"""

from decimal import Decimal
from typing import Final

from betfair_sandbox.api.wire import BadValue, Params, to_instant
from betfair_sandbox.market.definition_parts import read_bet_delay_models, read_key_line
from betfair_sandbox.market.markets import BETTING_TYPES, LADDER_TYPES

_MAX_BET_DELAY_S: Final = 60
_MAX_WINNERS: Final = 100
_WHOLE_PERCENT: Final = 100
_MAX_DIVISOR: Final = 100
_TEXTS: Final = {
    "name": "name",
    "marketType": "market_type",
    "eventName": "event_name",
    "eventId": "event_id",
    "eventTypeId": "event_type_id",
    "eventTypeName": "event_type_name",
    "countryCode": "country_code",
    "timezone": "timezone",
    "venue": "venue",
    "raceType": "race_type",
}
_FLAGS: Final = {
    "bspMarket": "bsp_market",
    "persistenceEnabled": "persistence_enabled",
    "turnInPlayEnabled": "turn_in_play_enabled",
    "discountAllowed": "discount_allowed",
    "crossMatching": "cross_matching",
    "runnersVoidable": "runners_voidable",
}
_DATES: Final = {"marketTime": "start_ms", "openDate": "open_ms", "suspendTime": "suspend_ms"}


def read_facts(params: Params) -> dict[str, object]:
    """Return the plain facts that a request changes, by their names in `Market`.

    Raises:
        BadValue: one of them is out of its bounds; the text names it.

    """
    facts: dict[str, object] = {
        "base_rate": _amount(params, "marketBaseRate", Decimal(0), _WHOLE_PERCENT),
        "bet_delay_s": between(params, "betDelay", 0, _MAX_BET_DELAY_S),
        "winners": between(params, "numberOfWinners", 1, _MAX_WINNERS),
        "betting_type": params.choice("bettingType", BETTING_TYPES) or None,
        "ladder_type": params.choice("priceLadder", LADDER_TYPES) or None,
        "each_way_divisor": _amount(params, "eachWayDivisor", Decimal(1), _MAX_DIVISOR),
    }
    facts |= {field: params.text(name) or None for name, field in _TEXTS.items()}
    facts |= {field: params.flag(name) for name, field in _FLAGS.items() if params.has(name)}
    facts |= {field: to_instant(params.raw(name), name) for name, field in _DATES.items() if params.has(name)}
    facts |= _line_range(params)
    if params.has("suspendReason") or params.has("status"):
        facts["suspend_reason"] = params.text("suspendReason")  # a new state has a reason of its own, or none
    if params.has("betDelayModels"):
        facts["bet_delay_models"] = read_bet_delay_models(params)
    if params.has("keyLineDefinition"):
        facts["key_line"] = read_key_line(params)
    return {name: value for name, value in facts.items() if value is not None}


def between(params: Params, name: str, low: int, high: int) -> int | None:
    """Return a whole number within its bounds, None when absent."""
    if not params.has(name):
        return None
    value = params.integer(name)
    if not low <= value <= high:
        raise BadValue(f"{name} is not in {low}..{high}")
    return value


def _amount(params: Params, name: str, low: Decimal, high: int) -> Decimal | None:
    value = params.amount(name)
    if value is not None and not low <= value <= high:
        raise BadValue(f"{name} is not in {low}..{high}")
    return value


def _line_range(params: Params) -> dict[str, object]:
    if not params.has("lineRangeInfo"):
        return {"ladder_type": "LINE_RANGE"} if params.text("bettingType") == "LINE" else {}
    info = params.child("lineRangeInfo")
    low, high, interval = info.amount("minUnitValue"), info.amount("maxUnitValue"), info.amount("interval")
    if low is None or high is None or not interval or interval < 0 or low > high:
        raise BadValue("lineRangeInfo needs minUnitValue, maxUnitValue and an interval above 0")
    return {"ladder_type": "LINE_RANGE", "line_min": low, "line_max": high, "line_interval": interval}
