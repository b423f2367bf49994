"""The decision whether a signal's orders may be placed.

Owns the reasons, their order, the limits and the rules of the reference. Pure: a snapshot goes in, a verdict comes out,
and the commit compares that the snapshot still holds. Money in account currency.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Final

from executor.domain.exposure import results, with_order, worst
from executor.domain.market import Market
from executor.domain.money import MAX_PRICE, MIN_PRICE, ONE, ZERO, liability, minimum_size, parse_number
from executor.domain.netting import counted
from executor.domain.order import Order
from executor.domain.signal import Leg, Signal


class Reason(StrEnum):
    """Why a signal was not executed: the closed set, in the order of evaluation."""

    MALFORMED_SIGNAL = "MALFORMED_SIGNAL"
    DUPLICATE_SIGNAL = "DUPLICATE_SIGNAL"
    SIGNAL_EXPIRED = "SIGNAL_EXPIRED"
    OVERLOADED = "OVERLOADED"  # when it arrives: it would expire while it waits for a worker
    NOT_RECONCILED = "NOT_RECONCILED"
    INVALID_LIMITS = "INVALID_LIMITS"
    UNSUPPORTED_MARKET = "UNSUPPORTED_MARKET"  # known to be each way, of lines, or of another price ladder than ours
    ODDS_OUT_OF_RANGE = "ODDS_OUT_OF_RANGE"
    STAKE_BELOW_MINIMUM = "STAKE_BELOW_MINIMUM"
    MAX_STAKE_PER_ORDER = "MAX_STAKE_PER_ORDER"
    MAX_RISK_PER_TRADE = "MAX_RISK_PER_TRADE"
    MAX_EXPOSURE_PER_SELECTION = "MAX_EXPOSURE_PER_SELECTION"
    MAX_EXPOSURE_PER_MARKET = "MAX_EXPOSURE_PER_MARKET"
    MAX_DAILY_LOSS = "MAX_DAILY_LOSS"
    CIRCUIT_BREAKER_OPEN = "CIRCUIT_BREAKER_OPEN"
    TRADING_DISABLED = "TRADING_DISABLED"
    TRANSACTION_LIMIT = "TRANSACTION_LIMIT"  # looked at before sending only: placing would cost a charge per bet


LIMIT_RULES: Final = (
    Reason.MAX_STAKE_PER_ORDER,
    Reason.MAX_RISK_PER_TRADE,
    Reason.MAX_EXPOSURE_PER_SELECTION,
    Reason.MAX_EXPOSURE_PER_MARKET,
    Reason.MAX_DAILY_LOSS,
)
# reference: Validation Rules. The closed label set of `risk_violations_total`.
SEVEN_RULES: Final = (*LIMIT_RULES, Reason.CIRCUIT_BREAKER_OPEN, Reason.TRADING_DISABLED)

_ABSURD: Final = Decimal(10) ** 9  # no Betfair account holds as much; a slip of the keyboard does


@dataclass(frozen=True, slots=True)
class Limits:
    """The six limits of `risk:limits`."""

    bankroll: Decimal
    max_exposure_per_market: Decimal
    max_exposure_per_selection: Decimal
    max_stake_per_order: Decimal
    max_daily_loss: Decimal
    max_risk_per_trade_percent: Decimal


# Field of the Redis hash (the reference's names) -> attribute.
LIMIT_FIELDS: Final = {
    "Bankroll": "bankroll",
    "MaxExposurePerMarket": "max_exposure_per_market",
    "MaxExposurePerSelection": "max_exposure_per_selection",
    "MaxStakePerOrder": "max_stake_per_order",
    "MaxDailyLoss": "max_daily_loss",
    "MaxRiskPerTradePercent": "max_risk_per_trade_percent",
}


class InvalidLimits(ValueError):
    """`risk:limits` holds what no limit can be; the text names the field."""


def parse_limit(field: str, text: str | None) -> Decimal:
    """Read one limit; a percentage is a fraction of the bankroll (0.02 = 2 %).

    Raises:
        InvalidLimits: unknown, missing, not a number, negative or absurd.
    """
    if field not in LIMIT_FIELDS:
        raise InvalidLimits(f"unknown limit {field}; known: {', '.join(LIMIT_FIELDS)}")
    if text is None:
        raise InvalidLimits(f"{field} is missing")
    try:
        value = parse_number(text)
    except ValueError:
        raise InvalidLimits(f"{field} is not a number: {text[:40]!r}") from None
    top = ONE if field == "MaxRiskPerTradePercent" else _ABSURD
    if not ZERO <= value <= top:
        raise InvalidLimits(f"{field} must be from 0 to {number(top)}, not {text[:40]}")
    return value


def parse_limits(fields: Mapping[str, str]) -> Limits:
    """Read the hash `risk:limits`.

    Raises:
        InvalidLimits: naming the first field that is wrong.
    """
    return Limits(**{attribute: parse_limit(field, fields.get(field)) for field, attribute in LIMIT_FIELDS.items()})


@dataclass(frozen=True, slots=True)
class Rules:
    """What the settings say about validation."""

    enabled: bool
    breaker_enabled: bool
    min_odds: Decimal
    max_odds: Decimal
    min_stake: Decimal
    netting: bool = False  # rule 4 counts the worst of the results that a market allows, not the sum of its selections
    min_stake_by_currency: bool = False  # nobody set it: the exchange's own minimum holds where it is higher

    def minimum(self, currency: str) -> Decimal:
        """Return the smallest stake in an account's currency."""
        return max(self.min_stake, minimum_size(currency)) if self.min_stake_by_currency else self.min_stake


