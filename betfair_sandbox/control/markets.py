"""What the control API does to markets: opening them with their facts, pricing, suspending, turning in-play.

Owns: reading and checking these requests, all of it before anything changes. Invariants: a settled market is only
settled again or voided; prices never match orders on a market that is not open. Units: prices on the CLASSIC ladder,
sizes in pennies of the account currency.
"""

from copy import copy
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from betfair_sandbox.api.wire import BadValue, Json, Params, to_decimal
from betfair_sandbox.control.facts import read_facts
from betfair_sandbox.market.markets import BETTING_FACTS, Market, Runner, runner_key
from betfair_sandbox.market.money import PENNY, ZERO
from betfair_sandbox.market.reconciliation import reconcile
from betfair_sandbox.world import World

_STATUSES: Final = ("INACTIVE", "OPEN", "SUSPENDED", "CLOSED")
_WHOLE_PERCENT: Final = 100
_PAIR: Final = 2
_Levels = list[tuple[Decimal, Decimal]]


@dataclass(frozen=True, slots=True)
class _NewRunner:
    """A runner as a request describes it."""

    selection_id: int
    name: str = ""
    handicap: Decimal = ZERO
    adjustment_factor: Decimal | None = None
    to_back: _Levels | None = None
    to_lay: _Levels | None = None


def markets_action(world: World, params: Params) -> Json:
    """Open a market, or change one: names, runners, prices, status, in-play, bet delay."""
    exchange = world.exchange
    market_id = need(params, "marketId").text("marketId")
    status = params.choice("status", _STATUSES)
    inplay = params.flag("inplay") if params.has("inplay") else None
    runners = [_read_runner(item) for item in params.items("runners")]
    change = read_facts(params)
    known = market_id in exchange.markets
    market = exchange.market(market_id)
    if market is None:
        raise BadValue("marketId does not look like 1.234567890, or there are too many markets")
    try:
        _check(market, params, runners, change)
    except BadValue:
        if not known:
            del exchange.markets[market_id]
        raise
    if runners and not known:
        market.grows = False
    for name, value in change.items():
        setattr(market, name, value)
    for new in runners:
        _apply_runner(world, market, new)
    if inplay is not None and inplay != market.inplay:
        _turn(world, market, inplay=inplay)
    if status and status != market.status:
        _set_status(world, market, status)
    exchange.refresh(market, {bet.account for bet in market.bets.values()})
    return described(market)


def _apply_runner(world: World, market: Market, new: _NewRunner) -> None:
    runner = world.exchange.runner(market, new.selection_id, new.name, new.handicap)
    if new.adjustment_factor is not None:
        runner.adjustment_factor = new.adjustment_factor
    if new.to_back is not None and new.to_lay is not None:
        world.exchange.set_prices(market, runner, new.to_back, new.to_lay)


def _check(market: Market, params: Params, runners: list[_NewRunner], change: dict[str, object]) -> None:
    """Refuse what does not fit the market, before anything changes."""
    if market.results and (params.has("status") or params.has("inplay") or runners):
        raise BadValue("marketId is a settled market")
    if market.status != "OPEN" and any(new.to_back is not None for new in runners):
        raise BadValue("runners: prices are for an open market")
    if market.recorded and any(new.to_back is not None for new in runners):
        raise BadValue("runners: the prices of a replayed market are the recording's")
    if market.bets and any(getattr(market, name) != change.get(name, getattr(market, name)) for name in BETTING_FACTS):
        raise BadValue("marketId has bets: its betting type, each-way divisor and prices stay")
    changed = copy(market)
    for name, value in change.items():
        setattr(changed, name, value)
    _check_prices(changed, runners)


def _check_prices(market: Market, runners: list[_NewRunner]) -> None:
    for new in runners:
        for name, levels in (("availableToBack", new.to_back), ("availableToLay", new.to_lay)):
            for price, _ in levels or ():
                if not market.price_allowed(price):
                    raise BadValue(f"{name}: {price} is not on the price ladder")


def _turn(world: World, market: Market, *, inplay: bool) -> None:
    if inplay and market.bsp_market and not market.bsp_reconciled:
        reconcile(world.exchange, market, {})
    market.inplay = inplay
    world.exchange.bump(market)
    if inplay:
        lapsing = [bet for bet in market.bets.values() if bet.persistence == "LAPSE"]
        world.exchange.lapse(market, lapsing, "SP_IN_PLAY")


