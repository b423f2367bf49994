"""What customers read about their results so far: listMarketProfitAndLoss.

Owns: its parameters, weight and fields. Reads only. Units: account currency.
"""

from decimal import Decimal
from typing import Final

from betfair_sandbox.api.market_lists import check_weight, known_markets
from betfair_sandbox.api.wire import Json, Params, missing
from betfair_sandbox.market.accounts import Account
from betfair_sandbox.market.exchange import Exchange
from betfair_sandbox.market.markets import Market
from betfair_sandbox.market.money import ZERO
from betfair_sandbox.market.positions import Position
from betfair_sandbox.market.settlement import commission_on, discount

_PROFIT_WEIGHT: Final = 4  # Betfair: Market Data Request Limits


def profit_and_loss(exchange: Exchange, account: Account, params: Params) -> list[Json]:
    """Answer listMarketProfitAndLoss: matched bets of markets that are not settled."""
    if not params.has("marketIds"):
        raise missing()
    market_ids = list(dict.fromkeys(params.texts("marketIds")))
    check_weight(Decimal(_PROFIT_WEIGHT * len(market_ids)))
    net = params.flag("netOfCommission")
    return [
        _market_row(account, market, net=net)
        for market in known_markets(exchange, market_ids)
        if market.status != "CLOSED"
    ]


def _market_row(account: Account, market: Market, *, net: bool) -> Json:
    positions = account.positions.get(market.market_id, {})
    total = sum((position.lose for position in positions.values()), ZERO)
    results: list[Json] = []
    for runner in market.runners.values():
        if runner.status == "REMOVED":
            continue
        result: Json = {"selectionId": runner.selection_id}
        if runner.handicap:
            result["handicap"] = runner.handicap
        result |= _ifs(market, positions.get(runner.key) or market.new_position(), total)
        if net:
            result["ifWin"] -= commission_on(result["ifWin"], market.base_rate, discount(account, market))
        results.append(result)
    row: Json = {"marketId": market.market_id, "profitAndLosses": results}
    if net:
        row["commissionApplied"] = market.base_rate
    return row


def _ifs(market: Market, position: Position, total: Decimal) -> Json:
    if market.each_way_divisor is not None:
        return {"ifWin": position.win, "ifPlace": position.place, "ifLose": position.lose}
    if market.winners == 1 and market.betting_type == "ODDS":
        return {"ifWin": position.win + total - position.lose}
    return {"ifWin": position.win, "ifLose": position.lose}
