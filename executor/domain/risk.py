"""The decision whether a signal's orders may be placed.

Owns the reasons, their order, the limits and the rules of the reference. Pure: a snapshot goes in, a verdict comes out,
and the commit compares that the snapshot still holds. Money in account currency.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from executor.domain.account import UNKNOWN, Account, most_to_lose, rate_of
from executor.domain.confidence import LEVEL, ConfidenceScale
from executor.domain.exposure import Results, results, with_order, worst
from executor.domain.hedge import is_hedge
from executor.domain.limits import (
    LIMIT_FIELDS,
    InvalidLimits,
    Limits,
    in_currency,
    number,
    parse_limit,
    parse_limits,
    scaled,
)
from executor.domain.market import Market
from executor.domain.money import MAX_PRICE, MIN_PRICE, ONE, ZERO, liability, minimum_size, parse_number
from executor.domain.netting import counted, net_of
from executor.domain.order import Order

if TYPE_CHECKING:  # its wire models take a while to make, and whoever only reads limits has no signal
    from executor.domain.signal import Leg, Signal

__all__ = ["LIMIT_FIELDS", "InvalidLimits", "Limits", "number", "parse_limit", "parse_limits"]


class Reason(StrEnum):
    """Why a signal was not executed: the closed set, in the order of evaluation."""

    MALFORMED_SIGNAL = "MALFORMED_SIGNAL"
    DUPLICATE_SIGNAL = "DUPLICATE_SIGNAL"
    SIGNAL_EXPIRED = "SIGNAL_EXPIRED"
    OVERLOADED = "OVERLOADED"  # when it arrives: it would expire while it waits for a worker
    NOT_RECONCILED = "NOT_RECONCILED"
    INVALID_LIMITS = "INVALID_LIMITS"
    UNSUPPORTED_MARKET = "UNSUPPORTED_MARKET"  # known to be each way, of lines, or of another price ladder than ours
    RATES_UNKNOWN = "RATES_UNKNOWN"  # the limits are in another currency than the account
    ODDS_OUT_OF_RANGE = "ODDS_OUT_OF_RANGE"
    STAKE_BELOW_MINIMUM = "STAKE_BELOW_MINIMUM"
    INSUFFICIENT_FUNDS = "INSUFFICIENT_FUNDS"
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


@dataclass(frozen=True, slots=True)
class Rules:
    """What the settings say about validation."""

    enabled: bool
    breaker_enabled: bool
    min_odds: Decimal
    max_odds: Decimal
    min_stake: Decimal
    netting: bool = False  # rule 4 counts the worst of the results that a market allows, not the sum of its selections
    check_funds: bool = False  # against the account's last reading
    currency: str = ""  # of the limits; "": the account's
    confidence: ConfidenceScale = LEVEL
    min_stake_by_currency: bool = False  # nobody set it: the exchange's own minimum holds where it is higher

    def minimum(self, currency: str) -> Decimal:
        """Return the smallest stake in an account's currency."""
        return max(self.min_stake, minimum_size(currency)) if self.min_stake_by_currency else self.min_stake


_RESUME: Final = "executor resume (SET trading:enabled true)"


@dataclass(frozen=True, slots=True)
class RiskInputs:
    """What one atomic read of Redis found, as the rules need it."""

    now: int
    deadline: int
    reconciled: bool
    trading_enabled: bool
    breaker_open: bool
    limits: Mapping[str, str]
    daily_pnl: str | None
    orders: Sequence[Order]  # the market's, all that count among them
    stop_reason: str = ""  # why nothing may be placed in this market
    unsupported: str = ""  # why the rules do not hold for this market
    foreign: Mapping[int, Decimal] = field(default_factory=dict)  # selection -> what bets that are no orders can lose
    market: Market | None = None  # what the exchange says that the market is; None: not known
    account: Account = UNKNOWN
    held_elsewhere: Decimal = ZERO  # the most that the exchange holds for our orders in all other markets