@dataclass(frozen=True, slots=True)
class Facts:
    """What one atomic read of Redis found, as the rules need it."""

    now: int
    deadline: int
    reconciled: bool
    trading_enabled: bool
    breaker_open: bool
    limits: Mapping[str, str]
    daily_pnl: str | None
    orders: Sequence[Order]  # the market's, all that count among them
    held: str = ""  # why nothing may be placed in this market
    unsupported: str = ""  # why the rules do not hold for this market
    currency: str = ""  # the account's; "" where it is not known
    foreign: Mapping[int, Decimal] = field(default_factory=dict)  # selection -> what bets that are no orders can lose
    market: Market | None = None  # what the exchange says that the market is; None: not known


@dataclass(frozen=True, slots=True)
class Verdict:
    """The decision on a signal: accepted when there is no reason; `leg` is the failing leg, from 1."""

    reason: Reason | None = None
    detail: str = ""
    leg: int = 0

    @property
    def accepted(self) -> bool:
        """Tell whether every rule passed."""
        return self.reason is None


def number(value: Decimal) -> str:
    """Write a number as the reference does: 200, not 200.00."""
    return f"{value.normalize():f}" if value else "0"


def is_true(text: str | None) -> bool:
    """Read the kill switch: `true` or `1` in any case trades, everything else does not."""
    return text is not None and text.lower() in {"true", "1"}


def _stake(leg: Leg, limits: Limits) -> str:
    if leg.size <= limits.max_stake_per_order:
        return ""
    return f"Stake {number(leg.size)} exceeds max per order {number(limits.max_stake_per_order)}"


def _risk(leg: Leg, limits: Limits) -> str:
    allowed = limits.bankroll * limits.max_risk_per_trade_percent
    risk = liability(leg.side, leg.price, leg.size)
    if risk <= allowed:
        return ""
    return f"Risk {number(risk)} exceeds max per trade {number(allowed)}"


def _selection(held: Decimal, wanted: Decimal, limits: Limits) -> str:
    # An order that adds nothing to the worst case closes a position: never refused for a limit already passed.
    if wanted <= max(limits.max_exposure_per_selection, held):
        return ""
    return f"Selection exposure {number(wanted)} exceeds max per selection {number(limits.max_exposure_per_selection)}"


def _market(held: Decimal, wanted: Decimal, limits: Limits) -> str:
    if wanted <= max(limits.max_exposure_per_market, held):
        return ""
    return f"Market exposure {number(wanted)} exceeds max per market {number(limits.max_exposure_per_market)}"


def _daily_loss(pnl: Decimal, limits: Limits) -> str:
    if pnl > -limits.max_daily_loss:
        return ""
    return f"Daily P&L {number(pnl)} has reached max daily loss {number(limits.max_daily_loss)}"


