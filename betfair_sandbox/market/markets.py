"""Markets, runners and bets: the records that the other parts of the exchange work on.

Owns: their fields, and what follows from a market's betting type (prices that are allowed, exposure). Invariant: a
bet's parts sum to its size (`matching.Order`). Units: epoch milliseconds, account currency.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from random import Random
from typing import Final

from betfair_sandbox.market.accounts import RunnerKey
from betfair_sandbox.market.matching import Book, Order
from betfair_sandbox.market.money import ZERO, Side, is_on_finest, is_on_ladder
from betfair_sandbox.market.positions import (
    LOST,
    LinePosition,
    Outcome,
    Position,
    each_way_exposure,
    line_exposure,
    market_exposure,
    separate_exposure,
)

# Betfair: marketBaseRate in per cent.
BASE_RATE_PERCENT: Final = Decimal(5)

EXECUTABLE: Final = "EXECUTABLE"
COMPLETE: Final = "EXECUTION_COMPLETE"
LIMIT: Final = "LIMIT"
LIMIT_ON_CLOSE: Final = "LIMIT_ON_CLOSE"
MARKET_ON_CLOSE: Final = "MARKET_ON_CLOSE"

# Betfair: MarketBettingType.
BETTING_TYPES: Final = ("ODDS", "LINE", "RANGE", "ASIAN_HANDICAP_DOUBLE_LINE", "ASIAN_HANDICAP_SINGLE_LINE")
LADDER_TYPES: Final = ("CLASSIC", "FINEST", "LINE_RANGE")
# Betfair: LINE bets are struck at even money; the price they carry is the line.
LINE_PRICE: Final = Decimal(2)
# What bets are taken under and settled by: it stays once there are any, whatever anybody says later.
BETTING_FACTS: Final = (
    "betting_type",
    "each_way_divisor",
    "ladder_type",
    "line_min",
    "line_max",
    "line_interval",
)


def runner_key(selection_id: int, handicap: Decimal) -> RunnerKey:
    """Return the key of a runner within its market."""
    return (selection_id, handicap.normalize()) if handicap else selection_id


@dataclass(slots=True, eq=False)
class Bet(Order):
    """A customer's order with what Betfair tells about it.

    An order for the starting price (LIMIT_ON_CLOSE, MARKET_ON_CLOSE) has its liability as size until it is matched.
    """

    market_id: str = ""
    selection_id: int = 0
    handicap: Decimal = ZERO
    order_type: str = LIMIT
    bsp_liability: Decimal = ZERO
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
    price_reduced: bool = False
    fragments: tuple[tuple[Decimal, Decimal], ...] = ()  # price and size of what was matched, in turn
    voided: tuple[tuple[Decimal, Decimal], ...] = ()  # and of what of it is void now
    runner_key: RunnerKey = field(init=False)  # which runner of its market it is on

    def __post_init__(self) -> None:
        Order.__post_init__(self)
        self.runner_key = runner_key(self.selection_id, self.handicap)

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

    def void(self) -> Decimal:
        """Move all that is matched to voided; return how much that was."""
        self.voided += self.fragments
        self.fragments = ()
        return Order.void(self)

    def void_part(self, size: Decimal) -> list[tuple[Decimal, Decimal]]:
        """Move `size` of what is matched to voided, the last fragments first; return what was moved."""
        moved: list[tuple[Decimal, Decimal]] = []
        while size:
            price, whole = self.fragments[-1]
            part = min(whole, size)
            self.fragments = self.fragments[:-1] + (((price, whole - part),) if part < whole else ())
            moved.append((price, part))
            size -= part
        self._move(moved, -1)
        self.voided += tuple(moved)
        return moved

    def unvoid(self) -> list[tuple[Decimal, Decimal]]:
        """Move all that is void back to matched; return what was moved."""
        moved = list(self.voided)
        self.voided = ()
        self.fragments += tuple(moved)
        self._move(moved, 1)
        return moved

    def _move(self, moved: list[tuple[Decimal, Decimal]], sign: int) -> None:
        for price, size in moved:
            self.size_matched += sign * size
            self.size_voided -= sign * size
            self.matched_value += sign * price * size

    def reprice(self, new_price: Callable[[Decimal], Decimal]) -> Decimal:
        """Give each matched fragment the price that `new_price` makes of its own; return what price x size gained."""
        before = self.matched_value
        self.fragments = tuple((new_price(price), size) for price, size in self.fragments)
        self.matched_value = sum((price * size for price, size in self.fragments), ZERO)
        return self.matched_value - before


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
    traded: dict[Decimal, Decimal] = field(default_factory=dict)  # price -> size, both sides counted as Betfair does
    removed_ms: int = 0
    handicap: Decimal = ZERO
    adjustment_factor: Decimal | None = None
    bsp: Decimal | None = None
    sp_near: Decimal | None = None
    sp_far: Decimal | None = None
    sp_backed: dict[Decimal, Decimal] = field(default_factory=dict)  # limit -> stake of back orders for the SP
    sp_laid: dict[Decimal, Decimal] = field(default_factory=dict)  # limit -> liability of lay orders for the SP
    outcome: Outcome = LOST
    key: RunnerKey = field(init=False)  # within its market

    def __post_init__(self) -> None:
        self.key = runner_key(self.selection_id, self.handicap)
        self.rng = Random(self.seed)  # noqa: S311 - a seeded process is the point

    def trade(self, price: Decimal, size: Decimal) -> None:
        """Count a match; Betfair counts what both sides staked."""
        self.last_price = price
        self.total_matched += 2 * size
        self.traded[price] = self.traded.get(price, ZERO) + 2 * size


@dataclass(slots=True, eq=False)
class Market:
    """A market of the exchange; the names of its facts are those of Betfair's market definition."""

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
    runners: dict[RunnerKey, Runner] = field(default_factory=dict)
    bets: dict[int, Bet] = field(default_factory=dict)
    results: dict[str, "Result"] = field(default_factory=dict)
    rounding: Decimal = ZERO  # what rounding profits to pennies left over when it was settled
    last_match_ms: int = 0
    betting_type: str = "ODDS"
    each_way_divisor: Decimal | None = None
    ladder_type: str = "CLASSIC"
    line_min: Decimal | None = None
    line_max: Decimal | None = None
    line_interval: Decimal | None = None
    bsp_market: bool = False
    bsp_reconciled: bool = False
    cross_matching: bool = False
    runners_voidable: bool = False
    persistence_enabled: bool = True
    turn_in_play_enabled: bool = True
    discount_allowed: bool = True
    event_id: str = "30000000"
    event_type_id: str = "1"
    event_type_name: str = "Soccer"
    country_code: str = "GB"
    timezone: str = "GMT"
    venue: str = ""
    race_type: str = ""
    regulators: tuple[str, ...] = ("MR_INT",)
    open_ms: int = 0  # 0: as its start
    suspend_ms: int = 0  # 0: as its start
    settled_ms: int = 0
    suspend_reason: str = ""  # shown while it is suspended
    bet_delay_models: tuple[str, ...] = ()
    key_line: tuple[tuple[int, Decimal], ...] = ()
    recorded: bool = False  # its offers, trades and results come from a recording

    @property
    def field_size(self) -> int | None:
        """How many runners can win, None while more may appear."""
        if self.grows:
            return None
        return sum(runner.status not in {"REMOVED", "REMOVED_VACANT"} for runner in self.runners.values())

    @property
    def is_line(self) -> bool:
        """Tell whether bets are on where a number ends."""
        return self.betting_type == "LINE"

    def runner_of(self, bet: Bet) -> Runner:
        """Return the runner that a bet of this market is on."""
        return self.runners[bet.runner_key]

    def new_position(self) -> Position:
        """Return the stand of somebody without a bet, counting as this market's betting type does."""
        return LinePosition() if self.is_line else Position(divisor=self.each_way_divisor)

    def exposure(self, positions: Sequence[Position]) -> Decimal:
        """Return the most that these positions can lose together."""
        if self.betting_type == "ODDS" and self.each_way_divisor is None:
            return market_exposure(positions, self.winners, self.field_size)
        if self.is_line:
            return line_exposure(positions)
        if self.betting_type.startswith("ASIAN_HANDICAP"):
            return separate_exposure(positions)
        if self.each_way_divisor is not None:
            return each_way_exposure(positions, self.winners, self.field_size)
        return market_exposure(positions, self.winners, self.field_size)

    def price_allowed(self, price: Decimal) -> bool:
        """Tell whether an order may be placed at `price`."""
        if self.ladder_type == "FINEST":
            return is_on_finest(price)
        if self.line_min is None or self.line_max is None or not self.line_interval:
            return is_on_ladder(price)
        return self.line_min <= price <= self.line_max and (price - self.line_min) % self.line_interval == 0


@dataclass(slots=True)
class Result:
    """What a settled market did to one account's balance."""

    profit: Decimal = ZERO
    commission: Decimal = ZERO


def sp_price(side: Side) -> Decimal:
    """Return the price that a MARKET_ON_CLOSE order carries: any."""
    return Decimal("1.01") if side is Side.BACK else Decimal(1000)
