"""Hedges: what order would bring a selection's matched exposure down, and what tells its signal from others.

Invariants: a hedge is opposite to the position and never larger than what keeps every result within the exposure that
is there; its price is at most so many ticks worse than the last traded one; it is one piece within the limits per
order. Money in account currency.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from decimal import ROUND_CEILING, Decimal
from typing import Final

from executor.domain.account import Unit
from executor.domain.exposure import exposures, results, worst
from executor.domain.limits import Limits, number
from executor.domain.money import LADDER, ONE, PENNY, ZERO, Side, liability, to_rung, to_size
from executor.domain.order import Order
from executor.domain.signal import Signal

HEDGE: Final = "hedge"  # strategy of what `engine/hedging.py` publishes, and how its ids begin
OPEN: Final = "OPEN"  # Betfair: MarketStatus
SAME: Final = Unit()  # limits are in the account's currency


def is_hedge(signal: Signal) -> bool:
    """Tell whether a signal is a hedge: it may only reduce an exposure, and need not ask what that is for."""
    return signal.strategy == HEDGE and signal.signal_id.startswith(f"{HEDGE}-")


@dataclass(frozen=True, slots=True)
class Quote:
    """The best prices of a runner that somebody offers, and the last one traded; None where there is none."""

    back: Decimal | None = None
    lay: Decimal | None = None
    last: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Quotes:
    """A market's prices at one moment."""

    status: str = ""
    runners: Mapping[int, Quote] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class HedgePolicy:
    """When a selection is hedged, how far down, and how much worse than the last traded price."""

    mode: str = "off"
    at_percent: Decimal = Decimal(90)
    to_percent: Decimal = Decimal(50)
    max_ticks: int = 3


NO_HEDGE: Final = HedgePolicy()


@dataclass(frozen=True, slots=True)
class HedgePlan:
    """What is to be done about a selection; with a `problem`, what keeps it from being done."""

    market_id: str
    selection_id: int
    exposure: Decimal
    limit: Decimal
    side: Side
    price: Decimal = ZERO
    size: Decimal = ZERO
    problem: str = ""
    unit: Unit = SAME  # what is told of the exposure, beside the limit
    currency: str = ""  # of the order, where it is not the limit's

    @property
    def position(self) -> str:
        """Name what is hedged."""
        return f"{self.market_id}-{self.selection_id}-{self.side}"

    def __str__(self) -> str:
        """Explain it in one line."""
        held = f"selection {self.selection_id} of market {self.market_id} holds {self._said(self.exposure)}"
        why = f"{held} of at most {self._said(self.limit)}"
        if self.problem:
            return f"{why}; it waits: {self.problem}"
        size = f"{number(self.size)} {self.currency}" if self.unit.currency else number(self.size)
        return f"{why}; {self.side.lower()} {size} at {number(self.price)}"

    def _said(self, amount: Decimal) -> str:
        return self.unit.said(amount) if self.unit.currency else number(amount)


def due(orders: Iterable[Order], limit: Decimal, policy: HedgePolicy) -> dict[int, Decimal]:
    """Return a market's selections whose matched exposure is above the share of their limit at which one hedges."""
    matched = exposures(orders, matched_only=True)
    return {selection: held for selection, held in matched.items() if held > limit * policy.at_percent / 100}


def plan(
    market_id: str,
    selection_id: int,
    orders: Iterable[Order],
    quotes: Quotes | None,
    limits: Limits,
    policy: HedgePolicy,
    minimum: Decimal,
) -> HedgePlan:
    """Say how to bring a selection that is due down to its target, or what is in the way."""
    own = [order for order in orders if order.selection_id == selection_id]
    wins, loses = results(own, matched_only=True)[selection_id]
    exposure, limit = worst(wins, loses), limits.max_exposure_per_selection
    side = Side.LAY if loses < wins else Side.BACK
    asked = HedgePlan(market_id, selection_id, exposure, limit, side)
    price, problem = _price(asked, quotes, policy.max_ticks)
    if problem:
        return _with(asked, problem=problem)
    all_wins, all_loses = results(own)[selection_id]
    held = worst(all_wins, all_loses)
    target = limit * policy.to_percent / 100
    if side is Side.LAY:  # wins the size when it loses, loses size x (price - 1) when it wins
        wanted = exposure - target
        headroom = min(wins + target, all_wins + held) / (price - ONE)
        most = limits.bankroll * limits.max_risk_per_trade_percent / (price - ONE)
    else:
        wanted = (exposure - target) / (price - ONE)
        headroom = min(loses + target, all_loses + held)
        most = limits.bankroll * limits.max_risk_per_trade_percent
    size = min(wanted.quantize(PENNY, rounding=ROUND_CEILING), to_size(max(headroom, ZERO)))
    size = min(size, to_size(limits.max_stake_per_order), to_size(most))
    if side is Side.LAY and liability(side, price, size) > limits.bankroll * limits.max_risk_per_trade_percent:
        size -= PENNY  # the liability is rounded up
    if size < minimum or size <= ZERO:
        return _with(
            asked, problem=f"{number(max(size, ZERO))} at {number(price)} is below the minimum {number(minimum)}"
        )
    return _with(asked, price=price, size=size)


def _with(asked: HedgePlan, *, price: Decimal = ZERO, size: Decimal = ZERO, problem: str = "") -> HedgePlan:
    return replace(asked, price=price, size=size, problem=problem)


def _price(asked: HedgePlan, quotes: Quotes | None, max_ticks: int) -> tuple[Decimal, str]:
    """Return the best price, or why there is none to take."""
    if quotes is None:
        return ZERO, "the market's prices are not known"
    if quotes.status != OPEN:
        return ZERO, f"the market is {quotes.status or 'in a state that is not known'}"
    quote = quotes.runners.get(asked.selection_id)
    best = None if quote is None else quote.lay if asked.side is Side.LAY else quote.back
    if quote is None or best is None:
        return ZERO, "nobody offers a price"
    if quote.last is None:
        return ZERO, "nothing has been traded there"
    price, last = to_rung(best, asked.side), to_rung(quote.last, asked.side)
    if price not in LADDER or last not in LADDER:
        return ZERO, "its prices are none of the ladder"
    ticks = LADDER.index(price) - LADDER.index(last)
    worse = ticks if asked.side is Side.LAY else -ticks
    if worse > max_ticks:
        moved = f"the best price {number(price)} is {worse} ticks worse than the last {number(last)}"
        return ZERO, f"{moved}, {max_ticks} at most"
    return price, ""
