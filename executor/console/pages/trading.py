"""Pages about orders, signals, markets, money, limits and what failed."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from fastapi import Request

from executor.console.api.accounts import market_of, settlements_of, state_with_settlements, trades_of
from executor.console.api.hedges import hedges_of
from executor.console.api.models import LimitsModel
from executor.console.api.orders import page_of_orders
from executor.console.api.risk import limits_of
from executor.console.api.signals import journey_of, page_of_signals
from executor.console.api.status import acts_of, alerts_of
from executor.console.context import Console
from executor.console.pages import charts
from executor.domain.limits import SHARES, shown_limit
from executor.domain.money import ZERO
from executor.domain.order import OrderStatus
from executor.domain.risk import LIMIT_FIELDS, Reason
from executor.domain.signal_record import SignalStatus
from executor.engine.manual_resolution import retry_obstacle
from executor.operations.notifications import addresses_json
from executor.operations.orders import find_orders
from executor.operations.pnl import By, currency_of, grouped, totals
from executor.operations.risk_rules import rules_lines
from executor.operations.status import exposure_by_market
from executor.operations.trading import obstacles, why_not_trading

_PAGE: Final = 50
_MOST: Final = 200  # orders of one market
_SORTS: Final = ("created", "market", "status", "price", "size", "matched")


def _text(request: Request, name: str, most: int = 128) -> str:
    return request.query_params.get(name, "").replace("\0", "")[:most]  # PostgreSQL's text knows no NUL


def orders(console: Console, request: Request) -> Mapping[str, Any]:
    """Return a page of orders."""
    sort = _text(request, "sort") or "-created"
    found, following = page_of_orders(
        console,
        limit=_PAGE,
        after=_text(request, "after", 600),
        market=_text(request, "market", 32),
        status=_text(request, "status", 16),
        active=_text(request, "active") == "1",
        sort=sort if sort.lstrip("-") in _SORTS else "-created",
    )
    foreign = [] if _text(request, "after") else console.state().foreign
    return {"orders": found, "next": following, "statuses": list(OrderStatus), "sort": sort, "foreign": foreign}


def signals(console: Console, request: Request) -> Mapping[str, Any]:
    """Return a page of signals."""
    found = page_of_signals(
        console,
        limit=_PAGE,
        after=_text(request, "after", 600),
        status=_text(request, "status", 16),
        reason=_text(request, "reason", 64),
        strategy=_text(request, "strategy"),
    )
    return {
        "signals": found.items,
        "next": found.next,
        "statuses": list(SignalStatus),
        "reasons": list(Reason),
    }


def signal(console: Console, signal_id: str) -> Mapping[str, Any]:
    """Return one signal's way."""
    record, found, fills, steps = journey_of(console, signal_id)
    return {"record": record, "orders": found, "fills": fills, "steps": steps, "began": record.received_at}


def markets(console: Console) -> Mapping[str, Any]:
    """Return the markets with something of ours."""
    state = console.state()
    limit = state.account_limits.get("MaxExposurePerMarket")
    rows = []
    for market, held in sorted(exposure_by_market(state).items(), key=lambda item: -item[1]):
        own = [order for order in state.orders if order.market_id == market]
        live = sum(order.status is OrderStatus.PENDING for order in own)
        rows.append((market, held, charts.share(held, limit), len(own), live))
    return {"markets": rows, "limit": limit, "total": state.total_exposure}


def market(console: Console, market_id: str) -> Mapping[str, Any]:
    """Return one market: positions, and what each result pays."""
    found = market_of(console, market_id)
    orders = find_orders(console.access, market=market_id[:40])[:_MOST]
    foreign = [bet for bet in console.state().foreign if bet.market_id == market_id]
    share = charts.share(found.exposure, found.limit)
    return {"market": found, "orders": orders, "share": share, "foreign": foreign}


def pnl(console: Console, request: Request) -> Mapping[str, Any]:
    """Return settled profit and loss."""
    since = _text(request, "since", 10)
    state = state_with_settlements(console)
    rows = settlements_of(console, since)
    nets: list[Decimal] = [row["net_profit"] for row in rows]
    groups = {by.value: grouped(rows, by) for by in By}
    groups["day"].reverse()
    return {
        "total": totals(rows),
        "unit": currency_of(rows, state.account),
        "curve": charts.curve(nets),
        "groups": groups,
        "state": state,
        "waits": not since and totals(rows)["net_profit"] != state.total_pnl,
        "since": since,
        "trades": trades_of(console, 20, "").items,
    }


def _limit(field: str, found: LimitsModel) -> tuple[str, str, str, bool]:
    held = found.limits.get(field)
    in_force = "" if held is None else shown_limit(field, held)
    return field, in_force, shown_limit(field, found.settings[field]), field in SHARES


def limits(console: Console) -> Mapping[str, Any]:
    """Return the limits, and what the next signal would meet."""
    held = limits_of(console)
    state = console.state()
    in_account = state.account_limits
    bankroll, risk = in_account.get("Bankroll"), in_account.get("MaxRiskPerTradePercent")
    loss = in_account.get("MaxDailyLoss")
    left = None if loss is None or state.daily_pnl is None else max(ZERO, loss + state.daily_pnl)
    return {
        "theirs": state.unit.currency or state.currency,
        "fields": [_limit(field, held) for field in LIMIT_FIELDS],
        "problems": held.problems,
        "version": held.version,
        "why_not": why_not_trading(state),
        "obstacles": obstacles(console.settings, state),
        "rules": list(rules_lines(console.settings, state)),
        "most_stake": in_account.get("MaxStakePerOrder"),
        "risk_amount": bankroll * risk if bankroll is not None and risk is not None else None,
        "loss_left": left,
        "state": state,
        "settings": console.settings,
    }


def hedges(console: Console) -> Mapping[str, Any]:
    """Return what would be hedged now, and what was last done or said."""
    return hedges_of(console)


def failed(console: Console) -> Mapping[str, Any]:
    """Return what failed for good, each with whether it may be run again."""
    rows = []
    for task_id, fields in list(console.access.failed.all().items())[:200]:
        signal_id = fields.get("signal_id", "")
        strict = retry_obstacle(console.access.store, signal_id, force=False)
        forced = retry_obstacle(console.access.store, signal_id, force=True)
        rows.append((task_id, fields, strict, forced))
    return {"tasks": rows}


def alerts(console: Console) -> Mapping[str, Any]:
    """Return the alerts that stand."""
    return {"alerts": alerts_of(console), "told": addresses_json(console.state())}


def audit(console: Console, request: Request) -> Mapping[str, Any]:
    """Return what was done by hand."""
    found = acts_of(console, _PAGE, _text(request, "after", 600))
    return {"acts": found.items, "next": found.next}