@dataclass(frozen=True, slots=True)
class _Terms:
    """What the limits are for one signal, in account currency, and what to say of how they came about."""

    limits: Limits
    pnl: Decimal
    per_order: str = ""
    converted: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The decision on a signal: accepted when there is no reason; `leg` is the failing leg, from 1."""

    reason: Reason | None = None
    detail: str = ""
    leg: int = 0
    held_elsewhere_max: Decimal | None = None  # the most that other markets may hold for it to stand; None: whatever

    @property
    def accepted(self) -> bool:
        """Tell whether every rule passed."""
        return self.reason is None


def is_true(text: str | None) -> bool:
    """Read the kill switch: `true` or `1` in any case trades, everything else does not."""
    return text is not None and text.lower() in {"true", "1"}


def _stake(leg: "Leg", terms: _Terms) -> str:
    most = terms.limits.max_stake_per_order
    if leg.size <= most:
        return ""
    return f"Stake {number(leg.size)} exceeds max per order {number(most)}{terms.per_order}"


def _risk(leg: "Leg", terms: _Terms) -> str:
    allowed = terms.limits.bankroll * terms.limits.max_risk_per_trade_percent
    risk = liability(leg.side, leg.price, leg.size)
    if risk <= allowed:
        return ""
    return f"Risk {number(risk)} exceeds max per trade {number(allowed)}{terms.per_order}"


def _selection(held: Decimal, wanted: Decimal, terms: _Terms) -> str:
    # An order that adds nothing to the worst case closes a position: never refused for a limit already passed.
    most = terms.limits.max_exposure_per_selection
    if wanted <= max(most, held):
        return ""
    return f"Selection exposure {number(wanted)} exceeds max per selection {number(most)}{terms.converted}"


def _market(held: Decimal, wanted: Decimal, terms: _Terms) -> str:
    most = terms.limits.max_exposure_per_market
    if wanted <= max(most, held):
        return ""
    return f"Market exposure {number(wanted)} exceeds max per market {number(most)}{terms.converted}"


def _daily_loss(terms: _Terms) -> str:
    most = terms.limits.max_daily_loss
    if terms.pnl > -most:
        return ""
    return f"Daily P&L {number(terms.pnl)} has reached max daily loss {number(most)}{terms.converted}"


def _funds(inputs: RiskInputs, rules: Rules, before: Results, after: Results) -> str:
    """Say what is lacking for an order; what adds nothing to the market's worst case needs no funds."""
    most = most_to_lose(inputs.account, inputs.now) if rules.check_funds else None
    if most is None:
        return ""
    held, wanted = (net_of(found, inputs.foreign, inputs.market) for found in (before, after))
    total = inputs.held_elsewhere + wanted
    if wanted <= held or total <= most:
        return ""
    return f"Exposure {number(total)} over all markets exceeds the {number(max(most, ZERO))} that the account can lose"


def _held_elsewhere_max(inputs: RiskInputs, rules: Rules, before: Results, after: Results) -> Decimal | None:
    most = most_to_lose(inputs.account, inputs.now) if rules.check_funds else None
    if most is None:
        return None
    held, wanted = (net_of(found, inputs.foreign, inputs.market) for found in (before, after))
    return most - wanted if wanted > held else None


def _daily_pnl(text: str | None) -> Decimal:
    if text is None:
        return ZERO
    try:
        return parse_number(text)
    except ValueError:
        raise InvalidLimits(f"today's P&L in Redis is not a number: {text[:40]!r}") from None


def _terms(signal: "Signal", inputs: RiskInputs, rules: Rules) -> _Terms | None:
    """Return the limits as they are for a signal; None where they cannot be converted."""
    limits, pnl = parse_limits(inputs.limits), _daily_pnl(inputs.daily_pnl)
    rate = rate_of(inputs.account, rules.currency, inputs.now)
    if rate is None:
        return None
    converted = ""
    if rate != ONE:
        limits = in_currency(limits, rate)
        converted = f" (1 {rules.currency} is {number(rate)} {inputs.account.currency})"
    per_order = converted
    factor = ONE if is_hedge(signal) else rules.confidence.factor(signal.confidence)
    if factor != ONE:
        given = "no confidence" if signal.confidence is None else f"confidence {number(signal.confidence)}"
        per_order = f" ({given}: {number(factor)} of the limit){converted}"
        limits = scaled(limits, factor)
    return _Terms(limits, pnl, per_order, converted)


def _before_the_legs(signal: "Signal", inputs: RiskInputs, rules: Rules) -> Verdict | _Terms:
    if inputs.now >= inputs.deadline:
        return Verdict(Reason.SIGNAL_EXPIRED, f"Signal expired {inputs.now - inputs.deadline} ms ago")
    if not inputs.reconciled:
        return Verdict(Reason.NOT_RECONCILED, "Orders are not reconciled with the exchange")
    if inputs.stop_reason:
        return Verdict(Reason.NOT_RECONCILED, f"Nothing is placed in this market: {inputs.stop_reason}")
    try:
        terms = _terms(signal, inputs, rules)
    except InvalidLimits as error:
        return Verdict(Reason.INVALID_LIMITS, str(error))
    if inputs.unsupported:
        return Verdict(Reason.UNSUPPORTED_MARKET, inputs.unsupported)
    if terms is None:
        ours = inputs.account.currency or "a currency that is not known yet"
        return Verdict(Reason.RATES_UNKNOWN, f"No rate of the last day from {rules.currency} to {ours}")
    return terms


