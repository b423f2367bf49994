"""What markets are, asked for at their first signal and read here, off the order path.

Invariants: a market is asked for once at a time, known ones again after an hour, every minute where netting needs them;
an exchange that does not answer costs the facts, nothing else; facts that allow other results than before are followed
by a recount of the market's exposure.
"""

from contextlib import suppress
from dataclasses import replace

import structlog

from executor.domain.exposure import results
from executor.domain.foreign import foreign_exposure
from executor.domain.market import FRESH_MS, Market
from executor.domain.netting import counted, counted_exposure, net_of
from executor.domain.order import Order
from executor.engine.engine import Engine
from executor.engine.optimistic import until_committed
from executor.errors import Contended, ExecutorError, RecordUnreadable, StoreUnavailable
from executor.ports import Change, MarketView

log = structlog.get_logger(__name__)

_AT_ONCE = 40  # Betfair: Market Data Request Limits, 5 each of 200 for its book


def ask_for_facts(engine: Engine, view: MarketView) -> None:
    """See that a market's facts are read soon, where they are not known or old."""
    if view.market_asked and (view.market is None or view.now - view.market.read_at < FRESH_MS):
        return
    with suppress(StoreUnavailable):  # the next signal asks again
        engine.market_facts.request(view.market_id)


def refresh(engine: Engine) -> None:
    """Ask for the facts of every market with exposure: runners leave while we hold bets on others.

    Where what is written down as exposure is not what the orders say (an upgrade, another setting, somebody's hand in
    Redis), write it anew.
    """
    netting, groups = engine.policy.rules.netting, dict[str, list[Order]]()
    for order in engine.store.unsettled_orders():
        if order.counts:
            groups.setdefault(order.market_id, []).append(order)
    bets = engine.store.foreign_bets()
    for market_id, written in engine.market_facts.counted(sorted(groups)).items():
        if netting:
            engine.market_facts.request(market_id)
        others = foreign_exposure(bet for bet in bets if bet.market_id == market_id)
        found = results(groups[market_id])
        of_rules = counted(found, others, written.market, netting=netting)
        of_exchange = net_of(found, others, written.market)
        if (written.of_rules, written.of_exchange) != (f"{of_rules:f}", f"{of_exchange:f}"):
            with suppress(RecordUnreadable, Contended):
                _recount(engine, market_id, written.market)
    for market_id in engine.market_facts.exposed_besides({*groups, *(bet.market_id for bet in bets)}):
        log.warning("market_exposure_stray", market_id=market_id, why="nothing of ours is there")
        with suppress(RecordUnreadable, Contended):
            _recount(engine, market_id, None, empty=True)
    if corrected := engine.market_facts.sum_up_held():  # last: while it is wrong, a recount makes it no worse
        log.warning("market_held_total_corrected", was=corrected[0], now=corrected[1], unit="pennies")


def learn_at_once(engine: Engine) -> None:
    """Read a new market's facts before its next signal, which netting and metrics name it by; when nothing waits."""
    with suppress(StoreUnavailable):  # the next sweep does it
        learn(engine)


def learn(engine: Engine) -> int:
    """Read the facts of markets that were asked for; returns how many are known now."""
    wanted = engine.market_facts.take_requested(_AT_ONCE)
    if not wanted:
        return 0
    try:
        found = engine.exchange.market_facts(wanted)
    except ExecutorError as error:
        log.warning("markets_not_read", markets=wanted, error=str(error))
        for market_id in wanted:
            engine.market_facts.request(market_id)
        return 0
    unknown = sorted(set(wanted) - {market.market_id for market in found})
    changed = engine.market_facts.save_facts(found, unknown)
    engine.market_facts.save_market_types(
        {market.market_id: market.market_type for market in found if market.market_type}
    )
    for market_id, before in changed.items():
        with suppress(RecordUnreadable, Contended):  # whoever writes there next counts by the new facts
            _recount(engine, market_id, before)
    return len(found)


def _recount(engine: Engine, market_id: str, before: Market | None, *, empty: bool = False) -> None:
    """Write anew what is derived from a market's orders, after its facts have changed; `empty`: of none, too."""

    def attempt(lock_token: str) -> MarketView | None:
        view = replace(engine.store.view(market_id), lock_token=lock_token)
        if not (view.orders or view.foreign or empty):
            return view
        return view if engine.store.commit(view, Change(recount=True)) else None

    view = until_committed(engine, market_id, f"market {market_id}", attempt)
    foreign, netting = foreign_exposure(view.foreign.values()), engine.policy.rules.netting
    was, now = (
        counted_exposure(view.orders.values(), foreign, market, netting=netting) for market in (before, view.market)
    )
    if now != was:
        gone = sorted(set(before.runners if before else ()) - set(view.market.runners if view.market else ()))
        told = log.warning if now > was else log.info
        told("market_exposure_changed", market_id=market_id, was=f"{was:f}", now=f"{now:f}", runners_gone=gone)