def _daily_pnl(text: str | None) -> Decimal:
    if text is None:
        return ZERO
    try:
        return parse_number(text)
    except ValueError:
        raise InvalidLimits(f"today's P&L in Redis is not a number: {text[:40]!r}") from None


def _before_the_legs(facts: Facts) -> Verdict | tuple[Limits, Decimal]:
    if facts.now >= facts.deadline:
        return Verdict(Reason.SIGNAL_EXPIRED, f"Signal expired {facts.now - facts.deadline} ms ago")
    if not facts.reconciled:
        return Verdict(Reason.NOT_RECONCILED, "Orders are not reconciled with the exchange")
    if facts.held:
        return Verdict(Reason.NOT_RECONCILED, f"Nothing is placed in this market: {facts.held}")
    try:
        limits = parse_limits(facts.limits), _daily_pnl(facts.daily_pnl)
    except InvalidLimits as error:
        return Verdict(Reason.INVALID_LIMITS, str(error))
    return Verdict(Reason.UNSUPPORTED_MARKET, facts.unsupported) if facts.unsupported else limits


def decide(
    signal: Signal, facts: Facts, rules: Rules, reserve: Callable[[Leg, int], Order]
) -> tuple[Verdict, tuple[Order, ...]]:
    """Judge a signal leg by leg, the second seeing the first's reservation.

    `reserve` makes the order of a leg (its number from 1). Returns the verdict and, when accepted, the reservations.
    """
    first = _before_the_legs(facts)
    if isinstance(first, Verdict):
        return first, ()
    limits, pnl = first
    reserved: tuple[Order, ...] = ()
    for at, leg in enumerate(signal.legs, start=1):
        order = reserve(leg, at)
        reason, detail = _judge(leg, order, (*facts.orders, *reserved), facts, rules, limits=limits, pnl=pnl)
        if reason is not None:
            return Verdict(reason, detail, at), ()
        reserved = (*reserved, order)
    return Verdict(), reserved


def _judge(
    leg: Leg,
    order: Order,
    others: Sequence[Order],
    facts: Facts,
    rules: Rules,
    *,
    limits: Limits,
    pnl: Decimal,
) -> tuple[Reason | None, str]:
    lowest, highest = max(rules.min_odds, MIN_PRICE), min(rules.max_odds, MAX_PRICE)  # beyond the ladder nothing holds
    if not lowest <= leg.price <= highest:
        span = f"{number(lowest)} to {number(highest)}"
        return Reason.ODDS_OUT_OF_RANGE, f"Odds {number(leg.price)} outside {span}"
    if leg.size < (minimum := rules.minimum(facts.currency)) or leg.size <= ZERO:
        return Reason.STAKE_BELOW_MINIMUM, f"Stake {number(leg.size)} below minimum {number(minimum)}"
    if rules.enabled:
        before = results(others)
        after, selection_id = with_order(before, order), leg.selection_id
        elsewhere = facts.foreign.get(selection_id, ZERO)
        alone, together = (worst(*found.get(selection_id, (ZERO, ZERO))) + elsewhere for found in (before, after))
        held, wanted = (counted(found, facts.foreign, facts.market, netting=rules.netting) for found in (before, after))
        checks: tuple[tuple[Reason, Callable[[], str]], ...] = (
            (Reason.MAX_STAKE_PER_ORDER, lambda: _stake(leg, limits)),
            (Reason.MAX_RISK_PER_TRADE, lambda: _risk(leg, limits)),
            (Reason.MAX_EXPOSURE_PER_SELECTION, lambda: _selection(alone, together, limits)),
            (Reason.MAX_EXPOSURE_PER_MARKET, lambda: _market(held, wanted, limits)),
            (Reason.MAX_DAILY_LOSS, lambda: _daily_loss(pnl, limits)),
        )
        for reason, check in checks:
            if problem := check():
                return reason, problem
    if rules.breaker_enabled and facts.breaker_open:
        return Reason.CIRCUIT_BREAKER_OPEN, "Circuit breaker is open; after fixing the cause: SET trading:enabled true"
    if not facts.trading_enabled:
        return Reason.TRADING_DISABLED, "Trading is disabled; to trade: SET trading:enabled true"
    return None, ""
