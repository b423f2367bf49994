"""Bets that our records cannot hold: kept as foreign, counted where their worst case can be told, never acted upon.

Invariants: a bet of an order that we know is never foreign, its order stays as it is; a foreign bet is forgotten only
when a read of every bet no longer has it; nothing is placed in a market whose worst case cannot be told.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial

import structlog

from executor.domain.foreign import ForeignBet
from executor.domain.market import LINE, Market, has_odds, is_each_way
from executor.domain.money import ONE, Side, round_up
from executor.domain.order import BetState
from executor.engine.engine import Engine
from executor.engine.optimistic import until_committed
from executor.engine.setting_aside import each_market
from executor.ports import Change, OddRow

log = structlog.get_logger(__name__)


def keep_foreign(engine: Engine, odd: Sequence[OddRow], *, complete: bool, stopped: dict[str, str]) -> None:
    """Keep the odd bets of a list that are none of our orders', forget those that are gone where it was `complete`.

    A market in which nothing may be placed is put into `stopped` with why.
    """
    kept = {bet.bet_id: bet for bet in engine.store.foreign_bets()}
    if not odd and not kept:
        return
    external = _external(engine, odd)
    found = {row.bet_id: row for row in external if row.bet_id and row.market_id}
    for row in external:
        if row.market_id and not row.bet_id:
            stopped[row.market_id] = f"a bet there cannot be read ({row.problem})"
    after: dict[str, ForeignBet] = {} if complete else dict(kept)
    now = engine.store.now()
    for bet_id, row in found.items():
        after[bet_id] = _foreign(row, kept[bet_id].since if bet_id in kept else now)
    _write(engine, kept, after, stopped)
    for bet in after.values():
        if not bet.worst_known:
            stopped[bet.market_id] = f"what bet {bet.bet_id} can lose cannot be told ({bet.problem})"


def separate_foreign(engine: Engine, unknown: Sequence[BetState]) -> tuple[Sequence[BetState], list[OddRow]]:
    """Separate bets without an order into those that may be adopted, and those in markets where our rules do not hold.

    Each way, a bet holds twice its size; on a line its price is none. A row does not say so, its market does.
    """
    if not unknown:
        return unknown, []
    markets = list(dict.fromkeys(bet.market_id for bet in unknown))
    kinds = {market.market_id: market for market in engine.exchange.market_facts(markets)}
    adopted: list[BetState] = []
    foreign: list[OddRow] = []
    for bet in unknown:
        market = kinds.get(bet.market_id)
        if market is None or has_odds(market):  # a closed market is not told of
            adopted.append(bet)
        else:
            foreign.append(_of_market(bet, market))
    return adopted, foreign


def _of_market(bet: BetState, market: Market) -> OddRow:
    size = bet.size * (2 if is_each_way(market) else 1)  # Betfair: half of it on the place
    line = market.betting_type == LINE  # Betfair: struck at evens
    worst = size if bet.side is Side.BACK or line else size * (bet.price - ONE)
    kind = "each way" if is_each_way(market) else market.betting_type
    problem = f"its market is {kind}, where our records hold no bet"
    return OddRow(problem, bet.bet_id, bet.order_id, bet.market_id, bet.selection_id, bet.side, round_up(worst))


def forget_foreign(engine: Engine, bet_ids: Iterable[str], stopped: dict[str, str]) -> None:
    """Forget bets that can be read, and are orders, after all."""
    read = set(bet_ids)
    kept = {bet.bet_id: bet for bet in engine.store.foreign_bets()}
    if read & set(kept):
        _write(engine, kept, {bet_id: bet for bet_id, bet in kept.items() if bet_id not in read}, stopped)


def _external(engine: Engine, odd: Sequence[OddRow]) -> list[OddRow]:
    """Return the odd rows that are of no order that we know."""
    owners = engine.store.owners([row.bet_id for row in odd if row.bet_id])
    names = {row.order_id for row in odd if row.order_id} | set(owners.values())
    orders = {order.order_id: order for order in engine.store.orders(sorted(names))}

    def is_ours(row: OddRow) -> bool:
        if owners.get(row.bet_id) in orders:
            return True
        named = orders.get(row.order_id)  # an order without a bet yet, or a row that does not say which bet it is
        return named is not None and (not named.bet_id or row.bet_id in {"", named.bet_id})

    return [row for row in odd if not is_ours(row)]


def _foreign(row: OddRow, since: int) -> ForeignBet:
    bet = ForeignBet(row.bet_id, row.market_id, row.selection_id, row.problem, row.side, row.order_id, since=since)
    return bet if row.worst is None else replace(bet, worst=row.worst, worst_known=True)


def _write(engine: Engine, kept: dict[str, ForeignBet], after: dict[str, ForeignBet], stopped: dict[str, str]) -> None:
    put = [bet for bet_id, bet in after.items() if kept.get(bet_id) != bet]
    gone = [bet for bet_id, bet in kept.items() if bet_id not in after]
    for bet in put:
        if bet.bet_id not in kept:
            log.error(
                "foreign_bet",
                bet_id=bet.bet_id,
                market_id=bet.market_id,
                problem=bet.problem,
                worst=bet.worst if bet.worst_known else None,
                hint="who uses our strategy ref? It is counted, and neither cancelled nor settled",
            )
    markets = dict.fromkeys(bet.market_id for bet in [*put, *gone])
    each_market(engine, {market_id: partial(_commit, engine, market_id, put, gone) for market_id in markets}, stopped)
    for bet in gone:
        log.warning("foreign_bet_gone", bet_id=bet.bet_id, market_id=bet.market_id)


def _commit(engine: Engine, market_id: str, put: Sequence[ForeignBet], gone: Sequence[ForeignBet]) -> int:
    change = Change(
        foreign=[bet for bet in put if bet.market_id == market_id],
        foreign_gone=[bet.bet_id for bet in gone if bet.market_id == market_id],
    )

    def attempt(lock_token: str) -> int | None:
        view = replace(engine.store.view(market_id), lock_token=lock_token)
        return len(change.foreign) + len(change.foreign_gone) if engine.store.commit(view, change) else None

    return until_committed(engine, market_id, f"market {market_id}", attempt)