def decide(
    signal: "Signal", inputs: RiskInputs, rules: Rules, reserve: Callable[["Leg", int], Order]
) -> tuple[Verdict, tuple[Order, ...]]:
    """Judge a signal leg by leg, the second seeing the first's reservation.

    `reserve` makes the order of a leg (its number from 1). Returns the verdict and, when accepted, the reservations.
    """
    terms = _before_the_legs(signal, inputs, rules)
    if isinstance(terms, Verdict):
        return terms, ()
    found = results(inputs.orders)
    reserved: tuple[Order, ...] = ()
    for at, leg in enumerate(signal.legs, start=1):
        order = reserve(leg, at)
        after = with_order(found, order)
        reason, detail = _judge(leg, found, after, inputs, rules, terms=terms, hedge=is_hedge(signal))
        if reason is not None:
            return Verdict(reason, detail, at), ()
        found, reserved = after, (*reserved, order)
    return Verdict(held_elsewhere_max=_held_elsewhere_max(inputs, rules, results(inputs.orders), found)), reserved


def _judge(
    leg: "Leg", before: Results, after: Results, inputs: RiskInputs, rules: Rules, *, terms: _Terms, hedge: bool
) -> tuple[Reason | None, str]:
    lowest, highest = max(rules.min_odds, MIN_PRICE), min(rules.max_odds, MAX_PRICE)  # beyond the ladder nothing holds
    if not lowest <= leg.price <= highest:
        span = f"{number(lowest)} to {number(highest)}"
        return Reason.ODDS_OUT_OF_RANGE, f"Odds {number(leg.price)} outside {span}"
    if leg.size < (minimum := rules.minimum(inputs.account.currency)) or leg.size <= ZERO:
        return Reason.STAKE_BELOW_MINIMUM, f"Stake {number(leg.size)} below minimum {number(minimum)}"
    if problem := _funds(inputs, rules, before, after):
        return Reason.INSUFFICIENT_FUNDS, problem
    reason, problem = _limit_rules(leg, before, after, inputs, rules, terms=terms, hedge=hedge)
    if reason is not None:
        return reason, problem
    if rules.breaker_enabled and inputs.breaker_open:
        return (
            Reason.CIRCUIT_BREAKER_OPEN,
            f"Circuit breaker is open; after fixing the cause: {_RESUME}",
        )
    if not inputs.trading_enabled:
        return Reason.TRADING_DISABLED, f"Trading is disabled; to trade: {_RESUME}"
    return None, ""


def _limit_rules(
    leg: "Leg", before: Results, after: Results, inputs: RiskInputs, rules: Rules, *, terms: _Terms, hedge: bool
) -> tuple[Reason | None, str]:
    elsewhere = inputs.foreign.get(leg.selection_id, ZERO)
    alone, together = (worst(*found.get(leg.selection_id, (ZERO, ZERO))) + elsewhere for found in (before, after))
    if hedge and together > alone:
        most = number(alone)
        return Reason.MAX_EXPOSURE_PER_SELECTION, f"Hedge would raise the selection's exposure {most} to {together:f}"
    if not rules.enabled:
        return None, ""
    held, wanted = (counted(found, inputs.foreign, inputs.market, netting=rules.netting) for found in (before, after))
    checks: tuple[tuple[Reason, Callable[[], str]], ...] = (
        (Reason.MAX_STAKE_PER_ORDER, lambda: _stake(leg, terms)),
        (Reason.MAX_RISK_PER_TRADE, lambda: _risk(leg, terms)),
        (Reason.MAX_EXPOSURE_PER_SELECTION, lambda: _selection(alone, together, terms)),
        (Reason.MAX_EXPOSURE_PER_MARKET, lambda: _market(held, wanted, terms)),
        # What only reduces an exposure is not what a day's loss must stop.
        (Reason.MAX_DAILY_LOSS, lambda: "" if hedge else _daily_loss(terms)),
    )
    for reason, check in checks:
        if problem := check():
            return reason, problem
    return None, ""
