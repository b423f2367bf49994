"""Recorded market definitions: what a definition says, read and checked as a whole.

Owns: which of Betfair's fields become which facts of a market. Invariant: a definition that cannot be used changes
nothing. Units: dates become epoch milliseconds.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from betfair_sandbox.api.wire import BadValue, Params, to_instant
from betfair_sandbox.market.accounts import RunnerKey
from betfair_sandbox.market.definition_parts import read_bet_delay_models, read_key_line
from betfair_sandbox.market.markets import BETTING_TYPES, LADDER_TYPES, runner_key
from betfair_sandbox.market.money import ZERO
from betfair_sandbox.replay.changes import read_id, read_number
from betfair_sandbox.replay.files import BadLine

_STATUSES: Final = ("INACTIVE", "OPEN", "SUSPENDED", "CLOSED")
_RUNNER_STATUSES: Final = ("ACTIVE", "WINNER", "LOSER", "PLACED", "REMOVED", "REMOVED_VACANT", "HIDDEN")
_MOST_RUNNERS: Final = 1_000
_MOST_WINNERS: Final = 1_000
_LONGEST_DELAY_S: Final = 600
_WHOLE_PERCENT: Final = 100
_TEXTS: Final = {
    "marketType": "market_type",
    "eventId": "event_id",
    "eventTypeId": "event_type_id",
    "countryCode": "country_code",
    "timezone": "timezone",
    "venue": "venue",
    "raceType": "race_type",
    "name": "name",
    "eventName": "event_name",
}
_FLAGS: Final = {
    "bspMarket": "bsp_market",
    "turnInPlayEnabled": "turn_in_play_enabled",
    "persistenceEnabled": "persistence_enabled",
    "crossMatching": "cross_matching",
    "runnersVoidable": "runners_voidable",
    "discountAllowed": "discount_allowed",
}
_DATES: Final = {"marketTime": "start_ms", "suspendTime": "suspend_ms", "openDate": "open_ms"}
_SPORTS: Final = {
    "1": "Soccer",
    "2": "Tennis",
    "4": "Cricket",
    "7": "Horse Racing",
    "4339": "Greyhound Racing",
    "7522": "Basketball",
}


@dataclass(frozen=True, slots=True)
class RunnerDefinition:
    """A runner as a definition lists it."""

    selection_id: int
    handicap: Decimal
    status: str
    sort_priority: int
    name: str
    adjustment_factor: Decimal | None
    bsp: Decimal | None
    removed_ms: int

    @property
    def key(self) -> RunnerKey:
        """Its key within the market."""
        return runner_key(self.selection_id, self.handicap)


@dataclass(frozen=True, slots=True)
class Definition:
    """A definition: plain facts by their names in `Market`, and what makes something happen."""

    facts: dict[str, Any]
    status: str
    inplay: bool
    bsp_reconciled: bool
    version: int
    settled_ms: int
    runners: list[RunnerDefinition]


def read_definition(value: object) -> Definition:
    """Read a marketDefinition.

    Raises:
        BadLine: something in it cannot be read; the text names it.

    """
    try:
        params = Params(value, "marketDefinition")
        return _read(params)
    except BadValue as error:
        raise BadLine(f"marketDefinition: {error}") from None


def _read(params: Params) -> Definition:
    facts: dict[str, Any] = {field: params.text(name) for name, field in _TEXTS.items() if params.has(name)}
    facts |= {field: params.flag(name) for name, field in _FLAGS.items() if params.has(name)}
    facts |= {field: to_instant(params.raw(name), name) for name, field in _DATES.items() if params.has(name)}
    if "event_type_id" in facts:
        facts["event_type_name"] = _SPORTS.get(facts["event_type_id"], f"Sport {facts['event_type_id']}")
    facts["regulators"] = tuple(params.texts("regulators")) or ("MR_INT",)
    facts["betting_type"] = params.choice("bettingType", BETTING_TYPES, "ODDS")
    facts["ladder_type"] = params.child("priceLadderDefinition").choice("type", LADDER_TYPES, "CLASSIC")
    facts["winners"] = max(1, _whole(params, "numberOfWinners", 1, _MOST_WINNERS))
    facts["bet_delay_s"] = _whole(params, "betDelay", 0, _LONGEST_DELAY_S)
    if params.has("marketBaseRate"):
        facts["base_rate"] = _bounded(params, "marketBaseRate", _WHOLE_PERCENT)
    if params.has("eachWayDivisor"):
        facts["each_way_divisor"] = _bounded(params, "eachWayDivisor", _WHOLE_PERCENT, 1)
    facts |= _line_range(params)
    facts["suspend_reason"] = params.text("suspendReason")
    facts["bet_delay_models"] = read_bet_delay_models(params)
    facts["key_line"] = read_key_line(params)
    rows = params.items("runners")
    if len(rows) > _MOST_RUNNERS:
        raise BadValue("runners are too many")
    return Definition(
        facts,
        params.choice("status", _STATUSES, "OPEN"),
        params.flag("inPlay"),
        params.flag("bspReconciled"),
        params.integer("version"),
        to_instant(params.raw("settledTime"), "settledTime") if params.has("settledTime") else 0,
        [_read_runner(row, at) for at, row in enumerate(rows, 1)],
    )


def _read_runner(row: object, at: int) -> RunnerDefinition:
    params = Params(row, "runners")
    factor = params.amount("adjustmentFactor")
    bsp = None if params.raw("bsp") in ("NaN", "Infinity") else params.amount("bsp")
    if bsp is not None and bsp <= 1:
        raise BadValue("bsp is not above 1")
    return RunnerDefinition(
        read_id(params.raw("id"), "runners.id"),
        read_number(params.raw("hc") or ZERO, "runners.hc"),
        params.choice("status", _RUNNER_STATUSES, "ACTIVE"),
        params.integer("sortPriority", at),
        params.text("name"),
        factor if factor is None or 0 <= factor < _WHOLE_PERCENT else None,
        bsp,
        to_instant(params.raw("removalDate"), "removalDate") if params.has("removalDate") else 0,
    )


def _line_range(params: Params) -> dict[str, Any]:
    low, high, interval = (params.amount(name) for name in ("lineMinUnit", "lineMaxUnit", "lineInterval"))
    if low is None or high is None or interval is None or interval <= 0:
        return {}
    return {"line_min": low, "line_max": high, "line_interval": interval, "ladder_type": "LINE_RANGE"}


def _whole(params: Params, name: str, low: int, high: int) -> int:
    value = params.integer(name, low)
    if not 0 <= value <= high:
        raise BadValue(f"{name} is not in 0..{high}")
    return value


def _bounded(params: Params, name: str, high: int, low: int = 0) -> Decimal:
    value = params.amount(name)
    if value is None or not low <= value <= high:
        raise BadValue(f"{name} is not in {low}..{high}")
    return value
