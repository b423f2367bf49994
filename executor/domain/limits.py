"""The six limits of `risk:limits`: their names, how they are read, and what they are worth for one signal.

Money in the limits' currency as they are read, in the account's once they are converted; a share is from 0 to 1.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final

from executor.domain.account import convert
from executor.domain.money import ONE, ZERO, parse_number

SHARES: Final = frozenset({"MaxRiskPerTradePercent"})  # of the bankroll, not money
_HUNDRED: Final = Decimal(100)
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


def number(value: Decimal) -> str:
    """Write a number as the reference does: 200, not 200.00."""
    return f"{value.normalize():f}" if value else "0"


def shown_limit(field: str, value: Decimal) -> str:
    """Write a limit for a person: a share says its per cent, as the reference's name for it misleads."""
    return f"{value:f} ({number(value * _HUNDRED)} %)" if field in SHARES else f"{value:f}"


def shown_limits(limits: Mapping[str, Decimal]) -> str:
    """Write limits by name, in one line."""
    return ", ".join(f"{field} {shown_limit(field, value)}" for field, value in limits.items())


def parse_change(field: str, text: str) -> Decimal:
    """Read a limit as a person writes it: as `parse_limit` does, and a share also in per cent (`2%`).

    Raises:
        InvalidLimits: as `parse_limit` does.
    """
    plain = text.strip()
    if field in SHARES and plain.endswith("%"):
        try:
            share = parse_number(plain[:-1]) / _HUNDRED
        except ValueError:
            return parse_limit(field, text)  # which says what is wrong
        return parse_limit(field, f"{share:f}")
    return parse_limit(field, text)


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
    top = ONE if field in SHARES else _ABSURD
    if not ZERO <= value <= top:
        hint = f"; it is a share of the bankroll: {_as_share(value)}" if field in SHARES else ""
        raise InvalidLimits(f"{field} must be from 0 to {number(top)}, not {text[:40]}{hint}")
    return value


def _as_share(value: Decimal) -> str:
    """Say how a share is written, by what was surely meant."""
    meant = value if ONE < value <= _HUNDRED else Decimal(2)
    return f"for {number(meant)} % write {number(meant / _HUNDRED)}"


def parse_limits(fields: Mapping[str, str]) -> Limits:
    """Read the hash `risk:limits`.

    Raises:
        InvalidLimits: naming the first field that is wrong.
    """
    return Limits(**{attribute: parse_limit(field, fields.get(field)) for field, attribute in LIMIT_FIELDS.items()})


def in_currency(limits: Limits, rate: Decimal) -> Limits:
    """Return the limits in the account's currency, of which `rate` is one unit of theirs."""
    return replace(
        limits,
        bankroll=convert(limits.bankroll, rate),
        max_exposure_per_market=convert(limits.max_exposure_per_market, rate),
        max_exposure_per_selection=convert(limits.max_exposure_per_selection, rate),
        max_stake_per_order=convert(limits.max_stake_per_order, rate),
        max_daily_loss=convert(limits.max_daily_loss, rate),
    )


def scaled(limits: Limits, factor: Decimal) -> Limits:
    """Return the limits with this share of what one order may stake and risk."""
    stake, share = limits.max_stake_per_order * factor, limits.max_risk_per_trade_percent * factor
    return replace(limits, max_stake_per_order=stake, max_risk_per_trade_percent=share)
