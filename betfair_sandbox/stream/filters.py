"""What a subscription asks for: which markets, which of their data, which orders.

Owns: reading the filters and matching markets. Invariants: an absent criterion lets everything pass, all others must
hold together; a value that no market has is no error (Betfair: filters are not validated). Units: none.
"""

from dataclasses import dataclass
from typing import Final

from betfair_sandbox.api.wire import BadValue, Params
from betfair_sandbox.market.markets import Market
from betfair_sandbox.stream.versioned import MAX_LEVELS

FIELDS: Final = (
    "EX_BEST_OFFERS_DISP",
    "EX_BEST_OFFERS",
    "EX_ALL_OFFERS",
    "EX_TRADED",
    "EX_TRADED_VOL",
    "EX_LTP",
    "EX_MARKET_DEF",
    "SP_TRADED",
    "SP_PROJECTED",
)
_DEFAULT_LEVELS: Final = 3


@dataclass(frozen=True, slots=True)
class MarketFilter:
    """Which markets."""

    market_ids: tuple[str, ...]
    sets: tuple[tuple[str, frozenset[str]], ...]
    flags: tuple[tuple[str, bool], ...]
    models: frozenset[str]

    @classmethod
    def read(cls, params: Params) -> "MarketFilter":
        """Read `marketFilter`.

        Raises:
            BadValue: a criterion has another type.

        """
        named = (
            ("betting_type", "bettingTypes"),
            ("event_type_id", "eventTypeIds"),
            ("event_id", "eventIds"),
            ("market_type", "marketTypes"),
            ("venue", "venues"),
            ("country_code", "countryCodes"),
            ("race_type", "raceTypes"),
        )
        sets = tuple((fact, frozenset(params.texts(name))) for fact, name in named if params.items(name))
        flagged = (("bsp_market", "bspMarket"), ("turn_in_play_enabled", "turnInPlayEnabled"))
        flags = tuple((fact, params.flag(name)) for fact, name in flagged if params.has(name))
        models = frozenset(params.texts("betDelayModels"))
        return cls(tuple(dict.fromkeys(params.texts("marketIds"))), sets, flags, models)

    def matches(self, market: Market) -> bool:
        """Tell whether `market` is asked for; one that is closed only by its id."""
        if self.market_ids and market.market_id not in self.market_ids:
            return False
        if market.status == "CLOSED" and not self.market_ids:
            return False
        if self.models and self.models.isdisjoint(market.bet_delay_models):
            return False
        return all(getattr(market, name) in wanted for name, wanted in self.sets) and all(
            getattr(market, name) is wanted for name, wanted in self.flags
        )


@dataclass(frozen=True, slots=True)
class DataFilter:
    """Which data of the markets."""

    fields: frozenset[str]
    levels: int

    @classmethod
    def read(cls, params: Params) -> "DataFilter":
        """Read `marketDataFilter`; no fields are all fields.

        Raises:
            BadValue: a field is unknown, or the levels are none.

        """
        fields = frozenset(params.texts("fields"))
        unknown = sorted(fields.difference(FIELDS))
        if unknown:
            raise BadValue(f"fields: {unknown[0]} is unknown")
        levels = params.integer("ladderLevels", _DEFAULT_LEVELS)
        return cls(fields or frozenset(FIELDS), max(1, min(levels, MAX_LEVELS)))


@dataclass(frozen=True, slots=True)
class OrderFilter:
    """Which orders, and which sums of what is matched."""

    overall: bool
    partitioned: bool
    strategies: frozenset[str] | None

    @classmethod
    def read(cls, params: Params) -> "OrderFilter":
        """Read `orderFilter`.

        Raises:
            BadValue: a criterion has another type, or accountIds is set, which Betfair refuses.

        """
        if params.items("accountIds"):
            raise BadValue("accountIds must not be set")
        return cls(
            params.flag("includeOverallPosition") if params.has("includeOverallPosition") else True,
            params.flag("partitionMatchedByStrategyRef"),
            frozenset(params.texts("customerStrategyRefs")) or None,
        )
