"""The whole system at one glance, for programs; and what its signs of life mean.

Reads only, and says what it can when something is wrong. Amounts in account currency.
"""

from decimal import Decimal
from typing import Any, Final

from executor.adapters.redis import console
from executor.domain.order import OrderStatus
from executor.domain.times import iso
from executor.operations.access import Access, mismatch
from executor.operations.notifications import addresses_json
from executor.operations.orders import foreign_json
from executor.operations.risk_rules import rules_json
from executor.operations.trading import why_not_trading
from executor.ports.system_snapshot import SystemSnapshot
from executor.settings.exchange import is_test_exchange
from executor.settings.load import Settings

KINDS: Final = ("worker", "bridge", "stream")  # processes that say that they live; beat is known by what it causes
_POLL: Final = "poll_orders"


def processes(state: SystemSnapshot) -> dict[str, list[str]]:
    """Return the living processes by kind, as host:pid."""
    found: dict[str, list[str]] = {kind: [] for kind in KINDS}
    for name in state.processes:
        kind, _, where = name.partition(":")
        found.setdefault(kind, []).append(where)
    return found


def poll_age(state: SystemSnapshot) -> float | None:
    """Return seconds since the last complete poll, or None where none is known: beat's sign of life."""
    at = state.last_success.get(_POLL)
    return None if at is None else max(0.0, state.now - at)


def standing_alerts(access: Access) -> list[tuple[str, dict[str, str]]]:
    """Return the watchdog's alerts that stand, each with since when and what it means.

    Raises:
        StoreUnavailable: Redis is away.
    """
    return console.standing_alerts(access.redis)


def beat_lives(settings: Settings, state: SystemSnapshot) -> bool:
    """Tell whether what beat asks for is being done: a poll within four intervals, and the 20 s that a lock lasts."""
    age = poll_age(state)
    return age is not None and age <= max(20, 4 * settings.order_manager.status_check_interval_seconds)


def mode_of(settings: Settings) -> str:
    """Say where orders go: nowhere (`paper`), to our own test exchange (`sandbox`), or anywhere else (`live`)."""
    if settings.trading.enable_paper_trading:
        return "paper"
    return "sandbox" if is_test_exchange(settings.betfair) else "live"


def said_mode(settings: Settings) -> str:
    """Say it in words."""
    if settings.trading.enable_paper_trading:
        return f"paper trading, filled {'from the real book' if settings.asks_exchange else 'at once'}"
    return "orders go to the sandbox, no real money" if is_test_exchange(settings.betfair) else "live trading"


def mode_in(settings: Settings, identity: str) -> str:
    """Say in which mode a row of the ledger came about; of another account or mode than the settings', also where."""
    if identity == settings.identity:
        return mode_of(settings)
    kind, _, where = identity.partition(" ")
    return f"{kind} at {where.partition(' ')[0]}" if where else kind


def exposure_by_market(state: SystemSnapshot) -> dict[str, Decimal]:
    """Return what rule 4 counts for each market, the largest first."""
    return dict(sorted(state.market_exposure.items(), key=lambda item: (-item[1], item[0])))


def status_json(settings: Settings, state: SystemSnapshot) -> dict[str, Any]:
    """Return the contract's shape of `status --json`."""
    limit = state.account_limits.get("MaxExposurePerMarket")
    return {
        "at": iso(int(state.now * 1000)),
        "mode": mode_of(settings) if not mismatch(settings, state.identity) else (state.identity or "").split(" ")[0],
        "paper_fills": settings.trading.paper_fills if settings.trading.enable_paper_trading else None,
        "identity": state.identity,
        "settings_identity": settings.identity,
        "trading": {
            "enabled": state.trading_enabled,
            "value": state.trading,
            "why_not": why_not_trading(state) or None,
        },
        "breaker": {
            "open": bool(state.breaker) and not state.trading_enabled,
            "trip": dict(state.breaker),
            "failures": state.recent_failures,
            "threshold": settings.risk.circuit_breaker_failures,
        },
        "halted": dict(state.halted),
        "alerts": list(state.alerts),
        "notifications": addresses_json(state),
        "reconciled": state.reconciled,
        "stream": {"connected": bool(state.stream), "heard_s_ago": state.stream_age_s, **state.stream},
        "session": state.session if settings.asks_exchange else None,
        "account": dict(state.account),
        "orders": {
            "active": state.count(OrderStatus.PENDING, OrderStatus.SUBMITTED),
            "pending": state.count(OrderStatus.PENDING),
            "submitted": state.count(OrderStatus.SUBMITTED),
            "reserved": state.count(OrderStatus.RESERVED),
            "unsettled": len(state.orders),
            "unreadable": list(state.unreadable),
        },
        "foreign_bets": [foreign_json(bet) for bet in state.foreign],
        "markets_held": dict(state.stopped_markets),
        "set_aside": dict(state.set_aside),
        "open_signals": state.open_signals,
        "exposure": {"total": state.total_exposure, "limit_per_market": limit, "markets": exposure_by_market(state)},
        "pnl": {"daily": state.daily_pnl, "total": state.total_pnl},
        "limits": dict(state.limits),
        "limit_problems": dict(state.limit_problems),
        "rules": rules_json(settings, state),
        "queues": dict(state.queues),
        "processes": processes(state),
        "last_success": {task: iso(int(at * 1000)) for task, at in state.last_success.items()},
        "beat_alive": beat_lives(settings, state),
        "failed_tasks": state.failed_tasks,
        "ledger_lag": state.ledger_lag,
    }
