"""A market's definition on the stream.

Owns: the fields of `marketDefinition`. Invariant: always whole, every field that a client counts on is there. Units:
instants are ISO 8601 in UTC with milliseconds.
"""

from decimal import Decimal

from betfair_sandbox.api.wire import Json, format_date
from betfair_sandbox.market.markets import Market, Runner


def market_definition(market: Market, now_ms: int) -> Json:
    """Return what a market is now."""
    runners = list(market.runners.values())
    definition: Json = {
        "bspMarket": market.bsp_market,
        "turnInPlayEnabled": market.turn_in_play_enabled,
        "persistenceEnabled": market.persistence_enabled,
        "marketBaseRate": float(market.base_rate),
        "eventId": market.event_id,
        "eventTypeId": market.event_type_id,
        "numberOfWinners": market.winners,
        "bettingType": market.betting_type,
        "marketType": market.market_type,
        "marketTime": format_date(market.start_ms),
        "suspendTime": format_date(market.suspend_ms or market.start_ms),
        "bspReconciled": market.bsp_reconciled,
        "complete": not market.grows,
        "inPlay": market.inplay,
        "crossMatching": market.cross_matching,
        "runnersVoidable": market.runners_voidable,
        "numberOfActiveRunners": sum(runner.status == "ACTIVE" for runner in runners),
        "betDelay": market.bet_delay_s,
        "status": market.status,
        "runners": [_runner_definition(runner) for runner in runners],
        "regulators": list(market.regulators),
        "countryCode": market.country_code,
        "discountAllowed": market.discount_allowed,
        "timezone": market.timezone,
        "openDate": format_date(market.open_ms or market.start_ms),
        "version": market.version,
        "priceLadderDefinition": {"type": market.ladder_type},
    }
    optional = {
        "venue": market.venue,
        "raceType": market.race_type,
        "eachWayDivisor": _number(market.each_way_divisor),
        "lineMinUnit": _number(market.line_min),
        "lineMaxUnit": _number(market.line_max),
        "lineInterval": _number(market.line_interval),
    }
    definition.update({name: value for name, value in optional.items() if value not in {None, ""}})
    if market.suspend_reason and market.status == "SUSPENDED":
        definition["suspendReason"] = market.suspend_reason
    if market.bet_delay_models:
        definition["betDelayModels"] = list(market.bet_delay_models)
    if market.key_line:
        lines = [{"id": selection_id, "hc": float(handicap)} for selection_id, handicap in market.key_line]
        definition["keyLineDefinition"] = {"kl": lines}
    if market.status == "CLOSED":
        definition["settledTime"] = format_date(market.settled_ms or now_ms)
    return definition


def _runner_definition(runner: Runner) -> Json:
    definition: Json = {
        "status": runner.status,
        "sortPriority": runner.sort_priority,
        "id": runner.selection_id,
        "name": runner.name,
    }
    optional = {
        "hc": float(runner.handicap) if runner.handicap else None,
        "adjustmentFactor": _number(runner.adjustment_factor),
        "bsp": _number(runner.bsp),
        "removalDate": format_date(runner.removed_ms) if runner.removed_ms else None,
    }
    definition.update({name: value for name, value in optional.items() if value is not None})
    return definition


def _number(value: Decimal | None) -> float | None:
    return None if value is None else float(value)
