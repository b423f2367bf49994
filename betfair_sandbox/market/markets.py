"""Markets, runners and bets: the records that the other parts of the exchange work on.

Owns: their fields, nothing else. Invariant: a bet's parts sum to its size (`matching.Order`). Units: epoch
milliseconds, account currency.
"""

from dataclasses import dataclass, field
from decimal import Decimal
from random import Random
from typing import Final

from betfair_sandbox.market.matching import Book, Order
from betfair_sandbox.market.money import ZERO

# Betfair: marketBaseRate in per cent.
BASE_RATE_PERCENT: Final = Decimal(5)

EXECUTABLE: Final = "EXECUTABLE"
COMPLETE: Final = "EXECUTION_COMPLETE"


@dataclass(slots=True, eq=False)
class Bet(Order):
    """A customer's order with what Betfair tells about it."""

    market_id: str = ""
    selection_id: int = 0
    persistence: str = "LAPSE"
    customer_order_ref: str = ""
    customer_strategy_ref: str = ""
    placed_ms: int = 0
    matched_ms: int = 0
    cancelled_ms: int = 0
    lapsed_ms: int = 0
    lapse_reason: str = ""
    voided_ms: int = 0
    settled_ms: int = 0
    outcome: str = ""
    profit: Decimal = ZERO
    fragments: tuple[tuple[Decimal, Decimal], ...] = ()  # price and size of what was matched, in turn

    @property
    def status(self) -> str:
        """Betfair's OrderStatus."""
        return EXECUTABLE if self.size_remaining else COMPLETE

    def fill(self, price: Decimal, size: Decimal) -> None:
        """Move `size` from remaining to matched at `price`, and remember at which price."""
        Order.fill(self, price, size)
        if self.fragments and self.fragments[-1][0] == price:
            size += self.fragments[-1][1]
            self.fragments = self.fragments[:-1]
        self.fragments += ((price, size),)


@dataclass(slots=True, eq=False)
class Runner:
    """A selection: its book, and how the house offers on it."""

    selection_id: int
    name: str
    sort_priority: int
    seed: str  # of all that the house makes up here, whatever happens on other runners
    rng: Random = field(init=False)
    book: Book = field(default_factory=Book)
    status: str = "ACTIVE"
    fixed: bool = False  # its offers were given through the control API and do not move by themselves
    mid: int | None = None  # rung of the ladder around which the house offers
    quotes: list[Order] = field(default_factory=list)
    last_price: Decimal | None = None
    total_matched: Decimal = ZERO
    traded: dict[Decimal, Decimal] = field(default_factory=dict)  # price -> size matched at it
    removed_ms: int = 0

    def __post_init__(self) -> None:
        self.rng = Random(self.seed)  # noqa: S311 - a seeded process is the point

    def trade(self, price: Decimal, size: Decimal) -> None:
        """Count a match."""
        self.last_price = price
        self.total_matched += size
        self.traded[price] = self.traded.get(price, ZERO) + size


@dataclass(slots=True, eq=False)
class Market:
    """A market of the exchange."""

    market_id: str
    name: str
    market_type: str
    event_name: str
    start_ms: int
    version: int
    status: str = "OPEN"
    inplay: bool = False
    bet_delay_s: int = 0
    winners: int = 1
    base_rate: Decimal = BASE_RATE_PERCENT
    grows: bool = False  # any selection used becomes a runner
    runners: dict[int, Runner] = field(default_factory=dict)
    bets: dict[int, Bet] = field(default_factory=dict)
    results: dict[str, "Result"] = field(default_factory=dict)
    rounding: Decimal = ZERO  # what rounding profits to pennies left over when it was settled
    last_match_ms: int = 0

    @property
    def field_size(self) -> int | None:
        """How many runners can win, None while more may appear."""
        if self.grows:
            return None
        return sum(runner.status != "REMOVED" for runner in self.runners.values())


@dataclass(slots=True)
class Result:
    """What a settled market did to one account's balance."""

    profit: Decimal = ZERO
    commission: Decimal = ZERO
