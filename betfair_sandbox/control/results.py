"""What the control API does to results: settling, taking a result back, voiding, removing a runner, starting prices.

Owns: reading and checking these requests, all of it before anything changes. Invariant: a market gets a result only as
its betting type and its number of winners allow. Units: an adjustment factor is a reduction in per cent.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Final

from betfair_sandbox.api.wire import BadValue, Json, Params, to_decimal, to_integer
from betfair_sandbox.control.markets import described, known_market, need
from betfair_sandbox.market.accounts import RunnerKey
from betfair_sandbox.market.markets import Market, Runner, runner_key
from betfair_sandbox.market.money import LADDER, ZERO, to_money
from betfair_sandbox.market.positions import LOST, WON, Outcome
from betfair_sandbox.market.reconciliation import reconcile
from betfair_sandbox.market.settlement import settle_with, unsettle, void_market, void_runner
from betfair_sandbox.market.voiding import unvoid_bet, void_bet
from betfair_sandbox.world import World

_WHOLE_PERCENT: Final = 100
# Handicap lines: each runner has its own result.
_LINE_RESULTS: Final[Mapping[str, Outcome]] = {
    "WON": WON,
    "HALF_WON": Outcome(win=1, void=1, win_parts=2),
    "VOID": Outcome(void=1),
    "HALF_LOST": Outcome(void=1, win_parts=2),
    "LOST": LOST,
}


def settle_action(world: World, params: Params) -> Json:
    """Settle a market, settle it again, or take its result back."""
    market = known_market(world, params)
    if params.flag("reverse"):
        if not market.results:
            raise BadValue("reverse: the market is not settled")
        unsettle(world.exchange, market)
        return described(market)
    if market.is_line:
        line = params.amount("line")
        if line is None:
            raise BadValue("line is missing: the number that the market ended at")
        settle_with(world.exchange, market, {}, line)
        return described(market)
    outcomes = _read_line_results(market, params) if params.has("results") else _read_places(world, market, params)
    settle_with(world.exchange, market, outcomes)
    return described(market)


def _read_places(world: World, market: Market, params: Params) -> dict[RunnerKey, Outcome]:
    """Return the outcomes of winners, placed runners and dead heats."""
    if not params.has("winners"):
        raise BadValue("winners is missing")
    each_way = market.each_way_divisor is not None
    winners = _read_runners(market, params, "winners")
    placed = _read_runners(market, params, "placed")
    tied = _read_runners(market, params, "deadHeat")
    if placed and not each_way:
        raise BadValue("placed is for a market with eachWayDivisor")
    if set(winners) & set(placed):
        raise BadValue("placed: a winner is placed anyway")
    if not each_way and not tied and len(winners) > market.winners:
        if market.winners > 1:
            raise BadValue(f"winners: the market has {market.winners}; deadHeat names who ties for the last place")
        tied = winners
    if not set(tied) <= {*winners, *placed}:
        raise BadValue("deadHeat names a runner that is neither in winners nor in placed")
    for key in (*winners, *placed):
        world.exchange.runner(market, key if isinstance(key, int) else key[0], handicap=_handicap(key))
    if each_way:
        return _each_way_outcomes(market, winners, placed, tied)
    share = _share(market.winners, len(winners), tied, "winners")
    return {key: Outcome(share[0], share[0], win_parts=share[1]) if key in tied else WON for key in winners}


def _each_way_outcomes(
    market: Market, winners: list[RunnerKey], placed: list[RunnerKey], tied: list[RunnerKey]
) -> dict[RunnerKey, Outcome]:
    """Return the outcomes of an each-way market: several winners tie for the first place, `tied` for the last one."""
    named = len(winners) + len(placed)
    share = (1, 1)
    if named > market.winners or tied:
        tied = tied or ([] if placed else winners)
        share = _share(market.winners, named, tied, "placed")
    outcomes: dict[RunnerKey, Outcome] = {}
    for key in (*winners, *placed):
        place, place_parts = share if key in tied else (1, 1)
        outcomes[key] = Outcome(int(key in winners), place, 0, len(winners) if key in winners else 1, place_parts)
    return outcomes


def _share(places: int, named: int, tied: list[RunnerKey], name: str) -> tuple[int, int]:
    """Return which share of a stake each runner of a dead heat wins, as (places left for them, how many they are)."""
    left = places - (named - len(tied))
    if not tied:
        if left < 0:
            raise BadValue(f"{name}: {named} for {places}, and deadHeat does not say who ties")
        return 1, 1
    if left <= 0:
        raise BadValue(f"deadHeat: no place is left for those who tie ({name}: {named} for {places})")
    return (left, len(tied)) if left < len(tied) else (1, 1)


def _read_line_results(market: Market, params: Params) -> dict[RunnerKey, Outcome]:
    if not market.betting_type.startswith("ASIAN_HANDICAP"):
        raise BadValue("results is for a market of handicap lines")
    outcomes = {}
    for item in params.items("results"):
        row = Params(item, "results")
        runner = _runner(market, row, "results")
        outcomes[runner.key] = _LINE_RESULTS[row.choice("result", tuple(_LINE_RESULTS), "LOST")]
    return outcomes


def void_action(world: World, params: Params) -> Json:
    """Void a market, one of its runners, or one bet or a part of it, prices unchanged; or take a bet's void back."""
    market = known_market(world, params)
    if params.has("betId"):
        _void_one(world, market, params)
        return described(market)
    if params.has("size") or params.flag("reverse"):
        raise BadValue("betId is missing: size and reverse are of one bet")
    if not params.has("selectionId"):
        void_market(world.exchange, market)
        return described(market)
    void_runner(world.exchange, market, _runner(market, params, "selectionId"))
    return described(market)


