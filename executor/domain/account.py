"""The account at the exchange, as its last reading tells: its money, its currency, and what limits are worth in it.

Invariants: a reading that is old, or of which a part is missing, refuses nothing for want of funds; an exchange rate
that is old converts nothing. What may be put at risk is the balance at the reading, less what bets of others hold and
what was lost since; against it stands all that our orders can lose, sent or only reserved, so that nothing depends on
what had reached the exchange when it was read. Amounts in account currency, times in milliseconds.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from executor.domain.money import ONE, PENNY, ZERO, parse_number, round_down

FUNDS_LAST_MS: Final = 180_000  # three readings; then the exchange's own check decides
RATES_LAST_MS: Final = 24 * 3_600_000


@dataclass(frozen=True, slots=True)
class Account:
    """What is known of the account; None or "" where it is not."""

    currency: str = ""
    available: Decimal | None = None
    exposure: Decimal | None = None
    exposure_limit: Decimal | None = None  # the most that all open bets together may lose
    others: Decimal = ZERO  # exposure at the reading that no order of ours explains
    lost: Decimal = ZERO  # by what was settled since the reading
    read_at: int = 0
    rate_from: str = ""  # a currency, and how many units of the account's one unit of it is
    rate: Decimal | None = None
    rates_at: int = 0


UNKNOWN: Final = Account()


@dataclass(frozen=True, slots=True)
class Unit:
    """What amounts are said in beside limits: their currency where it is not the account's, else nothing is named.

    `rate` is one unit of it in the account's.
    """

    currency: str = ""
    rate: Decimal = ONE

    def said(self, amount: Decimal) -> str:
        """Write an amount of the account's."""
        return f"{(amount / self.rate).quantize(PENNY)} {self.currency}" if self.currency else f"{amount:f}"

    def limit(self, amount: Decimal) -> str:
        """Write a limit."""
        return f"{amount:f} {self.currency}" if self.currency else f"{amount:f}"


def unit_of(account: Account, currency: str) -> Unit | None:
    """Return what people are told amounts in, by the newest rate whatever its age; None where there is none."""
    if not currency or currency == account.currency:
        return Unit()
    known = account.currency and account.rate_from == currency and account.rate
    return Unit(currency, account.rate or ONE) if known else None


def most_to_lose(account: Account, now: int) -> Decimal | None:
    """Return the most that all our orders together may lose; None where no reading says."""
    if account.available is None or account.exposure is None or now - account.read_at > FUNDS_LAST_MS:
        return None
    balance = account.available + account.exposure
    if account.exposure_limit:
        balance = min(balance, account.exposure_limit)
    return balance - account.others - account.lost


def rate_of(account: Account, currency: str, now: int) -> Decimal | None:
    """Return how many units of the account's currency one unit of another is; None where it is not known, or old."""
    if not currency or currency == account.currency:
        return ONE
    known = account.currency and account.rate_from == currency and now - account.rates_at <= RATES_LAST_MS
    return account.rate if known else None


def rates_problem(account: Account, currency: str, now: int) -> str:
    """Say why limits in this currency cannot be converted, so that nothing is placed; empty where they can."""
    if rate_of(account, currency, now) is not None:
        return ""
    if not account.currency:
        why = "the account's currency has not been read"
    elif account.rate_from != currency or not account.rate:
        why = f"no rate from {currency} to {account.currency} was ever read"
    else:
        hours = (now - account.rates_at) // 3_600_000
        why = f"the rate from {currency} to {account.currency} was last read {hours} h ago, and holds for 24"
    return f"{why}: nothing is placed, as the limits are in {currency}"


def rate_between(rates: Mapping[str, Decimal], currency: str, into: str) -> Decimal | None:
    """Return how many units of `into` one unit of a currency is; `rates` are units for one pound (Betfair)."""
    per_pound = {**rates, "GBP": ONE}
    one, other = per_pound.get(currency), per_pound.get(into)
    return other / one if one and other else None


def convert(amount: Decimal, rate: Decimal) -> Decimal:
    """Convert a limit, never to more than it is worth."""
    return amount if rate == ONE else round_down(amount * rate)


def parse_amount(text: str | None) -> Decimal | None:
    """Read an amount of the account's record, None where it is none."""
    try:
        return None if text is None else parse_number(text)
    except ValueError:
        return None