def _set_status(world: World, market: Market, status: str) -> None:
    market.status = status
    world.exchange.bump(market)
    if status == "CLOSED":
        world.exchange.lapse(market, list(market.bets.values()), "MKT_INVALID")


def prices_action(world: World, params: Params) -> Json:
    """Replace the house's offers on a runner."""
    market_id = need(params, "marketId").text("marketId")
    selection_id = need(params, "selectionId").integer("selectionId")
    handicap = params.amount("handicap") or ZERO
    to_back, to_lay = _read_offers(params)
    if to_back is None or to_lay is None:
        raise BadValue("availableToBack or availableToLay is missing")
    market = world.exchange.market(market_id)
    if market is None or market.status != "OPEN":
        raise BadValue("marketId is not an open market")
    if runner_key(selection_id, handicap) not in market.runners and (not market.grows or handicap):
        raise BadValue("selectionId is not a runner of the market")
    _check_prices(market, [_NewRunner(selection_id, to_back=to_back, to_lay=to_lay)])
    runner = world.exchange.runner(market, selection_id, handicap=handicap)
    if runner.status != "ACTIVE":
        raise BadValue("selectionId is a removed runner")
    if market.recorded:
        raise BadValue("marketId is replayed: its prices are the recording's")
    world.exchange.set_prices(market, runner, to_back, to_lay)
    return described(market)


def need(params: Params, name: str) -> Params:
    """Return the parameters, one of which must be there."""
    if not params.has(name):
        raise BadValue(f"{name} is missing")
    return params


def known_market(world: World, params: Params) -> Market:
    """Return the market that the request names."""
    market = world.exchange.markets.get(need(params, "marketId").text("marketId"))
    if market is None:
        raise BadValue("marketId is unknown")
    return market


def _read_runner(item: object) -> _NewRunner:
    if isinstance(item, int) and not isinstance(item, bool):
        return _NewRunner(_positive(item))
    params = Params(item, "runners")
    selection_id = _positive(need(params, "selectionId").integer("selectionId"))
    factor = params.amount("adjustmentFactor")
    if factor is not None and not 0 <= factor < _WHOLE_PERCENT:
        raise BadValue("adjustmentFactor is not in 0..100")
    handicap = params.amount("handicap") or ZERO
    return _NewRunner(selection_id, params.text("name"), handicap, factor, *_read_offers(params))


def _positive(selection_id: int) -> int:
    if selection_id <= 0:
        raise BadValue("selectionId is not positive")
    return selection_id


def _read_offers(params: Params) -> tuple[_Levels | None, _Levels | None]:
    """Return what is available to back and to lay; (None, None) when neither is given."""
    if not params.has("availableToBack") and not params.has("availableToLay"):
        return None, None
    to_back = [_read_level(item, "availableToBack") for item in params.items("availableToBack")]
    to_lay = [_read_level(item, "availableToLay") for item in params.items("availableToLay")]
    if to_back and to_lay and max(to_back)[0] >= min(to_lay)[0]:
        raise BadValue("availableToBack and availableToLay cross")
    return to_back, to_lay


def _read_level(item: object, name: str) -> tuple[Decimal, Decimal]:
    if isinstance(item, dict):
        item = [item.get("price"), item.get("size")]
    if not isinstance(item, list) or len(item) != _PAIR:
        raise BadValue(f"{name} is not a list of [price, size]")
    price, size = to_decimal(item[0], name), to_decimal(item[1], name)
    if size <= 0 or size != size.quantize(PENNY):
        raise BadValue(f"{name}: {size} is not a size in pennies")
    return price, size


def described(market: Market) -> Json:
    """Return what a market has become."""
    row: Json = {
        "marketId": market.market_id,
        "status": market.status,
        "inplay": market.inplay,
        "betDelay": market.bet_delay_s,
        "version": market.version,
        "runners": [_described_runner(runner) for runner in market.runners.values()],
    }
    if market.bsp_market:
        row["bspReconciled"] = market.bsp_reconciled
    return row


def _described_runner(runner: Runner) -> Json:
    row: Json = {"selectionId": runner.selection_id, "status": runner.status}
    for name, value in (("handicap", runner.handicap or None), ("bsp", runner.bsp)):
        if value is not None:
            row[name] = value
    return row
