"""What markets are, asked for at their first signal and read here, off the order path.

Invariant: a market is asked for once at a time, known ones again after an hour; an exchange that does not answer costs
the facts, nothing else.
"""

from contextlib import suppress

import structlog

from executor.domain.market import FRESH_MS
from executor.engine.engine import Engine
from executor.errors import ExecutorError, StoreUnavailable
from executor.ports import MarketView

log = structlog.get_logger(__name__)

_AT_ONCE = 40  # Betfair: Market Data Request Limits, 5 each of 200 for its book


def ask_for_facts(engine: Engine, view: MarketView) -> None:
    """See that a market's facts are read soon, where they are not known or old."""
    if view.market_asked and (view.market is None or view.now - view.market.read_at < FRESH_MS):
        return
    with suppress(StoreUnavailable):  # the next signal asks again
        engine.market_facts.want(view.market_id)


def learn(engine: Engine) -> int:
    """Read the facts of markets that were asked for; returns how many are known now."""
    wanted = engine.market_facts.wanted(_AT_ONCE)
    if not wanted:
        return 0
    try:
        found = engine.exchange.market_facts(wanted)
    except ExecutorError as error:
        log.warning("markets_not_read", markets=wanted, error=str(error))
        for market_id in wanted:
            engine.market_facts.want(market_id)
        return 0
    engine.market_facts.save_facts(
        found, [market_id for market_id in wanted if market_id not in {market.market_id for market in found}]
    )
    engine.market_facts.save_market_types(
        {market.market_id: market.market_type for market in found if market.market_type}
    )
    return len(found)