def _void_one(world: World, market: Market, params: Params) -> None:
    found = [bet for bet in market.bets.values() if str(bet.bet_id) == params.text("betId")]
    if not found:
        raise BadValue("betId is not a bet of the market")
    bet, size = found[0], params.amount("size")
    if params.flag("reverse"):
        if size is not None or not bet.size_voided:
            raise BadValue(
                "reverse: nothing of the bet is void" if size is None else "size: all that is void goes back"
            )
        unvoid_bet(world.exchange, market, bet)
        return
    size = bet.size_matched if size is None else size
    if not 0 < size <= bet.size_matched or size != to_money(size):
        raise BadValue(f"size is not in 0..{bet.size_matched}, what is matched of the bet, in pennies")
    void_bet(world.exchange, market, bet, size)


def remove_action(world: World, params: Params) -> Json:
    """Remove a runner: its bets are void, the others' prices reduced by its adjustment factor."""
    market = known_market(world, params)
    runner = _runner(market, need(params, "selectionId"), "selectionId")
    factor = params.amount("adjustmentFactor")
    if factor is not None and not 0 <= factor < _WHOLE_PERCENT:
        raise BadValue("adjustmentFactor is not in 0..100")
    if factor is not None:
        runner.adjustment_factor = factor
    void_runner(world.exchange, market, runner, runner.adjustment_factor)
    return described(market)


def bsp_action(world: World, params: Params) -> Json:
    """Reconcile the starting prices of a market; `runners` gives the prices that its orders shall not make."""
    market = known_market(world, params)
    if not market.bsp_market or market.bsp_reconciled:
        raise BadValue("marketId has no starting price, or has it already")
    if market.status == "CLOSED":
        raise BadValue("marketId is closed")
    prices: dict[RunnerKey, Decimal] = {}
    for item in params.items("runners"):
        row = Params(item, "runners")
        price = to_decimal(need(row, "bsp").raw("bsp"), "bsp")
        if not LADDER[0] <= price <= LADDER[-1]:
            raise BadValue("bsp is not in 1.01..1000")
        prices[_runner(market, row, "runners").key] = price
    reconcile(world.exchange, market, prices)
    return described(market)


def _read_runners(market: Market, params: Params, name: str) -> list[RunnerKey]:
    """Return the runners that a list names, each once; a market that grows may get them by this."""
    keys: list[RunnerKey] = []
    for item in params.items(name):
        if isinstance(item, dict):
            row = Params(item, name)
            key = runner_key(row.integer("selectionId"), row.amount("handicap") or ZERO)
        else:
            key = to_integer(item, name)
        runner = market.runners.get(key)
        new = runner is None and market.grows and isinstance(key, int) and key > 0
        if not new and (runner is None or runner.status in {"REMOVED", "REMOVED_VACANT"}):
            shown = key if isinstance(key, int) else f"{key[0]} {key[1]}"
            raise BadValue(f"{name}: {shown} is not a runner of the market")
        if key not in keys:
            keys.append(key)
    return keys


def _runner(market: Market, params: Params, name: str) -> Runner:
    key = runner_key(params.integer("selectionId"), params.amount("handicap") or ZERO)
    runner = market.runners.get(key)
    if runner is None or runner.status in {"REMOVED", "REMOVED_VACANT"}:
        raise BadValue(f"{name} is not a runner of the market")
    return runner


def _handicap(key: RunnerKey) -> Decimal:
    return ZERO if isinstance(key, int) else key[1]
