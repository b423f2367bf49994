"""What the control API does to markets: opening, pricing, suspending, settling, voiding.

Owns: reading and checking these requests, all of it before anything changes. Invariants: a settled market is only
settled again or voided; prices never match orders on a market that is not open. Units: prices on the CLASSIC ladder,
sizes in pennies of the account currency.
"""

from decimal import Decimal
from typing import Final

from betfair_sandbox.api.wire import BadValue, Json, Params, to_decimal, to_integer
from betfair_sandbox.market.markets import Market, Runner
from betfair_sandbox.market.money import PENNY, is_on_ladder
from betfair_sandbox.market.settlement import settle, void_market, void_runner
from betfair_sandbox.world import World

_STATUSES: Final = ("INACTIVE", "OPEN", "SUSPENDED", "CLOSED")
_MAX_BET_DELAY_S: Final = 60
_MAX_WINNERS: Final = 100
_WHOLE_PERCENT: Final = 100
_PAIR: Final = 2
_Levels = list[tuple[Decimal, Decimal]]
_NewRunner = tuple[int, str, _Levels | None, _Levels | None]


def markets_action(world: World, params: Params) -> Json:
    """Open a market, or change one: names, runners, prices, status, in-play, bet delay."""
    exchange = world.exchange
    market_id = need(params, "marketId").text("marketId")
    status = params.choice("status", _STATUSES)
    inplay = params.flag("inplay") if params.has("inplay") else None
    runners = [_read_runner(item) for item in params.items("runners")]
    change = _read_fields(params)
    known = market_id in exchange.markets
    market = exchange.market(market_id)
    if market is None:
        raise BadValue("marketId does not look like 1.234567890, or there are too many markets")
    if market.results and (status or inplay is not None or runners):
        raise BadValue("marketId is a settled market")
    if market.status != "OPEN" and any(to_back is not None for _, _, to_back, _ in runners):
        raise BadValue("runners: prices are for an open market")
    if runners and not known:
        market.grows = False
    for name, value in change.items():
        setattr(market, name, value)
    for selection_id, name, to_back, to_lay in runners:
        runner = exchange.runner(market, selection_id, name)
        if to_back is not None and to_lay is not None:
            exchange.set_prices(market, runner, to_back, to_lay)
    if inplay is not None and inplay != market.inplay:
        _turn(world, market, inplay=inplay)
    if status and status != market.status:
        _set_status(world, market, status)
    exchange.refresh(market, {bet.account for bet in market.bets.values()})
    return described(market)


def _read_fields(params: Params) -> dict[str, object]:
    """Return the plain fields that the request changes, by their names in `Market`."""
    rate = params.amount("marketBaseRate")
    if rate is not None and not 0 <= rate <= _WHOLE_PERCENT:
        raise BadValue("marketBaseRate is not in 0..100")
    fields: dict[str, object] = {
        "name": params.text("name") or None,
        "market_type": params.text("marketType") or None,
        "event_name": params.text("eventName") or None,
        "base_rate": rate,
        "bet_delay_s": between(params, "betDelay", 0, _MAX_BET_DELAY_S),
        "winners": between(params, "numberOfWinners", 1, _MAX_WINNERS),
    }
    return {name: value for name, value in fields.items() if value is not None}


def _turn(world: World, market: Market, *, inplay: bool) -> None:
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
    to_back, to_lay = _read_offers(params)
    if to_back is None or to_lay is None:
        raise BadValue("availableToBack or availableToLay is missing")
    market = world.exchange.market(market_id)
    if market is None or market.status != "OPEN":
        raise BadValue("marketId is not an open market")
    if selection_id not in market.runners and not market.grows:
        raise BadValue("selectionId is not a runner of the market")
    runner = world.exchange.runner(market, selection_id)
    if runner.status != "ACTIVE":
        raise BadValue("selectionId is a removed runner")
    world.exchange.set_prices(market, runner, to_back, to_lay)
    return described(market)


def settle_action(world: World, params: Params) -> Json:
    """Settle a market, or settle it again."""
    market = _known_market(world, params)
    if not params.has("winners"):
        raise BadValue("winners is missing")
    winners = {to_integer(item, "winners") for item in params.items("winners")}
    for winner in winners:
        runner = market.runners.get(winner)
        if (runner is None and not market.grows) or (runner is not None and runner.status == "REMOVED") or winner <= 0:
            raise BadValue(f"winners: {winner} is not a runner of the market")
    if len(winners) > market.winners:
        raise BadValue(f"winners: the market has {market.winners}, dead heats are not offered")
    for winner in winners:
        world.exchange.runner(market, winner)
    settle(world.exchange, market, winners)
    return described(market)


def void_action(world: World, params: Params) -> Json:
    """Void a market or one of its runners."""
    market = _known_market(world, params)
    if not params.has("selectionId"):
        void_market(world.exchange, market)
        return described(market)
    runner = market.runners.get(params.integer("selectionId"))
    if runner is None or runner.status == "REMOVED":
        raise BadValue("selectionId is not a runner of the market")
    void_runner(world.exchange, market, runner)
    return described(market)


def need(params: Params, name: str) -> Params:
    """Return the parameters, one of which must be there."""
    if not params.has(name):
        raise BadValue(f"{name} is missing")
    return params


def between(params: Params, name: str, low: int, high: int) -> int | None:
    """Return a whole number within bounds, None when absent."""
    if not params.has(name):
        return None
    value = params.integer(name)
    if not low <= value <= high:
        raise BadValue(f"{name} is not in {low}..{high}")
    return value


def _known_market(world: World, params: Params) -> Market:
    market = world.exchange.markets.get(need(params, "marketId").text("marketId"))
    if market is None:
        raise BadValue("marketId is unknown")
    return market


def _read_runner(item: object) -> _NewRunner:
    if isinstance(item, int) and not isinstance(item, bool):
        return _positive(item), "", None, None
    params = Params(item, "runners")
    selection_id = _positive(need(params, "selectionId").integer("selectionId"))
    return (selection_id, params.text("name"), *_read_offers(params))


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
    if not is_on_ladder(price):
        raise BadValue(f"{name}: {price} is not on the price ladder")
    if size <= 0 or size != size.quantize(PENNY):
        raise BadValue(f"{name}: {size} is not a size in pennies")
    return price, size


def described(market: Market) -> Json:
    """Return what a market has become."""
    return {
        "marketId": market.market_id,
        "status": market.status,
        "inplay": market.inplay,
        "betDelay": market.bet_delay_s,
        "version": market.version,
        "runners": [_described_runner(runner) for runner in market.runners.values()],
    }


def _described_runner(runner: Runner) -> Json:
    return {"selectionId": runner.selection_id, "status": runner.status}
