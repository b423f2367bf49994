"""How the limits are applied, beside their numbers: what the settings choose of docs/risk.md, and what it rests on."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Final

from executor.adapters.redis.accounts import account_in
from executor.domain.account import most_to_lose, rate_of
from executor.ports.system_snapshot import SystemSnapshot
from executor.settings.load import Settings

_COUNTING: Final = {"sum": "the sum of its selections", "net": "the worst of its possible results"}


def rules_json(settings: Settings, state: SystemSnapshot) -> dict[str, object]:
    """Return what is chosen, and what it rests on now."""
    account, now, risk = account_in(state.account), int(state.now * 1000), settings.risk
    checks = risk.check_funds and not settings.trading.enable_paper_trading
    return {
        "market_exposure": risk.market_exposure,
        "check_funds": checks,
        "funds": most_to_lose(account, now) if checks else None,
        "currency": account.currency or None,
        "limits_currency": risk.currency or account.currency or None,
        "rate": rate_of(account, risk.currency, now),
        "confidence_scale": risk.confidence_scale,
        "hedge": settings.hedge.mode,
    }


def rules_lines(settings: Settings, state: SystemSnapshot) -> Iterator[tuple[str, str]]:
    """Say the same in words, a line each."""
    found, account = rules_json(settings, state), account_in(state.account)
    yield "market exposure", f"{settings.risk.market_exposure}: {_COUNTING[settings.risk.market_exposure]}"
    yield "funds", _funds(found["funds"]) if found["check_funds"] else "not checked"
    if settings.risk.currency and settings.risk.currency != account.currency:
        problem = state.rates_problem(settings.risk.currency)
        worth = problem or f"1 {settings.risk.currency} is {found['rate']} {account.currency}"
        yield "limits are in", f"{settings.risk.currency}: {worth}"
    if settings.risk.confidence_scale != "off":
        yield "by confidence", settings.risk.confidence_scale
    if settings.hedge.mode != "off":
        hedge = settings.hedge
        yield "hedge", f"{hedge.mode}: from {hedge.at_percent}% of a selection's limit to {hedge.to_percent}%"


def _funds(most: object) -> str:
    if isinstance(most, Decimal):
        return f"all markets together may lose {most:f}"
    return "checked; the last reading is old, or there is none: the exchange decides"
